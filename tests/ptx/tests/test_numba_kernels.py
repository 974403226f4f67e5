"""Kernels compiled by Numba agree with NumPy on each architecture."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from tests import ptx

from .numba_kernels import (
    D1,
    F1,
    F2,
    HOPPER,
    I1,
    TABLE,
    add,
    atomics,
    constants,
    divisions,
    elementary,
    histogram,
    last_block_sums,
    mandelbrot,
    private,
    product,
    reduce,
    run,
    stencil,
    transpose,
    tree_sum,
    votes,
)

cuda = pytest.importorskip("numba.cuda")
from numba import float32, int32, uint32, void  # noqa: E402

ARCHITECTURES = ((8, 0), HOPPER)


@pytest.fixture(params=ARCHITECTURES, ids=("sm_80", "sm_90a"))
def architecture(request):
    return request.param


def test_add(architecture):
    a, b = (np.random.default_rng(seed).random(1000, np.float32) for seed in (1, 2))
    c = np.empty_like(a)
    run(add, void(F1, F1, F1), architecture, 8, 128, a, b, ptx.out(c))
    assert np.array_equal(c, a + b)


def test_negative_and_wide_strides(architecture):
    base = np.arange(3000, dtype=np.float32)
    a, b, c = base[999::-1], base[1000:3000:2], np.zeros(2000, np.float32)
    anywhere = float32[:]
    run(add, void(anywhere, anywhere, anywhere), architecture, 8, 128, a, b, ptx.out(c[::2]))
    assert np.array_equal(c[::2], a + b) and not c[1::2].any()


def test_product(architecture):
    rng = np.random.default_rng(3)
    a, b = (rng.integers(-8, 9, shape).astype(np.float32) for shape in ((32, 48), (48, 64)))
    c = np.empty((32, 64), np.float32)
    run(product, void(F2, F2, F2), architecture, (4, 2), (16, 16), a, b, ptx.out(c))
    assert np.array_equal(c, a @ b)


def test_reduce(architecture):
    a = np.random.default_rng(4).integers(-100, 100, 1000).astype(np.float32)
    total = np.zeros(1, np.float32)
    run(reduce, void(F1, F1), architecture, 8, 128, a, total)
    assert total[0] == a.sum()


def test_histogram(architecture):
    a = np.random.default_rng(5).integers(0, 64, 1000, dtype=np.int32)
    bins = np.zeros(64, np.int32)
    run(histogram, void(I1, I1), architecture, 8, 128, a, bins)
    assert np.array_equal(bins, np.bincount(a, minlength=64))


def test_transpose(architecture):
    a = np.random.default_rng(6).random((37, 50), np.float32)
    b = np.empty((50, 37), np.float32)
    run(transpose, void(F2, F2), architecture, (4, 3), (16, 16), a, ptx.out(b))
    assert np.array_equal(b, a.T)


def test_mandelbrot(architecture):
    steps = np.zeros((30, 45), np.int32)
    run(mandelbrot, void(int32[:, ::1], int32), architecture, (6, 4), (8, 8), ptx.out(steps), 50)
    expected = np.zeros_like(steps)
    y, x = np.mgrid[:30, :45]
    c = x * 3.0 / 45 - 2.0 + 1j * (y * 2.0 / 30 - 1.0)
    z = np.zeros_like(c)
    for _ in range(50):
        inside = abs(z) <= 2
        expected += inside
        z = np.where(inside, z * z + c, z)
    # Numba fuses products and sums, which may tip a point on the boundary by one step.
    assert np.count_nonzero(steps != expected) <= 2


def test_stencil(architecture):
    a = np.random.default_rng(7).integers(0, 100, (40, 33)).astype(np.float32)
    b = np.zeros_like(a)
    run(stencil, void(F2, F2), architecture, (5, 5), (8, 8), a, b)
    expected = np.zeros_like(a)
    expected[1:-1, 1:-1] = a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] - 4 * a[1:-1, 1:-1]
    assert np.array_equal(b, expected)


def test_tree_sum_in_dynamic_shared_memory(architecture):
    a = np.random.default_rng(8).integers(-50, 50, 700).astype(np.float32)
    sums = np.empty(6, np.float32)
    run(tree_sum, void(F1, F1), architecture, 6, 128, a, ptx.out(sums), shared_bytes=512)
    assert np.array_equal(sums, np.pad(a, (0, 68)).reshape(6, 128).sum(axis=1))


@pytest.mark.parametrize(("dtype", "numba_type", "bound"), [(np.float32, F1, 3e-6), (np.float64, D1, 4e-15)])
def test_elementary_functions(architecture, dtype, numba_type, bound):
    a = (np.random.default_rng(9).random(300) * 40 + 0.01).astype(dtype)
    b = np.empty_like(a)
    run(elementary, void(numba_type, numba_type), architecture, 3, 128, a, ptx.out(b))
    x = a.astype(np.float64)
    expected = (
        np.sin(x)
        + np.exp(-x)
        + x**1.5
        + np.log(x)
        + np.sqrt(x)
        + np.tanh(x)
        + np.vectorize(math.erf)(x)
        + x % 2
        + x // 3
    )
    assert abs(b / expected - 1).max() < bound


def test_sine_of_large_arguments_calls_a_function(architecture):
    def sine(a, b):
        i = cuda.grid(1)
        if i < a.size:
            b[i] = math.sin(a[i])

    a = np.concatenate([np.random.default_rng(10).random(50) * 1e12, [1e300, 3.0]])
    b = np.empty_like(a)
    run(sine, void(D1, D1), architecture, 1, 64, a, ptx.out(b))
    assert abs(b - np.sin(a)).max() < 1e-15


def test_integer_division(architecture):
    rng = np.random.default_rng(11)
    a = rng.integers(-10000, 10000, 300).astype(np.int32)
    b = (rng.integers(1, 50, 300) * rng.choice([-1, 1], 300)).astype(np.int32)
    c = np.empty_like(a)
    run(divisions, void(I1, I1, I1), architecture, 3, 128, a, b, ptx.out(c))
    assert np.array_equal(c, a // b * 1000 + a % b)


def test_votes(architecture):
    a = np.random.default_rng(12).integers(-9, 10, 128).astype(np.int32)
    result = np.empty_like(a)
    run(votes, void(I1, I1), architecture, 2, 64, a, ptx.out(result))
    warps = a.reshape(4, 32)
    expected = np.repeat(
        (warps > 0).sum(axis=1) + 100 * (warps > -9).all(axis=1) + 1000 * (warps > 8).any(axis=1), 32
    )
    expected += 10000 * (warps[:, :, None] == warps[:, None, :]).sum(axis=2).reshape(-1)
    expected += 1000000 * np.repeat((a.reshape(2, 64) > 0).sum(axis=1), 64)
    assert np.array_equal(result, expected)


def test_atomics(architecture):
    values = np.random.default_rng(13).integers(-99, 99, 128).astype(np.float32)
    floats, unsigned = np.zeros(3, np.float32), np.zeros(3, np.uint32)
    run(atomics, void(F1, F1, uint32[::1]), architecture, 2, 64, values, floats, unsigned)
    assert floats.tolist() == [values.max(), values.min(), -values.sum()]
    assert unsigned.tolist() == [128 % 7, 9, np.bitwise_xor.reduce(np.arange(128))]


def test_constant_memory(architecture):
    result = np.empty(20, np.float32)
    run(constants, void(F1), architecture, 1, 32, ptx.out(result))
    assert np.array_equal(result, TABLE)


def test_local_memory(architecture):
    result = np.empty(32, np.float32)
    run(private, void(F1), architecture, 1, 32, ptx.out(result))
    place = {(j * 3) % 8: j for j in range(8)}
    expected = functools.reduce(lambda total, j: total * 2 + place[j], range(8), 0)
    assert (result == expected).all()


def test_last_block_after_fences(architecture):
    a = np.random.default_rng(14).integers(-9, 9, 64 * 6).astype(np.float32)
    arrays = (
        a,
        ptx.out(np.empty(6, np.float32)),
        np.zeros(1, np.int32),
        ptx.out(total := np.empty(1, np.float32)),
    )
    run(last_block_sums, void(F1, F1, I1, F1), architecture, 6, 32, *arrays)
    assert total[0] == a.sum()
