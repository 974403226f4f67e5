"""What some pixels see of channels-last images, copied: a run of channels for each pixel and row of taps."""

from gpuconv.cpu.engine.borders import taps_between
from gpuconv.cpu.engine.compiled import inner, merged
from gpuconv.cpu.simd import lanes, load, load_part, pointer, pointer_after, prefetch, store, zeros

PLACE = 5  # numbers of a pixel
LINE = 16  # elements of a line of the cache, or half of one


@inner
def locate(pixels, j, count, P, Q, pads, stride):
    """(n, h, v, p, q) of each pixel: its image, where the first tap of its window is, and where it goes."""
    n, p, q = j // (P * Q), j // Q % P, j % Q
    for i in range(count):
        at = PLACE * i
        pixels[at], pixels[at + 3], pixels[at + 4] = n, p, q
        pixels[at + 1], pixels[at + 2] = p * stride[0] - pads[0], q * stride[1] - pads[1]
        q += 1
        if q == Q:
            p, q = p + 1, 0
        if p == P:
            n, p = n + 1, 0


@inner
def taps_seen(pixels, count, axis, extent, taps, dilation, finite):
    """The taps of an axis that any of the pixels sees; all of them if zeros must be multiplied."""
    if not finite:
        return 0, taps
    first, last = taps, 0
    for i in range(count):
        some = taps_between(pixels[PLACE * i + 1 + axis], taps, dilation, 0, extent)
        if some[0] < some[1]:
            first, last = min(first, some[0]), max(last, some[1])
    return min(first, last), last


@inner
def copy_windows(x, c, C, pixels, count, r, rows, s, s_end, dilation, panel):
    """panel[pixel, row, (s, c)] = what `rows` rows of taps from r on, and taps s to s_end, see of C channels.

    Whole vectors are written, in order, so that what goes beyond a run is written again.
    """
    H, W = x.shape[2:]
    image, line = x.strides[0] // x.itemsize, x.strides[2] // x.itemsize
    pixel = x.strides[3] // x.itemsize
    follow = dilation[1] == 1 and pixel == C
    source, to = pointer(x[0, c], 0), pointer(panel, 0)
    for i in range(count):
        n, v = pixels[PLACE * i], pixels[PLACE * i + 2]
        begin, end = taps_between(v, s_end, dilation[1], 0, W)
        begin = max(s, begin)
        end = max(begin, end)
        for row in range(r, r + rows):
            h = pixels[PLACE * i + 1] + row * dilation[0]
            if not 0 <= h < H or begin == end:
                to = filled_run(to, (s_end - s) * C)
                continue
            place = pointer_after(source, n * image + h * line + (v + begin * dilation[1]) * pixel)
            if s < begin:
                to = filled_run(to, (begin - s) * C)
            if follow:
                to = copied_run(to, place, (end - begin) * C)
            else:
                for t in range(end - begin):
                    to = copied_run(to, pointer_after(place, t * dilation[1] * pixel), C)
            if end < s_end:
                to = filled_run(to, (s_end - end) * C)


@inner
def fetch_runs(place, apart, count, length):
    """Have so many runs fetched, which lie too far apart for the processor to foresee."""
    for i in range(count):
        for c in range(0, length, LINE):
            prefetch(place, i * apart + c)


@merged
def copied_run(to, source, count):
    """to[i] = source[i], and what is behind becomes zero; where the next run goes."""
    L, i = lanes(source), 0
    while i + L <= count:
        store(to, i, load(source, i))
        i += L
    if i < count:
        store(to, i, load_part(source, i, count - i, zeros(to)))
    return pointer_after(to, count)


@merged
def filled_run(to, count):
    """The same of zeros."""
    for i in range(0, count, lanes(to)):
        store(to, i, zeros(to))
    return pointer_after(to, count)
