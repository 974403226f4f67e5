"""Pools of float16 and bfloat16: a block is widened to float32, pooled by another algorithm, and rounded.

    x  [planes, rows, W]  16 bits  ->  float32  ->  max, or sum / divisor  ->  float32  ->  16 bits  y

A block is several planes, or where one alone would be more than BLOCK elements, the rows of it that some
rows of outputs see; so what is widened stays in the L2 cache, and the workspace small. Rows that two blocks
see are widened twice. `sixteen_bits.py` converts, and rounds to the nearest, of two equally near to the even
one; maxima come back as they were. Means are sums in float32, divided there, and then rounded.

Measured on 2026-11-22 on one core of an AMD EPYC (Zen 5, AVX-512), in us beside PyTorch 2.13 with the same
dtype:

    planes, window / stride         float32    float16    PyTorch    bfloat16    PyTorch
    max  8 x 64 x 112 x 112  3 / 2     1841       3150      48803        2829      46950
    avg  8 x 128 x 56 x 56   3 / 2      967       1926       6129        1666       7435
"""

import itertools
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, plan_by
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.layout import reshaped
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.sixteen_bits import narrow, widen
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.cpu.pool.taken import TAKEN
from gpuconv.spec import PoolSpec
from gpuconv.spec.dtypes import FLOAT32, SIXTEEN_BITS
from gpuconv.spec.layouts import Layout, PoolLayouts
from gpuconv.workspace import workspace_limit

BLOCK = 1 << 18  # elements: 1 MiB of float32, once for x and at most once for y


class RowBlock(NamedTuple):
    """Rows of outputs from `first` on, the rows of the image that they see, and the pool that this is."""

    first: int
    begin: int
    end: int
    spec: PoolSpec  # of one plane


def _most() -> int:
    """Elements of a block, if that is more than the rows that one row of outputs sees."""
    return min(BLOCK, workspace_limit() // 8)


def planes_of_block(spec: PoolSpec) -> int:
    """Planes of a block: several, if they are small."""
    whole = max(1, spec.H * spec.W, spec.P * spec.Q)
    return max(1, _most() // whole)


def blocks_of_rows(spec: PoolSpec) -> tuple[RowBlock, ...]:
    """A plane in blocks of so many elements, in float32."""
    seen = max(1, _most() // max(spec.W, spec.Q, 1) - spec.dilation[0] * (spec.R - 1))
    step = max(1, min(spec.P, seen // spec.stride[0]))
    if step == spec.P:
        return (RowBlock(0, 0, spec.H, replace(spec, N=1, C=1, dtype=FLOAT32)),)
    return tuple(_rows(spec, first, min(first + step, spec.P)) for first in range(0, spec.P, step))


def _rows(spec: PoolSpec, first: int, last: int) -> RowBlock:
    """The rows of outputs from `first` to before `last`: their pads are those that their windows reach."""
    (top, bottom), columns = spec.pads
    start = first * spec.stride[0] - top
    stop = (last - 1) * spec.stride[0] - top + (spec.R - 1) * spec.dilation[0] + 1
    begin = min(max(start, 0), spec.H)
    end = min(max(stop, begin), spec.H)
    pads = (begin - start, max(0, min(stop, spec.H + bottom) - end)), columns
    return RowBlock(first, begin, end, replace(spec, N=1, C=1, H=end - begin, pads=pads, dtype=FLOAT32))


def unsupported(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> str | None:
    return None


def worth(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> bool:
    return True


def plan(algorithms: Algorithms, spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> Run:
    blocks, most = blocks_of_rows(spec), planes_of_block(spec)
    pools = {
        (rows.first, count): plan_block(algorithms, replace(rows.spec, C=count), layouts, device)
        for rows in blocks
        for count in {min(most, spec.C - first) for first in range(0, spec.C, most)}
    }

    def run(x: np.ndarray, y: np.ndarray, indices: np.ndarray | None = None) -> None:
        for rows, n, first in itertools.product(blocks, range(spec.N), range(0, spec.C, most)):
            planes = slice(first, min(first + most, spec.C))
            seen = x[n : n + 1, planes, rows.begin : rows.end]
            place = np.s_[n : n + 1, planes, rows.first : rows.first + rows.spec.P]
            target, places = y[place], () if indices is None else (indices[place],)
            values, results = reserve("pool_widened", FLOAT32, seen.size, target.size)
            widen(seen, values)
            pool = pools[rows.first, planes.stop - planes.start]
            pool(values.reshape(seen.shape), results.reshape(target.shape), *places)
            narrow(results, target)
            for found in places if rows.begin > 0 else ():
                found[found >= 0] += rows.begin * spec.W

    return run


def plan_block(algorithms: Algorithms, block: PoolSpec, layouts: PoolLayouts, device: Processor) -> Run:
    """How a block in float32 is pooled: by the first of `algorithms` that can."""
    x = Layout((block.N, block.C, block.H, block.W), (), np.dtype(FLOAT32))
    x, y = reshaped(x, *x.shape), reshaped(x, *block.out_shape)
    indices = layouts.indices and layouts.indices._replace(shape=block.out_shape)
    problem = block, PoolLayouts(x, y, indices), device
    return plan_by(algorithms, *problem)


def over(algorithms: Algorithms) -> Algorithm:
    """The algorithm that pools with the first of `algorithms` that takes a block."""
    return Algorithm(
        "pool_widened", {**TAKEN, "dtype": SIXTEEN_BITS, "return_indices": (False, True)}, unsupported,
        worth, partial(plan, algorithms), fast_for="numbers of 16 bits",
    )  # fmt: skip
