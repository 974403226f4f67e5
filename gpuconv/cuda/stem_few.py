"""The kernel of `conv_stem` for few outputs: one channel x 2 rows x 12 pixels a thread.

    pixels ->    | lane 0, 12 pixels | lane 1, 12 pixels | ...    lanes_q lanes a row
    rows         | lane 0 again, at the row that lies tile_p / 2 further down ...

Per phase (`stem_tiles.py`) the windows of a lane slide over the input: 16 elements of each row are in
registers, which 4 taps of 12 pixels meet, and per 4 taps the oldest 4 make place for the next, 128 bits at
once. As the places go round, the loop is written out four times, and nothing is moved. The weights of 4 taps
are one access, the same for all lanes, made one chunk ahead. So 9 instructions in 10 are products, and each
element is loaded from shared memory once for each row of taps. Lanes that load together lie 12 words apart,
which meets all banks.

The first chunk of a phase leaves out the places that it skips, so that nothing but the taps is multiplied: a
non-finite element reaches only windows that cover it. Sums of more than 256 products begin anew and are then
added up. Outputs pass through shared memory, so that the lanes of a warp store neighbouring pixels.
"""

from numba import cuda, float32, int64, types, uint32, uint64

from gpuconv.cuda.compiled import Kernel
from gpuconv.cuda.limits import LANES
from gpuconv.cuda.ptx.async_copy import commit_group, wait_group
from gpuconv.cuda.ptx.predicated import load_if
from gpuconv.cuda.ptx.products import add_products
from gpuconv.cuda.ptx.vectors import load4, store4
from gpuconv.cuda.stem_fill import fill_input, fill_weights_of_one
from gpuconv.cuda.stem_tiles import CHUNK, Shape

ROWS, PIXELS = 2, 12
OUTPUTS = ROWS * PIXELS
RING = 16  # elements of a row in registers
WINDOWS = ROWS * RING
WEIGHTS = 2 * CHUNK
MOST_PRODUCTS = 256  # of one sum


def products(turn: int, taps: tuple[int, ...] = (0, 1, 2, 3)) -> list[tuple[int, int, int]]:
    """(sum, weight, element of the rings) of a chunk, the turn-th since the rings began."""
    return [
        (row * PIXELS + j, turn % 2 * CHUNK + tap, row * RING + (turn * CHUNK + j + tap) % RING)
        for tap in taps
        for row in range(ROWS)
        for j in range(PIXELS)
    ]


def turn_function(turn: int):
    """turn(shared, sums, weight, ring, x_at, further, w_at): a chunk, and the loads for those that follow."""
    add, old, ahead = add_products(products(turn)), turn * CHUNK, (turn + 1) % 2 * CHUNK
    on = (turn - 1) % 4 * CHUNK  # from where the loop's first turn, the second of a phase, reads
    below = RING + old

    @cuda.jit(device=True, inline="always")
    def run(shared, sums, weight, ring, x_at, further, w_at):
        a, b, c, d = load4(shared, w_at + uint64(on))
        weight[ahead], weight[ahead + 1], weight[ahead + 2], weight[ahead + 3] = a, b, c, d
        add(sums, weight, ring)
        a, b, c, d = load4(shared, x_at + uint64(on))
        ring[old], ring[old + 1], ring[old + 2], ring[old + 3] = a, b, c, d
        a, b, c, d = load4(shared, x_at + further + uint64(on))
        ring[below], ring[below + 1], ring[below + 2], ring[below + 3] = a, b, c, d

    return run


first_turn, second_turn, third_turn, fourth_turn = map(turn_function, range(4))
add_first_tap, add_second_tap, add_third_tap, add_fourth_tap = (
    add_products(products(0, (tap,))) for tap in range(CHUNK)
)


@cuda.jit(device=True, inline="always")
def begin(shared, sums, weight, ring, x_at, further, w_at, skip):
    """The first chunk of a phase, but for the `skip` places that hold no tap."""
    for j in range(0, RING, CHUNK):
        ring[j], ring[j + 1], ring[j + 2], ring[j + 3] = load4(shared, x_at + uint64(j))
        a, b, c, d = load4(shared, x_at + further + uint64(j))
        ring[RING + j], ring[RING + j + 1], ring[RING + j + 2], ring[RING + j + 3] = a, b, c, d
    weight[0], weight[1], weight[2], weight[3] = load4(shared, w_at)
    if skip == uint32(0):
        add_first_tap(sums, weight, ring)
    if skip < uint32(2):
        add_second_tap(sums, weight, ring)
    if skip < uint32(3):
        add_third_tap(sums, weight, ring)
    add_fourth_tap(sums, weight, ring)
    ring[0], ring[1], ring[2], ring[3] = load4(shared, x_at + uint64(RING))
    ring[RING], ring[RING + 1], ring[RING + 2], ring[RING + 3] = load4(shared, x_at + further + uint64(RING))
    weight[4], weight[5], weight[6], weight[7] = load4(shared, w_at + uint64(CHUNK))


