"""How an implicit GEMM finds the input element of a tap and a pixel, without dividing in its main loop.

The taps (c, r, s) of a group are one axis, the depth, and the pixels (n, p, q) another. The element for a tap
and a pixel lies at

    base(pixel) + place(tap),   base = n x_n + (p stride - top) x_h + (q stride - left) x_w
                                place = c x_c + r dilation x_h + s dilation x_w

A thread keeps the base of its pixel in a register. Places repeat after `period` taps, which are whole
channels and whole slabs, but for x_c times the channels; so a table of one period in shared memory holds
them all, and bases move on by that much when it has been passed. After the period stand the taps of the last
slab once more. An entry is two words:

    place   int32, elements
    bits    one bit for the row r, one for the column s (bit R + s), bit 31 for a tap beyond the depth

and each thread has a word of the same form with the rows and columns of its pixel that lie outside of the
image, and bit 31. Where the two have a bit in common the element is zero: one instruction for both borders,
which limits R + S to 31.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from numba import cuda, int32, int64, uint32, uint64

from gpuconv.cuda.ptx.async_copy import copy_async
from gpuconv.cuda.ptx.vectors import load4, store2
from gpuconv.spec import ConvSpec

SLAB = 16  # taps that are loaded and multiplied together
BEYOND = 2**31  # the bit of what is neither inside nor outside of an image
MAX_BITS = 31
MAX_ENTRIES = 1024
ENTRY_BYTES = 8
BATCH = 8  # taps whose entries are read before the first of their elements is asked for


@dataclass(frozen=True, slots=True)
class Depth:
    """The taps of one group, and the period of their places."""

    taps: int
    period: int  # taps
    channels: int  # of one period

    @classmethod
    def of(cls, spec: ConvSpec) -> "Depth":
        window = spec.R * spec.S
        period = math.lcm(window, SLAB)
        return cls(spec.C_group * window, period, period // window)

    @property
    def slabs(self) -> int:
        return -(-self.taps // SLAB)

    @property
    def table_bytes(self) -> int:
        return (self.period + SLAB) * ENTRY_BYTES

    def reach(self, spec: ConvSpec, x_c: int, x_h: int, x_w: int) -> int:
        """The greatest magnitude of a place, for strides in elements."""
        rows, columns = (spec.R - 1) * spec.dilation[0], (spec.S - 1) * spec.dilation[1]
        return self.channels * abs(x_c) + rows * abs(x_h) + columns * abs(x_w)


@cuda.jit(device=True, inline="always")
def divide(a, b):
    """(a // b, a % b) of uint32."""
    return uint32(a // b), uint32(a % b)


@cuda.jit(device=True, inline="always")
def fill_table(
    table, entries, thread, threads, taps, period, R, S, dilation_h, dilation_w, x_c, x_h, x_w
):  # fmt: skip
    """Write the table from the word `entries` on."""
    last = uint32(uint32(taps - uint32(1)) // uint32(SLAB) * uint32(SLAB))
    for entry in range(thread, uint32(period + uint32(SLAB)), uint32(threads)):
        tap, bits = uint32(entry), uint32(0)
        if tap >= period:
            tap = uint32(tap - period + last)
            bits = uint32(BEYOND) if tap >= taps else uint32(0)
            tap = uint32(tap % period)
        rest, s = divide(tap, S)
        c, r = divide(rest, R)
        place = int64(c) * x_c + int64(uint32(r * dilation_h)) * x_h + int64(uint32(s * dilation_w)) * x_w
        bits = uint32(bits | uint32(1) << r | uint32(1) << uint32(R + s))
        store2(table, uint32(entries + uint32(2) * uint32(entry)), uint32(place), bits)


@cuda.jit(device=True, inline="always")
def locate_pixel(
    pixel, pixels, P, Q, H, W, R, S, h_origin, w_origin, stride_h, stride_w, dilation_h, dilation_w,
    x_n, x_h, x_w,
):  # fmt: skip
    """(base, bits of its window that lie outside of the image) of a pixel; all bits beyond the last."""
    rest, q = divide(pixel, Q)
    n, p = divide(rest, P)
    h, v = uint32(p * stride_h + h_origin), uint32(q * stride_w + w_origin)  # they wrap if negative
    bits = uint32(BEYOND)
    for r in range(R):
        if uint32(h + uint32(r) * dilation_h) >= H:
            bits = uint32(bits | uint32(1) << uint32(r))
    for s in range(S):
        if uint32(v + uint32(s) * dilation_w) >= W:
            bits = uint32(bits | uint32(1) << uint32(R + uint32(s)))
    if pixel >= pixels:
        bits = uint32(2**32 - 1)
    return int64(n) * x_n + int64(int32(h)) * x_h + int64(int32(v)) * x_w, bits


def make_gather(rows: int, tile_pixels: int) -> Callable[..., None]:
    """A function that asks for `rows` taps of the thread's pixel; in a slab a tap is `tile_pixels` wide."""
    PITCH = 4 * tile_pixels  # bytes

    @cuda.jit(device=True, inline="always")
    def gather(table, entry, outside, x, to):
        for first in range(0, rows, BATCH):
            batch = uint64(entry) + uint64(2 * first)  # 64 bits, so that what is added becomes an offset
            # The whole batch is read before its first copy is queued: after a read a copy has to wait.
            place_0, bits_0, place_1, bits_1 = load4(table, batch)
            place_2, bits_2, place_3, bits_3 = load4(table, batch + uint64(4))
            place_4, bits_4, place_5, bits_5 = load4(table, batch + uint64(8))
            place_6, bits_6, place_7, bits_7 = load4(table, batch + uint64(12))
            row = uint32(to + uint32(PITCH * first))
            ask(x, place_0, bits_0 & outside, row)
            ask(x, place_1, bits_1 & outside, uint32(row + uint32(PITCH)))
            ask(x, place_2, bits_2 & outside, uint32(row + uint32(2 * PITCH)))
            ask(x, place_3, bits_3 & outside, uint32(row + uint32(3 * PITCH)))
            ask(x, place_4, bits_4 & outside, uint32(row + uint32(4 * PITCH)))
            ask(x, place_5, bits_5 & outside, uint32(row + uint32(5 * PITCH)))
            ask(x, place_6, bits_6 & outside, uint32(row + uint32(6 * PITCH)))
            ask(x, place_7, bits_7 & outside, uint32(row + uint32(7 * PITCH)))

    return gather


@cuda.jit(device=True, inline="always")
def ask(x, place, outside, to):
    """Copy one element to shared memory, or zero if any bit of `outside` is set."""
    copy_async(1, to, x, int32(place), uint32(4) if outside == uint32(0) else uint32(0))


def make_rows(copies: int, step: int, tile_pixels: int) -> Callable[..., None]:
    """A function that asks for `copies` taps, `step` apart, of 4 neighbouring pixels; a tap is a channel."""

    @cuda.jit(device=True, inline="always")
    def rows(x, x_c, tap, left, outside, to):
        for i in range(copies):
            inside = uint32(tap + uint32(i * step)) < left and outside == uint32(BEYOND)
            bytes = uint32(16) if inside else uint32(0)
            copy_async(4, uint32(to + uint32(4 * tile_pixels * step * i)), x, int64(i * step) * x_c, bytes)

    return rows
