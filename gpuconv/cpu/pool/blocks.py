"""A pool of one dtype or reduction by a pool of another, which a list of algorithms computes: by blocks.

    x  [planes, rows, W]  ->  values, in the lower dtype  ->  pool  ->  results  ->  y

A block is several planes, or where one alone would be more than BLOCK elements, the rows of it that some rows
of outputs see; so what is between stays in the L2 cache, and the workspace small. Rows that two blocks see
are converted twice. Adaptive windows are of whole planes.
"""

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, plan_by
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.layout import reshaped
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import PoolSpec
from gpuconv.spec.dtypes import Dtype
from gpuconv.spec.layouts import Layout, PoolLayouts
from gpuconv.spec.windows import ADAPTIVE
from gpuconv.workspace import workspace_limit

BLOCK = 1 << 18  # elements: 1 MiB of float32, once for x and at most once for y


class Lowering(NamedTuple):
    """How a pool becomes one of another dtype or reduction.

    Attributes
    ----------
    name : str
        Of the algorithm, and of its workspaces.
    lower : callable
        `lower(spec)` is the other pool of the same windows.
    read : callable
        `read(spec, x, values)` fills `values`, of the shape of x, with what the other pool is of.
    write : callable
        `write(spec, results, y)` makes y of its results, of the shape of y.
    """

    name: str
    lower: Callable[[PoolSpec], PoolSpec]
    read: Callable[[PoolSpec, np.ndarray, np.ndarray], None]
    write: Callable[[PoolSpec, np.ndarray, np.ndarray], None]


class RowBlock(NamedTuple):
    """Rows of outputs from `first` on, the rows of the image that they see, and the pool that this is."""

    first: int
    begin: int
    end: int
    spec: PoolSpec  # of one plane


def _most(dtype: Dtype) -> int:
    """Elements of a block in a dtype, if that is more than the rows that one row of outputs sees."""
    return min(BLOCK, workspace_limit() // (2 * dtype.itemsize))


def planes_of_block(spec: PoolSpec, dtype: Dtype) -> int:
    """Planes of a block in a dtype: several, if they are small."""
    whole = max(1, spec.H * spec.W, spec.P * spec.Q)
    return max(1, _most(dtype) // whole)


def blocks_of_rows(spec: PoolSpec, dtype: Dtype) -> tuple[RowBlock, ...]:
    """A plane in blocks of so many elements."""
    seen = max(1, _most(dtype) // max(spec.W, spec.Q, 1) - spec.dilation[0] * (spec.R - 1))
    step = max(1, min(spec.P, seen // spec.stride[0]))
    if step == spec.P or spec.windows == ADAPTIVE:
        return (RowBlock(0, 0, spec.H, replace(spec, N=1, C=1)),)
    return tuple(_rows(spec, first, min(first + step, spec.P)) for first in range(0, spec.P, step))


def _rows(spec: PoolSpec, first: int, last: int) -> RowBlock:
    """The rows of outputs from `first` to before `last`: their pads are those that their windows reach."""
    (top, bottom), columns = spec.pads
    start = first * spec.stride[0] - top
    stop = (last - 1) * spec.stride[0] - top + (spec.R - 1) * spec.dilation[0] + 1
    begin = min(max(start, 0), spec.H)
    end = min(max(stop, begin), spec.H)
    pads = (begin - start, max(0, min(stop, spec.H + bottom) - end)), columns
    return RowBlock(first, begin, end, replace(spec, N=1, C=1, H=end - begin, pads=pads))


def unsupported(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> str | None:
    return None


def worth(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> bool:
    return True


def plan(
    lowering: Lowering, algorithms: Algorithms, spec: PoolSpec, layouts: PoolLayouts, device: Processor
) -> Run:
    lower, dtype = lowering.lower, lowering.lower(spec).dtype
    blocks, most = blocks_of_rows(spec, dtype), planes_of_block(spec, dtype)
    pools = {
        (rows.first, count): plan_block(algorithms, lower(replace(rows.spec, C=count)), layouts, device)
        for rows in blocks
        for count in {min(most, spec.C - first) for first in range(0, spec.C, most)}
    }

    def run(x: np.ndarray, y: np.ndarray, indices: np.ndarray | None = None) -> None:
        for rows, n, first in itertools.product(blocks, range(spec.N), range(0, spec.C, most)):
            planes = slice(first, min(first + most, spec.C))
            seen = x[n : n + 1, planes, rows.begin : rows.end]
            place = np.s_[n : n + 1, planes, rows.first : rows.first + rows.spec.P]
            target, places = y[place], () if indices is None else (indices[place],)
            values, results = reserve(lowering.name, dtype, seen.size, target.size)
            values, results = values.reshape(seen.shape), results.reshape(target.shape)
            lowering.read(spec, seen, values)
            pools[rows.first, planes.stop - planes.start](values, results, *places)
            lowering.write(spec, results, target)
            for found in places if rows.begin > 0 else ():
                found[found >= 0] += rows.begin * spec.W

    return run


def plan_block(algorithms: Algorithms, block: PoolSpec, layouts: PoolLayouts, device: Processor) -> Run:
    """How a block is pooled: by the first of `algorithms` that can."""
    x = Layout((block.N, block.C, block.H, block.W), (), block.dtype.numpy)
    x, y = reshaped(x, *x.shape), reshaped(x, *block.out_shape)
    indices = layouts.indices and layouts.indices._replace(shape=block.out_shape)
    problem = block, PoolLayouts(x, y, indices), device
    return plan_by(algorithms, *problem)


def over(
    lowering: Lowering, takes: Mapping[str, Collection[Any]], algorithms: Algorithms, fast_for: str
) -> Algorithm:
    """The algorithm that pools with the first of `algorithms` that takes a block."""
    return Algorithm(
        lowering.name, takes, unsupported, worth, partial(plan, lowering, algorithms), fast_for=fast_for
    )
