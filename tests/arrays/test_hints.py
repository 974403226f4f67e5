"""What an error proposes is written as the users of the array's library write it, and does what it says."""

import re
import sys

import numpy as np
import pytest

import gpuconv
from gpuconv import call as calls
from tests import fakes
from tests.cases import integers

X, W = integers((2, 3, 7, 8), "float32"), integers((4, 3, 2, 2), "float32", 1)


def numpy_arrays():
    return np.array, {"np": np}


def tensors_of_torch():
    torch = pytest.importorskip("torch")
    return lambda array: torch.from_numpy(np.array(array)), {"torch": torch}


def arrays_of_jax():
    jax = pytest.importorskip("jax")
    return jax.numpy.asarray, {"jnp": jax.numpy}


def objects_with_dlpack():
    return fakes.DLPack, {"np": np}


@pytest.fixture(params=[numpy_arrays, tensors_of_torch, arrays_of_jax, objects_with_dlpack])
def library(request):
    """(what makes an array of it, the names that its users import)."""
    return request.param()


def proposed(names, pattern, function, *arguments, **arrays):
    """The values of the expressions that the error of a call proposes."""
    with pytest.raises((TypeError, ValueError)) as caught:
        function(*arguments, **arrays)
    found = re.search(pattern, str(caught.value))
    assert found, str(caught.value)
    return [eval(expression, {**names, **arrays}) for expression in found.groups()]


def test_a_cast_to_float32(library):
    make, names = library
    [x] = proposed(names, ": pass (.*)$", gpuconv.avg_pool2d, kernel_size=2, input=make(X.astype("uint8")))
    np.testing.assert_array_equal(
        gpuconv.avg_pool2d(x, 2), gpuconv.avg_pool2d(X.astype("uint8").astype("f4"), 2)
    )


def test_a_cast_to_the_inputs_dtype(library):
    make, names = library
    arrays = {"input": make(X), "weight": make(W.astype("float16")), "bias": make(np.ones(4, "float16"))}
    if not hasattr(arrays["input"], "dtype"):
        arrays["input"].dtype = X.dtype
    for name in ("weight", "bias"):
        [arrays[name]] = proposed(names, rf"{name} must .*: pass (.*)$", gpuconv.conv2d, **arrays)
    y = gpuconv.conv2d(**arrays)
    np.testing.assert_array_equal(np.asarray(y), gpuconv.conv2d(X, W, np.ones(4, "f4")))


@pytest.mark.parametrize("images", [X, X[0]], ids=["a batch", "an image"])
def test_channels_that_come_last(library, images):
    make, names = library
    last = np.ascontiguousarray(np.moveaxis(images, -3, -1))
    hwio, ohwi = W.transpose(2, 3, 1, 0).copy(), W.transpose(0, 2, 3, 1).copy()
    expected = gpuconv.conv2d(images, W)
    [x] = proposed(names, "pass (.*)$", gpuconv.conv2d, input=make(last), weight=make(W))
    np.testing.assert_array_equal(np.asarray(gpuconv.conv2d(x, make(W))), expected)
    for kernels in (hwio, ohwi):
        [w] = proposed(names, "pass (.*)$", gpuconv.conv2d, input=make(images), weight=make(kernels))
        np.testing.assert_array_equal(np.asarray(gpuconv.conv2d(make(images), w)), expected)
        x, w = proposed(names, "pass (.*) and (.*)$", gpuconv.conv2d, input=make(last), weight=make(kernels))
        np.testing.assert_array_equal(np.asarray(gpuconv.conv2d(x, w)), expected)


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (fakes.FakeCuPyArray, "pass input.astype(cupy.float32)"),
        (fakes.FakeNumbaArray, "pass cupy.asarray(input).astype(cupy.float32)"),
        (fakes.CudaInterface, "pass cupy.asarray(input).astype(cupy.float32)"),
        (lambda host: fakes.DLPack(host, 2), "pass cupy.from_dlpack(input).astype(cupy.float32)"),
    ],
    ids=["CuPy", "Numba", "interface", "DLPack"],
)
def test_on_a_gpu(make, hint, monkeypatch):
    monkeypatch.setattr(calls, "_known", {})
    monkeypatch.setitem(sys.modules, "cupy", fakes.cupy_module())
    with pytest.raises(TypeError, match=re.escape(hint)):
        gpuconv.avg_pool2d(make(X.astype("uint8")), 2)
