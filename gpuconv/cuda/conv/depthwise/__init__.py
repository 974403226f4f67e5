"""Depthwise convolution: each group has one input channel, and a warp slides down the image with its sums.

    y[n, k, p, q] = bias[k] + sum over r, s of
                    w[k, 0, r, s] * x[n, k // multiplier, p stride + r - top, q stride + s - left]

               lane 0    lane 1    lane 2        a warp: a strip of tile_p rows of output, of one plane or of
    rows    | . . . . | . . . . | . . . . |      several narrow ones side by side (`strips.py`)
     |      | . . . . | . . . . | . . . . |
     v        <-- columns of neighbours -->      by shuffles
            | + + + + | + + + + | + + + + |      STEPS stride rows are loaded before they are needed

A lane owns `outputs` columns of the output and the COLUMNS = outputs stride columns of the image below them,
which it loads at once: 128 bits where rows are aligned and 20 columns or more, else one output's. A row of
the image is multiplied by all the taps that it meets, and added to the sums of the BEFORE + 1 rows of output
that are under way; then the oldest is complete. So each element is requested once, but for the rows that two
strips share. The loop is one straight line: loads and stores happen or not by a predicate.

3x3, 5x5 and 7x7 of stride 1 and 2 are compiled so for float32; all else, float64, and 5x5 and 7x7 on few
pixels are computed by `depthwise_window.py`. Shared memory: float32 [warp][slot][tap], the weights on their
way to registers, up to 7 KB. Rows and columns beyond the image count as zeros and are multiplied like any
value.
For sm_75 and sm_80 the compiler does not see that the warps stay together in the loop: it adds a test before
each shuffle, and code, with registers for it, that never runs.
Not yet run on a GPU: the tests execute its compiled PTX; speed is not measured.
"""

import functools

from numba import boolean, cuda, float32, int32, int64, types, uint32

from gpuconv.algorithm import Algorithm
from gpuconv.arrays import DeviceArray
from gpuconv.cuda.conv import depthwise_window
from gpuconv.cuda.conv.depthwise.sliding_rows import row_adders, row_loader, row_storer, steps, window_filler
from gpuconv.cuda.conv.depthwise.tiles import EXTENTS, MANY, STRIDES, WIDE, Strips, slides
from gpuconv.cuda.device.division import LIMIT, quotient, quotient_and_rest, reciprocal
from gpuconv.cuda.ptx.predicated import load_if
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import ConvSpec

WARPS = 2  # of a block: few, so that small problems reach every multiprocessor
THREADS = 32 * WARPS
BLOCKS_PER_SM = {3: 8, 5: 6, 7: 4}  # 128, 170 and 255 registers a thread: what sm_75 and sm_80 need
SHARED_BY = 8  # outputs of a group, with which `conv_stem` fills its tile


