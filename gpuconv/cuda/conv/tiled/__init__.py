"""Tiled direct convolution: input tile with halo and weights in shared memory, outputs in registers.

    y[n, k, p, q] = bias[k] + sum over c, r, s of
                    w[k, c, r, s] * x[n, g C/G + c, p stride + r dilation - top, q stride + s dilation - left]

A block computes TILE_K output channels of one group at tile_p x tile_q pixels of one image. It walks over
the input channels in stages; for each, shared memory holds (`halo.py` lays it out)

    offsets [taps] int64     where tap t = (c, r, s) lies in the weights
    table   [taps] uint32    where tap t begins in the input tile
            [tile_w] uint32  where each column of the input tile is kept
    x tile  [stage_c][tile_h][pitch]   what the tile's windows cover, zero outside of the image
    w tile  [taps][PITCH_K]

and a thread sums THREAD_K channels x THREAD_PIXELS pixels in registers: per tap THREAD_K + THREAD_PIXELS
loads from shared memory for THREAD_K * THREAD_PIXELS products. Lanes lie along q, warps along k and pixels:

      pixels ->                   TILE_K = THREAD_K * WARPS_K channels
    k |  warp 0   warp 4          tile_p * tile_q = LANES * THREAD_PIXELS pixels,
      |  warp 1   warp 5          with tile_q from 8 to 64, chosen per problem
      |  warp 2   warp 6
      v  warp 3   warp 7

A stage is summed on its own and then added to the total, which keeps the rounding error of long sums small.
Coordinates are unsigned and wrap, so that one comparison checks both borders. Zero padding is multiplied like
any value, so a NaN or infinite weight shows at the borders too.

It cannot use tensor cores or overlap loads with arithmetic, and wastes lanes where a group has few channels
or an image few pixels. Not yet run on a GPU: the tests execute its compiled PTX; speed is not measured.
"""

import functools
import itertools
import math

from numba import cuda, int64, types, uint32, uint64

from gpuconv.algorithm import Algorithm
from gpuconv.arrays import DeviceArray
from gpuconv.cuda.conv.tiled.tiles import THREAD_PIXELS, THREADS, TILE_Q, TILES, WARPS, Tile, grid_of
from gpuconv.cuda.device.axis import largest_stage
from gpuconv.cuda.device.elements import SCALARS
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.launch import MAX_BLOCKS, Launch
from gpuconv.spec import ConvSpec


