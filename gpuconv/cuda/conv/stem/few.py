"""The kernel of `conv_stem` for few outputs: one channel x 2 rows x 12 pixels a thread.

    pixels ->    | lane 0, 12 pixels | lane 1, 12 pixels | ...    lanes_q lanes a row
    rows         | lane 0 again, at the row that lies tile_p / 2 further down ...

Per phase (`tiles.py`) the windows of a lane slide over the input: 16 elements of each row are in registers,
which 4 taps of 12 pixels meet, and per 4 taps the oldest 4 make place for the next, 128 bits at once. As the
places go round, the loop is written out four times, and nothing is moved. The weights of 4 taps are one
access, the same for all lanes, made one chunk ahead. So 9 instructions in 10 are products, and each element
is loaded from shared memory once for each row of taps. Lanes that load together lie 12 words from each other,
which meets all banks.

The first chunk of a phase leaves out the places that it skips, so that nothing but the taps is multiplied: a
non-finite element reaches only windows that cover it. Sums of more than 256 products begin anew and are then
added up. Outputs pass through shared memory, so that the lanes of a warp store neighbouring pixels.
"""

from collections.abc import Callable

from gpuconv.cuda.conv.stem.load import fill_input, fill_weights_of_one, locate, locate_lane
from gpuconv.cuda.conv.stem.store import make_store_few
from gpuconv.cuda.conv.stem.tiles import FEW, StemShape
from gpuconv.cuda.device.division import divide
from gpuconv.cuda.device.limits import LANES
from gpuconv.cuda.device.rings import WEIGHTS, make_anew, make_slide
from gpuconv.cuda.language import cuda, float32, int64, uint32, uint64
from gpuconv.cuda.ptx.copies import commit_group, wait_group

ROWS, PIXELS = FEW.thread_rows, FEW.thread_q
OUTPUTS = ROWS * PIXELS
RING = 16  # elements of a row in registers
WINDOWS = ROWS * RING
slide, anew = make_slide(ROWS, PIXELS, RING), make_anew(OUTPUTS)


def make_function(shape: StemShape) -> Callable[..., None]:
    THREADS, WARPS = shape.threads, shape.threads // LANES
    store = make_store_few(WARPS)

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
        k, q_first, p_first, g, n = locate(uint32(1), tiles_k, tile_q, tiles_q, tile_p, tiles_p, groups)
        channel = int64(uint32(g * K + k))
        row, pixel = locate_lane(lane, warp, lanes_q, PIXELS)
        further = uint32(tile_p // uint32(ROWS))
        x_lane = uint32(row * stride_h * pitch + pixel)
        x_further = uint64(uint32(further * stride_h * pitch))
        w_phase = uint32(w_row // min(phases, S))
        total = cuda.local.array(OUTPUTS, float32)
        sums = cuda.local.array(OUTPUTS, float32)
        weight = cuda.local.array(WEIGHTS, float32)
        ring = cuda.local.array(WINDOWS, float32)
        for i in range(OUTPUTS):
            total[i] = sums[i] = zero
        products = uint32(0)

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
                    w_first = channel * w_k + c_w * w_c + int64(uint32(r_first)) * w_r
                    fill_weights_of_one(
                        shared, w, w_first, w_r, w_s, thread, uint32(THREADS), uint32(these_r * S),
                        row_count, phase_count, longer, skip_long, skip_short,
                        uint32(w_tile + uint32(c) * these_r * w_row), w_row, w_phase,
                    )  # fmt: skip
                wait_group(0)
                cuda.syncthreads()

                # accumulate
                for row_of_taps in range(uint32(these_c * these_r)):
                    c, r = divide(uint32(row_of_taps), these_r)
                    x_row = uint32(x_lane + (c * lines + r) * pitch)
                    products = anew(products, S, total, sums, zero)
                    for phase in range(min(phases, S)):
                        taps, skip = full, skip_short
                        if uint32(phase) < longer:
                            taps, skip = uint32(full + uint32(1)), skip_long
                        x_at = uint64(x_row + uint32(phase) * phase_pitch)
                        w_at = uint64(w_tile + uint32(row_of_taps) * w_row + uint32(phase) * w_phase)
                        slide(shared, sums, weight, ring, x_at, x_further, w_at, taps, skip)

        # store
        store(
            shared, total, sums, bias, bias_k, has_bias, y, (y_n, y_k, y_p, y_q), n, channel, lane, warp, row,
            pixel, further, p_first, q_first, P, Q, tile_p, tile_q,
        )  # fmt: skip

    return conv_stem
