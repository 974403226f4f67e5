"""Where a block of `conv_stem` computes, and how it fills shared memory with an input tile and weights.

The layout is that of `tiles.py`. The input is copied asynchronously, element by element, since its rows
begin anywhere; what lies outside of the image becomes zero. Coordinates are unsigned and wrap, so that one
comparison checks both borders.
"""

from gpuconv.cuda.device.division import divide, quotient_and_rest
from gpuconv.cuda.device.limits import LANES
from gpuconv.cuda.language import cuda, float32, int64, uint32
from gpuconv.cuda.ptx.copies import copy_async, shared_address
from gpuconv.cuda.ptx.memory import load_if, store4


@cuda.jit(device=True, inline="always")
def locate(tile_k, tiles_k, tile_q, tiles_q, tile_p, tiles_p, groups):
    """(k, q, p, g, n) where a block begins; channels fastest, so that those of one input run together."""
    rest, k = divide(uint32(cuda.blockIdx.x), tiles_k)
    rest, q = divide(rest, tiles_q)
    rest, p = divide(rest, tiles_p)
    n, g = divide(rest, groups)
    return uint32(k * tile_k), uint32(q * tile_q), uint32(p * tile_p), g, n


@cuda.jit(device=True, inline="always")
def locate_lane(lane, warp_p, lanes_q, pixels):
    """(row, first pixel) of a lane in the block's tile."""
    lane_p = uint32(lane // lanes_q)
    row = uint32(warp_p * (uint32(LANES) // lanes_q) + lane_p)
    return row, uint32((lane - lane_p * lanes_q) * uint32(pixels))


@cuda.jit(device=True, inline="always")
def fill_input(
    shared, x, x_image, x_steps, lane, warp, warps, c_first, channels, h_first, w_first, H, W, filled,
    layout, phase_count, longer, skip_long, skip_short,
):  # fmt: skip
    """Copy the first `filled` of `lines` rows of each channel; a warp takes a row, its lanes the columns."""
    x_c, x_h, x_w = x_steps
    lines, columns, phase_pitch, pitch = layout
    for c in range(channels):
        x_channel = x_image + int64(uint32(c_first + uint32(c))) * x_c
        begin = uint32(uint32(c) * lines * pitch)
        for line in range(warp, filled, warps):
            h = uint32(h_first + uint32(line))
            x_row = x_channel + int64(h) * x_h
            row = uint32(begin + uint32(line) * pitch)
            for column in range(lane, columns, uint32(LANES)):
                w = uint32(w_first + uint32(column))
                place, phase = quotient_and_rest(uint32(column), phase_count)
                skip = skip_long if phase < longer else skip_short
                bytes = uint32(4) if (h < H) & (w < W) else uint32(0)
                target = shared_address(shared, uint32(row + phase * phase_pitch + skip + place))
                copy_async(1, target, x, x_row + int64(w) * x_w, bytes)


@cuda.jit(device=True, inline="always")
def fill_weights_of_many(
    shared, w, w_first, w_k, w_r, w_s, lane, warp, warps, channels, quads, taps, row_count, phase_count,
    full, longer, w_tile, pitch_k,
):  # fmt: skip
    """[tap][channel], the taps of a row phase by phase; a thread brings a tap of four channels at a time."""
    for quad in range(warp, quads, warps):
        k = uint32(uint32(quad) * uint32(4))
        for t in range(lane, taps, uint32(LANES)):
            r, s = quotient_and_rest(uint32(t), row_count)
            i, phase = quotient_and_rest(s, phase_count)
            place_w = w_first + int64(k) * w_k + int64(r) * w_r + int64(s) * w_s
            a = load_if(k < channels, w, place_w, float32(0))
            b = load_if(uint32(k + uint32(1)) < channels, w, place_w + w_k, float32(0))
            c = load_if(uint32(k + uint32(2)) < channels, w, place_w + int64(2) * w_k, float32(0))
            d = load_if(uint32(k + uint32(3)) < channels, w, place_w + int64(3) * w_k, float32(0))
            tap = uint32(r * row_count[0] + phase * full + min(phase, longer) + i)
            store4(shared, uint32(w_tile + tap * uint32(pitch_k) + k), a, b, c, d)


@cuda.jit(device=True, inline="always")
def fill_weights_of_one(
    shared, w, w_first, w_r, w_s, thread, threads, taps, row_count, phase_count, longer, skip_long,
    skip_short, w_tile, w_row, w_phase,
):  # fmt: skip
    """[row][phase][tap] of one channel; what is skipped stays as it was."""
    for t in range(thread, taps, threads):
        r, s = quotient_and_rest(uint32(t), row_count)
        i, phase = quotient_and_rest(s, phase_count)
        skip = skip_long if phase < longer else skip_short
        value = w[w_first + int64(r) * w_r + int64(s) * w_s]
        shared[uint32(w_tile + r * w_row + phase * w_phase + skip + i)] = value
