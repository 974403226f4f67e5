"""Windows along one axis, whose items are alike and lie `step` elements apart: pixels, or rows of pixels.

    reduce_windows    each window from its taps: for few taps, or windows side by side
    double_windows    windows of 1, 2, 4 .. items, each from two of those before, and from these every window:
                      a maximum is that of two which may overlap, a sum of as many as its taps have bits

An item is `size` elements that are reduced apart. A window is its first place of the image and the number of
its taps, of those alone that exist (`spec/windows.py`), so nothing lies around an image. It reduces to its
maximum where the argument `divisors` is None, else to its sum, and with `places` to the first of its maxima,
whose place comes with it: items are reduced in their order. See `pool_channels`.
"""

import numpy as np

from gpuconv.cpu.engine.compiled import inlined, inner
from gpuconv.cpu.pool.reduction import LEVELS, TERMS, combine, complete, push
from gpuconv.cpu.simd import lanes, load, load_part, noinline, pointer_after, store, store_part, zeros
from gpuconv.cpu.simd.places import behind, if_greater, moved, numbered

NOWHERE = -1
PART = 512  # elements of an item that are reduced together


@inner
def reduce_windows(
    to, to_places, to_step, source, places, step, places_step, size, starts, taps, runs, flat, begin, end,
    origin, dilation, number, divisors, waiting,
):  # fmt: skip
    """to[(i - begin) to_step + e] = the reduction of window i; item `origin` is the first at `source`.

    The places are those at `places`, and `number` more. Where items follow each other (`flat`), runs[i]
    windows from i on count as one of larger items; else large items are taken in parts, of which all windows
    find the L1 cache.
    """
    noinline()
    part = size if flat else PART
    for e in range(0, size, part):
        i, count = begin, min(part, size - e)
        while i < end:
            run = min(runs[i], end - i) if flat else 1
            at, first = (i - begin) * to_step + e, starts[i] - origin
            place, result, length = (
                pointer_after(source, first * step + e),
                pointer_after(to, at),
                run * count,
            )
            if taps[i] == 0:
                leave_out(result, behind(to_places, at), length, divisors)
            elif places is not None:
                spot, there = pointer_after(places, first * places_step + e), pointer_after(to_places, at)
                find_first(
                    result, there, place, spot, dilation * step, dilation * places_step, taps[i], length,
                    number,
                )  # fmt: skip
            elif divisors is not None and taps[i] > TERMS:
                add_many(result, place, dilation * step, taps[i], length, divisors, waiting)
            else:
                reduce_taps(result, place, dilation * step, taps[i], length, divisors)
            i += run


@inner
def leave_out(to, to_places, size, divisors):
    """What windows of padding alone are reduced to."""
    noinline()
    for e in range(size):
        to[e] = -np.inf if divisors is None else 0
    if to_places is not None:
        for e in range(0, size, lanes(to)):
            store_part(to_places, e, numbered(to, NOWHERE), size - e)


@inlined
def reduce_taps(to, source, step, taps, size, divisors):
    """to[e] = the reduction of source[t step + e], t < taps, for e < size."""
    L, e = lanes(to), 0
    while e + 4 * L <= size:
        a, b, c, d = load(source, e), load(source, e + L), load(source, e + 2 * L), load(source, e + 3 * L)
        for t in range(1, taps):  # the step of a broadcast array is 0
            at = e + t * step
            a, b = combine(a, load(source, at), divisors), combine(b, load(source, at + L), divisors)
            c = combine(c, load(source, at + 2 * L), divisors)
            d = combine(d, load(source, at + 3 * L), divisors)
        store(to, e, a)
        store(to, e + L, b)
        store(to, e + 2 * L, c)
        store(to, e + 3 * L, d)
        e += 4 * L
    while e + L <= size:
        a = load(source, e)
        for t in range(1, taps):
            a = combine(a, load(source, e + t * step), divisors)
        store(to, e, a)
        e += L
    if e < size:
        a = load_part(source, e, size - e, zeros(to))
        for t in range(1, taps):
            a = combine(a, load_part(source, e + t * step, size - e, zeros(to)), divisors)
        store_part(to, e, a, size - e)


