"""Lines: rows of a workspace that become windows, first in height and then in width. See `pool_separable`.

    load_lines     rows of x become lines: to each, some rows of x are reduced
    widen          windows of one tap, of all lines at once, become windows of many
    join_lines     two windows side by side, and one tap more if it is odd, become one of y

Windows reduce to their maximum where the argument `divisors` is None, else to their sum: a kernel is compiled
for either. Loops over vectors are in functions that are not inlined, since together they would keep addresses
on the stack. Rows that are short are taken in columns, one vector of each after the other.
"""

import numpy as np

from gpuconv.cpu.engine.borders import taps_between
from gpuconv.cpu.engine.compiled import inlined, inner, merged
from gpuconv.cpu.simd import (
    even,
    greatest,
    lanes,
    load,
    load_between,
    noinline,
    pointer,
    pointer_after,
    prefetch,
    prefetch_to_write,
    splat,
    store,
    store_part,
)

PREFETCH = 4096  # elements ahead of those that are read or written
SHORT = 4  # vectors of a row, below which rows are taken in columns


@inlined
def combine(a, b, divisors):
    """The reduction of two vectors, lane by lane."""
    return greatest(a, b) if divisors is None else a + b


@inner
def divide(divisors, count, taps, stride, dilation, start, counted, override):
    """divisors[i] = how many taps of the window at start + i stride count, or `override` if it is not 0.

    For i < count; what lies behind is the same again.
    """
    for i in range(count):
        first, last = taps_between(start + i * stride, taps, dilation, counted[0], counted[1])
        divisors[i] = override if override != 0 else max(last - first, 1)
    for i in range(count, divisors.size):
        divisors[i] = divisors[i - count]


@inner
def fill_borders(line, pitch, left, columns, divisors):
    """What lies outside of the image in each line."""
    noinline()
    for at in range(0, line.size - pitch + 1, pitch):
        for v in range(at, at + left):
            line[v] = -np.inf if divisors is None else 0
        for v in range(at + left + columns, at + pitch):
            line[v] = -np.inf if divisors is None else 0


