"""The kernel of `conv_stem` for many outputs: 8 channels x 2 rows x 4 pixels a thread.

    pixels ->        lane 0   lane 1   ...   lanes_q lanes a row, 4 pixels each
    rows    |        * * * *  * * * *        8 channels at these pixels, and at those
     v      |        ...                     tile_p / 2 rows further down
                     * * * *  * * * *

Per chunk of four taps of a phase (`tiles.py`) a thread loads 8 elements of the input for each of its
rows, 128 bits at once; and for each tap 8 weights, the same for all lanes, for 64 products. Lanes that load
together lie side by side, so that no bank is met twice. A chunk that is not full leaves out the products, so
that nothing but the taps is multiplied: a non-finite element reaches only windows that cover it.
"""

from collections.abc import Callable, Sequence

from gpuconv.cuda.conv.stem.load import fill_input, fill_weights_of_many, locate, locate_lane
from gpuconv.cuda.conv.stem.store import store_many
from gpuconv.cuda.conv.stem.tiles import SHAPES, StemShape
from gpuconv.cuda.device.division import divide
from gpuconv.cuda.device.limits import LANES
from gpuconv.cuda.device.rings import CHUNK
from gpuconv.cuda.language import cuda, float32, int64, uint32, uint64
from gpuconv.cuda.ptx.arithmetic import add_products
from gpuconv.cuda.ptx.copies import commit_group, wait_group
from gpuconv.cuda.ptx.memory import load4

ROWS, PIXELS, CHANNELS = SHAPES[0].thread_rows, SHAPES[0].thread_q, SHAPES[0].thread_k
OUTPUTS = ROWS * PIXELS * CHANNELS
WINDOW = 8  # elements of a chunk: 4 pixels and 4 taps
WINDOWS = ROWS * WINDOW


def products(tap: int) -> Sequence[tuple[int, int, int]]:
    """(sum, channel, element of the windows) for one tap of a chunk."""
    return [
        ((k * ROWS + row) * PIXELS + j, k, row * WINDOW + tap + j)
        for k in range(CHANNELS)
        for row in range(ROWS)
        for j in range(PIXELS)
    ]


def make_chunk(pitch_k: int) -> Callable[..., None]:
    """add_chunk(shared, sums, weight, window, w_at, left): the products of up to four taps."""
    add_first, add_second, add_third, add_fourth = (add_products(products(tap)) for tap in range(CHUNK))

    @cuda.jit(device=True, inline="always")
    def add_chunk(shared, sums, weight, window, w_at, left):
        load_channels(shared, weight, w_at)
        add_first(sums, weight, window)
        if left > uint32(1):
            load_channels(shared, weight, w_at + uint64(pitch_k))
            add_second(sums, weight, window)
        if left > uint32(2):
            load_channels(shared, weight, w_at + uint64(2 * pitch_k))
            add_third(sums, weight, window)
        if left > uint32(3):
            load_channels(shared, weight, w_at + uint64(3 * pitch_k))
            add_fourth(sums, weight, window)

    return add_chunk