def make_kernel(dtype: str, tile: Tile) -> Kernel:
    scalar = SCALARS[dtype]
    THREAD_K, WARPS_K, TILE_K, PITCH_K = tile.thread_k, tile.warps_k, tile.k, tile.pitch_k
    THREAD_OUTPUTS = THREAD_K * THREAD_PIXELS
    LANES = THREADS // WARPS_K  # threads along the pixels

    def conv_tiled(
        x, w, bias, y,
        x_n, x_c, x_h, x_w, w_k, w_c, w_r, w_s, bias_k, y_n, y_k, y_p, y_q,  # strides in elements
        C, H, W, K, P, Q, groups, h_origin, w_origin, stride_h, stride_w, dilation_h, dilation_w,
        stage_c, stage_r, stage_s, stages_r, stages_s, stages,
        step_h, step_w, tap_h, tap_w, pixel_h, phases, phase_pitch, pitch, tile_h, tile_w, tile_p, tile_q,
        tiles_p, tiles_q, tiles_k, has_bias, x_table, places, x_tile, w_tile,
    ):  # fmt: skip
        shared = cuda.shared.array(0, scalar, alignment=16)
        table = cuda.shared.array(0, uint32, alignment=16)
        offsets = cuda.shared.array(0, int64, alignment=16)
        thread = uint32(cuda.threadIdx.x)
        lane, warp = thread % uint32(32), thread // uint32(32)
        warp_k, pixel = warp % uint32(WARPS_K), warp // uint32(WARPS_K) * uint32(32) + lane

        # locate: channels fastest, so that blocks which share an input tile run together
        block = uint32(cuda.blockIdx.x)
        k_first, block = uint32(block % tiles_k * uint32(TILE_K)), uint32(block // tiles_k)
        g, block = uint32(block % groups), uint32(block // groups)
        q_first, block = uint32(block % tiles_q * tile_q), uint32(block // tiles_q)
        p_first, n = uint32(block % tiles_p * tile_p), uint32(block // tiles_p)
        x_image = int64(n) * x_n
        fill_tables(
            table, offsets, thread, stage_c, stage_r, stage_s, w_c, w_r, w_s,
            tile_h, tile_w, tap_h, tap_w, phases, phase_pitch, pitch, x_table, places,
        )  # fmt: skip
        place_of_pixel = cuda.local.array(THREAD_PIXELS, uint32)
        for j in range(THREAD_PIXELS):
            e = pixel + uint32(j * LANES)
            place_of_pixel[j] = uint32(x_tile + e // tile_q * pixel_h * pitch + e % tile_q)
        total = cuda.local.array(THREAD_OUTPUTS, scalar)
        partial = cuda.local.array(THREAD_OUTPUTS, scalar)
        for i in range(THREAD_OUTPUTS):
            total[i] = scalar(0)

        for stage in range(stages):
            s_first, rest = uint32(uint32(stage) % stages_s * stage_s), uint32(uint32(stage) // stages_s)
            r_first, c_first = uint32(rest % stages_r * stage_r), uint32(rest // stages_r * stage_c)
            channels = min(stage_c, uint32(C - c_first))
            taps = uint32(channels * stage_r * stage_s)
            cuda.syncthreads()  # the stage before has been read
            load_input(
                shared, table, x, x_image + int64(uint32(g * C + c_first)) * x_c, x_c, x_h, x_w, lane, warp,
                uint32(p_first * stride_h + r_first * dilation_h + h_origin),
                uint32(q_first * stride_w + s_first * dilation_w + w_origin),
                H, W, channels, step_h, step_w, tile_h, tile_w, pitch, places, x_tile, scalar(0),
            )  # fmt: skip
            w_first = int64(c_first) * w_c + int64(r_first) * w_r + int64(s_first) * w_s
            for k in range(warp, uint32(TILE_K), uint32(WARPS)):
                w_row = w_first + int64(uint32(g * K + k_first + k)) * w_k
                for t in range(lane, taps, uint32(32)):
                    value = scalar(0)
                    if uint32(k_first + k) < K:
                        value = w[w_row + offsets[uint32(t)]]
                    shared[uint32(w_tile + t * uint32(PITCH_K) + k)] = value
            cuda.syncthreads()

            # accumulate
            for i in range(THREAD_OUTPUTS):
                partial[i] = scalar(0)
            weights = uint64(w_tile + warp_k * uint32(THREAD_K))  # 64 bits, so that i becomes an offset
            for t in range(taps):
                place = table[uint32(x_table + t)]
                for i in range(THREAD_K):
                    weight = shared[weights + uint64(i)]
                    for j in range(THREAD_PIXELS):
                        partial[i * THREAD_PIXELS + j] += weight * shared[uint32(place + place_of_pixel[j])]
                weights += uint64(PITCH_K)
            for i in range(THREAD_OUTPUTS):
                total[i] += partial[i]

        # store
        for i in range(THREAD_K):
            k = uint32(k_first + warp_k * uint32(THREAD_K) + uint32(i))
            if k < K:
                channel = int64(uint32(g * K + k))
                start = scalar(0)
                if has_bias != uint32(0):
                    start = bias[channel * bias_k]
                for j in range(THREAD_PIXELS):
                    e = uint32(pixel + uint32(j * LANES))
                    p, q = uint32(p_first + e // tile_q), uint32(q_first + e % tile_q)
                    if p < P and q < Q:
                        place_y = int64(n) * y_n + channel * y_k + int64(p) * y_p + int64(q) * y_q
                        y[place_y] = start + total[i * THREAD_PIXELS + j]

    pointers = [types.CPointer(scalar)] * 4
    arguments = (*pointers, *[int64] * 13, *[uint32] * 39)
    name = f"conv_tiled {dtype} {tile.k}x{tile.pixels}"
    return Kernel(name, conv_tiled, arguments, THREADS, blocks_per_sm=2)


@cuda.jit(device=True, inline="always")
def fill_tables(
    table, offsets, thread, stage_c, stage_r, stage_s, w_c, w_r, w_s,
    tile_h, tile_w, tap_h, tap_w, phases, phase_pitch, pitch, x_table, places,
):  # fmt: skip
    """Where each tap begins in the input tile and lies in the weights; where each column is kept."""
    for t in range(thread, stage_c * stage_r * stage_s, uint32(THREADS)):
        s, rest = uint32(t % stage_s), uint32(t // stage_s)
        r, c = uint32(rest % stage_r), uint32(rest // stage_r)
        column = uint32(s * tap_w)
        place = uint32(column % phases * phase_pitch + column // phases)
        table[uint32(x_table + t)] = uint32((c * tile_h + r * tap_h) * pitch + place)
        offsets[uint32(t)] = int64(c) * w_c + int64(r) * w_r + int64(s) * w_s
    for column in range(thread, tile_w, uint32(THREADS)):
        table[uint32(places + column)] = uint32(column % phases * phase_pitch + column // phases)


@cuda.jit(device=True, inline="always")
def load_input(
    shared, table, x, x_first, x_c, x_h, x_w, lane, warp, h_first, w_first,
    H, W, channels, step_h, step_w, tile_h, tile_w, pitch, places, x_tile, zero,
):  # fmt: skip
    """Fill the input tile: a warp takes one row after the other, its lanes the columns."""
    for line in range(warp, uint32(channels * tile_h), uint32(WARPS)):
        c, row = uint32(uint32(line) // tile_h), uint32(uint32(line) % tile_h)
        h = uint32(h_first + row * step_h)
        x_row = x_first + int64(c) * x_c + int64(h) * x_h
        for column in range(lane, tile_w, uint32(32)):
            v = uint32(w_first + column * step_w)  # the column of the image
            value = zero
            if h < H and v < W:
                value = x[x_row + int64(v) * x_w]
            shared[uint32(x_tile + line * pitch + table[uint32(places + column)])] = value


_KERNELS = {(dtype, tile): make_kernel(dtype, tile) for dtype, tiles in TILES.items() for tile in tiles}
KERNELS = tuple(_KERNELS.values())


def unsupported(spec: ConvSpec) -> str | None:
    kernel = spec.dilation[0] * spec.R, spec.dilation[1] * spec.S
    for outputs, stride, reach in zip((spec.P, spec.Q), spec.stride, kernel, strict=True):
        if (outputs + max(TILE_Q)) * stride + reach >= 2**31:
            return "the padded image has a side of about 2^31 or more"
    if max(spec.C, spec.K) >= 2**31:
        return "there are 2^31 channels or more"
    if grid_of(spec).blocks > MAX_BLOCKS:
        return "the output needs more blocks than a grid has"
    return None


def worth(spec: ConvSpec) -> bool:
    return True


@functools.lru_cache(maxsize=1024)
def plan(
    spec: ConvSpec,
    x_strides: tuple[int, ...],
    w_strides: tuple[int, ...],
    bias_strides: tuple[int, ...] | None,
    y_strides: tuple[int, ...],
) -> Launch:
    """The launch for a problem and the byte strides of its arrays."""
    grid = grid_of(spec)
    stage = largest_stage(spec, grid.tile_p, grid.tile_q, grid.tile.pitch_k)
    (top, _), (left, _) = spec.pads
    stages = -(-spec.C_group // stage.c), spec.R // stage.r, spec.S // stage.s
    rows, columns = stage.rows, stage.columns
    strides = itertools.chain(x_strides, w_strides, bias_strides or (0,), y_strides)
    scalars = (
        *[step // spec.itemsize for step in strides],
        spec.C_group, spec.H, spec.W, spec.K_group, spec.P, spec.Q, spec.groups,
        -top, -left, *spec.stride, *spec.dilation,
        stage.c, stage.r, stage.s, *stages[1:], math.prod(stages),
        rows.step, columns.step, rows.tap, columns.tap, rows.pixel, columns.pixel, stage.phase_pitch,
        stage.pitch, rows.lines, columns.lines, grid.tile_p, grid.tile_q,
        grid.p, grid.q, grid.k, int(bias_strides is not None),
        stage.x_table, stage.places, stage.x_tile, stage.w_tile,
    )  # fmt: skip
    return Launch(_KERNELS[spec.dtype, grid.tile], grid.blocks, stage.shared_bytes, scalars)


def run(spec: ConvSpec, x: DeviceArray, w: DeviceArray, bias: DeviceArray | None, y: DeviceArray) -> Launch:
    launch = plan(spec, x.strides, w.strides, None if bias is None else bias.strides, y.strides)
    return launch.start(y, x, w, bias, y)


ALGORITHM = Algorithm("conv_tiled", unsupported, worth, run)
