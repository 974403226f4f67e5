"""Rows of x become lines: each line is some rows of x, reduced in height. See `pool_separable`.

A line of maxima may have the sign of any zero among equals, and so each function says whether there is a
negative zero in what it has read: then `zeros` gives each result that is zero the sign of the first. A sum of
many rows is added pairwise (`reduction`): blocks of TERMS rows wait for their neighbours in lines of their
own.
"""

import math

import numpy as np

from gpuconv.cpu.engine.borders import taps_between
from gpuconv.cpu.engine.compiled import inlined, inner, merged
from gpuconv.cpu.pool.reduction import TERMS, combine, complete_number, noticed, push_number
from gpuconv.cpu.simd import (
    has_negative_zero,
    lanes,
    load,
    load_between,
    noinline,
    pointer,
    pointer_after,
    prefetch,
    store,
    store_part,
    zeros,
)

PREFETCH = 4096  # elements ahead of those that are read
SHORT = 4  # vectors of a row, below which rows are taken in columns


@merged
def load_lines(
    line, pitch, at, count, x, plane, planes, h, advance, step, taps, columns, in_rows, divisors, waiting
):  # fmt: skip
    """line[at + i pitch + v] = the reduction of rows h + i advance + r step of x, r < taps, in column v.

    For i < count, and further planes behind. True if there is a negative zero in these rows, and it counts.
    """
    C, H = x.shape[1:3]
    row = x.strides[2] // x.itemsize
    i, found = 0, False
    while i < count:
        start = h + i * advance
        first, last = taps_between(start, taps, step, 0, H)
        rows = 1
        if last - first == taps:  # so it is for the next lines too
            rows = min(count - i, (H - 1 - start - (taps - 1) * step) // advance + 1)
        start += first * step
        n, c, to = plane // C, plane % C, at + i * pitch
        for _ in range(planes):
            if first < last and in_rows:
                place, image = pointer(line, to), pointer(x[n, c], start * row)
                found |= reduce_rows(
                    place, pitch, image, advance * row, step * row, rows, last - first, columns, divisors,
                    waiting,
                )  # fmt: skip
            else:
                found |= reduce_elements(
                    line, to, pitch, x[n, c], start, advance, step, rows, last - first, columns, divisors,
                    waiting,
                )  # fmt: skip
            to += count * pitch
            c += 1
            if c == C:
                n, c = n + 1, 0
        i += rows
    return found


@inner
def reduce_elements(line, at, pitch, image, h, advance, step, count, taps, columns, divisors, waiting):
    """The same for `count` lines of one plane: of rows whose elements are not adjacent, or of none."""
    noinline()
    found = False
    for i in range(count):
        for v in range(columns):
            total, terms, blocks = image.dtype.type(-np.inf if divisors is None else 0), 0, 0
            for r in range(taps):
                value = image[h + i * advance + r * step, v]
                if divisors is None:
                    found |= value == 0 and math.copysign(1.0, value) < 0
                    if value > total or value != value:
                        total = value
                    continue
                if terms == TERMS:
                    blocks, total, terms = push_number(waiting, blocks, total), image.dtype.type(0), 0
                total += value
                terms += 1
            line[at + i * pitch + v] = total if divisors is None else complete_number(waiting, blocks, total)
    return found


@merged
def reduce_rows(to, pitch, place, advance, step, count, taps, columns, divisors, waiting):
    """to[i pitch + v] = the reduction of place[i advance + r step + v], r < taps; i < count, v < columns."""
    if divisors is None or taps <= TERMS:
        return reduce_block(to, pitch, place, advance, step, count, taps, columns, divisors)
    for i in range(count):
        line, rows = pointer_after(to, i * pitch), pointer_after(place, i * advance)
        add_blocks(line, pitch, rows, step, taps, columns, divisors, pointer(waiting, 0))
    return False


@inner
def reduce_block(to, pitch, place, advance, step, count, taps, columns, divisors):
    """The same, one row after the other."""
    second, third = pointer_after(place, step), pointer_after(place, 2 * step)
    if taps == 1:
        found = copy(to, pitch, place, advance, count, columns, divisors)
    elif taps == 2:
        found = merge_rows(to, pitch, place, advance, second, None, advance, count, columns, divisors)
    else:
        found = merge_rows(to, pitch, place, advance, second, third, advance, count, columns, divisors)
    r = 3
    while r + 1 < taps:
        second, third = pointer_after(place, r * step), pointer_after(place, (r + 1) * step)
        found |= merge_rows(to, pitch, to, pitch, second, third, advance, count, columns, divisors)
        r += 2
    if r < taps:
        last = pointer_after(place, r * step)
        found |= merge_rows(to, pitch, to, pitch, last, None, advance, count, columns, divisors)
    return found


@inner
def add_blocks(to, pitch, place, step, taps, columns, divisors, waiting):
    """to[v] = the sum of place[r step + v], r < taps, of one line, pairwise; lines wait behind the first."""
    noinline()
    blocks = 0
    for r in range(0, taps, TERMS):
        rows = pointer_after(place, r * step)
        reduce_block(waiting, pitch, rows, 0, step, 1, min(TERMS, taps - r), columns, divisors)
        level = 0
        while blocks >> level & 1:
            other = pointer_after(waiting, (level + 1) * pitch)
            merge_rows(waiting, pitch, other, pitch, waiting, None, pitch, 1, columns, divisors)
            level += 1
        copy(pointer_after(waiting, (level + 1) * pitch), pitch, waiting, pitch, 1, columns, divisors)
        blocks += 1
    level = 0
    while not blocks >> level & 1:
        level += 1
    copy(to, pitch, pointer_after(waiting, (level + 1) * pitch), pitch, 1, columns, divisors)
    level += 1
    while blocks >> level > 0:
        if blocks >> level & 1:
            other = pointer_after(waiting, (level + 1) * pitch)
            merge_rows(to, pitch, other, pitch, to, None, pitch, 1, columns, divisors)
        level += 1


@inlined
def order(rows, vectors, width):
    """Two loops over rows i and columns v of vectors: their lengths, and how far each goes in i and in v."""
    if rows > vectors and vectors < SHORT:
        return vectors, rows, 0, 1, width, 0
    return rows, vectors, 1, 0, 0, width


@inner
def copy(to, pitch, a, a_pitch, rows, columns, divisors):
    """to[i pitch + v] = a[i a_pitch + v] for i < rows and v < columns; True if there is a negative zero."""
    noinline()
    width = lanes(to)
    rest, full = columns % width, columns - columns % width
    seen = zeros(to)
    for i in range(rows):
        for v in range(0, full, width):
            prefetch(a, i * a_pitch + v + PREFETCH)
            value = load(a, i * a_pitch + v)
            seen = noticed(seen, value, divisors)
            store(to, i * pitch + v, value)
    if rest > 0:
        for i in range(rows):
            value = load_between(a, i * a_pitch + full, 0, rest)
            seen = noticed(seen, value, divisors)
            store_part(to, i * pitch + full, value, rest)
    return has_negative_zero(seen)


@inner
def merge_rows(to, pitch, a, a_pitch, b, c, b_pitch, rows, columns, divisors):
    """to[i pitch + v] = the reduction of a[i a_pitch + v], b[i b_pitch + v] and c, if there is one.

    True if there is a negative zero in them.
    """
    noinline()
    width = lanes(to)
    rest, full = columns % width, columns - columns % width
    outer, count, i_outer, i_step, v_outer, v_step = order(rows, columns // width, width)
    seen = zeros(to)
    for o in range(outer):
        for k in range(count):
            i, v = o * i_outer + k * i_step, o * v_outer + k * v_step
            prefetch(b, i * b_pitch + v + PREFETCH)
            first, more = load(a, i * a_pitch + v), load(b, i * b_pitch + v)
            seen = noticed(noticed(seen, first, divisors), more, divisors)
            if c is None:
                prefetch(a, i * a_pitch + v + PREFETCH)
            else:  # a has been read by the lines before, or written
                prefetch(c, i * b_pitch + v + PREFETCH)
                last = load(c, i * b_pitch + v)
                seen = noticed(seen, last, divisors)
                more = combine(more, last, divisors)
            store(to, i * pitch + v, combine(first, more, divisors))
    if rest > 0:
        for i in range(rows):
            first, more = (
                load_between(a, i * a_pitch + full, 0, rest),
                load_between(b, i * b_pitch + full, 0, rest),
            )
            seen = noticed(noticed(seen, first, divisors), more, divisors)
            if c is not None:
                last = load_between(c, i * b_pitch + full, 0, rest)
                seen = noticed(seen, last, divisors)
                more = combine(more, last, divisors)
            store_part(to, i * pitch + full, combine(first, more, divisors), rest)
    return has_negative_zero(seen)
