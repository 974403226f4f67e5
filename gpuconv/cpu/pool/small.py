"""The commonest windows, in registers from the rows of x to those of y: 2 x 2 at stride 2, 3 x 3 at stride 1.

    2 x 2    a0 a1 a2 a3 ..       the even lanes and the odd lanes of two vectors of a, and of b, reduce to a
             b0 b1 b2 b3 ..       vector of y, in this order; sums do so after a + b, which is quicker
    3 x 3    a0 a1 a2 a3 ..       three rows reduce to one, one vector of it after the other;
             b0 b1 b2 b3 ..       its lanes, those one further and those two further reduce to one of y
             c0 c1 c2 c3 ..

A task is some rows of y, across the ends of planes. What lies outside of the image is the identity of the
reduction: -inf for maxima, 0 for sums. Maxima of 3 x 3 are not reduced in the order of a window, and so their
rows are looked through for negative zeros (see `zeros`). It takes arrays with the elements of a row side by
side, and means with one divisor for all; `pool_separable` takes the others.

Measured on 2026-11-22 on one core of an AMD EPYC (Zen 5, AVX-512), float32, in us; a copy is of the input:

    planes, window / stride    here    copy    PyTorch 2.13
    max  1 x 64 x 224 x 224   2 / 2     151     302    14465
         1 x 512 x 28 x 28    2 / 2      24      31     1734
         8 x 192 x 28 x 28    3 / 1     221      98    23909
         1 x 1 x 2048 x 2048  3 / 1     793     593    83065
    mean 8 x 128 x 56 x 56    2 / 2     182     331     4864
         64 x 16 x 10 x 10    2 / 2       9       4      154
         8 x 192 x 35 x 35    3 / 1     310     130    13636

Down columns of vectors, or with a plane as one long row, 3 x 3 on 28 x 28 takes 6 and 27 % longer.
"""

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.compiled import TASKS, Kernel, inlined, inner, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_rows, is_contiguous
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.pool.reduction import combine, noticed
from gpuconv.cpu.pool.taken import TAKEN
from gpuconv.cpu.pool.zeros import settle_zeros
from gpuconv.cpu.simd import (
    LANES,
    claim,
    even,
    from_last,
    from_one,
    has_negative_zero,
    lanes,
    least_bits,
    load,
    load_part,
    noinline,
    odd,
    pointer,
    pointer_after,
    prefetch,
    prefetch_to_write,
    splat,
    store,
    store_part,
    zeros,
)
from gpuconv.spec import PoolSpec
from gpuconv.spec.layouts import PoolLayouts
from gpuconv.workspace import beyond_limit

PREFETCH = 1024  # elements ahead of those that are read or written
TASKS_PER_THREAD = 8


def _signature(divisor):
    """Argument types of `pool_rows`, where `divisor(scalar)` is the type of the divisor."""
    return lambda scalar: (
        source(scalar, 4), target(scalar, 4), divisor(scalar), *[numba.int64] * 4, numba.boolean,
        workspace(scalar), *TASKS,
    )  # fmt: skip


def pool_rows(x, y, divisor, window, top, left, block, tall, identity, counter, tasks):
    """Maxima if `divisor` is None; else sums divided by it. `identity` has a row of x and a vector.

    `tall`: the planes of all images count as one, of so many rows.
    """
    N, C, H, W = x.shape
    P, Q = y.shape[2:]
    if tall:
        N, C, P = 1, 1, N * C * P
    pitch, y_pitch = x.strides[2] // x.itemsize, y.strides[2] // y.itemsize
    for i in range(identity.size):
        identity[i] = -np.inf if divisor is None else 0
    outside = pointer(identity, 0)
    while True:
        task = claim(counter)
        if task >= tasks:
            break
        remaining = min(block, N * C * P - task * block)
        plane, p = task * block // P, task * block % P
        n, c = plane // C, plane % C
        while remaining > 0:
            rows = min(P - p, remaining)
            image, to = pointer(x[n, c], 0), pointer(y[n, c], p * y_pitch)
            if window == 2:
                halve(pointer_after(image, 2 * p * pitch), pitch, to, y_pitch, rows, Q, outside, divisor)
            else:
                found = slide(image, pitch, p - top, H, W, to, y_pitch, rows, Q, left, outside, divisor)
                if found:
                    settle_zeros(x[n, c], y[n, c], p, p + rows, (3, 3), (top, left), (1, 1), (1, 1))
            remaining -= rows
            p, c = 0, c + 1
            if c == C:
                n, c = n + 1, 0


