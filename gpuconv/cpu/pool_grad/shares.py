"""Each window's share, spread over the columns that it has, and then over its rows. Takes every case.

    y[h, v] = sum over p that have row h of  sum over q that have column v of  x[p, q] / divisor

The windows that have a place follow each other, along each axis: tables say the first, and the first behind.
A task is a band of rows of one plane:

    x      [p, Q]           divided, once
             |  horizontally: vectors shifted against each other, for each place of a column in the stride
    lines  [windows, W]     of the windows that meet the band; they stay in a cache
             |  vertically: vectors of lines
    y      [band, W]

Measured on 2026-11-29 on one core of a virtual Intel Xeon with AVX-512, not idle, float32, in us beside
PyTorch 2.13:

    planes, window / stride        here    PyTorch
    8 x 64 x 112 x 112   3 / 2     1985      16546
    8 x 64 x 112 x 112   2 / 2     1665      11874
    8 x 128 x 56 x 56    3 / 1     3114      25074
    8 x 256 x 28 x 28    2 / 2      875       2461
    1 x 1 x 2048 x 2048 15 / 1     8369     292574
"""

from functools import lru_cache

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.compiled import TASKS, inlined, inner, kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_rows
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.rows import TERMS, clear, total_of
from gpuconv.cpu.pool_grad.taken import TAKEN
from gpuconv.cpu.simd import (
    LANES,
    claim,
    first_pairs,
    lanes,
    last_pairs,
    load,
    load_part,
    noinline,
    pointer,
    splat,
    store,
    store_part,
    zeros,
)
from gpuconv.spec import MeanGradientSpec, PlainLayouts
from gpuconv.spec.mean_gradient import axes_of_windows, covering
from gpuconv.spec.windows import counted

BAND = 1 << 14  # elements of the lines of a band, or one row's


def _signature(scalar):
    numbers, table = numba.int64, workspace(numba.int64)
    return (
        source(scalar, 4), target(scalar, 4), *[numbers] * 3, *[numba.boolean] * 3, *[numbers] * 4,
        *[table] * 4, *[workspace(scalar)] * 6, *TASKS,
    )  # fmt: skip


@kernel(_signature)
def add_shares(
    x, y, S, stride, left, is_regular, x_in_rows, y_in_rows, band, bands, pitch, front, rows_from, rows_to,
    columns_from, columns_to, row_counts, column_counts, lines, shares, sums, results, counter, tasks,
):  # fmt: skip
    C, H, W = y.shape[1:]
    Q = x.shape[3]
    before = lanes(lines)  # elements, which vectors of a line may begin in
    clear(shares, shares.size - lanes(shares))
    while True:
        task = claim(counter)  # = (n * C + c) * bands + band
        if task >= tasks:
            break
        n, c = task // bands // C, task // bands % C
        begin = task % bands * band
        end = min(begin + band, H)
        first = rows_from[begin]
        for p in range(first, rows_to[end - 1]):
            divide(x[n, c], p, x_in_rows, row_counts[p], column_counts, shares, front, Q)
            at = before + (p - first) * pitch
            if not is_regular:
                gather(lines, at, W, shares, front, columns_from, columns_to)
            elif stride == 2:
                spread_pairs(lines, at, W, shares, front, S, left)
            else:
                spread(lines, at, W, shares, front, S, stride, left, sums)
        step = y.strides[2] // y.itemsize
        for h in range(begin, end):
            place = pointer(lines, before + (rows_from[h] - first) * pitch)
            to = pointer(y[n, c], h * step) if y_in_rows else pointer(results, 0)
            add_lines(place, pitch, rows_to[h] - rows_from[h], to, W)
            if not y_in_rows:
                for v in range(W):
                    y[n, c, h, v] = results[v]


