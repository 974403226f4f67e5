"""The kernel of `conv_depthwise`, for an odd square window, a stride of 1 or 2, and the outputs of a lane."""

from collections.abc import Callable

from gpuconv.cuda.conv.depthwise.load import row_loader, window_filler
from gpuconv.cuda.conv.depthwise.slide import row_adders, steps_of_round
from gpuconv.cuda.conv.depthwise.store import row_storer
from gpuconv.cuda.conv.depthwise.tiles import EXTENTS, STRIDES, WARPS
from gpuconv.cuda.device.division import quotient, quotient_and_rest
from gpuconv.cuda.language import boolean, cuda, float32, int32, int64, types, uint32
from gpuconv.cuda.ptx.memory import load_if
from gpuconv.cuda.runtime.compiled import Kernel

THREADS = 32 * WARPS
BLOCKS_PER_SM = {3: 8, 5: 6, 7: 4}  # 128, 170 and 255 registers a thread: what sm_75 and sm_80 need


def make_function(extent: int, stride: int, outputs: int) -> Callable[..., None]:
    R = S = extent
    TAPS = R * S
    COLUMNS = outputs * stride  # of the image, of a lane
    WIDTH = (outputs - 1) * stride + S  # columns that the windows of a lane cover
    STEPS = steps_of_round(extent, stride, outputs)
    AHEAD, STEP = STEPS * stride, stride * COLUMNS
    PREFETCHED = AHEAD * COLUMNS
    BEFORE = (R - 1) // stride  # rows of output that are under way when another begins
    SUMS = (BEFORE + 1) * outputs
    load_row, store_row = row_loader(COLUMNS), row_storer(outputs)
    fill_window = window_filler(extent, stride, outputs)
    adders = row_adders(extent, stride, outputs)
    add_row, add_last_row = adders[0], adders[-1]

    def conv_depthwise(
        x, w, bias, y,
        x_n, x_c, x_h, x_w, w_k, w_r, w_s, bias_k, y_n, y_k, y_p, y_q,  # strides in elements
        planes, K, H, W, P, Q, h_origin, column_origin,
        pitch, slots, halo, out_lanes, tile_q, tiles_q, tile_p, strips, rounds,
        weight_rounds, weight_pitch, pairs, has_bias,
        strips_multiplier, strips_shift, tiles_q_multiplier, tiles_q_shift, pitch_multiplier, pitch_shift,
        K_multiplier, K_shift, K_group_multiplier, K_group_shift,
    ):  # fmt: skip
        weights = cuda.shared.array(0, float32, alignment=16)
        thread = uint32(cuda.threadIdx.x)
        lane, warp = uint32(thread % uint32(32)), uint32(thread // uint32(32))
        zero = float32(0)

        # locate
        task = uint32(uint32(cuda.blockIdx.x) * uint32(WARPS) + warp)
        rest, strip = quotient_and_rest(task, (strips, strips_multiplier, strips_shift))
        p_first = uint32(strip * tile_p)
        group, tile = quotient_and_rest(rest, (tiles_q, tiles_q_multiplier, tiles_q_shift))
        slot, t = quotient_and_rest(lane, (pitch, pitch_multiplier, pitch_shift))
        u = uint32(t - halo)  # wraps in the halo on the left
        plane = uint32(group * slots + slot)
        mine = (slot < slots) & (plane < planes)
        n, k = quotient_and_rest(plane, (K, K_multiplier, K_shift))
        q = uint32(tile * tile_q + u * uint32(outputs))
        column = uint32(q * uint32(stride) + column_origin)
        h = uint32(p_first * uint32(stride) + h_origin)
        place = (
            int64(n) * x_n + int64(quotient(k, K_group_multiplier, K_group_shift)) * x_c
            + int64(int32(h)) * x_h + int64(int32(column)) * x_w
        )  # fmt: skip
        out_rows = min(tile_p, uint32(P - p_first))
        end = int32(h + (out_rows - uint32(1)) * uint32(stride) + uint32(R))
        bottom = uint32(max(int32(0), min(end, int32(H))))  # of the rows that the strip needs
        place_y = int64(n) * y_n + int64(k) * y_k + (int64(p_first) - int64(BEFORE)) * y_p + int64(q) * y_q
        stores = mine & (u < out_lanes) & (q < Q)
        start = load_if(mine & (has_bias != uint32(0)), bias, int64(k) * bias_k, zero)

        # load: the lanes of a slot bring the weights of its plane; those of no slot store nothing
        place_w = int64(k) * w_k
        first_weight = uint32((warp * uint32(slots + uint32(1)) + slot) * weight_pitch)
        while weight_rounds != uint32(0):
            weight_rounds = uint32(weight_rounds - uint32(1))
            r = uint32(t // uint32(S))
            place_t = place_w + int64(r) * w_r + int64(uint32(t - r * uint32(S))) * w_s
            weights[uint32(first_weight + t)] = load_if(mine & (t < uint32(TAPS)), w, place_t, zero)
            t = uint32(t + pitch)
        cuda.syncwarp()
        weight = cuda.local.array(TAPS, float32)
        for t in range(TAPS):
            weight[t] = weights[uint32(first_weight + uint32(t))]
        inside = cuda.local.array(COLUMNS, boolean)
        for j in range(COLUMNS):
            inside[j] = mine & (uint32(column + uint32(j)) < W)
        rows = cuda.local.array(PREFETCHED, float32)
        window = cuda.local.array(WIDTH, float32)
        sums = cuda.local.array(SUMS, float32)
        for i in range(SUMS):
            sums[i] = zero
        for i in range(AHEAD):
            load_row(rows, i * COLUMNS, x, place, x_w, h < bottom, inside, pairs)
            h, place = uint32(h + uint32(1)), place + x_h

        # accumulate
        finished = uint32(uint32(0) - uint32(BEFORE))
        while rounds != uint32(0):
            rounds = uint32(rounds - uint32(1))
            for _ in range(STEPS):
                fill_window(window, rows, 0, lane)
                add_row(sums, weight, window)
                store_row(stores & (finished < out_rows), y, place_y, sums, start)
                finished, place_y = uint32(finished + uint32(1)), place_y + y_p
                if stride == 2:
                    fill_window(window, rows, COLUMNS, lane)
                    add_last_row(sums, weight, window)
                for i in range(SUMS - outputs):
                    sums[i] = sums[i + outputs]
                for i in range(SUMS - outputs, SUMS):
                    sums[i] = zero
                for i in range(PREFETCHED - STEP):
                    rows[i] = rows[i + STEP]
                for i in range(stride):
                    load_row(rows, PREFETCHED - STEP + i * COLUMNS, x, place, x_w, h < bottom, inside, pairs)
                    h, place = uint32(h + uint32(1)), place + x_h

    return conv_depthwise


def make_kernel(extent: int, stride: int, outputs: int) -> Kernel:
    """The kernel for a window of extent x extent."""
    return Kernel(
        f"conv_depthwise {extent}x{extent} /{stride} by {outputs}",
        lambda: make_function(extent, stride, outputs),
        {
            types.CPointer(float32): "x w bias y",
            int64: "x_n x_c x_h x_w w_k w_r w_s bias_k y_n y_k y_p y_q",
        },
        THREADS,
        BLOCKS_PER_SM[extent],
    )


SLIDING = {
    (extent, stride, outputs): make_kernel(extent, stride, outputs)
    for extent in EXTENTS
    for stride in STRIDES
    for outputs in (4 // stride, 1)
}