@inner
def add_many(to, source, step, taps, size, divisors, waiting):
    """The same of long sums, pairwise: sums of blocks wait at `waiting`, in room for four vectors."""
    noinline()
    L, e, zero, room = lanes(to), 0, zeros(to), LEVELS * lanes(to)
    while e + 4 * L <= size:
        blocks = 0
        for begin in range(0, taps, TERMS):
            a, b, c, d = zero, zero, zero, zero
            for t in range(begin, min(begin + TERMS, taps)):
                at = e + t * step
                a, b = a + load(source, at), b + load(source, at + L)
                c, d = c + load(source, at + 2 * L), d + load(source, at + 3 * L)
            push(pointer_after(waiting, room), blocks, b)
            push(pointer_after(waiting, 2 * room), blocks, c)
            push(pointer_after(waiting, 3 * room), blocks, d)
            blocks = push(waiting, blocks, a)
        for i in range(4):
            store(to, e + i * L, complete(pointer_after(waiting, i * room), blocks, zero))
        e += 4 * L
    while e < size:
        blocks = 0
        for begin in range(0, taps, TERMS):
            total = zero
            for t in range(begin, min(begin + TERMS, taps)):
                total = total + load_part(source, e + t * step, size - e, zero)
            blocks = push(waiting, blocks, total)
        store_part(to, e, complete(waiting, blocks, zero), size - e)
        e += L


@inlined
def find_first(to, to_places, source, places, step, places_step, taps, size, number):
    """The first of the maxima of source[t step + e], and its place, places[t places_step + e] + number."""
    L, e = lanes(to), 0
    while e + 2 * L <= size:
        a, b, at, spot = load(source, e), load(source, e + L), e, e
        i, j = load(places, e), load(places, e + L)
        for _ in range(1, taps):
            at, spot = at + step, spot + places_step
            value, other = load(source, at), load(source, at + L)
            i = if_greater(value, a, load(places, spot), i)
            j = if_greater(other, b, load(places, spot + L), j)
            a, b = if_greater(value, a, value, a), if_greater(other, b, other, b)
        store(to, e, a)
        store(to, e + L, b)
        store(to_places, e, moved(i, number))
        store(to_places, e + L, moved(j, number))
        e += 2 * L
    while e < size:
        rest, at, spot = size - e, e, e
        a, i = load_part(source, e, rest, zeros(to)), load_part(places, e, rest, zeros(to))
        for _ in range(1, taps):
            at, spot = at + step, spot + places_step
            value = load_part(source, at, rest, zeros(to))
            i = if_greater(value, a, load_part(places, spot, rest, zeros(to)), i)
            a = if_greater(value, a, value, a)
        store_part(to, e, a, rest)
        store_part(to_places, e, moved(i, number), rest)
        e += L


@inner
def double_windows(
    to, to_places, to_step, line, places, items, size, starts, taps, begin, end, origin, dilation, number,
    divisors,
):  # fmt: skip
    """The same from `items` items that follow each other from `line` on, which are written over."""
    noinline()
    width, most = 1, 0  # of the windows in `line`, and of those that are wanted
    for i in range(begin, end):
        most = max(most, taps[i])
        if taps[i] == 0:
            at = (i - begin) * to_step
            leave_out(pointer_after(to, at), behind(to_places, at), size, divisors)
    while width <= most:
        for i in range(begin, end):
            at, first = (i - begin) * to_step, (starts[i] - origin) * size
            result, there = pointer_after(to, at), behind(to_places, at)
            if divisors is None and width <= taps[i] < 2 * width:
                last = first + (taps[i] - width) * dilation * size
                merge(result, there, line, places, first, line, places, last, size, number, divisors)
            if divisors is not None and taps[i] & width:
                done = taps[i] & (width - 1)
                at = first + done * dilation * size
                if done == 0:
                    reduce_taps(result, pointer_after(line, at), size, 1, size, divisors)
                else:
                    merge(result, None, result, None, 0, line, None, at, size, 0, divisors)
        shift, width = width * dilation * size, 2 * width
        if width <= most:
            count = (items - (width - 1) * dilation) * size
            merge(line, places, line, places, 0, line, places, shift, count, 0, divisors)


@inner
def merge(to, to_places, first, first_places, a, second, second_places, b, size, number, divisors):
    """to[e] = the reduction of first[a + e] and second[b + e], for e < size."""
    noinline()
    L = lanes(to)
    full = size - size % L
    for e in range(0, full, L):
        value, other = load(first, a + e), load(second, b + e)
        if to_places is None:
            store(to, e, combine(value, other, divisors))
        else:
            spot = if_greater(other, value, load(second_places, b + e), load(first_places, a + e))
            store(to, e, if_greater(other, value, other, value))
            store(to_places, e, moved(spot, number))
    if full < size:
        rest, nothing = size - full, zeros(to)
        value, other = load_part(first, a + full, rest, nothing), load_part(second, b + full, rest, nothing)
        if to_places is None:
            store_part(to, full, combine(value, other, divisors), rest)
        else:
            i = load_part(first_places, a + full, rest, nothing)
            j = load_part(second_places, b + full, rest, nothing)
            store_part(to, full, if_greater(other, value, other, value), rest)
            store_part(to_places, full, moved(if_greater(other, value, j, i), number), rest)
