"""How a block of `conv_tiled` fills shared memory for a stage: tables of places, and the input tile."""

from collections.abc import Callable

from gpuconv.cuda.conv.tiled.tiles import THREADS, WARPS
from gpuconv.cuda.device.elements import Element, inlined
from gpuconv.cuda.language import cuda, int64, uint32


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


def make_load_input(element: Element) -> Callable[..., None]:
    """A function that fills the input tile: a warp takes one row after the other, its lanes the columns."""
    widen = element.widen

    @inlined
    def load_input(
        shared, table, x, x_first, x_c, x_h, x_w, lane, warp, h_first, w_first,
        H, W, channels, step_h, step_w, tile_h, tile_w, pitch, places, x_tile, zero,
    ):  # fmt: skip
        for line in range(warp, uint32(channels * tile_h), uint32(WARPS)):
            c, row = uint32(uint32(line) // tile_h), uint32(uint32(line) % tile_h)
            h = uint32(h_first + row * step_h)
            x_row = x_first + int64(c) * x_c + int64(h) * x_h
            for column in range(lane, tile_w, uint32(32)):
                w = uint32(w_first + column * step_w)
                value = zero
                if h < H and w < W:
                    value = widen(x[x_row + int64(w) * x_w])
                shared[uint32(x_tile + line * pitch + table[uint32(places + column)])] = value

    return load_input
