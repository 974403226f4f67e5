"""Maxima with their indices: each window is reduced in height first, then in width, places with values.

    y[n, c, p, q] = max over h, v in the window (p, q) of x[n, c, h, v], and h W + v of the first such

A task is a row of outputs of one plane:

    x                [rows, W]   of the row of windows
                        |  vertically: vectors of columns, of equals the upper one
    values, places   [W]
                        |  horizontally: of regular windows vectors of outputs, tap by tap; of adaptive ones
                        |  column by column. Of equals the one with the smaller place, which is the first
    greatest, found  [Q]

A NaN counts as the greatest. Places are int32; where there is none, they are NONE. LLVM makes the vectors.

"""

from typing import Any

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.compiled import TASKS, inlined, inner, kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_rows
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.pool.direct import LONG, TABLES, lowest_of
from gpuconv.cpu.simd import claim, noinline, pointer, pointer_after
from gpuconv.spec import PoolSpec
from gpuconv.spec.dtypes import FLOATS
from gpuconv.spec.layouts import PoolLayouts
from gpuconv.spec.windows import ADAPTIVE, WINDOWS, windows_of
from gpuconv.workspace import beyond_limit

NONE = 2**31 - 1
TASKS_PER_THREAD = 8
i32 = numba.int32


def _signature(scalar):
    arrays = source(scalar, 4), target(scalar, 4), target(numba.int64, 4)
    sizes, places = [numba.int64] * 6, workspace(numba.int64)
    spaces = [workspace(scalar)] * 2 + [places] * 2
    return (*arrays, *TABLES, *sizes, scalar, numba.boolean, numba.boolean, *spaces, *TASKS)


