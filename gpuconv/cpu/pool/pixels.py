"""Rows of pixels reduced along the row, for `pool_channels`."""

from gpuconv.cpu.engine.compiled import inner
from gpuconv.cpu.pool.along import double_windows, reduce_taps, reduce_windows
from gpuconv.cpu.simd import pointer_after
from gpuconv.cpu.simd.places import behind


@inner
def seen(starts, taps, dilation, begin, end):
    """From which place of an axis on, and to which, windows have taps."""
    first, last = 0, 0
    for i in range(begin, end):
        if taps[i] > 0:
            stop = starts[i] + (taps[i] - 1) * dilation + 1
            first = starts[i] if last == 0 else min(first, starts[i])
            last = max(last, stop)
    return first, last


@inner
def reduce_rows(
    to, to_places, place, pitch, step, columns, line, line_places, h_begin, h_end, W, q_begin, q_end, width,
    used, starts, taps, runs, doubled, flat, dilation, divisors, waiting,
):  # fmt: skip
    """to[h - h_begin][q - q_begin] = the reduction of window q of row h, of pixels that lie `step` apart."""
    v_begin, v_end = 0, W
    if doubled:
        v_begin, v_end = seen(starts, taps, dilation, q_begin, q_end)
    for h in range(h_begin, h_end):
        if not used[h]:
            continue
        at = (h - h_begin) * (q_end - q_begin) * width
        result, there = pointer_after(to, at), behind(to_places, at)
        row = pointer_after(place, (h - h_begin) * pitch)
        if not doubled:
            reduce_windows(
                result, there, width, row, columns, step, width, width, starts, taps, runs, flat, q_begin,
                q_end, 0, dilation, h * W, divisors, waiting,
            )  # fmt: skip
            continue
        copy_pixels(line, pointer_after(row, v_begin * step), step, v_end - v_begin, width, flat)
        if line_places is not None:
            numbers = pointer_after(columns, v_begin * width)
            copy_pixels(line_places, numbers, width, v_end - v_begin, width, True)
        double_windows(
            result, there, width, line, line_places, v_end - v_begin, width, starts, taps, q_begin, q_end,
            v_begin, dilation, h * W, divisors,
        )  # fmt: skip


@inner
def copy_pixels(to, source, step, count, width, flat):
    """to[v][e] = source[v step + e]."""
    if flat:
        reduce_taps(to, source, step, 1, count * width, None)
        return
    for v in range(count):
        reduce_taps(pointer_after(to, v * width), pointer_after(source, v * step), step, 1, width, None)
