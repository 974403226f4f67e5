"""Where a row of taps, or of outputs, meets the image: the one place that rounds at borders."""

from gpuconv.cpu.engine.compiled import inner, merged


@inner
def taps_between(start, taps, step, begin, end):
    """The taps first <= t < last with begin <= start + t step < end."""
    if start >= begin and start + (taps - 1) * step < end:  # as nearly always: nothing is divided
        return 0, taps
    first = min(max(-quotient(start - begin, step), 0), taps)  # rounded up: division rounds down
    return first, min(max(-quotient(start - end, step), first), taps)


@merged
def quotient(a, b):
    """a // b, without the division, which takes longer than copying a small row, for b = 1, 2, 4 and 8."""
    if b == 1:
        return a
    if b == 2:
        return a >> 1
    if b == 4:
        return a >> 2
    if b == 8:
        return a >> 3
    return a // b