max_rows = Kernel(pool_rows, _signature(lambda scalar: numba.none))
mean_rows = Kernel(pool_rows, _signature(lambda scalar: scalar))


@inner
def halve(x, pitch, y, y_pitch, rows, Q, outside, divisor):
    """Windows of 2 x 2 at stride 2: `rows` rows of Q results, from twice as many rows from x on."""
    noinline()
    width, identity = lanes(x), load(outside, 0)
    full = Q - Q % width
    for i in range(rows):
        a, to = pointer_after(x, 2 * i * pitch), pointer_after(y, i * y_pitch)
        b = pointer_after(a, pitch)
        for q in range(0, full, width):
            at, then = 2 * q, 2 * q + width
            prefetch(a, at + PREFETCH)
            prefetch(b, at + PREFETCH)
            prefetch(a, then + PREFETCH)
            prefetch(b, then + PREFETCH)
            total = halved(load(a, at), load(a, then), load(b, at), load(b, then), divisor)
            store(to, q, finished(total, identity, divisor))
        if full < Q:
            at, count = 2 * full, 2 * (Q - full)
            first, third = load_part(a, at, count, identity), load_part(b, at, count, identity)
            second, fourth = first, third
            if count > width:
                second = load_part(a, at + width, count - width, identity)
                fourth = load_part(b, at + width, count - width, identity)
            total = halved(first, second, third, fourth, divisor)
            store_part(to, full, finished(total, identity, divisor), Q - full)


@inlined
def halved(first, second, third, fourth, divisor):
    """Neighbouring lanes of two vectors of a row, and of two below, reduced; maxima in the window's order."""
    if divisor is not None:
        left, right = first + third, second + fourth
        return even(left, right) + odd(left, right)
    above = combine(even(first, second), odd(first, second), divisor)
    return combine(above, combine(even(third, fourth), odd(third, fourth), divisor), divisor)


@inlined
def finished(total, identity, divisor):
    """A mean from a sum, which is no negative zero then; a maximum as it is."""
    return total if divisor is None else (total + identity) / splat(divisor)


@inner
def slide(x, pitch, h, H, W, y, y_pitch, rows, Q, left, outside, divisor):
    """Windows of 3 x 3 at stride 1: `rows` rows of Q results, the first of rows h, h + 1 and h + 2 of x.

    True if there is a negative zero among maxima.
    """
    noinline()
    identity, seen = load(outside, 0), zeros(x)
    for i in range(h + 1, h + 1 + rows):
        b = pointer_after(x, i * pitch)
        a = pointer_after(b, -pitch) if i > 0 else outside
        c = pointer_after(b, pitch) if i + 1 < H else outside
        b = b if i < H else outside
        if divisor is None:
            seen = least_of(b, W, least_of(a, W, seen)) if i == h + 1 else seen
        seen = slide_along(a, b, c, W, y, Q, left, identity, divisor, seen)
        y = pointer_after(y, y_pitch)
    return has_negative_zero(seen)


@inlined
def least_of(place, count, seen):
    """The least of the bits of `seen` and of `count` elements, lane by lane."""
    width = lanes(place)
    full = count - count % width
    for v in range(0, full, width):
        prefetch(place, v + PREFETCH)
        seen = least_bits(seen, load(place, v))
    return least_bits(seen, load_part(place, full, count - full, seen))


@inlined
def slide_along(a, b, c, W, y, Q, left, identity, divisor, seen):
    """y[q] = the reduction of the columns from q - left to q - left + 2 of three rows.

    `seen` comes back with the negative zeros of the last of them.
    """
    width = lanes(y)
    last = (Q - 1) // width * width  # where the last vector of y begins
    middle = 1 - left  # from a vector of y to the middle columns of its windows
    before = identity
    if left == 0:
        before = from_one(identity, three_ends(a, b, c, 0, W, identity, divisor))
        seen = noticed(seen, load_part(c, 0, W, identity), divisor)
    seen = noticed(seen, load_part(c, middle, W - middle, identity), divisor)
    here = three_ends(a, b, c, middle, W, identity, divisor)
    for q in range(0, last - width, width):
        prefetch_to_write(y, q + PREFETCH)
        after = three_rows(a, b, c, q + width + middle, divisor)
        seen = noticed(seen, load(c, q + width + middle), divisor)
        store(y, q, slid(before, here, after, identity, divisor))
        before, here = here, after
    if last > 0:
        after = three_ends(a, b, c, last + middle, W, identity, divisor)
        seen = noticed(seen, load_part(c, last + middle, W - last - middle, identity), divisor)
        store(y, last - width, slid(before, here, after, identity, divisor))
        before, here = here, after
    prefetch_to_write(y, last + PREFETCH)
    after = identity
    if last + width + middle < W:
        after = three_ends(a, b, c, last + width + middle, W, identity, divisor)
        seen = noticed(
            seen, load_part(c, last + width + middle, W - last - width - middle, identity), divisor
        )
    store_part(y, last, slid(before, here, after, identity, divisor), Q - last)
    return seen