@merged
def load_lines(
    line, pitch, at, count, x, plane, planes, h, advance, step, taps, columns, in_rows, divisors
):  # fmt: skip
    """line[at + i pitch + v] = the reduction of rows h + i advance + r step of x, r < taps, in column v.

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
            if first < last and in_rows:
                place, image = pointer(line, to), pointer(x[n, c], start * row)
                reduce_rows(
                    place, pitch, image, advance * row, step * row, rows, last - first, columns, divisors
                )
            else:
                reduce_elements(
                    line, to, pitch, x[n, c], start, advance, step, rows, last - first, columns, divisors
                )
            to += count * pitch
            c += 1
            if c == C:
                n, c = n + 1, 0
        i += rows


@inner
def reduce_elements(line, at, pitch, image, h, advance, step, count, taps, columns, divisors):
    """The same for `count` lines of one plane: of rows whose elements are not adjacent, or of none."""
    noinline()
    for i in range(count):
        for v in range(columns):
            total = image.dtype.type(-np.inf if divisors is None else 0)
            for r in range(taps):
                value = image[h + i * advance + r * step, v]
                if divisors is not None:
                    total += value
                elif value > total or value != value:
                    total = value
            line[at + i * pitch + v] = total


@merged
def reduce_rows(to, pitch, place, advance, step, count, taps, columns, divisors):
    """to[i pitch + v] = the reduction of place[i advance + r step + v], r < taps; i < count, v < columns."""
    second, third = pointer_after(place, step), pointer_after(place, 2 * step)
    if taps == 1:
        copy(to, pitch, place, advance, count, columns)
    elif taps == 2:
        merge_rows(to, pitch, place, advance, second, None, advance, count, columns, divisors)
    else:
        merge_rows(to, pitch, place, advance, second, third, advance, count, columns, divisors)
    r = 3
    while r + 1 < taps:
        second, third = pointer_after(place, r * step), pointer_after(place, (r + 1) * step)
        merge_rows(to, pitch, to, pitch, second, third, advance, count, columns, divisors)
        r += 2
    if r < taps:
        last = pointer_after(place, r * step)
        merge_rows(to, pitch, to, pitch, last, None, advance, count, columns, divisors)


@inlined
def order(rows, vectors, width):
    """Two loops over rows i and columns v of vectors: their lengths, and how far each goes in i and in v."""
    if rows > vectors and vectors < SHORT:
        return vectors, rows, 0, 1, width, 0
    return rows, vectors, 1, 0, 0, width


@inner
def copy(to, pitch, a, a_pitch, rows, columns):
    """to[i pitch + v] = a[i a_pitch + v] for i < rows and v < columns."""
    noinline()
    width = lanes(to)
    rest, full = columns % width, columns - columns % width
    for i in range(rows):
        for v in range(0, full, width):
            prefetch(a, i * a_pitch + v + PREFETCH)
            store(to, i * pitch + v, load(a, i * a_pitch + v))
    if rest > 0:
        for i in range(rows):
            store_part(to, i * pitch + full, load_between(a, i * a_pitch + full, 0, rest), rest)


@inner
def merge_rows(to, pitch, a, a_pitch, b, c, b_pitch, rows, columns, divisors):
    """to[i pitch + v] = the reduction of a[i a_pitch + v], b[i b_pitch + v] and c, if there is one."""
    noinline()
    width = lanes(to)
    rest, full = columns % width, columns - columns % width
    outer, count, i_outer, i_step, v_outer, v_step = order(rows, columns // width, width)
    for o in range(outer):
        for k in range(count):
            i, v = o * i_outer + k * i_step, o * v_outer + k * v_step
            prefetch(b, i * b_pitch + v + PREFETCH)
            more = load(b, i * b_pitch + v)
            if c is None:
                prefetch(a, i * a_pitch + v + PREFETCH)
            else:  # a has been read by the lines before, or written
                prefetch(c, i * b_pitch + v + PREFETCH)
                more = combine(more, load(c, i * b_pitch + v), divisors)
            store(to, i * pitch + v, combine(load(a, i * a_pitch + v), more, divisors))
    if rest > 0:
        for i in range(rows):
            more = load_between(b, i * b_pitch + full, 0, rest)
            if c is not None:
                more = combine(more, load_between(c, i * b_pitch + full, 0, rest), divisors)
            first = load_between(a, i * a_pitch + full, 0, rest)
            store_part(to, i * pitch + full, combine(first, more, divisors), rest)


@inner
def widen(line, result, taps, step, count, divisors):
    """result[i] = the reduction of line[i + t step], t < taps, for i < count and taps > 1."""
    noinline()
    one, source, to = pointer(line, 0), pointer(line, 0), pointer(result, 0)
    width, bit = 1, 1  # taps of the windows in source; the bits of `taps` say when there is one tap more
    while 2 * bit <= taps:
        bit *= 2
    while bit > 1:
        bit //= 2
        odd = taps & bit != 0
        wider = 2 * width + odd
        for i in range(0, count + (taps - wider) * step, lanes(to)):
            total = combine(load(source, i), load(source, i + width * step), divisors)
            if odd:
                total = combine(total, load(one, i + 2 * width * step), divisors)
            store(to, i, total)  # also where source is result: what lies before i is not needed again
        source, width = to, wider


@inner
def join_lines(
    widened, whole, at, step, lines, S, shift, stride, place, pitch, count, divisors, row_divisors
):  # fmt: skip
    """place[i pitch + q] = the reduction of the S taps from at + i step + q stride on; i < lines, q < count.

    They are two windows of S // 2 taps in `widened`, `shift` apart, and if S is odd, one tap of `whole`.
    """
    noinline()
    a, b, c = pointer(widened, at), pointer(widened, at + shift), pointer(whole, at + 2 * shift)
    width = lanes(place)
    rest, full = count % width, count - count % width
    outer, inner_count, i_outer, i_step, q_outer, q_step = order(lines, count // width, width)
    for o in range(outer):
        for k in range(inner_count):
            i, q = o * i_outer + k * i_step, o * q_outer + k * q_step
            prefetch_to_write(place, i * pitch + q + PREFETCH)
            total = window(a, b, c, i * step + q * stride, S, stride, divisors)
            store(place, i * pitch + q, divided(total, divisors, row_divisors, q, i))
    if rest > 0:
        for i in range(lines):
            total = window(a, b, c, i * step + full * stride, S, stride, divisors)
            store_part(place, i * pitch + full, divided(total, divisors, row_divisors, full, i), rest)


@inlined
def window(a, b, c, at, S, stride, divisors):
    """A vector of complete windows."""
    total = combine(strided(a, at, stride), strided(b, at, stride), divisors)
    return combine(total, strided(c, at, stride), divisors) if S % 2 == 1 else total


@inlined
def strided(place, at, stride):
    """The vector of place[at + i stride], for a stride of 1 or 2."""
    first = load(place, at)
    return first if stride == 1 else even(first, load(place, at + lanes(place)))


@inlined
def divided(total, divisors, row_divisors, q, i):
    """A mean from a sum, where no zero is negative; a maximum as it is."""
    if divisors is None:
        return total
    return (total + splat(divisors.dtype.type(0))) / (load(pointer(divisors, 0), q) * splat(row_divisors[i]))


@inner
def pick_line(result, p, line, at, stride, divisors, row_divisor):
    """result[p, q] = line[at + q stride]: windows that are complete."""
    for q in range(result.shape[1]):
        value = line[at + q * stride]
        result[p, q] = value if divisors is None else (value + 0) / (divisors[q] * row_divisor)
