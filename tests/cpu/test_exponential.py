"""What is made of exp, for numbers of every magnitude, beside the C library's in float64."""

import math

import numba
import numpy as np
import pytest

from gpuconv.cpu.simd import lanes, load, pointer, store
from gpuconv.cpu.simd.exponential import FAR, exponential, normal, sigmoid, tangent

TINY = float(np.finfo("f4").tiny)
SPECIAL = np.array(
    [0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-38, -1e-38, 88.72283, 88.8, 89, 90, -87.4, -103.97,
     -104, -105, 3.4e38, -3.4e38, 12.89, 12.91, -12.89, -12.91, 0.34657, -0.34657, 1, -1, 32, -32],
    "f4",
)  # fmt: skip


def made(function):
    """The function for whole arrays of a multiple of vectors."""

    @numba.njit
    def of_each(x, y):
        for i in range(0, x.size, lanes(x)):
            store(pointer(y, 0), i, function(load(pointer(x, 0), i)))

    return of_each


def logistic(v):
    return 1 / (1 + np.exp(-v))


FUNCTIONS = {
    "exp": (made(exponential), np.exp, 1),
    "sigmoid": (made(sigmoid), logistic, 3),
    "tanh": (made(tangent), np.tanh, 3),
    "normal": (made(normal), lambda v: np.vectorize(math.erfc)(-v * math.sqrt(0.5)) / 2, 8),
}


def numbers():
    """Every exponent with both signs, what lies around 0, and what is special: a multiple of 64."""
    every = np.arange(0, 1 << 32, 99991, dtype=np.uint64).astype(np.uint32).view("f4")
    return np.resize(np.concatenate([SPECIAL, every, np.linspace(-110, 110, 20011, dtype="f4")]), 1 << 16)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_few_units_in_the_last_place(name):
    function, right, ulps = FUNCTIONS[name]
    x = numbers()
    y = np.full_like(x, np.nan)
    function(x, y)
    with np.errstate(all="ignore"):
        wide = right(x.astype("f8"))
        rounded = wide.astype("f4")
        np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
        infinite = np.isinf(rounded)
        np.testing.assert_array_equal(y[infinite], rounded[infinite])
        bound = ulps * np.spacing(np.abs(rounded)).astype("f8")
        if name == "normal":
            bound = np.where(x < -FAR, TINY * 2, bound)  # what would be subnormal is 0
        ordinary = np.isfinite(rounded)
        assert (np.abs(y - wide)[ordinary] <= bound[ordinary]).all()
    if name == "tanh":
        np.testing.assert_array_equal(np.signbit(y), np.signbit(x))


def test_limits():
    x = np.resize(np.array([-np.inf, np.inf, -1e30, 1e30, 0], "f4"), 1 << 8)
    limits = {"exp": (0, np.inf, 0, np.inf, 1), "sigmoid": (0, 1, 0, 1, 0.5), "tanh": (-1, 1, -1, 1, 0)}
    for name, expected in {**limits, "normal": (0, 1, 0, 1, 0.5)}.items():
        y = np.full_like(x, np.nan)
        FUNCTIONS[name][0](x, y)
        np.testing.assert_array_equal(y, np.resize(np.array(expected, "f4"), 1 << 8))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64(name):
    function, right, _ = FUNCTIONS[name]
    x = np.resize(np.concatenate([SPECIAL, np.linspace(-30, 30, 999)]).astype("f8"), 1 << 10)
    y = np.full_like(x, np.nan)
    function(x, y)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(y, right(x), rtol=1e-13, atol=1e-300)
