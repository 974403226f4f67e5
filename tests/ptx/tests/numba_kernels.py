"""Kernels in Numba for the tests of the executor, and how to compile and launch them."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from tests import ptx

from ..arguments import Pointer

cuda = pytest.importorskip("numba.cuda")
from numba import float32, float64, int32, uint32  # noqa: E402

F1, F2, I1, D1 = float32[::1], float32[:, ::1], int32[::1], float64[::1]
HOPPER = (9, 0, "a")
TABLE = np.arange(20, dtype=np.float32) ** 2


@functools.cache
def compiled(function, signature, architecture) -> str:
    """PTX of a kernel, compiled once."""
    return cuda.compile(function, signature, device=False, abi="numba", cc=architecture)[0]


def run(function, signature, architecture, grid, block, *arrays, **options) -> ptx.Report:
    """Launch a kernel on arrays, each of which may be wrapped in `ptx.out`."""
    kernel = ptx.Kernel(compiled(function, signature, architecture))
    return kernel.launch(grid, block, *[argument(array) for array in arrays], **options)


def argument(value):
    """An array as Numba passes it; numbers stay as they are."""
    return ptx.numba_array(value) if isinstance(value, (np.ndarray, Pointer)) else value


def add(a, b, c):
    i = cuda.grid(1)
    if i < c.size:
        c[i] = a[i] + b[i]


def product(a, b, c):
    tile_a, tile_b = cuda.shared.array((16, 16), float32), cuda.shared.array((16, 16), float32)
    x, y = cuda.grid(2)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    total = float32(0)
    for step in range(a.shape[1] // 16):
        tile_a[ty, tx] = a[y, step * 16 + tx]
        tile_b[ty, tx] = b[step * 16 + ty, x]
        cuda.syncthreads()
        for k in range(16):
            total += tile_a[ty, k] * tile_b[k, tx]
        cuda.syncthreads()
    c[y, x] = total


def reduce(a, total):
    i = cuda.grid(1)
    value = a[i] if i < a.size else 0
    for distance in (16, 8, 4, 2, 1):
        value += cuda.shfl_down_sync(0xFFFFFFFF, value, distance)
    if cuda.laneid == 0:
        cuda.atomic.add(total, 0, value)


def histogram(a, bins):
    counts = cuda.shared.array(64, int32)
    if cuda.threadIdx.x < 64:
        counts[cuda.threadIdx.x] = 0
    cuda.syncthreads()
    i = cuda.grid(1)
    if i < a.size:
        cuda.atomic.add(counts, a[i], 1)
    cuda.syncthreads()
    if cuda.threadIdx.x < 64:
        cuda.atomic.add(bins, cuda.threadIdx.x, counts[cuda.threadIdx.x])


def transpose(a, b):
    tile = cuda.shared.array((16, 17), float32)
    x, y = cuda.grid(2)
    if y < a.shape[0] and x < a.shape[1]:
        tile[cuda.threadIdx.y, cuda.threadIdx.x] = a[y, x]
    cuda.syncthreads()
    row = cuda.blockIdx.x * 16 + cuda.threadIdx.y
    column = cuda.blockIdx.y * 16 + cuda.threadIdx.x
    if row < b.shape[0] and column < b.shape[1]:
        b[row, column] = tile[cuda.threadIdx.x, cuda.threadIdx.y]


def mandelbrot(steps, limit):
    x, y = cuda.grid(2)
    if y < steps.shape[0] and x < steps.shape[1]:
        c_real, c_imaginary = x * 3.0 / steps.shape[1] - 2.0, y * 2.0 / steps.shape[0] - 1.0
        real, imaginary, n = 0.0, 0.0, 0
        while n < limit and real * real + imaginary * imaginary <= 4.0:
            real, imaginary = (
                real * real - imaginary * imaginary + c_real,
                2.0 * real * imaginary + c_imaginary,
            )
            n += 1
        steps[y, x] = n


def stencil(a, b):
    x, y = cuda.grid(2)
    if 0 < y < a.shape[0] - 1 and 0 < x < a.shape[1] - 1:
        b[y, x] = a[y - 1, x] + a[y + 1, x] + a[y, x - 1] + a[y, x + 1] - 4 * a[y, x]


def tree_sum(a, sums):
    partial = cuda.shared.array(0, float32)
    t = cuda.threadIdx.x
    i = cuda.grid(1)
    partial[t] = a[i] if i < a.size else 0
    cuda.syncthreads()
    distance = cuda.blockDim.x // 2
    while distance > 0:
        if t < distance:
            partial[t] += partial[t + distance]
        cuda.syncthreads()
        distance //= 2
    if t == 0:
        sums[cuda.blockIdx.x] = partial[0]


def elementary(a, b):
    i = cuda.grid(1)
    if i < a.size:
        x = a[i]
        b[i] = (
            math.sin(x)
            + math.exp(-x)
            + math.pow(x, 1.5)
            + math.log(x)
            + math.sqrt(x)
            + math.tanh(x)
            + math.erf(x)
            + x % 2.0
            + x // 3
        )


def divisions(a, b, c):
    i = cuda.grid(1)
    if i < c.size:
        c[i] = a[i] // b[i] * 1000 + a[i] % b[i]


def votes(a, out):
    i = cuda.grid(1)
    ballot = cuda.ballot_sync(0xFFFFFFFF, a[i] > 0)
    result = (
        cuda.popc(ballot)
        + 100 * cuda.all_sync(0xFFFFFFFF, a[i] > -9)
        + 1000 * cuda.any_sync(0xFFFFFFFF, a[i] > 8)
    )
    cuda.syncwarp()
    out[i] = (
        result
        + 10000 * cuda.popc(cuda.match_any_sync(0xFFFFFFFF, a[i]))
        + 1000000 * cuda.syncthreads_count(int32(a[i] > 0))
    )


def atomics(values, floats, unsigned):
    i = cuda.grid(1)
    cuda.atomic.max(floats, 0, values[i])
    cuda.atomic.min(floats, 1, values[i])
    cuda.atomic.sub(floats, 2, values[i])
    cuda.atomic.inc(unsigned, 0, uint32(6))
    cuda.atomic.cas(unsigned, 1, uint32(0), uint32(9))
    cuda.atomic.xor(unsigned, 2, uint32(i))


def constants(out):
    table = cuda.const.array_like(TABLE)
    i = cuda.grid(1)
    if i < out.size:
        out[i] = table[i]


def private(out):
    ring = cuda.local.array(8, float32)
    i = cuda.grid(1)
    for j in range(8):
        ring[(j * 3 + i) % 8] = j
    total = float32(0)
    for j in range(8):
        total = total * 2 + ring[(j + i) % 8]
    out[i] = total


def last_block_sums(a, partial, counter, total):
    last = cuda.shared.array(1, int32)
    if cuda.threadIdx.x == 0:
        value = float32(0)
        for i in range(64):
            value += a[cuda.blockIdx.x * 64 + i]
        partial[cuda.blockIdx.x] = value
        cuda.threadfence()
        last[0] = cuda.atomic.add(counter, 0, 1) == cuda.gridDim.x - 1
    cuda.syncthreads()
    if last[0] and cuda.threadIdx.x == 0:
        cuda.threadfence()
        value = float32(0)
        for b in range(cuda.gridDim.x):
            value += partial[b]
        total[0] = value


def leave_early(a):
    i = cuda.threadIdx.x
    if i >= 32:
        return
    a[i] = i
    cuda.syncthreads()
    a[i] = a[31 - i]
