"""Separable pooling: each window is reduced along its columns first, then along its rows. Takes every window.

    y[n, c, p, q] = max, or sum / divisor, over r, s of x[n, c, p stride + r dilation - top, q stride + s dilation - left]

A task is some blocks of output rows, each of one image plane. Everything it works on lies in the caches:

    x      [H, W]            read about once from memory
             |  vertically: whole vectors of columns, a vector of R rows at a time
    lines  [rows][pitch]     the windows' columns, with the borders filled in: -inf, or 0 for sums
             |  horizontally: vectors of lines shifted against each other; at a stride of 2, every other element
    y      [P, Q]            divided, for an average

A window of many taps takes about log2(taps) steps instead, on all lines at once: from windows of n taps come
those of 2 n, or 2 n + 1, by one shift (`widen`). No sum is ever taken back, so that an infinity stays in the
windows that have it, and sums of integers are exact; each is divided once.

Where windows do not overlap, the lines follow each other at the pitch of Q strides and count as one long line;
planes that divide into such windows, without padding, count as one tall plane. So small images fill vectors too.

It gives no indices of the maxima.
"""

from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.compiled import OPTIONS, TASKS, Kernel, inner, source, target, workspace
from gpuconv.cpu.simd import (
    LANES, claim, even, greatest, lanes, load, load_between, pointer, pointer_after, prefetch, splat, store, store_part,
)  # fmt: skip
from gpuconv.cpu.workspace import reserve
from gpuconv.parameters import Pair
from gpuconv.spec import PoolSpec
from gpuconv.threads import get_num_threads, share
from gpuconv.workspace import workspace_limit

BLOCK = 4096  # elements of the lines of a block that is reduced vertically row by row: they lie in the L1 cache
WIDE_BLOCK = 65536  # of one where windows are widened: in the L2 cache
PREFETCH = 4096  # elements ahead of those that are read
DIRECT = 5  # rows that a new row costs, above which windows are widened


inlined = numba.njit(forceinline=True, inline='always', no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)


