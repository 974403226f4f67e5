"""Separable pooling: each window is reduced in height first, then in width. Takes every window.

    y[n, c, p, q] = max, or sum / divisor, over r, s of
                    x[n, c, p stride + r dilation - top, q stride + s dilation - left]

A task is a block of output rows of one plane, or several small planes. What it works on lies in the caches:

    x      [H, W]            read about once from memory, where it is fetched ahead
             |  vertically: vectors of columns, three rows at a time
    lines  [rows][pitch]     the windows' columns, with the borders filled in: -inf, or 0 for sums
             |  horizontally: vectors of lines shifted against each other; at stride 2, every other element
    y      [P, Q]            sums are divided, once

Windows of many taps take about log2(taps) steps instead, on all lines at once: from windows of n taps come
those of 2 n, or 2 n + 1, by one shift. Nothing is ever subtracted, so infinities stay in their windows.

Where windows do not overlap, lines follow each other at the pitch of Q strides and count as one long line;
planes that divide into such windows, without padding, count as one tall plane. So small images fill vectors.

It gives no indices of the maxima. The steps are in `rows`, `lines` and `zeros`; the commonest windows are
those of `pool_small`.

Measured on 2026-11-22 on one core of an AMD EPYC (Zen 5, AVX-512), float32, in us; a copy is of the input:

    planes, window / stride    here    copy    PyTorch 2.13
    max  8 x 64 x 112 x 112   3 / 2    1154     983    38638
         1 x 1 x 2048 x 2048  15 / 1   3048     697   780339
    mean 8 x 128 x 56 x 56    3 / 2     621     404     5850
"""

from dataclasses import dataclass
from functools import lru_cache

import numba

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.compiled import TASKS, Kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_rows, is_contiguous, reshaped
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.pool.lines import divide, fill_borders, join_lines, pick_line, widen
from gpuconv.cpu.pool.reduction import LEVELS, TERMS
from gpuconv.cpu.pool.rows import load_lines
from gpuconv.cpu.pool.taken import TAKEN
from gpuconv.cpu.pool.zeros import settle_zeros
from gpuconv.cpu.simd import LANES, claim, pointer
from gpuconv.spec import PoolSpec
from gpuconv.spec.layouts import PoolLayouts
from gpuconv.spec.parameters import Pair
from gpuconv.workspace import beyond_limit

BLOCK = 4096  # elements of the lines of a task: they lie in the L1 cache
TASKS_PER_THREAD = 8
WIDE_BLOCK = 65536  # and where windows are widened, in the L2 cache
DIRECT = 5  # rows that a new row costs, above which windows are widened


def _signature(divisors):
    """Argument types of `pool_windows`, where `divisors(scalar)` is the type of the arrays of divisors."""

    def signature(scalar):
        number, pair = numba.int64, numba.types.UniTuple(numba.int64, 2)
        return (
            source(scalar, 4), target(scalar, 4), *[pair] * 4, numba.types.UniTuple(pair, 2), numba.float64,
            *[numba.boolean] * 5, *[number] * 4, *[divisors(scalar)] * 2, *[workspace(scalar)] * 4, *TASKS,
        )  # fmt: skip

    return signature


