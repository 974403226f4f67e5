"""float16 and bfloat16 to float32 and back, beside NumPy and ml_dtypes: every number, every rounding."""

import ml_dtypes
import numpy as np
import pytest

from gpuconv.cpu.engine.sixteen_bits import narrow, widen

DTYPES = (np.dtype("float16"), np.dtype(ml_dtypes.bfloat16))
over_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def bits(array):
    return array.view({2: np.uint16, 4: np.uint32}[array.itemsize])


def same(found, expected):
    """The same bits, but for NaN, which is quiet and has any."""
    with np.errstate(invalid="ignore"):  # of NaN that are not quiet
        nan, found_nan = (np.isnan(each.astype(np.float64)) for each in (expected, found))
    np.testing.assert_array_equal(found_nan, nan)
    np.testing.assert_array_equal(bits(found)[~nan], bits(expected)[~nan])


@over_dtypes
def test_every_number_becomes_itself_and_back(dtype):
    halves = np.arange(2**16, dtype=np.uint16).view(dtype)
    values, back = np.empty(2**16, np.float32), np.empty(2**16, dtype)
    widen(halves, values)
    same(values, halves.astype(np.float32))
    narrow(values, back)
    same(back, halves)


@over_dtypes
@pytest.mark.filterwarnings("ignore:overflow")
def test_numbers_are_rounded_to_the_nearest(dtype):
    random = np.random.default_rng(1).integers(0, 2**32, 2**20, np.uint32)
    halves = np.arange(2**16, dtype=np.uint16).view(dtype).astype(np.float32)
    with np.errstate(all="ignore"):  # between neighbours, just before, and just behind
        ties = np.unique(bits((halves[1:].astype(np.float64) + halves[:-1]).astype(np.float32) / 2))
    values = np.concatenate([random, ties, ties - 1, ties + 1]).view(np.float32)
    found = np.empty(values.size, dtype)
    narrow(values, found)
    with np.errstate(all="ignore"):
        same(found, values.astype(dtype))


@pytest.mark.parametrize("step", [1, 2, -1])
def test_elements_may_lie_anywhere(step):
    halves = np.arange(24, dtype=np.float16).reshape(2, 3, 4)[:, ::step]
    values, back = np.empty(halves.size, np.float32), np.zeros((2, 3, 4), np.float16)[:, ::step]
    widen(halves, values)
    np.testing.assert_array_equal(values, halves.astype(np.float32).ravel())
    narrow(values, back)
    np.testing.assert_array_equal(back, halves)
    widen(halves.astype(">f2"), values[::-1].copy())
    swapped = np.empty(halves.shape, ">f2")
    narrow(values, swapped)
    np.testing.assert_array_equal(swapped, halves)


def test_an_unaligned_row_is_converted():
    memory = np.zeros(21, np.uint8)[1:]
    halves, values = memory.view(np.float16), np.arange(10, dtype=np.float32)
    narrow(values, halves)
    np.testing.assert_array_equal(halves, np.arange(10))
    back = np.empty(10, np.float32)
    memory.flags.writeable = False
    widen(memory.view(np.float16), back)
    np.testing.assert_array_equal(back, values)
