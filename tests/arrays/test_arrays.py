"""Which arrays on the CPU are taken, what comes back for them, and which are refused."""

import array as arrays_of_python
import sys

import numpy as np
import pytest

import gpuconv
from gpuconv.arrays import library_of
from tests import fakes
from tests.cases import integers
from tests.layouts import READABLE, OwnArray

X, W, BIAS = (integers(shape, "float32", i) for i, shape in enumerate([(2, 3, 5, 6), (4, 3, 2, 2), (4,)]))
EXPECTED = gpuconv.conv2d(X, W, BIAS, padding=1)


class FrameLike:
    """What a DataFrame looks like: it becomes an array when asked, and knows no GPU and no DLPack."""

    shape, dtype, ndim = X.shape, X.dtype, X.ndim

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("converted behind the user's back")


NO_ARRAYS = {
    "list": X.tolist(),
    "tuple": tuple(X.tolist()),
    "scalar": 1.0,
    "NumPy scalar": np.float32(1),
    "masked array": np.ma.masked_greater(X, 2),
    "DataFrame": FrameLike(),
    "memoryview": memoryview(X),
    "array.array": arrays_of_python.array("f", [1, 2]),
    "bytes": b"1234",
    "string": "input",
    "iterator": iter(X),
}

HELPED = {"list", "tuple", "NumPy scalar", "DataFrame", "memoryview", "array.array"}  # by numpy.asarray
over_no_arrays = pytest.mark.parametrize("kind", NO_ARRAYS)


@over_no_arrays
@pytest.mark.parametrize("name", ["input", "weight", "bias", "out"])
def test_what_is_no_array_is_refused(kind, name):
    wrong = NO_ARRAYS[kind]
    with pytest.raises(TypeError) as caught:
        gpuconv.conv2d(**{"input": X, "weight": W, "bias": BIAS, name: wrong})
    if kind == "masked array":
        hint = (
            "pass out.data, and give the result a mask yourself"
            if name == "out"
            else (f"fill it first, {name}.filled(0)")
        )
        assert str(caught.value) == f"{name} must not be a masked array; got numpy.ma.MaskedArray: {hint}"
        return
    assert str(caught.value).startswith(f"{name} must be an array of NumPy, CuPy, Numba, torch or JAX")
    assert f"; got {type(wrong).__module__}.{type(wrong).__qualname__}" in str(caught.value)
    assert ("numpy.asarray" in str(caught.value)) == (kind in HELPED and name != "out")


@over_no_arrays
@pytest.mark.parametrize("pool", [gpuconv.max_pool2d, gpuconv.avg_pool2d])
def test_what_is_no_array_is_not_pooled(kind, pool):
    with pytest.raises(TypeError, match=r"input must (be an|not be a masked) array"):
        pool(NO_ARRAYS[kind], 2)


@pytest.mark.parametrize("wrong", [{"input": None}, {"weight": None}])
def test_none_is_no_array(wrong):
    with pytest.raises(TypeError, match=next(iter(wrong))):
        gpuconv.conv2d(**{"input": X, "weight": W, **wrong})


@pytest.mark.parametrize("pool", [gpuconv.max_pool2d, gpuconv.avg_pool2d])
def test_none_is_not_pooled(pool):
    with pytest.raises(TypeError, match="input"):
        pool(None, 2)


@pytest.mark.parametrize("layout", READABLE)
def test_the_result_of_any_numpy_array_is_a_plain_native_one(layout):
    y = gpuconv.conv2d(*map(READABLE[layout], (X, W, BIAS)), padding=1)
    assert type(y) is np.ndarray
    as_it_lies = y.transpose(0, 2, 3, 1) if layout == "channels last" else y
    assert as_it_lies.flags.c_contiguous
    assert y.flags.owndata
    np.testing.assert_array_equal(y, EXPECTED, strict=True)
    assert y.dtype.isnative


def test_operands_of_different_layouts_and_byte_orders():
    weight = READABLE["byte-swapped"](W)
    y = gpuconv.conv2d(READABLE["reversed"](X), weight, BIAS.view(OwnArray), padding=1)
    np.testing.assert_array_equal(y, EXPECTED, strict=True)


