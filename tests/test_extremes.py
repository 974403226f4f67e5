"""Minima, and maxima and minima of integers, on the CPU."""

import numpy as np
import pytest
from hypothesis import given

import gpuconv
from gpuconv.spec.dtypes import INTEGERS
from tests import reference
from tests.cases import POOL_CASES, POOL_DTYPES, equal, integers
from tests.layouts import READABLE, WRITABLE
from tests.test_pool2d import geometries

CASES = [case for case in POOL_CASES if case.op == "max"]
INTEGER_DTYPES = tuple(map(str, INTEGERS))
FUNCTIONS = {"max": gpuconv.max_pool2d, "min": gpuconv.min_pool2d}

over_cases = pytest.mark.parametrize("case", CASES, ids=str)
over_integers = pytest.mark.parametrize("dtype", INTEGER_DTYPES)


def any_integers(shape, dtype, seed=1):
    """Of the whole range, and its ends."""
    limits, random = np.iinfo(dtype), np.random.default_rng(seed)
    values = random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    ends = random.random(shape)
    return np.where(ends < 0.1, limits.min, np.where(ends > 0.9, limits.max, values)).astype(dtype)


def extremes(x, name, **parameters):
    """By Python's own integers, which float64 does not hold."""
    windows = [*reference.windows_of(
        x, parameters["kernel_size"], parameters["stride"], parameters["padding"], parameters["dilation"],
        parameters["ceil_mode"],
    )]  # fmt: skip
    limits, choose = np.iinfo(x.dtype), {"max": max, "min": min}[name]
    none = limits.min if name == "max" else limits.max
    y = np.empty((*x.shape[:2], *(1 + max(place[axis] for place, _ in windows) for axis in (0, 1))), x.dtype)
    for n, c in np.ndindex(x.shape[:2]):
        for (p, q), taps in windows:
            y[n, c, p, q] = choose((int(x[n, c, h, w]) for h, w in taps), default=none)
    return y


@over_cases
@pytest.mark.parametrize("dtype", POOL_DTYPES)
def test_minima(case, dtype):
    x = integers(case.x, dtype)
    equal(
        gpuconv.min_pool2d(x, **case.parameters), reference.min_pool2d(x, **case.parameters)[0].astype(dtype)
    )


@over_cases
def test_minima_of_what_is_not_finite(case):
    x, places = integers(case.x, "float32"), np.random.default_rng(4)
    for value in (np.inf, -np.inf, np.nan):
        x[places.random(x.shape) < 0.05] = value
    equal(
        gpuconv.min_pool2d(x, **case.parameters),
        reference.min_pool2d(x, **case.parameters)[0].astype("float32"),
    )


@pytest.mark.parametrize("name", FUNCTIONS)
@over_integers
def test_integers(dtype, name):
    for case in CASES:
        x = any_integers(case.x, dtype)
        found = FUNCTIONS[name](x, **case.parameters)
        np.testing.assert_array_equal(found, extremes(x, name, **case.parameters), strict=True)


@over_integers
def test_indices_of_integers(dtype):
    for case in CASES:
        x = integers(case.x, dtype)
        y, indices = gpuconv.max_pool2d(x, **case.parameters, return_indices=True)
        np.testing.assert_array_equal(y, extremes(x, "max", **case.parameters), strict=True)
        np.testing.assert_array_equal(indices, reference.max_pool2d(x, **case.parameters)[1])


@given(geometries())
def test_any_geometry(case):
    if case.op == "max":
        x = any_integers(case.x, "uint64")
        for name, function in FUNCTIONS.items():
            found = function(x, **case.parameters)
            np.testing.assert_array_equal(found, extremes(x, name, **case.parameters), strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int64"])
@pytest.mark.parametrize("layout", READABLE)
def test_inputs_of_every_layout(layout, dtype):
    x = integers((2, 3, 9, 8), dtype)
    for function in FUNCTIONS.values():
        expected = function(x, 3, 2, 1)
        np.testing.assert_array_equal(function(READABLE[layout](x), 3, 2, 1), expected, strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int64"])
@pytest.mark.parametrize("layout", WRITABLE)
def test_results_in_every_layout(layout, dtype):
    x = integers((2, 3, 9, 8), dtype)
    for function in FUNCTIONS.values():
        expected = function(x, 3, 2, 1)
        out = WRITABLE[layout](np.full(expected.shape, 77, dtype))
        assert function(x, 3, 2, 1, out=out) is out
        np.testing.assert_array_equal(out, expected)


def test_the_first_zero_is_the_least():
    x = np.array([0.0, -0.0, 1.0, -0.0, 0.0, 1.0], np.float32).reshape(1, 2, 1, 3)
    assert np.signbit(gpuconv.min_pool2d(x, (1, 3))).tolist() == [[[[False]], [[True]]]]


def test_nothing_inside():
    x = np.zeros((1, 1, 1, 1), np.float32)
    y = gpuconv.min_pool2d(x, 2, stride=1, padding=1, dilation=2)
    assert (y == np.inf).all() and y.size


def test_what_is_refused():
    with pytest.raises(TypeError, match=r"input must be .* or uint64, got dtype complex64"):
        gpuconv.min_pool2d(np.zeros((1, 1, 4, 4), "complex64"), 2)
    with pytest.raises(TypeError, match=r"got dtype bool: pass input\.astype"):
        gpuconv.max_pool2d(np.zeros((1, 1, 4, 4), bool), 2)
    with pytest.raises(TypeError, match="float32, float64, float16 or bfloat16, got dtype int8"):
        gpuconv.avg_pool2d(np.zeros((1, 1, 4, 4), "int8"), 2)
    with pytest.raises(TypeError, match="out must have the input's dtype int8, got uint8"):
        gpuconv.max_pool2d(np.zeros((1, 1, 4, 4), "int8"), 2, out=np.zeros((1, 1, 2, 2), "uint8"))
    with pytest.raises(TypeError, match="unexpected keyword argument 'return_indices'"):
        gpuconv.min_pool2d(np.zeros((1, 1, 4, 4)), 2, return_indices=True)
