"""The compiler is imported when a kernel has to be compiled, beside any NumPy."""

COMPILER = "numba.cuda", "numba_cuda", "cuda.core", "cuda.bindings.nvvm", "cuda.bindings.nvjitlink"
LOADED = f"""
import sys
def loaded():
    return [name for name in sys.modules if any(f"{{name}}.".startswith(f"{{each}}.") for each in {COMPILER})]
"""


def test_no_compiler_is_imported_before_a_kernel_has_to_be_compiled(fresh_python, tmp_path):
    code = (
        LOADED
        + """
from gpuconv.cuda import KERNELS
kernels = {kernel.name.split()[0]: kernel for kernel in KERNELS}.values()
print(sorted(kernel.pointers[-1] + kernel.file_name("sm_80")[:4] for kernel in kernels)[0], loaded())
assert ".entry" in min(kernels, key=lambda kernel: len(kernel.parameters)).ptx("sm_80")
print("numba.cuda" in loaded())
"""
    )
    made, compiled = fresh_python(code, GPUCONV_CACHE_DIR=str(tmp_path)).splitlines()
    assert made.endswith("[]") and compiled == "True"


def test_numpy_without_row_stack_is_taken(fresh_python):
    """As NumPy 2.5 is, and numba-cuda 0.30 does not know."""
    code = """
import numpy
if hasattr(numpy, "row_stack"):
    del numpy.row_stack
import gpuconv.cuda
print(hasattr(numpy, "row_stack"))
from gpuconv.cuda.conv import split
assert ".entry" in split.KERNEL.ptx("sm_80")
print(numpy.row_stack is numpy.vstack)
"""
    assert fresh_python(code).split() == ["False", "True"]
