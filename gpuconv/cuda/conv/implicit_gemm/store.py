"""How the implicit GEMM puts its sums into the output, of any strides, with the bias.

A thread has 8 channels of two times 4 pixels, or of tensor cores 4 of four times 4. One store
writes 4 of them where pixels lie side by side and 16 bytes aligned, and 4 stores do elsewhere.
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.conv.implicit_gemm.tiles import GemmTile
from gpuconv.cuda.conv.implicit_gemm.warps import steps_of
from gpuconv.cuda.device.division import divide
from gpuconv.cuda.device.epilogue import finish
from gpuconv.cuda.language import cuda, float32, int64, uint32
from gpuconv.cuda.ptx.memory import store4


def make_channel(tile: GemmTile) -> Callable[..., Any]:
    """A function of i: the channel of a thread's i-th row of sums, from its first."""
    STEP = steps_of(tile).k

    @cuda.jit(device=True, inline="always")
    def channel(i):
        return uint32(uint32(i) % uint32(4) + uint32(i) // uint32(4) * uint32(STEP))

    return channel


def make_store(tile: GemmTile) -> Callable[..., None]:
    steps = steps_of(tile)
    ROWS, COLUMNS, STEP, QUADS = 4 * steps.quads_k, 4 * steps.quads_pixels, steps.pixels, steps.quads_pixels
    channel = make_channel(tile)

    @cuda.jit(device=True, inline="always")
    def store(total, bias, bias_k, has_bias, y, y_first, strides, k, channels, pixel, pixels, layout):
        """Store a thread's sums: `channels` from `k` on, as far as there are, and pixels from `pixel` on.

        `layout` is (run, runs, aligned): see `place_of_pixel`, and whether 4 pixels lie on 16 bytes.
        """
        start = cuda.local.array(ROWS, float32)
        for i in range(ROWS):
            start[i] = float32(0)
            if has_bias != uint32(0) and channel(i) < channels:
                start[i] = bias[int64(uint32(k + channel(i))) * bias_k]
        y_first += int64(k) * strides[1]
        store_quad(0, total, start, y, y_first, strides, channels, pixel, pixels, layout)
        store_quad(1, total, start, y, y_first, strides, channels, pixel, pixels, layout)
        if QUADS > 2:
            store_quad(2, total, start, y, y_first, strides, channels, pixel, pixels, layout)
            store_quad(3, total, start, y, y_first, strides, channels, pixel, pixels, layout)

    @cuda.jit(device=True, inline="always")
    def store_quad(quad, total, start, y, y_first, strides, channels, pixel, pixels, layout):
        """Store 4 columns of sums."""
        run, runs, aligned = layout
        y_k = strides[1]
        column, pixel = 4 * quad, uint32(pixel + uint32(STEP * quad))
        if aligned != uint32(0):
            place = y_first + place_of_pixel(pixel, run, runs, strides)
            for i in range(ROWS):
                below, first = channel(i), i * COLUMNS + column
                if below < channels and pixel < pixels:
                    store4(
                        y, place + int64(below) * y_k,
                        finish(total[first], start[i]), finish(total[first + 1], start[i]),
                        finish(total[first + 2], start[i]), finish(total[first + 3], start[i]),
                    )  # fmt: skip
        else:
            places = cuda.local.array(4, int64)
            for j in range(4):
                places[j] = y_first + place_of_pixel(uint32(pixel + uint32(j)), run, runs, strides)
            for i in range(ROWS):
                below = channel(i)
                for j in range(4):
                    if below < channels and uint32(pixel + uint32(j)) < pixels:
                        y[places[j] + int64(below) * y_k] = finish(total[i * COLUMNS + column + j], start[i])

    return store


@cuda.jit(device=True, inline="always")
def place_of_pixel(pixel, run, runs, strides):
    """Where a pixel lies in the output, of which `run` pixels lie in a row, and `runs` rows in an image."""
    y_n, _, y_p, y_q = strides
    rest, q = divide(pixel, run)
    n, p = divide(rest, runs)
    return int64(n) * y_n + int64(p) * y_p + int64(q) * y_q