def make_function(shape: StemShape) -> Callable[..., None]:
    WARPS, WARPS_K = shape.threads // LANES, shape.warps_k
    TILE_K, QUADS, PITCH_K = shape.k, shape.k // 4, shape.pitch_k
    add_chunk = make_chunk(PITCH_K)

    def conv_stem(
        x, w, bias, y,
        x_n, x_c, x_h, x_w, w_k, w_c, w_r, w_s, bias_k, y_n, y_k, y_p, y_q,  # strides in elements
        C, H, W, K, P, Q, groups, h_origin, w_origin, stride_h, phases, R, S,
        channels, rows, lines, columns, phase_pitch, pitch, w_row, w_tile, tile_p, tile_q, lanes_q,
        tiles_k, tiles_p, tiles_q, full, longer, skip_long, skip_short, has_bias, vectors,
        phases_multiplier, phases_shift, S_multiplier, S_shift,
    ):  # fmt: skip
        shared = cuda.shared.array(0, float32, alignment=16)
        thread = uint32(cuda.threadIdx.x)
        lane, warp = uint32(thread % uint32(LANES)), uint32(thread // uint32(LANES))
        zero = float32(0)
        row_count, phase_count = (S, S_multiplier, S_shift), (phases, phases_multiplier, phases_shift)
        layout = lines, columns, phase_pitch, pitch

        # locate
        k_first, q_first, p_first, g, n = locate(
            uint32(TILE_K), tiles_k, tile_q, tiles_q, tile_p, tiles_p, groups
        )
        warp_k, warp_p = uint32(warp % uint32(WARPS_K)), uint32(warp // uint32(WARPS_K))
        row, pixel = locate_lane(lane, warp_p, lanes_q, PIXELS)
        further = uint32(tile_p // uint32(ROWS))
        x_lane = uint32(row * stride_h * pitch + pixel)
        x_further = uint64(uint32(further * stride_h * pitch))
        sums = cuda.local.array(OUTPUTS, float32)
        weight = cuda.local.array(CHANNELS, float32)
        window = cuda.local.array(WINDOWS, float32)
        for i in range(OUTPUTS):
            sums[i] = zero

        # load, stage by stage
        for c_first in range(uint32(0), C, channels):
            for r_first in range(uint32(0), R, rows):
                these_c = min(channels, uint32(C - uint32(c_first)))
                these_r = min(rows, uint32(R - uint32(r_first)))
                cuda.syncthreads()  # the stage before has been read
                h_first = uint32(p_first * stride_h + uint32(r_first) + h_origin)
                fill_input(
                    shared, x, int64(n) * x_n, (x_c, x_h, x_w), lane, warp, uint32(WARPS),
                    uint32(g * C + uint32(c_first)), these_c, h_first, uint32(q_first * phases + w_origin),
                    H, W, uint32((tile_p - uint32(1)) * stride_h + these_r), layout, phase_count,
                    longer, skip_long, skip_short,
                )  # fmt: skip
                commit_group()
                for c in range(these_c):
                    c_w = int64(uint32(uint32(c_first) + uint32(c)))
                    w_first = int64(uint32(g * K + k_first)) * w_k + c_w * w_c + int64(uint32(r_first)) * w_r
                    fill_weights_of_many(
                        shared, w, w_first, w_k, w_r, w_s, lane, warp, uint32(WARPS), uint32(K - k_first),
                        uint32(QUADS), uint32(these_r * S), row_count, phase_count, full, longer,
                        uint32(w_tile + uint32(c) * these_r * w_row * uint32(PITCH_K)), PITCH_K,
                    )  # fmt: skip
                wait_group(0)
                cuda.syncthreads()

                # accumulate
                w_at = uint64(w_tile + warp_k * uint32(CHANNELS))  # 64 bits: constants become offsets
                for row_of_taps in range(uint32(these_c * these_r)):
                    c, r = divide(uint32(row_of_taps), these_r)
                    x_row = uint32(x_lane + (c * lines + r) * pitch)
                    for phase in range(min(phases, S)):
                        left = full
                        if uint32(phase) < longer:
                            left = uint32(full + uint32(1))
                        x_at = uint64(x_row + uint32(phase) * phase_pitch)
                        while left != uint32(0):
                            load_windows(shared, window, x_at, x_at + x_further)
                            add_chunk(shared, sums, weight, window, w_at, left)
                            done = min(left, uint32(CHUNK))
                            left = uint32(left - done)
                            w_at += uint64(uint32(done * uint32(PITCH_K)))
                            x_at += uint64(CHUNK)

        # store
        store_many(
            sums, bias, bias_k, has_bias, y, (y_n, y_k, y_p, y_q), n, g, K, k_first, warp_k, p_first, q_first,
            row, further, pixel, P, Q, vectors,
        )  # fmt: skip

    return conv_stem


@cuda.jit(device=True, inline="always")
def load_windows(shared, window, first, second):
    window[0], window[1], window[2], window[3] = load4(shared, first)
    window[4], window[5], window[6], window[7] = load4(shared, first + uint64(4))
    window[8], window[9], window[10], window[11] = load4(shared, second)
    window[12], window[13], window[14], window[15] = load4(shared, second + uint64(4))


@cuda.jit(device=True, inline="always")
def load_channels(shared, weight, first):
    weight[0], weight[1], weight[2], weight[3] = load4(shared, first)
    weight[4], weight[5], weight[6], weight[7] = load4(shared, first + uint64(4))
