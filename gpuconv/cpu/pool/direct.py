"""Direct pooling: one window after the other, as the definition reads. Takes every case; made to be read.

A task is one output row. Of a window only the places inside the image are visited, which tables say of its
rows and of its columns (`spec/windows.py`), whether windows are regular or adaptive:

    max   the greatest of them, a NaN counting as the greatest, and the flat index h W + v of the first such;
          `lowest` and -1 where there is none
    mean  their sum over a divisor, the product of what its rows and its columns count; 0 where there is
          none; long sums are added pairwise
"""

from typing import Any

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.compiled import TASKS, kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.pool.reduction import LEVELS, TERMS, complete_number, push_number
from gpuconv.cpu.pool.taken import TAKEN
from gpuconv.cpu.simd import claim
from gpuconv.spec import PoolSpec
from gpuconv.spec.dtypes import FLOATS, INT64, UINT64, Dtype
from gpuconv.spec.layouts import PoolLayouts
from gpuconv.spec.windows import WINDOWS, windows_of

LONG = INT64, UINT64  # of which float64 does not hold every value
TABLES = [workspace(numba.int64)] * 4


def _max_signature(scalar):
    arrays = source(scalar, 4), target(scalar, 4), target(numba.int64, 4)
    return (*arrays, *TABLES, numba.int64, numba.int64, scalar, *TASKS)


@kernel(_max_signature, (*FLOATS, *LONG))
def max_rows(
    x, y, indices, rows_from, rows_to, columns_from, columns_to, dilation_h, dilation_w, lowest, counter,
    tasks,
):  # fmt: skip
    W = x.shape[3]
    C, P, Q = y.shape[1:]
    with_indices = indices.size > 0

    while True:
        task = claim(counter)  # = (n * C + c) * P + p
        if task >= tasks:
            break
        p, rest = task % P, task // P
        c, n = rest % C, rest // C
        h_first, h_last = rows_from[p], rows_to[p]
        for q in range(Q):
            v_first, v_last = columns_from[q], columns_to[q]
            best, index = lowest, -1
            if h_first < h_last and v_first < v_last:
                index = h_first * W + v_first  # all may be the lowest
            for h in range(h_first, h_last, dilation_h):
                for v in range(v_first, v_last, dilation_w):  # the column
                    value = x[n, c, h, v]
                    if not value <= best:  # it is greater, or a NaN
                        best, index = value, h * W + v
                        if value != value:
                            break
                if best != best:
                    break
            y[n, c, p, q] = best
            if with_indices:
                indices[n, c, p, q] = index


def _mean_signature(scalar):
    counts = [workspace(numba.int64)] * 2
    return (source(scalar, 4), target(scalar, 4), *TABLES, *counts, workspace(scalar), *TASKS)


@kernel(_mean_signature)
def mean_rows(
    x, y, rows_from, rows_to, columns_from, columns_to, row_counts, column_counts, waiting, counter, tasks
):
    C, P, Q = y.shape[1:]

    while True:
        task = claim(counter)  # = (n * C + c) * P + p
        if task >= tasks:
            break
        p, rest = task % P, task // P
        c, n = rest % C, rest // C
        for q in range(Q):
            total, terms, blocks = x.dtype.type(0), 0, 0
            for h in range(rows_from[p], rows_to[p]):
                for v in range(columns_from[q], columns_to[q]):  # the column
                    if terms == TERMS:
                        blocks, total, terms = push_number(waiting, blocks, total), x.dtype.type(0), 0
                    total += x[n, c, h, v]
                    terms += 1
            total = complete_number(waiting, blocks, total)
            divisor = x.dtype.type(row_counts[p] * column_counts[q])
            y[n, c, p, q] = total / divisor if terms > 0 else 0


def unsupported(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> str | None:
    return None


def worth(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> bool:
    return True


def plan(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> Run:
    rows, columns = windows_of(spec)
    tasks = spec.N * spec.C * spec.P
    constants: dict[str, Any] = {
        "rows_from": rows.first, "rows_to": rows.last, "columns_from": columns.first,
        "columns_to": columns.last,
    }  # fmt: skip
    if spec.reduction == "mean":
        constants["row_counts"], constants["column_counts"] = divisors(spec, rows.counted, columns.counted)
        return bind(mean_rows, spec.dtype, tasks, spec.flops, constants, {"waiting": LEVELS})
    constants["dilation_h"], constants["dilation_w"] = spec.dilation
    constants["lowest"] = lowest_of(spec.dtype)
    maxima = bind(max_rows, spec.dtype, tasks, spec.flops, constants)
    if spec.return_indices:
        return maxima
    none = np.empty((0, 0, 0, 0), np.int64)
    return lambda x, y: maxima(x, y, none)


def lowest_of(dtype: Dtype) -> float:
    """What is below every number of a dtype, or the lowest of them."""
    return np.iinfo(dtype).min if dtype in LONG else -np.inf


def divisors(spec: PoolSpec, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the sums of windows are divided by: a number for each row of them times one for each column."""
    if spec.divisor_override is None:
        return rows, columns
    return np.full_like(rows, spec.divisor_override), np.ones_like(columns)


ALGORITHM = Algorithm(
    "pool_direct",
    {**TAKEN, "dtype": (*FLOATS, *LONG), "windows": WINDOWS, "return_indices": (False, True)},
    unsupported, worth, plan, fast_for="indices, and reading",
)  # fmt: skip