@inlined
def three_rows(a, b, c, at, divisor):
    """Three rows reduced, from column `at` on."""
    prefetch(c, at + PREFETCH)
    return combine(combine(load(a, at), load(c, at), divisor), load(b, at), divisor)


@inlined
def three_ends(a, b, c, at, W, identity, divisor):
    """The same of rows of W columns."""
    prefetch(c, at + PREFETCH)
    first, second = load_part(a, at, W - at, identity), load_part(b, at, W - at, identity)
    return combine(combine(first, load_part(c, at, W - at, identity), divisor), second, divisor)


@inlined
def slid(before, here, after, identity, divisor):
    """Three neighbouring lanes reduced, those in the middle being `here`."""
    total = combine(combine(from_last(before, here), here, divisor), from_one(here, after), divisor)
    return finished(total, identity, divisor)


def unsupported(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> str | None:
    if not (in_rows(layouts.x) and in_rows(layouts.y)):
        return "it takes arrays with the elements of a row side by side"
    borders = [border for pads in spec.pads for border in pads]
    halves = (spec.R, spec.S, spec.stride) == (2, 2, (2, 2)) and not any(borders)
    slides = (spec.R, spec.S, spec.stride) == (3, 3, (1, 1)) and max(borders) <= 1
    whole = not halves or (2 * spec.P <= spec.H and 2 * spec.Q <= spec.W)
    if spec.dilation != (1, 1) or not (halves or slides) or not whole or 0 in (spec.H, spec.W):
        return "it takes windows of 2x2 at stride 2, whole, and of 3x3 at stride 1, with at most 1 of padding"
    one_divisor = spec.count_include_pad or spec.divisor_override is not None or not any(borders)
    if spec.reduction == "mean" and not one_divisor:
        return "it divides all sums by the same"
    return beyond_limit(_size(spec) * spec.itemsize)


def worth(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> bool:
    return True


def _size(spec: PoolSpec) -> int:
    """Elements of the workspace: a row of x, and a vector."""
    return spec.W + LANES[spec.dtype]


def rows_of_task(spec: PoolSpec, threads: int) -> int:
    """Rows of y in a task."""
    rows = spec.N * spec.C * spec.P
    return max(1, rows if threads == 1 else -(-rows // (TASKS_PER_THREAD * threads)))


def plan(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> Run:
    x, y = layouts.x, layouts.y
    planes = spec.N * spec.C
    tall = is_contiguous(x) and is_contiguous(y) and spec.R == 2 and 2 * spec.P == spec.H
    block = rows_of_task(spec, device.threads)
    maxima = spec.reduction == "max"
    return bind(
        max_rows if maxima else mean_rows, spec.dtype,
        tasks=-(-planes * spec.P // block),
        work=planes * spec.H * spec.W // 2 * (1 if spec.R == 2 else 3),  # two threads beat one from 100 us on
        constants={
            "divisor": None if maxima else spec.divisor_override or spec.R**2, "window": spec.R,
            "top": spec.pads[0][0], "left": spec.pads[1][0], "block": block,
            "tall": tall,
        },
        workspaces={"identity": _size(spec)},
    )  # fmt: skip


ALGORITHM = Algorithm(
    "pool_small", TAKEN, unsupported, worth, plan,
    fast_for="windows of 2x2 at stride 2 and of 3x3 at stride 1: maxima 72 to 108 times as fast as "
    "PyTorch's, averages 17 to 44 times (one core of an AMD EPYC, Zen 5, 2026-11-22)",
)  # fmt: skip