def pool_windows(
    x, y, kernel_size, pads, stride, dilation, counted, override, x_in_rows, y_in_rows, y_in_planes, by_rows,
    one_line, pitch, block, group, neighbours, divisors, row_divisors, lines, spare, outputs,
    waiting, counter, tasks,
):  # fmt: skip
    """Maxima if `divisors` is None; else means, with room for the divisors of columns and of rows."""
    C, W = x.shape[1], x.shape[3]
    P, Q = y.shape[2:]
    R, S = kernel_size
    blocks = -(-P // block)
    columns = max(min(W, (Q - 1) * stride[1] + (S - 1) * dilation[1] + 1 - pads[1]), 0)
    taps, advance = (R, stride[0]) if by_rows else (1, 1)  # of x's rows in a line; and from line to line
    step = stride[0] // advance * pitch  # from the line of one p to the next
    joined = stride[1] <= 2  # from windows of S // 2 taps, or of one
    half = S // 2 if joined else S
    if divisors is not None:
        divide(divisors, Q, S, stride[1], dilation[1], -pads[1], counted[1], override)
    if by_rows:  # for every task: nothing else but the image's columns changes in lines
        fill_borders(lines, pitch, pads[1], columns, divisors)

    piece = end = 0  # = group of planes * blocks + block of rows
    while True:
        if piece == end:  # a task is pieces that lie side by side: a processor fetches what comes next, too
            task = claim(counter)
            if task >= tasks:
                break
            piece, end = task * neighbours, (task + 1) * neighbours
            end = min(end, -(-x.shape[0] * C // group) * blocks)
        first, p_begin = piece // blocks * group, piece % blocks * block
        piece += 1
        planes, rows = min(group, x.shape[0] * C - first), min(block, P - p_begin)
        h = p_begin * stride[0] - pads[0]
        count = rows if by_rows else (rows - 1) * stride[0] + (R - 1) * dilation[0] + 1
        negative_zeros = load_lines(
            lines, pitch, pads[1], count, x, first, planes, h, advance, dilation[0], taps, columns, x_in_rows,
            divisors, waiting,
        )  # fmt: skip

        whole, other, length = lines, spare, planes * count * pitch
        if not by_rows:
            fill_borders(lines, pitch, pads[1], columns, divisors)
            length -= (R - 1) * dilation[0] * pitch
            widen(lines, spare, R, dilation[0] * pitch, length, divisors)
            whole, other = spare, lines
        widened = whole
        if half > 1:
            widen(whole, other, half, dilation[1], length - (half - 1) * dilation[1], divisors)
            widened = other

        if divisors is not None:
            fixed = 1.0 if override != 0 else 0.0
            divide(row_divisors, rows, R, stride[0], dilation[0], h, counted[0], fixed)
        together = planes if joined and by_rows and y_in_planes else 1  # lines follow each other as y's rows
        for plane in range(0, planes, together):
            result, at = y[(first + plane) // C, (first + plane) % C], plane * count * pitch
            if not joined:
                for i in range(rows):
                    divisor = 1 if divisors is None else row_divisors[i]
                    pick_line(result, p_begin + i, widened, at + i * step, stride[1], divisors, divisor)
                continue
            y_pitch = y.strides[2] // y.itemsize if y_in_rows else Q
            place = pointer(result, p_begin * y_pitch) if y_in_rows else pointer(outputs, 0)
            join_lines(
                widened, whole, at, step, 1 if one_line else together * rows, S, half * dilation[1],
                stride[1], place, y_pitch, together * rows * Q if one_line else Q, divisors, row_divisors,
            )  # fmt: skip
            if not y_in_rows:
                for i in range(rows):
                    for q in range(Q):
                        result[p_begin + i, q] = outputs[i * Q + q]
        if negative_zeros:
            for plane in range(first, first + planes):
                n, c = plane // C, plane % C
                settle_zeros(x[n, c], y[n, c], p_begin, p_begin + rows, kernel_size, pads, stride, dilation)


max_windows = Kernel(pool_windows, _signature(lambda scalar: numba.none))
mean_windows = Kernel(pool_windows, _signature(workspace))


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a problem is cut into tasks."""

    one_plane: bool  # the images count as one
    by_rows: bool  # a line is R rows reduced; else it is a row, and lines are widened
    one_line: bool  # the lines of a block count as one
    pitch: int  # elements from line to line
    block: int  # output rows of a piece of a task
    group: int  # planes of a piece, if they are no larger than a block
    neighbours: int  # pieces of a task
    tasks: int
    counted: tuple[Pair, Pair]  # the rows and columns that divisors count, from and to
    sizes: dict[str, int]  # elements of each workspace


@lru_cache(maxsize=256)
def cut_blocks(spec: PoolSpec, contiguous: bool, y_in_planes: bool, threads: int) -> Blocks:
    """The blocks where x and y are `contiguous`, or at least y is (`y_in_planes`)."""
    (top, bottom), (left, right) = spec.pads
    reach_h, reach_w = (d * (taps - 1) + 1 for d, taps in zip(spec.dilation, (spec.R, spec.S), strict=True))
    stride_h, stride_w = spec.stride
    planes, H, P = spec.N * spec.C, spec.H, spec.P
    counted = (0, H), (0, spec.W)
    if spec.count_include_pad:
        counted = (-top, H + bottom), (-left, spec.W + right)
    whole_rows = counted[0][0] <= -top and (P - 1) * stride_h - top + reach_h <= counted[0][1]
    one_plane = contiguous and top == 0 and P * stride_h == H and reach_h <= stride_h and planes > 0
    if one_plane:
        planes, H, P = 1, planes * H, planes * P
        counted = ((0, H), counted[1])

    width = LANES[spec.dtype]
    pitch = (spec.Q - 1) * stride_w + reach_w
    wide = (WIDE_BLOCK // pitch - reach_h) // stride_h + 1
    by_rows = wide < 1 or DIRECT * stride_h >= min(spec.R, spec.H)
    same = spec.reduction == "max" or spec.divisor_override is not None or whole_rows
    one_line = y_in_planes and 1 < reach_w <= stride_w <= 2 and same and by_rows
    if one_line:
        pitch = spec.Q * stride_w
    block = max(1, BLOCK // pitch if by_rows else wide)
    blocks = min(P, max(-(-P // block), -(-4 * threads // max(planes, 1))))
    block = -(-P // blocks)
    lines = block if by_rows else (block - 1) * stride_h + reach_h
    group = max(1, min(BLOCK // (lines * pitch), planes // (4 * threads))) if block == P else 1
    pieces = -(-planes // group) * -(-P // block)
    neighbours = max(1, pieces // (TASKS_PER_THREAD * threads))
    tasks = -(-pieces // neighbours)
    lines, rows = lines * group, block * group
    divisors = {"divisors": rows * spec.Q + width, "row_divisors": rows}
    sizes = {
        "lines": lines * pitch + 4 * width,
        "spare": lines * pitch + 4 * width,
        "outputs": block * spec.Q,
        "waiting": 0,
    }
    if spec.reduction == "mean":
        waiting = 1 + (-(-spec.R // TERMS)).bit_length()  # lines: a block of rows, and a sum of each level
        long = by_rows and spec.R > TERMS
        sizes = {**divisors, **sizes, "waiting": max(waiting * pitch + width, LEVELS) if long else 0}
    return Blocks(one_plane, by_rows, one_line, pitch, block, group, neighbours, tasks, counted, sizes)


def unsupported(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> str | None:
    return beyond_limit(sum(cut_blocks(spec, False, True, 1).sizes.values()) * spec.itemsize)


def worth(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> bool:
    # beside pool_direct, us, one core: 64 x 112 x 112 with 3x3 windows at stride 2 100 : 6113, 1x1 at 2
    # 106 : 784, 2x2 at 16 14 : 32; channels last 3x3 at 2 2829 : 14439; but 4 : 2 for a single 4 x 4 image
    return True


def plan(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> Run:
    x, y = layouts.x, layouts.y
    y_in_planes = is_contiguous(y)
    cut = cut_blocks(spec, is_contiguous(x) and y_in_planes, y_in_planes, device.threads)
    planes = spec.N * spec.C
    if cut.one_plane:
        x = reshaped(x, 1, 1, planes * spec.H, spec.W)
        y = reshaped(y, 1, 1, planes * spec.P, spec.Q)
    elif y_in_planes:  # also axes of one element have the strides that the shape implies
        y = reshaped(y, *y.shape)
    maxima = spec.reduction == "max"
    no_divisors = {"divisors": None, "row_divisors": None} if maxima else {}
    pool = bind(
        max_windows if maxima else mean_windows, spec.dtype, cut.tasks,
        work=2 * planes * spec.H * spec.W,  # two threads beat one from 100 us on
        constants={
            "kernel_size": (spec.R, spec.S), "pads": (spec.pads[0][0], spec.pads[1][0]),
            "stride": spec.stride, "dilation": spec.dilation, "counted": cut.counted,
            "override": spec.divisor_override or 0, "x_in_rows": in_rows(x), "y_in_rows": in_rows(y),
            "y_in_planes": y_in_planes, "by_rows": cut.by_rows, "one_line": cut.one_line,
            "pitch": cut.pitch, "block": cut.block, "group": cut.group,
            "neighbours": cut.neighbours, **no_divisors,
        },
        workspaces=cut.sizes,
    )  # fmt: skip
    if (x, y) == layouts[:2]:
        return pool
    shapes = x.shape, y.shape
    return lambda x, y: pool(x.reshape(shapes[0]), y.reshape(-1).reshape(shapes[1]))


ALGORITHM = Algorithm(
    "pool_separable", TAKEN, unsupported, worth, plan,
    fast_for="windows of any size: maxima 20 to 250 times as fast as PyTorch's, averages 9 to 34 times (one "
    "core of an AMD EPYC, Zen 5, 2026-11-22)",
)  # fmt: skip