def test_memory_maps(tmp_path):
    maps = []
    for name, values in {"x": X, "w": W}.items():
        values.tofile(tmp_path / name)
        maps.append(np.memmap(tmp_path / name, np.float32, "r", shape=values.shape))
    out = np.memmap(tmp_path / "y", np.float32, "w+", shape=EXPECTED.shape)
    assert gpuconv.conv2d(*maps, BIAS, padding=1, out=out) is out
    out.flush()
    np.testing.assert_array_equal(np.fromfile(tmp_path / "y", np.float32), EXPECTED.ravel())


def test_inputs_are_never_written_to():
    before = [array.tobytes() for array in (X, W, BIAS)]
    gpuconv.conv2d(X, W, BIAS, padding="full", stride=2)
    gpuconv.max_pool2d(X, 3, padding=1, return_indices=True)
    gpuconv.avg_pool2d(X, 3, padding=1, ceil_mode=True)
    assert [array.tobytes() for array in (X, W, BIAS)] == before


@pytest.mark.parametrize("function", [gpuconv.max_pool2d, gpuconv.avg_pool2d])
def test_an_unbatched_image_comes_back_unbatched(function):
    np.testing.assert_array_equal(function(X[1], 2), function(X, 2)[1], strict=True)


def test_an_unbatched_image_is_convolved_unbatched():
    np.testing.assert_array_equal(gpuconv.conv2d(X[1], W, BIAS, padding=1), EXPECTED[1], strict=True)
    out = np.full(EXPECTED.shape[1:], np.nan, np.float32)
    assert gpuconv.conv2d(X[1], W, BIAS, padding=1, out=out) is out
    np.testing.assert_array_equal(out, EXPECTED[1])


def test_the_indices_of_an_unbatched_image_are_unbatched():
    values, indices = gpuconv.max_pool2d(X, 2, return_indices=True)
    first_values, first_indices = gpuconv.max_pool2d(X[0], 2, return_indices=True)
    np.testing.assert_array_equal(first_values, values[0], strict=True)
    np.testing.assert_array_equal(first_indices, indices[0], strict=True)


@pytest.mark.parametrize("protocol", ["__dlpack_device__", "__cuda_array_interface__"])
def test_a_property_that_raises_is_named_too(protocol):
    def broken(self):
        raise ValueError("not today")

    Broken = type("Broken", (fakes.DLPack,), {protocol: property(broken)})
    with pytest.raises(TypeError, match="input cannot be read: not today"):
        gpuconv.max_pool2d(Broken(X), 2)


def test_an_object_that_hands_on_what_it_is_asked_for_is_no_array():
    """As pint's quantities do, whose arrays know nothing of the unit."""

    class Quantity:
        def __init__(self, values):
            self.values = values

        def __getattr__(self, name):
            return getattr(self.values, name)

    metres = Quantity(X)
    assert metres.__dlpack_device__() == X.__dlpack_device__()
    with pytest.raises(TypeError, match=r"input must be an array .*; got .*Quantity"):
        gpuconv.max_pool2d(metres, 2)


def test_types_of_a_library_are_told_by_their_bases():
    class Parameter(fakes.DLPack):
        pass

    Parameter.__module__ = "somebody.layers"
    assert library_of(Parameter(X), "input").name == "an object with __dlpack__"
    Tensor = type("Tensor", (Parameter,), {"__module__": "torch"})
    Mine = type("Mine", (Tensor,), {"__module__": "somebody.layers"})
    assert library_of(Mine(X), "input").name == "torch"


def test_bfloat16_without_ml_dtypes_is_named(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(TypeError, match="arrays of bfloat16 need ml_dtypes: pip install ml_dtypes"):
        gpuconv.max_pool2d(torch.ones(1, 1, 4, 4, dtype=torch.bfloat16), 2)


def test_numpy_alone_imports_no_other_array_library(fresh_python):
    code = """
import sys, numpy as np, gpuconv
gpuconv.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))
print({"torch", "jax", "cupy", "numba.cuda"} & set(sys.modules))
"""
    assert fresh_python(code) == str(set())
