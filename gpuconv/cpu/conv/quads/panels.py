"""Panels of quads: rows of bytes, copied from x or as they lie in it, four interleaved."""

from gpuconv.cpu.engine.borders import taps_between
from gpuconv.cpu.engine.compiled import inner
from gpuconv.cpu.simd import lanes, pointer, pointer_after
from gpuconv.cpu.simd.quads import bits_between, copy_bytes, copy_even_bytes, interleave


@inner
def interleave_rows(rows, row, depth, panel, columns, flipped):
    """The quads of a panel, of `depth` rows so far apart; what is behind the last is multiplied by zeros."""
    for d in range(0, depth, 4):
        for j in range(0, columns, lanes(panel)):
            at = d // 4 * columns + j
            interleave(pointer_after(rows, d * row + j), row, min(4, depth - d), panel, at, flipped)


@inner
def copy_rows(x, rows, columns, pieces, number, c_begin, c_end, window, stride, dilation, in_rows):
    """rows[(c, r, s) columns + i] = what tap (c, r, s) of the panel's output i reads, 0 outside the image."""
    H, W = x.shape[2:]
    R, S = window
    step = R * S * columns
    for piece in range(0, 5 * number, 5):
        i, length, n = pieces[piece], pieces[piece + 1], pieces[piece + 2]
        written = bits_between(0, length)
        for s in range(S):
            v = pieces[piece + 4] + s * dilation[1]
            begin, end = taps_between(v, length, stride[1], 0, W)
            read = bits_between(begin * stride[1], (end - 1) * stride[1] + 1)
            for r in range(R):
                h, at = pieces[piece + 3] + r * dilation[0], (r * S + s) * columns + i
                if begin == end or h < 0 or h >= H:
                    for c in range(c_end - c_begin):
                        copy_bytes(rows, at, 0, rows, at + c * step, written)
                elif in_rows and stride[1] <= 2:
                    image = pointer(x, n * x.strides[0] + c_begin * x.strides[1] + h * x.strides[2] + v)
                    copy_channels(
                        image, x.strides[1], c_end - c_begin, stride[1], read, rows, at, step, written
                    )
                else:
                    for c in range(c_begin, c_end):
                        to = at + (c - c_begin) * step
                        for lane in range(length):
                            inside = begin <= lane < end
                            rows[to + lane] = x[n, c, h, v + lane * stride[1]] if inside else 0


@inner
def copy_channels(image, channel, count, stride, read, rows, at, step, written):
    """A vector a channel."""
    if stride == 2:
        for c in range(count):
            copy_even_bytes(image, c * channel, read, rows, at + c * step, written)
    else:
        for c in range(count):
            copy_bytes(image, c * channel, read, rows, at + c * step, written)