@inner
def divide(x, p, in_rows, row_count, column_counts, shares, front, Q):
    """shares[front + q] = x[p, q] / (row_count column_counts[q]); a zero is +0."""
    noinline()
    if not in_rows:
        for q in range(Q):
            shares[front + q] = x[p, q] / (row_count * column_counts[q]) + x.dtype.type(0)
        return
    place, counts, to = (
        pointer(x, p * (x.strides[0] // x.itemsize)),
        pointer(column_counts, 0),
        pointer(shares, front),
    )
    full = Q - Q % lanes(to)
    for q in range(0, full, lanes(to)):
        store(to, q, share(load(place, q), row_count, counts, q))
    if full < Q:
        store_part(
            to, full, share(load_part(place, full, Q - full, zeros(to)), row_count, counts, full), Q - full
        )


@inlined
def share(value, row_count, counts, q):
    return value / (splat(row_count) * load(counts, q)) + zeros(counts)


@inner
def add_lines(place, pitch, count, to, W):
    """to[v] = the sum of `count` lines from `place` on; v < W."""
    noinline()
    full = W - W % lanes(to)
    if count == 1:
        for v in range(0, full, lanes(to)):
            store(to, v, load(place, v))
    elif count == 2:
        for v in range(0, full, lanes(to)):
            store(to, v, load(place, v) + load(place, v + pitch))
    else:
        for v in range(0, full, lanes(to)):
            store(to, v, total_of(place, v, pitch, count))
    if full < W:
        store_part(to, full, total_of(place, full, pitch, count), W - full)


@inner
def spread_pairs(lines, at, W, shares, front, S, left):
    """The same at a stride of 2: even and odd columns, m stride - left and the next, are made together."""
    noinline()
    even, odd = (S + 1) // 2, S // 2  # windows that have such a column
    place, to = pointer(shares, front - max(even - 1, 0)), pointer(lines, at - left)
    shift = even - odd  # from the first of the even columns' windows to that of the odd columns'
    last = (W + left + 1) // 2
    if S == 2:
        for m in range(left // 2, last, lanes(to)):
            share = load(place, m)
            store(to, 2 * m, first_pairs(share, share))
            store(to, 2 * m + lanes(to), last_pairs(share, share))
    elif S == 3:
        for m in range(left // 2, last, lanes(to)):
            second = load(place, m + 1)
            both = load(place, m) + second
            store(to, 2 * m, first_pairs(both, second))
            store(to, 2 * m + lanes(to), last_pairs(both, second))
    else:
        for m in range(left // 2, last, lanes(to)):
            a, b = total_of(place, m, 1, even), total_of(place, m + shift, 1, odd)
            store(to, 2 * m, first_pairs(a, b))
            store(to, 2 * m + lanes(to), last_pairs(a, b))


@inner
def spread(lines, at, W, shares, front, S, stride, left, sums):
    """lines[at + v] = the sum of the shares of regular windows that have column v; beside them lie zeros.

    The columns v = m stride + j - left have the windows from m - taps + 1 to m, where taps are those of the
    window's that are j and a multiple of the stride.
    """
    noinline()
    for j in range(min(stride, W + left)):
        taps = (S - 1 - j) // stride + 1 if j < S else 0
        first, last = -((j - left) // stride), -((j - left - W) // stride)
        place = pointer(shares, front - max(taps - 1, 0))
        if stride == 1:
            to = pointer(lines, at - left)
            for m in range(first, last, lanes(to)):
                store(to, m, total_of(place, m, 1, taps))
            continue
        if taps > 1:
            to = pointer(sums, -first)
            for m in range(first, last, lanes(to)):
                store(to, m, total_of(place, m, 1, taps))
            for m in range(first, last):
                lines[at + m * stride + j - left] = sums[m - first]
        elif taps == 1:
            for m in range(first, last):
                lines[at + m * stride + j - left] = shares[front + m]
        else:
            for m in range(first, last):
                lines[at + m * stride + j - left] = 0


@inner
def gather(lines, at, W, shares, front, columns_from, columns_to):
    """The same of windows of any kind."""
    noinline()
    for v in range(W):
        total = shares.dtype.type(0)
        for first in range(columns_from[v], columns_to[v], TERMS):
            part = shares[front + first]
            for q in range(first + 1, min(first + TERMS, columns_to[v])):
                part += shares[front + q]
            total += part
        lines[at + v] = total


@lru_cache(maxsize=256)
def tables_of(spec: MeanGradientSpec) -> tuple[dict[str, np.ndarray], int, int]:
    """The tables of both axes; rows of a band, and the most windows that meet one."""
    rows, columns = axes_of_windows(spec)
    is_adaptive, pad, behind = spec.windows == "adaptive", spec.count_include_pad, LANES[spec.dtype]
    rows_from, rows_to = covering(rows, spec.P, is_adaptive)
    columns_from, columns_to = covering(columns, spec.Q, is_adaptive)
    high, wide = (
        np.ones(count) if spec.divisor_override else counted(axis, count, is_adaptive, pad)
        for axis, count in ((rows, spec.P), (columns, spec.Q))
    )
    tables: dict[str, np.ndarray] = {
        "rows_from": rows_from, "rows_to": rows_to, "columns_from": columns_from, "columns_to": columns_to,
        "row_counts": np.asarray(high * (spec.divisor_override or 1), spec.dtype.numpy),
        "column_counts": np.concatenate([wide, np.ones(behind)]).astype(spec.dtype.numpy),
    }  # fmt: skip
    band = max(1, min(spec.H, BAND // max(spec.W, 1)))
    begins = np.arange(0, spec.H, band)
    ends = np.minimum(begins + band, spec.H)
    met = rows_to[ends - 1] - rows_from[begins]
    return tables, band, int(met.max(initial=0))


def unsupported(spec: MeanGradientSpec, layouts: PlainLayouts, device: Processor) -> str | None:
    return None


def worth(spec: MeanGradientSpec, layouts: PlainLayouts, device: Processor) -> bool:
    return True


def plan(spec: MeanGradientSpec, layouts: PlainLayouts, device: Processor) -> Run:
    if 0 in spec.out_shape:
        return lambda x, y: None
    tables, band, windows = tables_of(spec)
    L, bands = LANES[spec.dtype], -(-spec.H // band)
    pitch = -(-spec.W // L) * L + 3 * L  # a vector of pairs goes over the end
    left, stride = spec.pads[1][0], spec.stride[1]
    front = -(-spec.S // stride)  # zeros before the first share
    across = max(-(-(spec.W + left) // stride), spec.Q)
    return bind(
        add_shares, spec.dtype, spec.N * spec.C * bands, 2 * spec.N * spec.C * spec.H * spec.W,
        constants={
            "S": spec.S, "stride": stride, "left": left, "is_regular": spec.windows == "regular",
            "x_in_rows": in_rows(layouts.x), "y_in_rows": in_rows(layouts.y), "band": band, "bands": bands,
            "pitch": pitch, "front": front, **tables,
        },
        workspaces={
            "lines": (windows + 1) * pitch, "shares": front + across + 3 * L, "sums": across + 2 * L,
            "results": pitch,
        },
    )  # fmt: skip


ALGORITHM = Algorithm(
    "shares_separable", TAKEN, unsupported, worth, plan, fast_for="windows of any size"
)  # fmt: skip