def make_sliding(extent: int, stride: int, outputs: int) -> Kernel:
    R = S = extent
    TAPS = R * S
    COLUMNS = outputs * stride  # of the image, of a lane
    WIDTH = (outputs - 1) * stride + S  # columns that the windows of a lane cover
    STEPS = steps(extent, stride, outputs)
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
        strips_m, strips_s, tiles_m, tiles_s, pitch_m, pitch_s, K_m, K_s, multiplier_m, multiplier_s,
    ):  # fmt: skip
        weights = cuda.shared.array(0, float32, alignment=16)
        thread = uint32(cuda.threadIdx.x)
        lane, warp = uint32(thread % uint32(32)), uint32(thread // uint32(32))
        zero = float32(0)

        # locate
        task = uint32(uint32(cuda.blockIdx.x) * uint32(WARPS) + warp)
        rest, strip = quotient_and_rest(task, (strips, strips_m, strips_s))
        p_first = uint32(strip * tile_p)
        group, tile = quotient_and_rest(rest, (tiles_q, tiles_m, tiles_s))
        slot, t = quotient_and_rest(lane, (pitch, pitch_m, pitch_s))
        u = uint32(t - halo)  # wraps in the halo on the left
        plane = uint32(group * slots + slot)
        mine = (slot < slots) & (plane < planes)
        n, k = quotient_and_rest(plane, (K, K_m, K_s))
        q = uint32(tile * tile_q + u * uint32(outputs))
        column = uint32(q * uint32(stride) + column_origin)
        h = uint32(p_first * uint32(stride) + h_origin)
        place = (
            int64(n) * x_n + int64(quotient(k, multiplier_m, multiplier_s)) * x_c
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

    pointers = [types.CPointer(float32)] * 4
    arguments = (*pointers, *[int64] * 12, *[uint32] * 31)
    name = f"conv_depthwise {extent}x{extent} /{stride} by {outputs}"
    return Kernel(name, conv_depthwise, arguments, THREADS, BLOCKS_PER_SM[extent])


SLIDING = {
    (extent, stride, outputs): make_sliding(extent, stride, outputs)
    for extent in EXTENTS
    for stride in STRIDES
    for outputs in (4 // stride, 1)
}
KERNELS = (*SLIDING.values(), *depthwise_window.KERNELS)


def unsupported(spec: ConvSpec) -> str | None:
    if spec.C_group != 1:
        return f"each group has {spec.C_group} input channels, not one"
    kernel = spec.dilation[0] * spec.R, spec.dilation[1] * spec.S
    for outputs, stride, reach in zip((spec.P, spec.Q), spec.stride, kernel, strict=True):
        if (outputs + 4 * THREADS) * stride + 2 * reach >= LIMIT:
            return "the padded image has a side of about 2^31 or more"
    if spec.N * spec.K * spec.P * spec.Q >= 2**33:
        return "the output has 2^33 elements or more"
    if not slides(spec) and depthwise_window.tile_of(spec) is None:
        return "a column of taps and the pixels that it meets do not fit shared memory"
    return None


def worth(spec: ConvSpec) -> bool:
    """Predicted: for 8 outputs of a group and more, a kernel that shares the loaded x among them is faster,
    if there are enough of them; but not for windows of 3x3, whose results take longer to store.

    On an H200, us, this / the fastest other: 1 -> 6 5x5 @28 N 64 4.2 / `conv_stem` 5.2; 1 -> 4 11x11 @512
    10 / 15; 1 -> 1 31x31 @2048 176 / 194; 1 -> 8 15x15 @2048 375 / 331; 1 -> 16 5x5 @512 16 / 11; 1 -> 8 7x7
    @64 N 8 4.5 / 6.2; 1 -> 64 3x3 @512 21.8 / 23.9; 1 -> 16 3x3 @48x480 N 16 9.4 / 10.2.
    """
    few = spec.K_group < SHARED_BY or spec.N * spec.K * spec.P * spec.Q < MANY
    return few or (spec.R, spec.S, *spec.stride, *spec.dilation) == (3, 3, 1, 1, 1, 1)


@functools.lru_cache(maxsize=1024)
def plan(
    spec: ConvSpec,
    x_strides: tuple[int, ...],
    w_strides: tuple[int, ...],
    bias_strides: tuple[int, ...] | None,
    y_strides: tuple[int, ...],
    x_alignment: int,
    y_alignment: int,
) -> Launch:
    """The launch for a problem, byte strides, and the powers of two, up to 16, that divide addresses."""
    size = spec.itemsize
    (top, _), (left, _) = spec.pads
    w_k, _, w_r, w_s = w_strides
    strides = [step // size for step in (*x_strides, w_k, w_r, w_s, *(bias_strides or (0,)), *y_strides)]
    has_bias = int(bias_strides is not None)
    if not slides(spec):
        return depthwise_window.plan(spec, strides, has_bias)
    stride, origin = spec.stride[0], (spec.S - 1) // 2 - left

    def aligned(count: int, strides: tuple[int, ...], alignment: int, *extents: int) -> bool:
        steps = [step % (count * size) for step in strides[:3]] + [extent % count for extent in extents]
        return strides[3] == size and alignment % (count * size) == 0 and not any(steps)

    wide, outputs = 4 // stride, 1
    if (
        spec.Q * stride >= WIDE
        and aligned(4, x_strides, x_alignment, spec.W, origin)
        and aligned(wide, y_strides, y_alignment, spec.Q)
    ):
        outputs = wide
    strips = Strips.of(spec, outputs, steps(spec.R, stride, outputs))
    pairs = aligned(2, x_strides, x_alignment, spec.W, origin)
    weight_rounds = -(-spec.R * spec.S // strips.pitch)
    weight_pitch = weight_rounds * strips.pitch | 1  # odd: slots read their weights from different banks
    divisors = strips.strips, strips.tiles_q, strips.pitch, spec.K, spec.K_group
    scalars = (
        *strides, spec.N * spec.K, spec.K, spec.H, spec.W, spec.P, spec.Q, -top, origin,
        strips.pitch, strips.slots, strips.halo, strips.out_lanes, strips.tile_q, strips.tiles_q,
        strips.tile_p, strips.strips, strips.rounds, weight_rounds, weight_pitch, int(pairs), has_bias,
        *[number for divisor in divisors for number in reciprocal(divisor)],
    )  # fmt: skip
    shared_bytes = WARPS * (strips.slots + 1) * weight_pitch * size
    return Launch(SLIDING[spec.R, stride, outputs], -(-strips.warps // WARPS), shared_bytes, scalars)


def run(spec: ConvSpec, x: DeviceArray, w: DeviceArray, bias: DeviceArray | None, y: DeviceArray) -> Launch:
    bias_strides = None if bias is None else bias.strides
    alignments = (array.pointer & -array.pointer & 15 or 16 for array in (x, y))
    launch = plan(spec, x.strides, w.strides, bias_strides, y.strides, *alignments)
    return launch.start(y, x, w, bias, y)


ALGORITHM = Algorithm("conv_depthwise", unsupported, worth, run)
