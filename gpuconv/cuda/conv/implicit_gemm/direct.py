"""What the implicit GEMM does where a sum of tensor cores is not finite: once more, as the definition says.

    y[k, pixel] = bias[k] + sum over the taps of the share of w[k, tap] * x[base(pixel) + place(tap)]

An infinity times the lower part of a factor, which may be 0, is a NaN where the product is none; numbers
next to the greatest are rounded to infinity; and a factor that is rounded to 0 makes a NaN of an infinity.
The other way round nothing is missed: an input or a weight that is not finite is not as a tf32 either, and no
product of it, nor any sum with that. So a finite result was computed from finite numbers alone.

It is slow, and rare: a thread computes, one by one, the sums of its channels and pixels in which it found one
that is not finite, with two loads for each product.
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.conv.implicit_gemm.gather import locate_pixel
from gpuconv.cuda.conv.implicit_gemm.store import make_channel, place_of_pixel
from gpuconv.cuda.conv.implicit_gemm.tiles import GemmTile
from gpuconv.cuda.conv.implicit_gemm.warps import steps_of
from gpuconv.cuda.device.division import divide
from gpuconv.cuda.device.epilogue import finish
from gpuconv.cuda.language import cuda, float32, int32, int64, uint32
from gpuconv.cuda.ptx.arithmetic import make_not_finite
from gpuconv.cuda.ptx.memory import load_if


def make_direct(tile: GemmTile) -> tuple[Callable[..., Any], Callable[..., None]]:
    """Two functions: one of a thread's sums, the rows and columns in which one is not finite, as bits
    (`ptx/arithmetic/finite.py`), and one that computes those anew."""
    steps = steps_of(tile)
    ROWS, COLUMNS, STEP = 4 * steps.quads_k, 4 * steps.quads_pixels, steps.pixels
    channel = make_channel(tile)

    @cuda.jit(device=True, inline="always")
    def compute(
        found, x, w, bias, bias_k, has_bias, y, y_first, y_strides, k, channels, pixel, w_k, share,
        image, window, x_strides, layout,
    ):  # fmt: skip
        run, runs, _ = layout
        j = uint32(0)
        while j < uint32(COLUMNS):
            here = uint32(pixel + j % uint32(4) + j // uint32(4) * uint32(STEP))
            if (found >> uint32(j + uint32(ROWS))) & uint32(1) != uint32(0) and here < image[0]:
                base, outside = locate_pixel(here, image, window, x_strides)
                place = y_first + place_of_pixel(here, run, runs, y_strides)
                i = uint32(0)
                while i < uint32(ROWS):
                    if (found >> i) & uint32(1) != uint32(0) and channel(i) < channels:
                        row = int64(uint32(k + channel(i)))
                        total = sum_of(x, base, outside, w, row * int64(int32(w_k)), share, window, x_strides)
                        start = bias[row * bias_k] if has_bias != uint32(0) else float32(0)
                        y[place + row * y_strides[1]] = finish(total, start)
                    i = uint32(i + uint32(1))
            j = uint32(j + uint32(1))

    return make_not_finite(ROWS, COLUMNS), compute


@cuda.jit(device=True, inline="always")
def sum_of(x, base, outside, w, w_row, share, window, strides):
    """The sum over a share of the depth, (first tap, beyond the last), of one output."""
    R, S, dilation_h, dilation_w = window
    _, x_c, x_h, x_w, _ = strides
    tap, end = share
    total = float32(0)
    while tap < end:
        rest, s = divide(tap, S)
        c, r = divide(rest, R)
        inside = (outside >> r | outside >> uint32(R + s)) & uint32(1) == uint32(0)
        place = int64(c) * x_c + int64(uint32(r * dilation_h)) * x_h + int64(uint32(s * dilation_w)) * x_w
        total += load_if(inside, x, base + place, float32(0)) * w[w_row + int64(tap)]
        tap = uint32(tap + uint32(1))
    return total