@kernel(_signature, (*FLOATS, *LONG))
def max_rows(
    x, y, indices, rows_from, rows_to, columns_from, columns_to, taps, stride, left, dilation_h, dilation_w,
    neighbours, lowest, is_adaptive, y_in_rows, values, greatest, places, found, counter, tasks,
):  # fmt: skip
    W = x.shape[3]
    C, P, Q = y.shape[1:]
    pitch = x.strides[2] // x.itemsize
    place_of, found_at = pointer(places.view(np.int32), 0), pointer(found.view(np.int32), 0)
    row = last = 0  # = (n * C + c) * P + p
    while True:
        if row == last:  # a task is rows that lie side by side, in the same cache lines
            task = claim(counter)
            if task >= tasks:
                break
            row, last = task * neighbours, min((task + 1) * neighbours, x.shape[0] * C * P)
        p, rest = row % P, row // P
        row += 1
        c, n = rest % C, rest // C
        fill(greatest, found_at, Q, lowest)
        first = rows_from[p]
        if first < rows_to[p]:
            first_row(pointer(x[n, c], first * pitch), W, first * W, values, place_of)
            for h in range(first + dilation_h, rows_to[p], dilation_h):
                reduce_row(pointer(x[n, c], h * pitch), W, h * W, values, place_of)
            if is_adaptive:
                reduce_columns(values, place_of, columns_from, columns_to, greatest, found_at, Q)
            else:
                for s in range(taps):
                    v = s * dilation_w - left
                    begin, end = max(0, -(v // stride)), min(Q, (W - 1 - v) // stride + 1)
                    reduce_tap(values, place_of, v, stride, begin, end, greatest, found_at)
        if y_in_rows:
            write_row(greatest, found_at, Q, pointer(y[n, c, p], 0), pointer(indices[n, c, p], 0))
        else:
            for q in range(Q):
                y[n, c, p, q] = greatest[q]
                indices[n, c, p, q] = -1 if found_at[q] == i32(NONE) else found_at[q]


@inner
def fill(greatest, found, count, lowest):
    """There is nothing yet."""
    noinline()
    values = pointer(greatest, 0)
    for q in range(count):
        values[q], found[q] = lowest, i32(NONE)


@inner
def first_row(row, count, at, values, places):
    """values[v] = row[v], and their places."""
    noinline()
    to = pointer(values, 0)
    for v in range(count):
        to[v], places[v] = row[v], i32(at + v)


@inner
def reduce_row(row, count, at, values, places):
    """values[v] = the greater of it and row[v], of equals itself, and their places."""
    noinline()
    to = pointer(values, 0)
    for v in range(count):
        value, best = row[v], to[v]
        is_greater = (value > best) | ((value != value) & (best == best))
        to[v] = value if is_greater else best
        places[v] = i32(at + v) if is_greater else places[v]


@inlined
def comes_first(value, place, best, best_place):
    """Whether a value is the greater of two, or of equals, as two NaN are, the one whose place is smaller."""
    is_nan, are_nan = value != value, (value != value) & (best != best)
    same = (value == best) | are_nan
    return (value > best) | (is_nan & (best == best)) | (same & (place < best_place))


@inlined
def reduce_every(row, places, stride, begin, end, to, found):
    """to[q] = the greater of it and row[q stride], for begin <= q < end, and their places."""
    for q in range(begin, end):
        better = comes_first(row[q * stride], places[q * stride], to[q], found[q])
        to[q] = row[q * stride] if better else to[q]
        found[q] = places[q * stride] if better else found[q]


@inner
def reduce_tap(values, places, at, stride, begin, end, greatest, found):
    """The same of the elements from `at` on; vectors of what lies side by side, or every second one."""
    noinline()
    row, spot, to = pointer(values, at), pointer_after(places, at), pointer(greatest, 0)
    if stride == 1:
        reduce_every(row, spot, 1, begin, end, to, found)
    elif stride == 2:
        reduce_every(row, spot, 2, begin, end, to, found)
    else:
        reduce_every(row, spot, stride, begin, end, to, found)


@inner
def reduce_columns(values, places, columns_from, columns_to, greatest, found, count):
    """The same of columns that tables say."""
    noinline()
    for q in range(count):
        first = columns_from[q]
        best, place = values[first], places[first]
        for v in range(first + 1, columns_to[q]):
            better = comes_first(values[v], places[v], best, place)
            best = values[v] if better else best
            place = places[v] if better else place
        greatest[q], found[q] = best, place


@inner
def write_row(greatest, found, count, y, indices):
    """A row of outputs."""
    noinline()
    values = pointer(greatest, 0)
    for q in range(count):
        y[q] = values[q]
        indices[q] = -1 if found[q] == i32(NONE) else found[q]


def unsupported(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> str | None:
    if not in_rows(layouts.x):
        return "it takes images with the elements of a row side by side"
    if spec.H * spec.W >= NONE:
        return "a plane has 2^31 elements or more"
    return beyond_limit((spec.W + spec.Q) * (spec.itemsize + 8))


def worth(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> bool:
    return True


def plan(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> Run:
    if 0 in spec.out_shape:
        return lambda x, y, indices: None
    rows, columns = windows_of(spec)
    lines, work = spec.N * spec.C * spec.P, spec.W * spec.R + spec.Q * spec.S
    neighbours = max(1, lines // (TASKS_PER_THREAD * device.threads))
    constants: dict[str, Any] = {
        "rows_from": rows.first, "rows_to": rows.last, "columns_from": columns.first,
        "columns_to": columns.last, "taps": spec.S, "stride": spec.stride[1], "left": spec.pads[1][0],
        "dilation_h": spec.dilation[0], "dilation_w": spec.dilation[1], "neighbours": neighbours,
        "lowest": lowest_of(spec.dtype),
        "is_adaptive": spec.windows == ADAPTIVE,
        "y_in_rows": in_rows(layouts.y) and layouts.indices is not None and in_rows(layouts.indices),
    }  # fmt: skip
    tables = {"places": spec.W // 2 + 1, "found": spec.Q // 2 + 1}  # of half as many bytes each
    return bind(
        max_rows, spec.dtype, -(-lines // neighbours), lines * work, constants,
        {"values": spec.W, "greatest": spec.Q}, tables,
    )  # fmt: skip


ALGORITHM = Algorithm(
    "pool_argmax",
    {"reduction": ("max",), "dtype": (*FLOATS, *LONG), "windows": WINDOWS, "return_indices": (True,)},
    unsupported, worth, plan, fast_for="maxima with their indices, of a few planes or of integers of 64 bits",
)  # fmt: skip
