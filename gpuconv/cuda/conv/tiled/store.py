"""How `conv_tiled` stores a thread's sums: channel by channel, its pixels one by one, in any strides."""

from collections.abc import Callable

from gpuconv.cuda.conv.tiled.tiles import THREAD_PIXELS, THREADS, TiledBlock
from gpuconv.cuda.device.elements import OPERANDS, SCALARS
from gpuconv.cuda.device.epilogue import finish
from gpuconv.cuda.language import cuda, int64, uint32
from gpuconv.spec import Dtype


def make_store(bias_dtype: Dtype, result: Dtype, tile: TiledBlock) -> Callable[..., None]:
    """A function that stores the sums of a thread, whose block begins at channel `k_first` of group g."""
    scalar, THREAD_K, PIXEL_THREADS = SCALARS[result.arithmetic], tile.thread_k, THREADS // tile.warps_k
    widen, narrow = OPERANDS[bias_dtype].widen, OPERANDS[result].narrow

    @cuda.jit(device=True, inline="always")
    def store(
        total, bias, bias_k, has_bias, y, strides, n, g, K, k_first, warp_k, p_first, q_first, P, Q, pixel,
        tile_q,
    ):  # fmt: skip
        y_n, y_k, y_p, y_q = strides
        for i in range(THREAD_K):
            k = uint32(k_first + warp_k * uint32(THREAD_K) + uint32(i))
            if k < K:
                channel = int64(uint32(g * K + k))
                start = scalar(0)
                if has_bias != uint32(0):
                    start = widen(bias[channel * bias_k])
                for j in range(THREAD_PIXELS):
                    e = uint32(pixel + uint32(j * PIXEL_THREADS))
                    p, q = uint32(p_first + e // tile_q), uint32(q_first + e % tile_q)
                    if p < P and q < Q:
                        place_y = int64(n) * y_n + channel * y_k + int64(p) * y_p + int64(q) * y_q
                        y[place_y] = narrow(finish(total[i * THREAD_PIXELS + j], start))

    return store
