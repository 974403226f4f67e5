"""What the vectors of `gpuconv.cpu.simd` hold, on this processor, beside NumPy."""

import numba
import numpy as np
import pytest

from gpuconv.cpu.simd import (
    LANES,
    ROWS,
    TILE,
    VECTORS,
    claim,
    even,
    first_pairs,
    fma,
    from_last,
    from_one,
    greatest,
    lanes,
    last_pairs,
    load,
    load_apart,
    load_between,
    odd,
    pointer,
    pointer_after,
    splat,
    store,
    store_part,
    tile_product,
    tile_sum,
)

DTYPES = ("float32", "float64")
over_dtypes = pytest.mark.parametrize("dtype", DTYPES)


@numba.njit
def copy_between(x, y, begin, end):
    store(pointer(y, 0), 1, load_between(pointer(x, 0), 1, begin, end))


@numba.njit
def copy_apart(x, y, step, begin, end):
    store(pointer(y, 0), 1, load_apart(pointer(x, 0), 1, step, begin, end))


@numba.njit
def copy_part(x, y, count):
    store_part(pointer(y, 0), 1, load(pointer_after(pointer(x, 0), 1), 0), count)


@numba.njit
def combine(a, b, c, y):
    n = lanes(a)
    u, v = load(pointer(a, 0), 0), load(pointer(b, 0), 0)
    place = pointer(y, 0)
    store(place, 0, even(u, v))
    store(place, n, odd(u, v))
    store(place, 2 * n, from_one(u, v))
    store(place, 3 * n, from_last(u, v))
    store(place, 4 * n, u + v)
    store(place, 5 * n, u - v)
    store(place, 6 * n, u * v)
    store(place, 7 * n, fma(u, v, splat(c)))
    store(place, 8 * n, greatest(u, v))


@numba.njit
def pair(a, b, y):
    u, v = load(pointer(a, 0), 0), load(pointer(b, 0), 0)
    store(pointer(y, 0), 0, first_pairs(u, v))
    store(pointer(y, 0), lanes(a), last_pairs(u, v))


@numba.njit
def multiply(rows, columns, a, b, c, bias, fresh):
    product = (
        pointer(a, 0), a.shape[1], pointer(b, 0), b.shape[1], pointer(c, 0), c.shape[1], pointer(bias, 0),
    )  # fmt: skip
    tile_product(rows, columns, a.shape[1], *product, fresh)


@numba.njit
def add_product(rows, columns, a, b, c, start, start_row):
    tile_sum(
        rows, columns, a.shape[1], pointer(a, 0), a.shape[1], pointer(b, 0), b.shape[1], pointer(c, 0),
        c.shape[1], pointer(start, 0), start_row,
    )  # fmt: skip


@numba.njit
def claims(counter, count):
    return [claim(counter) for _ in range(count)]


@over_dtypes
@pytest.mark.parametrize("begin", [-5, 0, 1, 3, 100])
@pytest.mark.parametrize("end", [-5, 0, 1, 2, 4, 7, 100])
def test_lanes_outside_of_the_range_are_zero(begin, end, dtype):
    n = LANES[dtype]
    x, y = np.arange(1, n + 3, dtype=dtype), np.full(n + 2, np.nan, dtype)
    copy_between(x, y, begin, end)
    lane = np.arange(n)
    np.testing.assert_array_equal(y[1:-1], np.where((begin <= lane) & (lane < end), x[1:-1], 0))
    assert np.isnan(y[[0, -1]]).all()


@over_dtypes
@pytest.mark.parametrize("step", [-2, 0, 1, 3])
@pytest.mark.parametrize(
    ("begin", "end"), [(-5, 100), (0, 0), (1, 100), (-1, 3), (2, 3), (100, 100), (-9, -1)]
)
def test_lanes_are_loaded_from_places_apart(begin, end, step, dtype):
    n = LANES[dtype]
    x, y = np.arange(6 * n, dtype=dtype)[::-1].copy(), np.full(n + 2, np.nan, dtype)
    source = x[2 * n :]
    copy_apart(source, y, step, begin, end)
    lane = np.arange(n)
    expected = np.where((begin <= lane) & (lane < end), x[2 * n + 1 + lane * step], 0)
    np.testing.assert_array_equal(y[1:-1], expected)
    assert np.isnan(y[[0, -1]]).all()