from numba.extending import intrinsic
@intrinsic
def apart(typingctx):
    def emit(context, builder, sig, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()
    return numba.types.void(), emit


def _signature(divisors):
    """Argument types of `pool_windows`, where `divisors(scalar)` is the type of its two arrays of divisors."""

    def signature(scalar):
        number, pair = numba.int64, numba.types.UniTuple(numba.int64, 2)
        return (
            source(scalar, 4), target(scalar, 4), *[divisors(scalar)] * 2, *[pair] * 4,
            numba.types.UniTuple(pair, 2), numba.float64, *[numba.boolean] * 5, *[number] * 3,
            *[workspace(scalar)] * 3, *TASKS,
        )  # fmt: skip

    return signature


def pool_windows(
    x, y, divisors, row_divisors, kernel_size, pads, stride, dilation, counted, override, x_in_rows, y_in_rows,
    y_in_planes, by_rows, one_line, pitch, block, group, lines, spare, outputs, counter, tasks,
):  # fmt: skip
    C, W = x.shape[1], x.shape[3]
    P, Q = y.shape[2:]
    R, S = kernel_size
    blocks = -(-P // block)
    columns = max(min(W, (Q - 1) * stride[1] + (S - 1) * dilation[1] + 1 - pads[1]), 0)
    taps, advance = (R, stride[0]) if by_rows else (1, 1)  # of x's rows that become a line; from line to line
    step = stride[0] // advance * pitch  # from the line of one p to the next
    joined = S > 1 and stride[1] <= 2  # from windows of half of their taps, or of one less
    half = S // 2 if joined else S
    if divisors is not None:
        divide(divisors, Q, S, stride[1], dilation[1], -pads[1], counted[1], override)
    fill_borders(lines, pitch, pads[1], columns, divisors)  # for every task: only the image's columns change

    while True:
        task = claim(counter)  # = group of planes * blocks + block of rows
        if task >= tasks:
            break
        first, p_begin = task // blocks * group, task % blocks * block
        planes, rows = min(group, x.shape[0] * C - first), min(block, P - p_begin)
        h = p_begin * stride[0] - pads[0]
        count = rows if by_rows else (rows - 1) * stride[0] + (R - 1) * dilation[0] + 1
        load_lines(
            lines, pitch, pads[1], count, x, first, planes, h, advance, dilation[0], taps, columns, x_in_rows, divisors
        )

        whole, other, length = lines, spare, planes * count * pitch
        if not by_rows:
            length -= (R - 1) * dilation[0] * pitch
            widen(lines, spare, R, dilation[0] * pitch, length, divisors)
            whole, other = spare, lines
        widened = whole
        if half > 1:
            widen(whole, other, half, dilation[1], length - (half - 1) * dilation[1], divisors)
            widened = other

        if divisors is not None:
            divide(row_divisors, rows, R, stride[0], dilation[0], h, counted[0], 1.0 if override != 0 else 0.0)
        together = planes if by_rows and y_in_planes else 1  # planes whose lines follow each other as y's rows do
        for plane in range(0, planes, together):
            result, at = y[(first + plane) // C, (first + plane) % C], plane * count * pitch
            if not joined:
                for i in range(together):
                    result = y[(first + plane + i) // C, (first + plane + i) % C]
                    pick_lines(
                        result, p_begin, rows, widened, at + i * rows * step, step, stride[1], divisors, row_divisors
                    )
                continue
            y_pitch = y.strides[2] // y.itemsize if y_in_rows else Q
            place = pointer(result, p_begin * y_pitch) if y_in_rows else pointer(outputs, 0)
            join_lines(
                widened, whole, at, step, 1 if one_line else together * rows, S, half * dilation[1], stride[1], place,
                y_pitch, together * rows * Q if one_line else Q, divisors, row_divisors,
            )  # fmt: skip
            if not y_in_rows:
                for i in range(rows):
                    for q in range(Q):
                        result[p_begin + i, q] = outputs[i * Q + q]


max_windows = Kernel(pool_windows, _signature(lambda scalar: numba.none))
avg_windows = Kernel(pool_windows, _signature(workspace))


@inlined
def both(a, b, divisors):
    """What two vectors of windows that do not overlap come to."""
    return greatest(a, b) if divisors is None else a + b


@inner
def divide(divisors, count, taps, stride, dilation, start, counted, override):
    """divisors[i] = how many taps of the window at start + i stride count, or `override` if it is not 0.

    For i < count; what lies behind is the same again.
    """
    apart()
    for i in range(count):
        first, last = taps_between(start + i * stride, taps, dilation, counted[0], counted[1])
        divisors[i] = override if override != 0 else max(last - first, 1)
    for i in range(count, divisors.size):
        divisors[i] = divisors[i - count]


@inlined
def taps_between(start, taps, step, begin, end):
    """The taps first <= t < last with begin <= start + t step < end."""
    if start >= begin and start + (taps - 1) * step < end:
        return 0, taps
    first = min(max(-((start - begin) // step), 0), taps)  # rounded up: division rounds down
    return first, min(max(-((start - end) // step), first), taps)


@inlined
def load_lines(
    line, pitch, at, count, x, plane, planes, h, advance, step, taps, columns, in_rows, divisors
):  # fmt: skip
    """line[at + i pitch + v] = what row h + i advance + r step of x has in column v, for r < taps, comes to.

    For i < count, and further planes behind.
    """
    C, H = x.shape[1:3]
    row = x.strides[2] // x.itemsize
    i = 0
    while i < count:
        start = h + i * advance
        first, last = taps_between(start, taps, step, 0, H)
        rows = 1
        if last - first == taps:  # so it is for the next lines too
            rows = min(count - i, (H - 1 - start - (taps - 1) * step) // advance + 1)
        start += first * step
        n, c, to = plane // C, plane % C, at + i * pitch
        for _ in range(planes):
            image = x[n, c]
            if first < last and in_rows:
                reduce_rows(
                    pointer(line, to), pitch, pointer(image, start * row), advance * row, step * row, rows,
                    last - first, columns, divisors,
                )  # fmt: skip
            else:
                for k in range(rows):
                    reduce_elements(
                        line, to + k * pitch, image, start + k * advance, step, last - first, columns, divisors
                    )
            to += count * pitch
            c += 1
            if c == C:
                n, c = n + 1, 0
        i += rows


@inlined
def reduce_rows(target, pitch, place, advance, step, count, taps, columns, divisors):
    """target[i pitch + v] = what place[i advance + r step + v] for r < taps come to, for i < count, v < columns."""
    second, third = pointer_after(place, step), pointer_after(place, 2 * step)
    if taps == 1:
        copy_rows(target, pitch, place, advance, count, columns)
    elif taps == 2:
        add_two(target, pitch, place, advance, second, advance, count, columns, divisors)
    else:
        add_three(target, pitch, place, advance, second, third, advance, count, columns, divisors)
    r = 3
    while r + 1 < taps:
        second, third = pointer_after(place, r * step), pointer_after(place, (r + 1) * step)
        add_three(target, pitch, target, pitch, second, third, advance, count, columns, divisors)
        r += 2
    if r < taps:
        add_two(target, pitch, target, pitch, pointer_after(place, r * step), advance, count, columns, divisors)


@inner
def copy_rows(target, pitch, a, a_pitch, rows, columns):
    """target[i pitch + v] = a[i a_pitch + v] for i < rows and v < columns."""
    apart()
    width = lanes(target)
    vectors, rest = columns // width, columns % width
    for i in range(rows):
        for v in range(0, vectors * width, width):
            prefetch(a, i * a_pitch + v + PREFETCH)
            store(target, i * pitch + v, load(a, i * a_pitch + v))
    if rest > 0:
        v = vectors * width
        for i in range(rows):
            store_part(target, i * pitch + v, load_between(a, i * a_pitch + v, 0, rest), rest)


@inner
def add_two(target, pitch, a, a_pitch, b, b_pitch, rows, columns, divisors):
    """target[i pitch + v] = what a[i a_pitch + v] and b[i b_pitch + v] come to."""
    apart()
    width = lanes(target)
    vectors, rest = columns // width, columns % width
    by_columns = rows > vectors and vectors < 4  # many rows that are short are taken in columns
    outer, count = (vectors, rows) if by_columns else (rows, vectors)
    i_o, i_n, v_o, v_n = (0, 1, width, 0) if by_columns else (1, 0, 0, width)
    for o in range(outer):
        for n in range(count):
            i, v = o * i_o + n * i_n, o * v_o + n * v_n
            prefetch(a, i * a_pitch + v + PREFETCH)
            prefetch(b, i * b_pitch + v + PREFETCH)
            store(target, i * pitch + v, both(load(a, i * a_pitch + v), load(b, i * b_pitch + v), divisors))
    if rest > 0:
        v = vectors * width
        for i in range(rows):
            first = load_between(a, i * a_pitch + v, 0, rest)
            store_part(target, i * pitch + v, both(first, load_between(b, i * b_pitch + v, 0, rest), divisors), rest)


@inner
def add_three(target, pitch, a, a_pitch, b, c, b_pitch, rows, columns, divisors):
    """And c[i b_pitch + v]."""
    apart()
    width = lanes(target)
    vectors, rest = columns // width, columns % width
    by_columns = rows > vectors and vectors < 4
    outer, count = (vectors, rows) if by_columns else (rows, vectors)
    i_o, i_n, v_o, v_n = (0, 1, width, 0) if by_columns else (1, 0, 0, width)
    for o in range(outer):
        for n in range(count):
            i, v = o * i_o + n * i_n, o * v_o + n * v_n
            prefetch(b, i * b_pitch + v + PREFETCH)
            prefetch(c, i * b_pitch + v + PREFETCH)
            more = both(load(b, i * b_pitch + v), load(c, i * b_pitch + v), divisors)
            store(target, i * pitch + v, both(load(a, i * a_pitch + v), more, divisors))
    if rest > 0:
        v = vectors * width
        for i in range(rows):
            second = load_between(b, i * b_pitch + v, 0, rest)
            more = both(second, load_between(c, i * b_pitch + v, 0, rest), divisors)
            store_part(target, i * pitch + v, both(load_between(a, i * a_pitch + v, 0, rest), more, divisors), rest)


@inner
def reduce_elements(line, at, image, h, step, taps, columns, divisors):
    """The same for one line, where the elements of a row lie apart, or where there is no row."""
    apart()
    for v in range(columns):
        total = image.dtype.type(-np.inf if divisors is None else 0)
        for r in range(taps):
            value = image[h + r * step, v]
            if divisors is not None:
                total += value
            elif value > total or value != value:
                total = value
        line[at + v] = total


@inner
def fill_borders(line, pitch, left, columns, divisors):
    """What lies outside of the image in each line."""
    apart()
    for at in range(0, line.size - pitch + 1, pitch):
        for v in range(at, at + left):
            line[v] = -np.inf if divisors is None else 0
        for v in range(at + left + columns, at + pitch):
            line[v] = -np.inf if divisors is None else 0


@inner
def widen(line, result, taps, step, count, divisors):
    """result[i] = what line[i + t step] for t < taps come to, for i < count and taps > 1."""
    apart()
    source, place = pointer(line, 0), pointer(line, 0)
    target = pointer(result, 0)
    width, bit = 1, 1
    while 2 * bit <= taps:
        bit *= 2
    while bit > 1:
        bit //= 2
        odd = taps & bit != 0
        doubled = 2 * width + odd
        for i in range(0, count + (taps - doubled) * step, lanes(target)):
            total = both(load(source, i), load(source, i + width * step), divisors)
            if odd:
                total = both(total, load(place, i + 2 * width * step), divisors)
            store(target, i, total)  # of what lies behind, nothing is needed again
        source, width = target, doubled


@inner
def join_lines(
    widened, whole, at, step, lines, S, shift, stride, place, pitch, count, divisors, row_divisors
):  # fmt: skip
    """place[i pitch + q] = what the S taps from at + i step + q stride on come to, for i < lines and q < count.

    Two of S // 2 taps in `widened`, `shift` apart; and if S is odd, one of `whole`.
    """
    apart()
    apart()
    half, second, last = pointer(widened, at), pointer(widened, at + shift), pointer(whole, at + 2 * shift)
    width = lanes(place)
    vectors, rest = count // width, count % width
    by_columns = lines > vectors and vectors < 4
    outer, inners = (vectors, lines) if by_columns else (lines, vectors)
    i_o, i_n, q_o, q_n = (0, 1, width, 0) if by_columns else (1, 0, 0, width)
    if stride == 1:
        for o in range(outer):
            for n in range(inners):
                i, q = o * i_o + n * i_n, o * q_o + n * q_n
                total = window(half, second, last, i * step + q, S, 1, divisors)
                store(place, i * pitch + q, divided(total, divisors, row_divisors, q, i))
    else:
        for o in range(outer):
            for n in range(inners):
                i, q = o * i_o + n * i_n, o * q_o + n * q_n
                total = window(half, second, last, i * step + 2 * q, S, 2, divisors)
                store(place, i * pitch + q, divided(total, divisors, row_divisors, q, i))
    if rest > 0:
        q = vectors * width
        for i in range(lines):
            total = window(half, second, last, i * step + stride * q, S, stride, divisors)
            store_part(place, i * pitch + q, divided(total, divisors, row_divisors, q, i), rest)


@inlined
def window(half, second, last, at, S, stride, divisors):
    """A vector of complete windows."""
    total = both(every(half, at, stride), every(second, at, stride), divisors)
    return both(total, every(last, at, stride), divisors) if S % 2 == 1 else total


@inlined
def every(place, at, stride):
    """The vector of place[at + i stride], for a stride of 1 or 2."""
    first = load(place, at)
    return first if stride == 1 else even(first, load(place, at + lanes(place)))


@inlined
def divided(total, divisors, row_divisors, q, i):
    """A mean from a sum; a maximum as it is."""
    if divisors is None:
        return total
    return total / (load(pointer(divisors, 0), q) * splat(row_divisors[i]))


@inner
def pick_lines(result, p, rows, line, at, step, stride, divisors, row_divisors):
    """result[p + i, q] = line[at + i step + q stride]: windows that are complete."""
    apart()
    for i in range(rows):
        for q in range(result.shape[1]):
            value = line[at + i * step + q * stride]
            result[p + i, q] = value if divisors is None else value / (divisors[q] * row_divisors[i])


@dataclass(frozen=True, slots=True)
class Plan:
    """How a problem is cut into tasks."""

    one_plane: bool  # the images count as one
    by_rows: bool  # a line is what R rows come to; else it is a row, and lines are widened
    one_line: bool  # the lines of a block count as one
    pitch: int  # elements from line to line
    block: int  # output rows of a task
    group: int  # planes of a task, if they are no larger than a block
    tasks: int
    counted: tuple[Pair, Pair]  # the rows and columns that divisors count, from and to
    sizes: tuple[int, ...]  # of the workspaces: divisors of columns and rows, lines, spare lines, outputs


@lru_cache(maxsize=256)
def plan(spec: PoolSpec, contiguous: bool, y_in_planes: bool, threads: int) -> Plan:
    """The plan where x and y are `contiguous`, or at least y is (`y_in_planes`)."""
    (top, bottom), (left, right) = spec.pads
    reach_h, reach_w = (d * (taps - 1) + 1 for d, taps in zip(spec.dilation, (spec.R, spec.S), strict=True))
    stride_h, stride_w = spec.stride
    planes, H, P = spec.N * spec.C, spec.H, spec.P
    counted = ((-top, H + bottom), (-left, spec.W + right)) if spec.count_include_pad else ((0, H), (0, spec.W))
    whole_rows = counted[0][0] <= -top and (P - 1) * stride_h - top + reach_h <= counted[0][1]
    one_plane = contiguous and top == 0 and P * stride_h == H and reach_h <= stride_h and planes > 0
    if one_plane:
        planes, H, P = 1, planes * H, planes * P
        counted = ((0, H), counted[1])

    width = LANES[spec.dtype]
    pitch = (spec.Q - 1) * stride_w + reach_w
    wide = (WIDE_BLOCK // pitch - reach_h) // stride_h + 1
    by_rows = spec.R <= DIRECT * stride_h or wide < 1
    same = spec.op == "max" or spec.divisor_override is not None or whole_rows
    one_line = y_in_planes and 1 < reach_w <= stride_w <= 2 and same and by_rows
    if one_line:
        pitch = spec.Q * stride_w
    block = max(1, BLOCK // pitch if by_rows else wide)
    blocks = min(P, max(-(-P // block), -(-4 * threads // max(planes, 1))))
    block = -(-P // blocks)
    lines = block if by_rows else (block - 1) * stride_h + reach_h
    group = max(1, min(BLOCK // (lines * pitch), planes // (4 * threads))) if block == P else 1
    tasks = -(-planes // group) * -(-P // block)
    lines, rows = lines * group, block * group
    divisors = (rows * spec.Q + width, rows) if spec.op == "avg" else (0, 0)
    sizes = *divisors, *[lines * pitch + 4 * width] * 2, block * spec.Q
    return Plan(one_plane, by_rows, one_line, pitch, block, group, tasks, counted, sizes)


def unsupported(spec: PoolSpec) -> str | None:
    if spec.return_indices:
        return "it gives no indices"
    needed = sum(plan(spec, False, True, 1).sizes) * spec.itemsize
    if needed > workspace_limit():
        return f"it needs {needed} bytes to work in, more than the limit of {workspace_limit()}"
    return None


def worth(spec: PoolSpec) -> bool:
    return True


def run(spec: PoolSpec, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None) -> None:
    y_in_planes = y.flags.c_contiguous
    cut = plan(spec, x.flags.c_contiguous and y_in_planes, y_in_planes, get_num_threads())
    if cut.one_plane:
        x, y = x.reshape(1, 1, -1, spec.W), y.reshape(1, 1, -1, spec.Q)
    compiled = (max_windows if spec.op == "max" else avg_windows)[spec.dtype]
    pads = spec.pads[0][0], spec.pads[1][0]
    flags = in_rows(x), in_rows(y), y_in_planes, cut.by_rows, cut.one_line

    def compute(counter: np.ndarray) -> None:
        *divisors, lines, spare, outputs = reserve("pool_separable", spec.dtype, *cut.sizes)
        compiled(
            x, y, *((None, None) if spec.op == "max" else divisors), (spec.R, spec.S), pads, spec.stride,
            spec.dilation, cut.counted, spec.divisor_override or 0, *flags, cut.pitch, cut.block, cut.group, lines,
            spare, outputs, counter, cut.tasks,
        )  # fmt: skip

    share(compute, cut.tasks, (x.size + y.size) // 4)


def in_rows(array: np.ndarray) -> bool:
    """The elements of a row lie side by side, and rows whole elements apart."""
    return array.strides[3] == array.itemsize and array.strides[2] % array.itemsize == 0


ALGORITHM = Algorithm("pool_separable", unsupported, worth, run)
