"""Divisions without dividing: integers by multiplication, float32 by a reciprocal that is mended."""

import numpy as np
import pytest
from numba import cuda, float32, types, uint32

from gpuconv.cuda.device import division
from tests import ptx
from tests.cuda.execution import kernel_of
from tests.ptx.fma import fma32

DIVISORS = (0, 1, 2, 3, 5, 7, 9, 10, 28, 49, 64, 641, 65535, 65537, 2**30 - 1, 2**30 + 1, 2**31 - 1)


@pytest.mark.parametrize("divisor", DIVISORS)
def test_integers_are_divided_exactly(divisor):
    multiplier, shift = division.reciprocal(divisor)
    assert multiplier < 2**32 and shift < 32
    d = max(divisor, 1)
    near = [q * d + r for q in (0, 1, 2, 1000, (2**31 - 1) // d) for r in (-1, 0, 1)]
    random = np.random.default_rng(divisor).integers(0, 2**31, 2000)
    for a in [int(a) for a in (*near, *random, 2**31 - 1) if 0 <= a < 2**31]:
        assert (a * multiplier) >> (31 + shift) == a // d


def divide_integers(a, y, multiplier, shift):
    i = uint32(cuda.threadIdx.x)
    y[i] = division.quotient(a[i], multiplier, shift)


def divide_floats(x, d, y):
    i = uint32(cuda.threadIdx.x)
    y[i] = division.divided32(x[i], d[i])


@pytest.mark.parametrize("divisor", [1, 3, 7, 2**30 + 1])
def test_the_compiled_quotient_of_integers(divisor):
    pointer = types.CPointer(uint32)
    kernel = kernel_of(divide_integers, [pointer, pointer, uint32, uint32], 256)
    a = np.random.default_rng(1).integers(0, 2**31, 256).astype("uint32")
    y = np.zeros_like(a)
    ptx.Kernel(kernel.ptx("sm_90a")).launch(1, 256, a, ptx.out(y), *division.reciprocal(divisor))
    np.testing.assert_array_equal(y, a // divisor)


def mended(x, d, near):
    """`divided32` in NumPy, from a reciprocal that is given."""
    inverse = fma32(fma32(-near, d, np.float32(1)), near, near)
    rough = x * inverse
    return fma32(fma32(-rough, d, x), inverse, rough)


@pytest.mark.parametrize("error", [-1, 0, 1])
@pytest.mark.parametrize("largest", [2**4, 2**12, 2**22])
def test_quotients_are_rounded_correctly_whatever_the_error_of_the_reciprocal(largest, error):
    random = np.random.default_rng(largest)
    d = (random.integers(1, largest, 400_000) * random.choice([-1, 1], 400_000)).astype("float32")
    x = (random.standard_normal(400_000) * np.exp2(random.integers(-60, 60, 400_000))).astype("float32")
    near = np.float32(1) / d
    near = np.nextafter(near, np.float32(error) * np.inf) if error else near
    np.testing.assert_array_equal(mended(x, d, near), x / d)


def test_the_compiled_quotient_of_floats():
    pointer = types.CPointer(float32)
    kernel = kernel_of(divide_floats, [pointer] * 3, 256)
    random = np.random.default_rng(2)
    x, d = random.standard_normal(256).astype("float32"), random.integers(1, 99, 256).astype("float32")
    x[:6] = np.nan, np.inf, -np.inf, 0, -0.0, np.finfo("float32").max
    y = np.zeros_like(x)
    ptx.Kernel(kernel.ptx("sm_90a")).launch(1, 256, x, d, ptx.out(y))
    np.testing.assert_array_equal(y, x / d)


def test_divisors_are_named():
    assert division.with_reciprocals({"K": 7, "tiles": 4}) == {
        "K": 7, "K_multiplier": 2454267027, "K_shift": 3,
        "tiles": 4, "tiles_multiplier": 2**31, "tiles_shift": 2,
    }  # fmt: skip
