"""How a block of the implicit GEMM loads the input of a slab: 16 taps of its tile's pixels, `cp.async`.

Each way is two functions. `locate` says, once, (what changes from slab to slab, what does not, the word of a
stage that the thread's first element goes to); `load` asks for a slab, and gives what has changed. What
changes is addresses, because what can be computed anew from the thread's number is, by the compiler, in every
slab.

Gathered, a thread loads one pixel's elements of 8 or 16 taps that follow each other, or two pixels' of 16
(`gather.py`). Where a tap is a channel whose pixels lie side by side, it loads 4 neighbouring pixels of a few
channels, 16 bytes at a time.
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.conv.implicit_gemm.gather import (
    BEYOND,
    ENTRY_BYTES,
    SLAB,
    SLAB_BYTES,
    fill_table,
    last_entry,
    locate_pixel,
    make_gather,
)  # fmt: skip
from gpuconv.cuda.conv.implicit_gemm.tiles import GemmTile
from gpuconv.cuda.device.division import divide
from gpuconv.cuda.language import cuda, int32, int64, uint32
from gpuconv.cuda.ptx.copies import copy_async, element_pointer, shared_address

Functions = tuple[Callable[..., Any], Callable[..., Any]]


def make_gathered(tile: GemmTile) -> Functions:
    """`locate` and `load` for any window."""
    THREADS, PITCH, TABLE = tile.threads, tile.x_pitch, tile.x_table
    PIXEL_THREADS = min(tile.threads, tile.pixels)  # threads along the pixels
    COLUMNS = tile.pixels // PIXEL_THREADS  # pixels of a thread
    TAPS = SLAB * PIXEL_THREADS // tile.threads  # of a thread
    gather = make_gather(TAPS, PIXEL_THREADS, COLUMNS, 4 * PITCH)

    @cuda.jit(device=True, inline="always")
    def locate(x, table, thread, pixel, base, depth, image, window, strides):
        first, left, taps, period = depth
        x_period = strides[4]
        fill_table(table, uint32(TABLE), thread, uint32(THREADS), taps, period, window, strides)
        column, tap = (
            uint32(thread % uint32(PIXEL_THREADS)),
            uint32(thread // uint32(PIXEL_THREADS) * uint32(TAPS)),
        )
        periods, in_period = divide(first, period)
        base += int64(periods) * x_period
        place, outside = locate_pixel(uint32(pixel + column), image, window, strides)
        x_from = element_pointer(x, base + place)
        x_other, outside_other = x_from, outside
        if COLUMNS == 2:
            place, outside_other = locate_pixel(
                uint32(pixel + column + uint32(PIXEL_THREADS)), image, window, strides
            )
            x_other = element_pointer(x, base + place)
        entries = shared_address(table, uint32(uint32(TABLE) + uint32(ENTRY_BYTES // 4) * tap))
        end = uint32(entries + uint32(ENTRY_BYTES) * period)
        last, last_left = last_entry(end, first, left, taps)
        entry = last if left == last_left else uint32(entries + uint32(ENTRY_BYTES) * in_period)
        fixed = (outside, outside_other), (entries, end, last), last_left, x_period
        return (x_from, x_other, entry), fixed, uint32(tap * uint32(PITCH) + column)

    @cuda.jit(device=True, inline="always")
    def load(state, fixed, left, to):
        x_from, x_other, entry = state
        outside, (entries, end, last), last_left, x_period = fixed
        gather(entry, outside, (x_from, x_other), to)
        entry, step = uint32(entry + uint32(SLAB_BYTES)), int64(0)
        if entry == end:
            entry, step = entries, x_period
        if left == int32(last_left + int32(SLAB)):
            entry = last
        return element_pointer(x_from, step), element_pointer(x_other, step), entry

    return locate, load


def make_pointwise(tile: GemmTile) -> Functions:
    """`locate` and `load` for 1x1 windows over pixels that lie side by side, 16 bytes aligned."""
    PITCH = tile.x_pitch
    PIXEL_THREADS = tile.pixels // 4  # threads along the pixels
    STEP = tile.threads // PIXEL_THREADS  # taps between those of a thread

    @cuda.jit(device=True, inline="always")
    def locate(x, table, thread, pixel, base, depth, image, window, strides):
        first, left = depth[:2]
        column, tap = (
            uint32(thread % uint32(PIXEL_THREADS) * uint32(4)),
            uint32(thread // uint32(PIXEL_THREADS)),
        )
        place, outside = locate_pixel(uint32(pixel + column), image, window, strides)
        x_from = element_pointer(x, base + place + int64(uint32(first + tap)) * strides[1])
        mine = int32(left - int32(tap)) if outside == uint32(BEYOND) else int32(0)
        return (x_from, mine), (strides[1], strides[4]), uint32(tap * uint32(PITCH) + column)

    @cuda.jit(device=True, inline="always")
    def load(state, fixed, left, to):
        x_from, mine = state
        x_c, x_period = fixed
        for tap in range(0, SLAB, STEP):
            bytes = uint32(16) if int32(tap) < mine else uint32(0)
            copy_async(4, uint32(to + uint32(4 * PITCH * tap)), x_from, int64(tap) * x_c, bytes)
        return element_pointer(x_from, x_period), int32(mine - int32(SLAB))

    return locate, load
