"""What is compiled: once for each dtype, never for a shape or layout (`cpu/test_cache.py`: what is kept)."""

import inspect

import numba
import numpy as np
import pytest

import gpuconv
from gpuconv.cpu import KERNELS
from gpuconv.cpu.engine import again, compiled, sixteen_bits
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec.dtypes import FLOATS
from tests.layouts import READABLE

COMPILED = [kernel for kernel in KERNELS if kernel.dtypes]  # for this processor


def test_without_a_compiler_a_call_says_so(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    kernel = compiled.Kernel(KERNELS[0].function, KERNELS[0].signature)
    with pytest.raises(RuntimeError, match="NUMBA_DISABLE_JIT is set, and the CPU engine runs only"):
        kernel["float32"]


def test_there_are_kernels():
    assert len(KERNELS) >= 3


@pytest.mark.parametrize(
    ("dtype", "kernel"),
    [
        pytest.param(dtype, kernel, id=f"{dtype}-{kernel.function.__name__}")
        for dtype in FLOATS
        for kernel in KERNELS
        if dtype in kernel.dtypes
    ],
)
def test_no_shape_and_no_layout_is_compiled_anew(kernel, dtype):
    for layout in READABLE.values():
        x, w = (layout(np.ones(shape, dtype)) for shape in ((2, 3, 5, 7), (4, 3, 2, 2)))
        gpuconv.conv2d(x, w)
        gpuconv.max_pool2d(x, 2, return_indices=True)
        gpuconv.avg_pool2d(x, 2)
    dispatcher = kernel[dtype]
    assert len(dispatcher.signatures) == 1
    assert not dispatcher._can_compile


def test_a_kernel_takes_arrays_of_any_layout_and_sees_its_inputs_as_read_only():
    for kernel in COMPILED:
        [signature] = kernel[kernel.dtypes[0]].signatures
        kinds = dict(zip(inspect.signature(kernel.function).parameters, signature, strict=True))
        given = {name: kinds[name] for name in ("x", "w", "bias", "y", "indices") if name in kinds}
        assert {name for name, kind in given.items() if kind.mutable} <= {"y", "indices"}
        assert not any(kind.aligned for name, kind in given.items() if name != "indices")
        images = [kind for name, kind in given.items() if name in ("x", "y") and kind.ndim == 4]
        assert {kind.layout for kind in images} <= {"A"}
        assert given or kernel in (*sixteen_bits.KERNELS, again.comparison)


def test_a_workspace_is_what_a_kernel_takes_for_one():
    for dtype in (numba.float32, numba.float64, numba.int64):
        (array,) = reserve("a test", dtype.name, 5)
        assert numba.typeof(array) == compiled.workspace(dtype)
        assert compiled.workspace(dtype).mutable


def test_kernels_release_the_gil_and_use_none_of_numbas_threads():
    for kernel in COMPILED:
        options = kernel[kernel.dtypes[0]].targetoptions
        assert options["nogil"] == (kernel is not again.comparison)  # which looks into Python's objects
        assert not options.get("parallel")
