"""How an implicit GEMM finds the input element of a tap and a pixel, without dividing in its main loop.

The taps (c, r, s) of a group are one axis, the depth, and the pixels (n, p, q) another. The element for a tap
and a pixel lies at

    base(pixel) + place(tap),   base = n x_n + (p stride - top) x_h + (q stride - left) x_w
                                place = c x_c + r dilation x_h + s dilation x_w

A thread keeps the base of its pixel in a register. Places repeat after `period` taps, which are whole
channels and whole slabs, but for x_c times the channels; so a table of one period in shared memory holds
them all, and bases move on by that much when it has been passed. After the period stand the taps of the last
slab once more, and a slab beyond it. An entry is two words:

    place   int32, elements
    bits    one bit for the row r, one for the column s (bit R + s), bit 31 for a tap beyond the depth

and each thread has a word of the same form with the rows and columns of its pixel that lie outside of the
image, and bit 31. Where the two have a bit in common the element is zero: one instruction for both borders,
which limits R + S to 31.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from gpuconv.cuda.device.division import divide
from gpuconv.cuda.language import cuda, int32, int64, uint32
from gpuconv.cuda.ptx.copies import copy_async
from gpuconv.cuda.ptx.memory import shared_words, store2
from gpuconv.spec import ConvSpec

SLAB = 16  # taps that are loaded and multiplied together
BEYOND = 2**31  # the bit of what is neither inside nor outside of an image
MAX_BITS = 31
MAX_ENTRIES = 1024
ENTRY_BYTES = 8
SLAB_BYTES = ENTRY_BYTES * SLAB  # of the entries of one slab
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
    def entries(self) -> int:
        """Of the table: a period, the last slab, and one beyond it."""
        return self.period + 2 * SLAB

    @property
    def table_bytes(self) -> int:
        return self.entries * ENTRY_BYTES

    def reach(self, spec: ConvSpec, x_c: int, x_h: int, x_w: int) -> int:
        """The greatest magnitude of a place, for strides in elements."""
        rows, columns = (spec.R - 1) * spec.dilation[0], (spec.S - 1) * spec.dilation[1]
        return self.channels * abs(x_c) + rows * abs(x_h) + columns * abs(x_w)


@cuda.jit(device=True, inline="always")
def fill_table(table, entries, thread, threads, taps, period, window, strides):
    """Write the table from the word `entries` on."""
    R, S, dilation_h, dilation_w = window
    _, x_c, x_h, x_w, _ = strides
    last = uint32(uint32(taps - uint32(1)) // uint32(SLAB) * uint32(SLAB))
    for entry in range(thread, uint32(period + uint32(2 * SLAB)), uint32(threads)):
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
def locate_pixel(pixel, image, window, strides):
    """(base, bits of its window that lie outside of the image) of a pixel; all bits beyond the last."""
    pixels, P, Q, H, W, h_origin, w_origin, stride_h, stride_w = image
    R, S, dilation_h, dilation_w = window
    x_n, _, x_h, x_w, _ = strides
    rest, q = divide(pixel, Q)
    n, p = divide(rest, P)
    h, w = uint32(p * stride_h + h_origin), uint32(q * stride_w + w_origin)  # they wrap if negative
    bits = uint32(BEYOND)
    for r in range(R):
        if uint32(h + uint32(r) * dilation_h) >= H:
            bits = uint32(bits | uint32(1) << uint32(r))
    for s in range(S):
        if uint32(w + uint32(s) * dilation_w) >= W:
            bits = uint32(bits | uint32(1) << uint32(R + uint32(s)))
    if pixel >= pixels:
        bits = uint32(2**32 - 1)
    return int64(n) * x_n + int64(int32(h)) * x_h + int64(int32(w)) * x_w, bits


@cuda.jit(device=True, inline="always")
def last_entry(end, first, left, taps):
    """(Where the entries of a share's last slab stand, or, if the depth goes on behind it, those of a slab
    beyond; how many taps are left when they are reached)."""
    rest = int32((left - int32(1)) % int32(SLAB) + int32(1))
    if uint32(first + uint32(left)) == taps:
        return end, rest
    return uint32(end + uint32(SLAB_BYTES)), int32(rest - int32(SLAB))


def make_gather(taps: int, lanes: int, columns: int, pitch: int) -> Callable[..., None]:
    """A function that asks for `taps` taps of a thread's pixels, the second `lanes` after the first.

    Taps lie `pitch` bytes apart.

    `x` and `outside` are tuples, of which as many are looked at as there are columns, 1 or 2.
    """

    @cuda.jit(device=True, inline="always")
    def gather(entry, outside, x, to):
        places, bits = cuda.local.array(BATCH, uint32), cuda.local.array(BATCH, uint32)
        for first in range(0, taps, BATCH):
            # The whole batch is read before its first copy is queued: after a read a copy has to wait.
            for i in range(0, BATCH, 2):
                places[i], bits[i], places[i + 1], bits[i + 1] = shared_words(entry, 2 * (first + i))
            for i in range(BATCH):
                ask(x, outside, places[i], bits[i], uint32(to + uint32(pitch * (first + i))))

    @cuda.jit(device=True, inline="always")
    def ask(x, outside, place, bits, to):
        copy_unless(bits & outside[0], x[0], place, to)
        if columns == 2:
            copy_unless(bits & outside[1], x[1], place, uint32(to + uint32(4 * lanes)))

    return gather


@cuda.jit(device=True, inline="always")
def copy_unless(outside, x, place, to):
    """Copy one element to shared memory, or zero if any bit of `outside` is set."""
    copy_async(1, to, x, int32(place), uint32(4) if outside == uint32(0) else uint32(0))
