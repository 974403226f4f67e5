"""Windows of few taps, each in registers from pixels of channels to its result. See `pool_channels`."""

import numpy as np

from gpuconv.cpu.engine.compiled import inlined, inner
from gpuconv.cpu.pool.reduction import combine
from gpuconv.cpu.simd import filled, lanes, load, load_part, noinline, pointer_after, store, store_part


@inner
def reduce_pixels(
    to, to_step, place, pitch, step, width, row_starts, row_taps, column_starts, column_taps, dilation,
    p_begin, p_end, q_begin, q_end, h_begin, row_counts, column_counts,
):  # fmt: skip
    """to[p - p_begin][q - q_begin] = the maxima, or means, of a window; row h_begin is at `place`."""
    noinline()
    h_step, v_step = dilation[0] * pitch, dilation[1] * step
    for p in range(p_begin, p_end):
        row = pointer_after(place, (row_starts[p] - h_begin) * pitch)
        for q in range(q_begin, q_end):
            result = pointer_after(to, (p - p_begin) * to_step + (q - q_begin) * width)
            first = pointer_after(row, column_starts[q] * step)
            divisor = filled(to, 1 if column_counts is None else row_counts[p] * column_counts[q])
            reduce_pixel(
                result, first, row_taps[p], h_step, column_taps[q], v_step, width, divisor, column_counts
            )  # fmt: skip


@inlined
def reduce_pixel(to, place, rows, h_step, columns, v_step, width, divisor, divisors):
    """One window, of vectors of channels."""
    L, e, start = lanes(to), 0, filled(to, -np.inf if divisors is None else 0)
    while e + 4 * L <= width:
        a, b, c, d = start, start, start, start
        for r in range(rows):
            for s in range(columns):
                at = e + r * h_step + s * v_step
                a, b = combine(a, load(place, at), divisors), combine(b, load(place, at + L), divisors)
                c = combine(c, load(place, at + 2 * L), divisors)
                d = combine(d, load(place, at + 3 * L), divisors)
        store(to, e, a if divisors is None else a / divisor)
        store(to, e + L, b if divisors is None else b / divisor)
        store(to, e + 2 * L, c if divisors is None else c / divisor)
        store(to, e + 3 * L, d if divisors is None else d / divisor)
        e += 4 * L
    while e < width:
        a = start
        for r in range(rows):
            for s in range(columns):
                a = combine(a, load_part(place, e + r * h_step + s * v_step, width - e, start), divisors)
        store_part(to, e, a if divisors is None else a / divisor, width - e)
        e += L