@over_dtypes
@pytest.mark.parametrize("count", [-3, 0, 1, 2, 3, 5, 8, 99, 2**33])
def test_a_part_is_stored(count, dtype):
    n = LANES[dtype]
    x, y = np.arange(1, n + 3, dtype=dtype), np.full(n + 2, 77, dtype)
    copy_part(x, y, count)
    stored = min(max(count, 0), n)
    np.testing.assert_array_equal(y, [77, *x[1 : 1 + stored], *[77] * (n + 1 - stored)])


@over_dtypes
def test_vectors_are_shuffled_and_combined(dtype):
    n = LANES[dtype]
    a, b = np.random.default_rng(1).integers(-9, 10, (2, n)).astype(dtype)
    y = np.full(9 * n, np.nan, dtype)
    combine(a, b, a[0], y)
    ends = np.concatenate([a, b])
    expected = [ends[::2], ends[1::2], ends[1 : n + 1], ends[n - 1 : -1], a + b, a - b, a * b, a * b + a[0]]
    np.testing.assert_array_equal(y.reshape(9, n), [*expected, np.maximum(a, b)])


@over_dtypes
def test_vectors_are_paired(dtype):
    n = LANES[dtype]
    a, b = np.arange(2 * n, dtype=dtype).reshape(2, n)
    y = np.full(2 * n, np.nan, dtype)
    pair(a, b, y)
    np.testing.assert_array_equal(y, np.stack([a, b], 1).reshape(-1))


@over_dtypes
@pytest.mark.parametrize("which", [0, 1])
def test_a_nan_is_greatest_wherever_it_stands(which, dtype):
    n = LANES[dtype]
    pair = np.ones((2, n), dtype)
    pair[which, 1] = np.nan
    y = np.zeros(9 * n, dtype)
    combine(*pair, pair[0, 0], y)
    assert np.isnan(y.reshape(9, n)[8:, 1]).all()
    assert not np.isnan(np.delete(y.reshape(9, n)[8:], 1, axis=1)).any()


@over_dtypes
def test_a_multiplication_is_fused_where_the_processor_can(dtype):
    n, epsilon = LANES[dtype], float(np.finfo(dtype).eps)
    a, y = np.full(n, 1 + epsilon, dtype), np.full(9 * n, np.nan, dtype)
    combine(a, a, np.dtype(dtype).type(-1), y)
    assert y[7 * n] == 2 * epsilon + (epsilon**2 if TILE.fused else 0)


@over_dtypes
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("rows", range(1, ROWS + 1))
def test_a_tile_is_the_matrix_product(rows, fresh, dtype):
    n = LANES[dtype]
    rng = np.random.default_rng(rows)
    a, bias = rng.integers(-4, 5, (ROWS, 37)).astype(dtype), rng.integers(-4, 5, ROWS).astype(dtype)
    b = rng.integers(-4, 5, (37, VECTORS * n)).astype(dtype)
    for columns in range(1, VECTORS * n + 1):
        c = rng.integers(-4, 5, (ROWS, VECTORS * n + 1)).astype(dtype)
        before, written = c.copy(), -(-columns // n) * n
        multiply(rows, columns, a, b, c, bias, fresh)
        start = bias[:rows, None] if fresh else before[:rows, :written]
        np.testing.assert_array_equal(c[:rows, :written], start + a[:rows] @ b[:, :written])
        np.testing.assert_array_equal(c[rows:], before[rows:])
        np.testing.assert_array_equal(c[:, written:], before[:, written:])


def test_tasks_are_claimed_in_turn():
    counter = np.zeros(1, np.int64)
    assert claims(counter, 3) == [0, 1, 2]
    assert counter[0] == 3


@over_dtypes
@pytest.mark.parametrize("rows", range(1, ROWS + 1))
@pytest.mark.parametrize("vectors", range(1, VECTORS + 1))
def test_a_tile_is_added_to_one_row_or_to_rows(rows, vectors, dtype):
    columns, rng = vectors * LANES[dtype], np.random.default_rng(rows)
    a, b, start, c = (
        rng.integers(-9, 10, shape).astype(dtype)
        for shape in ((rows, 5), (5, columns), (rows, columns), (rows, columns + 3))
    )
    y = c.copy()
    add_product(rows, columns, a, b, y, start, 0)
    np.testing.assert_array_equal(y, np.hstack([start[:1] + a @ b, c[:, columns:]]))
    add_product(rows, columns, a, b, y, start, columns)
    np.testing.assert_array_equal(y, np.hstack([start + a @ b, c[:, columns:]]))
    add_product(rows, columns, a, b, y, y, y.shape[1])
    np.testing.assert_array_equal(y, np.hstack([start + 2 * a @ b, c[:, columns:]]))