def make_kernel(shape: Shape, blocks_per_sm: int) -> Kernel:
    THREADS, WARPS = shape.threads, shape.threads // LANES

    def conv_stem(
        x, w, bias, y,
        x_n, x_c, x_h, x_w, w_k, w_c, w_r, w_s, bias_k, y_n, y_k, y_p, y_q,  # strides in elements
        C, H, W, K, P, Q, groups, h_origin, w_origin, stride_h, phases, R, S,
        channels, rows, lines, columns, phase_pitch, pitch, w_row, w_tile, tile_p, tile_q, lanes_q,
        tiles_k, tiles_p, tiles_q, full, longer, skip_long, skip_short, has_bias, vectors,
        phases_m, phases_s, S_m, S_s,
    ):  # fmt: skip
        shared = cuda.shared.array(0, float32, alignment=16)
        thread = uint32(cuda.threadIdx.x)
        lane, warp = uint32(thread % uint32(LANES)), uint32(thread // uint32(LANES))
        zero = float32(0)

        # locate: channels fastest, so that blocks which share an input tile run together
        block = uint32(cuda.blockIdx.x)
        k, block = uint32(block % tiles_k), uint32(block // tiles_k)
        q_first, block = uint32(block % tiles_q * tile_q), uint32(block // tiles_q)
        p_first, block = uint32(block % tiles_p * tile_p), uint32(block // tiles_p)
        g, n = uint32(block % groups), uint32(block // groups)
        channel = int64(uint32(g * K + k))
        lane_p = uint32(lane // lanes_q)
        row = uint32(warp * (uint32(LANES) // lanes_q) + lane_p)
        further = uint32(tile_p // uint32(ROWS))
        pixel = uint32((lane - lane_p * lanes_q) * uint32(PIXELS))
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

        for c_first in range(uint32(0), C, channels):
            for r_first in range(uint32(0), R, rows):
                these_c = min(channels, uint32(C - uint32(c_first)))
                these_r = min(rows, uint32(R - uint32(r_first)))
                cuda.syncthreads()  # the stage before has been read
                h_first = uint32(p_first * stride_h + uint32(r_first) + h_origin)
                fill_input(
                    shared, x, int64(n) * x_n, x_c, x_h, x_w, lane, warp, uint32(WARPS),
                    uint32(g * C + uint32(c_first)), these_c, h_first, uint32(q_first * phases + w_origin),
                    H, W, uint32((tile_p - uint32(1)) * stride_h + these_r), lines, columns,
                    phases, phases_m, phases_s, phase_pitch, pitch, longer, skip_long, skip_short,
                )  # fmt: skip
                commit_group()
                for c in range(these_c):
                    c_w = int64(uint32(uint32(c_first) + uint32(c)))
                    w_first = channel * w_k + c_w * w_c + int64(uint32(r_first)) * w_r
                    fill_weights_of_one(
                        shared, w, w_first, w_r, w_s, thread, uint32(THREADS), uint32(these_r * S),
                        S, S_m, S_s, phases, phases_m, phases_s, longer, skip_long, skip_short,
                        uint32(w_tile + uint32(c) * these_r * w_row), w_row, w_phase,
                    )  # fmt: skip
                wait_group(0)
                cuda.syncthreads()

                # accumulate
                for row_of_taps in range(uint32(these_c * these_r)):
                    c = uint32(uint32(row_of_taps) // these_r)
                    r = uint32(uint32(row_of_taps) - c * these_r)
                    x_row = uint32(x_lane + (c * lines + r) * pitch)
                    products = uint32(products + S)
                    if products > uint32(MOST_PRODUCTS):
                        products = S
                        for i in range(OUTPUTS):
                            total[i] += sums[i]
                            sums[i] = zero
                    for phase in range(min(phases, S)):
                        taps, skip = full, skip_short
                        if uint32(phase) < longer:
                            taps, skip = uint32(full + uint32(1)), skip_long
                        x_at = uint64(x_row + uint32(phase) * phase_pitch)
                        w_at = uint64(w_tile + uint32(row_of_taps) * w_row + uint32(phase) * w_phase)
                        begin(shared, sums, weight, ring, x_at, x_further, w_at, skip)
                        x_at += uint64(RING + CHUNK)
                        w_at += uint64(WEIGHTS)
                        left = uint32(taps + skip - uint32(CHUNK))  # taps, by fours
                        while left != uint32(0):
                            second_turn(shared, sums, weight, ring, x_at, x_further, w_at)
                            if left > uint32(CHUNK):
                                third_turn(shared, sums, weight, ring, x_at, x_further, w_at)
                            if left > uint32(2 * CHUNK):
                                fourth_turn(shared, sums, weight, ring, x_at, x_further, w_at)
                            if left > uint32(3 * CHUNK):
                                first_turn(shared, sums, weight, ring, x_at, x_further, w_at)
                            left = uint32(left - min(left, uint32(4 * CHUNK)))
                            x_at += uint64(4 * CHUNK)
                            w_at += uint64(4 * CHUNK)

        # store
        cuda.syncthreads()
        for j in range(0, OUTPUTS, CHUNK):
            line = uint32(row + uint32(j // PIXELS) * further)
            place = uint32(line * tile_q + pixel + uint32(j % PIXELS))
            a, b, c, d = sums[j], sums[j + 1], sums[j + 2], sums[j + 3]
            store4(shared, place, total[j] + a, total[j + 1] + b, total[j + 2] + c, total[j + 3] + d)
        cuda.syncthreads()
        start = load_if(has_bias != uint32(0), bias, channel * bias_k, zero)
        for line in range(warp, min(tile_p, uint32(P - p_first)), uint32(WARPS)):
            y_row = int64(n) * y_n + channel * y_k + int64(uint32(p_first + uint32(line))) * y_p
            for column in range(lane, min(tile_q, uint32(Q - q_first)), uint32(LANES)):
                value = shared[uint32(uint32(line) * tile_q + uint32(column))]
                y[y_row + int64(uint32(q_first + uint32(column))) * y_q] = start + value

    arguments = (*[types.CPointer(float32)] * 4, *[int64] * 13, *[uint32] * 37)
    name = f"conv_stem 1x{shape.warps_p * LANES * OUTPUTS}"
    return Kernel(name, conv_stem, arguments, THREADS, blocks_per_sm)
