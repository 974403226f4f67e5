"""What some pixels see of channels-last images, copied: a run of channels for each pixel and row of taps."""

from gpuconv.cpu.engine.borders import taps_between
from gpuconv.cpu.engine.compiled import inner
from gpuconv.cpu.simd import lanes, load, load_between, pointer, pointer_after, store, zeros


@inner
def locate(pixels, j, count, P, Q, pads, stride):
    """(n, h, v) of each pixel: its image, and where the first tap of its window is."""
    for i in range(count):
        n, p, q = (j + i) // (P * Q), (j + i) // Q % P, (j + i) % Q
        pixels[3 * i], pixels[3 * i + 1] = n, p * stride[0] - pads[0]
        pixels[3 * i + 2] = q * stride[1] - pads[1]


@inner
def taps_seen(pixels, count, axis, extent, taps, dilation, finite):
    """The taps of an axis that any of the pixels sees; all of them if zeros must be multiplied."""
    if not finite:
        return 0, taps
    first, last = taps, 0
    for i in range(count):
        some = taps_between(pixels[3 * i + 1 + axis], taps, dilation, 0, extent)
        if some[0] < some[1]:
            first, last = min(first, some[0]), max(last, some[1])
    return min(first, last), last


@inner
def copy_windows(x, c, C, pixels, count, r, rows, s, s_end, dilation, panel):
    """panel[pixel, row, (s, c)] = what `rows` rows of taps from r on, and taps s to s_end, see of C channels.

    Whole vectors are written, in order, so that what goes beyond a run is written again.
    """
    H, W = x.shape[2:]
    pixel = x.strides[3] // x.itemsize
    follow = dilation[1] == 1 and pixel == C
    to = 0
    for i in range(count):
        for row in range(r, r + rows):
            n, h, v = pixels[3 * i], pixels[3 * i + 1] + row * dilation[0], pixels[3 * i + 2]
            begin = end = s
            if 0 <= h < H:
                begin, end = taps_between(v, s_end, dilation[1], 0, W)
                begin = max(s, begin)
                end = max(begin, end)
            fill_run(panel, to, (begin - s) * C)
            to += (begin - s) * C
            if begin < end:
                place = pointer(x[n, c], h * (x.strides[2] // x.itemsize) + (v + begin * dilation[1]) * pixel)
                length, step = ((end - begin) * C, 0) if follow else (C, pixel * dilation[1])
                for t in range(1 if follow else end - begin):
                    copy_run(panel, to, pointer_after(place, t * step), length)
                    to += length
            fill_run(panel, to, (s_end - end) * C)
            to += (s_end - end) * C


@inner
def copy_run(panel, at, source, count):
    """panel[at + i] = source[i], and what is behind becomes zero."""
    L = lanes(source)
    full = count - count % L
    for i in range(0, full, L):
        store(pointer(panel, at), i, load(source, i))
    if full < count:
        store(pointer(panel, at), full, load_between(source, full, 0, count - full))


@inner
def fill_run(panel, at, count):
    """The same of zeros."""
    place = pointer(panel, at)
    for i in range(0, count, lanes(place)):
        store(place, i, zeros(place))
