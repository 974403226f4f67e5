"""Subclasses of a library's arrays: those that are arrays by another name, and those that carry more."""

import re
import sys

import numpy as np
import pytest

import gpuconv
from gpuconv.arrays import library_of
from tests import fakes
from tests.cases import integers
from tests.layouts import OwnArray

X, W = integers((2, 3, 5, 6), "float32"), integers((4, 3, 2, 2), "float32", 1)
OUT_SHAPE = (2, 4, 4, 5)
NUMPY_HOOKS = ("__array_finalize__", "__array_wrap__", "__array_ufunc__", "__array_function__")


def subclass(base, hook):
    return type("Quantity", (base,), {hook: getattr(base, hook)})


class Kelvin(subclass(np.ndarray, "__array_finalize__")):
    """Whose base has the hook."""


KINDS = {hook: subclass(np.ndarray, hook) for hook in NUMPY_HOOKS}
KINDS["a base's"] = Kelvin
KINDS["of a memory map"] = subclass(np.memmap, "__array_finalize__")


@pytest.mark.parametrize("hook", KINDS)
@pytest.mark.parametrize("name", ["input", "weight", "bias", "out"])
def test_a_subclass_with_a_hook_of_its_own_is_refused(hook, name):
    arrays = {"input": X, "weight": W, "bias": np.ones(4, "f4"), "out": np.zeros(OUT_SHAPE, "f4")}
    arrays[name] = arrays[name].view(KINDS[hook])
    kind = f"tests.arrays.test_kinds.{type(arrays[name]).__name__}"
    for _ in range(2):
        with pytest.raises(
            TypeError, match=rf"^{name} is of {kind}, which .* unit .*: pass numpy.asarray\({name}\)$"
        ):
            gpuconv.conv2d(**arrays)


def test_a_subclass_without_one_is_an_array():
    x = X.view(OwnArray)
    assert type(gpuconv.max_pool2d(x, 2)) is np.ndarray
    assert library_of(X.view(np.recarray), "input").name == "NumPy"
    np.testing.assert_array_equal(gpuconv.max_pool2d(X.view(np.recarray), 2), gpuconv.max_pool2d(X, 2))


@pytest.mark.parametrize("hook", ["__torch_function__", "__torch_dispatch__"])
def test_tensors_that_carry_more(hook):
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(X.copy())
    more = tensor.as_subclass(subclass(torch.Tensor, hook))
    with pytest.raises(TypeError, match=re.escape("pass input.as_subclass(torch.Tensor)")):
        gpuconv.max_pool2d(more, 2)
    plain = tensor.as_subclass(type("Image", (torch.Tensor,), {}))
    expected = gpuconv.max_pool2d(tensor, 2)
    for each in (plain, torch.nn.Parameter(tensor, requires_grad=False), more.as_subclass(torch.Tensor)):
        assert torch.equal(gpuconv.max_pool2d(each, 2), expected)


def test_arrays_of_cupy_that_carry_more(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fakes.cupy_module())
    hooks = {"__array_ufunc__": lambda self, *arguments: NotImplemented}
    with pytest.raises(TypeError, match=re.escape("pass cupy.asarray(input)")):
        gpuconv.max_pool2d(type("Quantity", (fakes.FakeCuPyArray,), hooks)(X), 2)


def test_an_object_of_its_own_may_have_hooks():
    class Mine(np.lib.mixins.NDArrayOperatorsMixin, fakes.DLPack):
        def __array_ufunc__(self, *arguments, **keywords):
            return NotImplemented

    np.testing.assert_array_equal(gpuconv.max_pool2d(Mine(X), 2), gpuconv.max_pool2d(X, 2))
