"""The compiler is imported when a kernel has to be compiled, beside any NumPy; its work is shared."""

import re

import pytest
from numba import cuda, float32, types

from gpuconv.cuda import ARCHITECTURES
from gpuconv.cuda.ptx.arithmetic.extremes import first_maximum, maximum
from tests.cuda.execution import kernel_of

COMPILER = "numba.cuda", "numba_cuda", "cuda.core", "cuda.bindings.nvvm", "cuda.bindings.nvjitlink"
LOADED = f"""
import sys
def loaded():
    return [name for name in sys.modules if any(f"{{name}}.".startswith(f"{{each}}.") for each in {COMPILER})]
"""


@pytest.mark.wide  # seconds of fresh processes
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


@pytest.mark.wide  # seconds of fresh processes
def test_numpy_without_row_stack_is_taken(fresh_python):
    """As NumPy 2.5 is, and numba-cuda 0.30 does not know."""
    code = """
import numpy
if hasattr(numpy, "row_stack"):
    del numpy.row_stack
import gpuconv.cuda
print(hasattr(numpy, "row_stack"))
from gpuconv.cuda.conv import split
assert ".entry" in split.KERNELS[0].ptx("sm_80")
print(numpy.row_stack is numpy.vstack)
"""
    assert fresh_python(code).split() == ["False", "True"]


def greater(x, y):
    y[cuda.threadIdx.x] = maximum(x[0], x[cuda.threadIdx.x])


def greater_or_first(x, y):
    y[cuda.threadIdx.x] = first_maximum(x[0], x[cuda.threadIdx.x])


@pytest.mark.parametrize(("function", "times"), [(greater_or_first, 1), (greater, 2)])
def test_a_kernel_is_lowered_anew_where_what_it_asked_of_the_capability_has_another_answer(function, times):
    """`maximum` is an instruction from sm_80 on: so sm_75 has a kernel of its own, the others share one."""
    kernel, lowered = kernel_of(function, [types.CPointer(float32)] * 2, 32), []
    for arch in ARCHITECTURES:
        text = kernel.ptx(arch, lowered)
        assert f".target {arch}" in text
        assert ("max.NaN" in text) == (function is greater and arch != "sm_75")
        assert _unnumbered(text) == _unnumbered(kernel.ptx(arch))
    assert len(lowered) == times


def _unnumbered(text):
    """PTX without names of functions, in which Numba counts, and names the architecture."""
    return re.sub(r"_ZN\w+", "", text)
