"""Lines: rows of a workspace that become windows, first in height and then in width. See `pool_separable`.

    load_lines     rows of x become lines: to each, some rows of x are reduced (`rows`)
    widen          windows of one tap, of all lines at once, become windows of many
    join_lines     two windows side by side, and one tap more if it is odd, become one of y

Windows reduce to their maximum where the argument `divisors` is None, else to their sum: a kernel is compiled
for either. Loops over vectors are in functions that are not inlined, since together they would keep addresses
on the stack. Rows that are short are taken in columns, one vector of each after the other.
"""

import numpy as np

from gpuconv.cpu.engine.borders import taps_between
from gpuconv.cpu.engine.compiled import inlined, inner
from gpuconv.cpu.pool.reduction import combine
from gpuconv.cpu.pool.rows import PREFETCH, order
from gpuconv.cpu.simd import (
    even,
    lanes,
    load,
    noinline,
    pointer,
    prefetch_to_write,
    splat,
    store,
    store_part,
)


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
    if S == 1:
        return strided(c, at, stride)
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
