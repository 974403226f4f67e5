"""Planes side by side: lines turned into lanes and back, and where their elements go."""

import numba
import numpy as np
import pytest

from gpuconv.cpu.conv.lines import load_lines, spread, store_lines
from gpuconv.cpu.simd import LANES, pointer
from gpuconv.spec import ConvSpec
from tests.cases import DTYPES, integers

over_dtypes = pytest.mark.parametrize("dtype", DTYPES)


@numba.njit
def load_all(x, lines, every, begin, end, to, places):
    load_lines(pointer(x, 0), lines, every, begin, end, pointer(to, 0), pointer(places, 0))


@numba.njit
def store_all(vectors, y, lines, every, end):
    store_lines(pointer(vectors, 0), pointer(y, 0), lines, every, end)


def table(starts, firsts, lasts):
    """Three numbers a lane, as kernels keep them."""
    return np.stack(np.broadcast_arrays(starts, firsts, lasts), axis=1).ravel()


@pytest.mark.parametrize("length", [1, 3, 8, 16, 17, 49, 64])
@over_dtypes
def test_whole_lines_become_lanes_and_come_back(dtype, length):
    L = LANES[dtype]
    x = integers((L, length), dtype)
    lines = table(np.arange(L) * length, 0, length)
    places = np.append(np.arange(length)[::-1] + 1, np.zeros(L, np.int64)) * L
    vectors = np.full((length + 1, L), np.nan, dtype)
    load_all(x.ravel(), lines, (0, length), 0, length, vectors.ravel(), places)
    np.testing.assert_array_equal(vectors[1:][::-1], x.T)

    y = np.full((L, length), np.nan, dtype)
    tile = np.full((length + L, L), np.nan, dtype)
    tile[:length] = x.T
    store_all(tile.ravel(), y.ravel(), lines, (0, length), length)
    np.testing.assert_array_equal(y, x)


@over_dtypes
def test_elements_that_do_not_exist_are_zero_and_are_not_written(dtype):
    L, length = LANES[dtype], 40
    x = integers((L, length), dtype)
    x[x == 0] = 1
    first, last = np.arange(L) % 5 - 1, length - np.arange(L) * 2
    lines = table(np.arange(L) * length, first, last)
    places = np.append(np.arange(length), np.full(L, length)) * L
    vectors = np.full((length + 1, L), np.nan, dtype)
    every = int(first.max()), int(last.min())
    load_all(x.ravel(), lines, every, 0, length, vectors.ravel(), places)
    e = np.arange(length)
    exists = (first[:, None] <= e) & (e < last[:, None])
    np.testing.assert_array_equal(vectors[:length], np.where(exists, x, 0).T)

    y = np.full((L, length), 7.5, dtype)
    tile = np.full((length + L, L), np.nan, dtype)
    tile[:length] = x.T
    store_all(tile.ravel(), y.ravel(), lines, every, length)
    np.testing.assert_array_equal(y, np.where(exists, x, 7.5))


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("rows", [1, 3, 5])
def test_each_tap_finds_what_it_sees(stride, rows):
    """Every output of the block, at every tap, against the index of the element in the padded image."""
    pads = ((2, 1), (1, 3))
    spec = ConvSpec(N=1, C=2, H=12, W=11, K=1, R=3, S=4, pads=pads, stride=stride, dilation=(2, 1))
    items, L = spread(spec, rows), LANES["float32"]
    vectors = np.zeros(items.size // L, np.int64)
    line = 1 + np.arange(spec.H * spec.W)  # from the first row of the block, which is above the image
    for c in range(spec.C):
        for e, place in enumerate(items.places[:-L] // L):
            inside = 0 <= e - 2 * spec.W < line.size
            vectors[c * items.channel // L + place] = line[e - 2 * spec.W] * (c + 1) if inside else 0
    padded = np.pad(line.reshape(spec.H, spec.W), pads)
    offsets = iter(items.offsets // L)
    for c in range(spec.C):
        for r in range(spec.R):
            for s in range(spec.S):
                offset = next(offsets)
                for p in range(rows):
                    for q in range(spec.Q):
                        seen = padded[p * stride[0] + 2 * r, q * stride[1] + s] * (c + 1)
                        assert vectors[offset + p * items.bands.pitch + q] == seen
