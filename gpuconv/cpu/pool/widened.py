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
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from gpuconv.algorithm import Algorithm, select
from gpuconv.cpu.engine.sixteen_bits import narrow, widen
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import FLOAT_DTYPES, PoolSpec
from gpuconv.workspace import when_limit_changes, workspace_limit

BLOCK = 1 << 18  # elements: 1 MiB of float32, once for x and at most once for y

Algorithms = tuple[Algorithm, ...]


class Rows(NamedTuple):
    """Rows of outputs from `first` on, the rows of the image that they see, and the pool that this is."""

    first: int
    begin: int
    end: int
    spec: PoolSpec  # of one plane


def _most() -> int:
    """Elements of a block, if that is more than the rows that one row of outputs sees."""
    return min(BLOCK, workspace_limit() // 8)


@lru_cache(maxsize=256)
def blocks_of_rows(spec: PoolSpec) -> tuple[Rows, ...]:
    """A plane in blocks of so many elements, in float32."""
    seen = max(1, _most() // max(spec.W, spec.Q, 1) - spec.dilation[0] * (spec.R - 1))
    step = max(1, min(spec.P, seen // spec.stride[0]))
    if step == spec.P:
        return (Rows(0, 0, spec.H, replace(spec, N=1, C=1, dtype="float32")),)
    return tuple(_rows(spec, first, min(first + step, spec.P)) for first in range(0, spec.P, step))


when_limit_changes(blocks_of_rows.cache_clear)


def _rows(spec: PoolSpec, first: int, last: int) -> Rows:
    """The rows of outputs from `first` to before `last`: their pads are those that their windows reach."""
    (top, bottom), columns = spec.pads
    start = first * spec.stride[0] - top
    stop = (last - 1) * spec.stride[0] - top + (spec.R - 1) * spec.dilation[0] + 1
    begin = min(max(start, 0), spec.H)
    end = min(max(stop, begin), spec.H)
    pads = (begin - start, max(0, min(stop, spec.H + bottom) - end)), columns
    return Rows(first, begin, end, replace(spec, N=1, C=1, H=end - begin, pads=pads, dtype="float32"))


def unsupported(spec: PoolSpec) -> str | None:
    if spec.dtype in FLOAT_DTYPES:
        return f"it takes what has 16 bits, not {spec.dtype}"
    return None


def worth(spec: PoolSpec) -> bool:
    return True


def run(
    algorithms: Algorithms, spec: PoolSpec, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None
) -> None:
    for rows, n, planes in _blocks(spec):
        block = replace(rows.spec, C=planes.stop - planes.start)
        seen = x[n : n + 1, planes, rows.begin : rows.end]
        place = np.s_[n : n + 1, planes, rows.first : rows.first + block.P]
        values, results = reserve("pool_widened", "float32", seen.size, y[place].size)
        wide, pooled = values.reshape(seen.shape), results.reshape(block.out_shape)
        widen(seen, values)
        places = None if indices is None else indices[place]
        select(algorithms, block).run(block, wide, pooled, places)
        narrow(results, y[place])
        if places is not None and rows.begin > 0:
            places[places >= 0] += rows.begin * spec.W


def _blocks(spec: PoolSpec) -> Iterator[tuple[Rows, int, slice]]:
    """(rows, image, planes) of each block."""
    blocks = blocks_of_rows(spec)
    most = max(1, _most() // max(1, spec.H * spec.W, spec.P * spec.Q)) if len(blocks) == 1 else 1
    starts = range(0, spec.C, most)
    for rows, n, first in itertools.product(blocks, range(spec.N), starts):
        yield rows, n, slice(first, min(first + most, spec.C))


def over(algorithms: Algorithms) -> Algorithm:
    """The algorithm that pools with the first of `algorithms` that takes a block."""
    return Algorithm(
        "pool_widened", unsupported, worth, partial(run, algorithms), fast_for="numbers of 16 bits"
    )
