"""Weights as the product takes them, and what its sums begin with: `quads` says why."""

from collections.abc import Callable

import numba
import numpy as np

from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, source, workspace
from gpuconv.cpu.engine.workspace import reserve_each
from gpuconv.cpu.simd import QUADS, claim, pointer
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import INT8, INT32, UINT8, Dtype
from gpuconv.threads import share

DTYPES: tuple[Dtype, ...] = (INT32,) if QUADS else ()  # for other processors nothing is compiled
WEIGHT_ROWS = 16  # of a task


def _prepares(scalar):
    number, bit = numba.int64, numba.boolean
    arrays, copies = (source(numba.uint8, 1), source(numba.int32, 1)), workspace(numba.uint8)
    return *arrays, number, number, bit, number, bit, copies, workspace(numba.int32), *TASKS


@kernel(_prepares, DTYPES)
def prepare_weights(w, bias, depth, w_row, is_signed, factor, is_copied, copies, starts, counter, tasks):
    """starts[k] = bias[k] + factor * sum of w[k]; rows of `depth` bytes become rows of w_row."""
    K = bias.size
    while True:
        task = claim(counter)
        if task >= tasks:
            break
        for k in range(task * WEIGHT_ROWS, min((task + 1) * WEIGHT_ROWS, K)):
            row = pointer(w, k * depth)
            total = signed_sum(row, depth) if is_signed else unsigned_sum(row, depth)
            starts[k] = bias[k] + factor * total
            if is_copied:
                copy = pointer(copies, k * w_row)
                for d in range(depth):
                    copy[d] = row[d]
                for d in range(depth, w_row):
                    copy[d] = 0


@inner
def signed_sum(row, count):
    total = numba.int32(0)
    for d in range(count):
        total = numba.int32(total + numba.int8(row[d]))
    return numba.int64(total)


@inner
def unsigned_sum(row, count):
    total = numba.int32(0)
    for d in range(count):
        total = numba.int32(total + row[d])
    return numba.int64(total)


def bytes_of_row(spec: ConvSpec) -> int:
    """Those of an output channel's weights, and of the zeros behind them."""
    return -(-spec.C_group * spec.R * spec.S // 4) * 4


def is_flipped(spec: ConvSpec) -> bool:
    """x and w are of one kind."""
    return spec.dtype == spec.dtype_of_weights


def plan_weights(spec: ConvSpec) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """weights(w, bias): bytes in rows of whole quads, and what the sums begin with."""
    depth, row, is_signed = spec.C_group * spec.R * spec.S, bytes_of_row(spec), spec.dtype_of_weights == INT8
    is_copied, factor = row > depth, (-128 if is_signed else 128) * is_flipped(spec)
    if not (is_copied or factor):
        return lambda w, bias: (w.reshape(-1).view(np.uint8), bias)
    prepare, tasks = prepare_weights.entry(INT32), -(-spec.K // WEIGHT_ROWS)
    wanted = (UINT8, spec.K * row * is_copied), (INT32, spec.K)

    def weights(w: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = w.reshape(-1).view(np.uint8)
        copies, starts = reserve_each("conv_quads, weights", wanted)

        def compute(counter: np.ndarray) -> None:
            prepare(values, bias, depth, row, is_signed, factor, is_copied, copies, starts, counter, tasks)

        share(compute, tasks, values.size)
        return copies if is_copied else values, starts

    return weights
