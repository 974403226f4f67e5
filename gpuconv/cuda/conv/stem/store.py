"""How `conv_stem` stores a thread's sums: those of `many.py` at once, those of `few.py` by way of shared
memory, so that the lanes of a warp store neighbouring pixels.
"""

from collections.abc import Callable

from gpuconv.cuda.conv.stem.tiles import FEW, SHAPES
from gpuconv.cuda.device.epilogue import finish
from gpuconv.cuda.device.limits import LANES
from gpuconv.cuda.device.rings import CHUNK
from gpuconv.cuda.language import cuda, float32, int64, uint32
from gpuconv.cuda.ptx.memory import load_if, store4, store4_if, store_if

ROWS, PIXELS, CHANNELS = SHAPES[0].thread_rows, SHAPES[0].thread_q, SHAPES[0].thread_k
FEW_PIXELS, FEW_OUTPUTS = FEW.thread_q, FEW.thread_rows * FEW.thread_q


@cuda.jit(device=True, inline="always")
def store_many(
    sums, bias, bias_k, has_bias, y, strides, n, g, K, k_first, warp_k, p_first, q_first, row, further, pixel,
    P, Q, vectors,
):  # fmt: skip
    """The sums of 8 channels, whose block begins at channel `k_first` of group g."""
    y_n, y_k, y_p, y_q = strides
    q = uint32(q_first + pixel)
    for i in range(CHANNELS):
        k = uint32(k_first + warp_k * uint32(CHANNELS) + uint32(i))
        channel = int64(uint32(g * K + k))
        start = load_if((k < K) & (has_bias != uint32(0)), bias, channel * bias_k, float32(0))
        for j in range(ROWS):
            p = uint32(p_first + row + uint32(j) * further)
            place = int64(n) * y_n + channel * y_k + int64(p) * y_p + int64(q) * y_q
            store_pixels(
                y, place, y_q, (k < K) & (p < P), q, Q, vectors, sums, (i * ROWS + j) * PIXELS, start
            )


@cuda.jit(device=True, inline="always")
def store_pixels(y, place, y_q, inside, q, Q, vectors, sums, first, start):
    """Four pixels, at once where `vectors` says that it can be."""
    a, b, c, d = (
        finish(sums[first], start),
        finish(sums[first + 1], start),
        finish(sums[first + 2], start),
        finish(sums[first + 3], start),
    )
    whole = vectors != uint32(0)
    store4_if(inside & whole & (q < Q), y, place, a, b, c, d)
    store_if(inside & (not whole) & (q < Q), y, place, a)
    store_if(inside & (not whole) & (uint32(q + uint32(1)) < Q), y, place + y_q, b)
    store_if(inside & (not whole) & (uint32(q + uint32(2)) < Q), y, place + int64(2) * y_q, c)
    store_if(inside & (not whole) & (uint32(q + uint32(3)) < Q), y, place + int64(3) * y_q, d)


def make_store_few(warps: int) -> Callable[..., None]:
    """A function that stores the sums of one channel, in two parts each, by a block of so many warps."""

    @cuda.jit(device=True, inline="always")
    def store(
        shared, total, sums, bias, bias_k, has_bias, y, strides, n, channel, lane, warp, row, pixel, further,
        p_first, q_first, P, Q, tile_p, tile_q,
    ):  # fmt: skip
        y_n, y_k, y_p, y_q = strides
        cuda.syncthreads()  # the last stage has been read
        for j in range(0, FEW_OUTPUTS, CHUNK):
            line = uint32(row + uint32(j // FEW_PIXELS) * further)
            place = uint32(line * tile_q + pixel + uint32(j % FEW_PIXELS))
            a, b, c, d = sums[j], sums[j + 1], sums[j + 2], sums[j + 3]
            store4(shared, place, total[j] + a, total[j + 1] + b, total[j + 2] + c, total[j + 3] + d)
        cuda.syncthreads()
        start = load_if(has_bias != uint32(0), bias, channel * bias_k, float32(0))
        for line in range(warp, min(tile_p, uint32(P - p_first)), uint32(warps)):
            y_row = int64(n) * y_n + channel * y_k + int64(uint32(p_first + uint32(line))) * y_p
            for column in range(lane, min(tile_q, uint32(Q - q_first)), uint32(LANES)):
                value = shared[uint32(uint32(line) * tile_q + uint32(column))]
                y[y_row + int64(uint32(q_first + uint32(column))) * y_q] = finish(value, start)

    return store
