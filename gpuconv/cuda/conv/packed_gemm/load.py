"""How a block of the packed GEMM loads a slab of each side: rows of 64 bytes, 16 bytes at a time, `cp.async`.

A thread loads one of the 4 pieces of a row, of every 32nd row. Where the piece lies in the depth, as tap
(r, s) and piece of its channels, it keeps as three numbers, and moves on by 4 pieces from slab to slab.
Pieces that lie outside of the image, beyond the window or beyond the tile's channels become zeros.
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.conv.packed_gemm.tiles import LOAD_ROWS, PIECES, PackedTile
from gpuconv.cuda.device.division import divide
from gpuconv.cuda.device.elements import inlined
from gpuconv.cuda.language import int32, int64, uint32
from gpuconv.cuda.ptx.copies import copy_async
from gpuconv.cuda.ptx.matrices import PIECE_BYTES, ROW_BYTES

OUTSIDE = 2**31  # a row or column that no tap leads back into an image
STEP = LOAD_ROWS * ROW_BYTES  # bytes between the rows of a thread


@inlined
def place_of_piece(row, piece):
    """Where a row keeps a piece in a slab, in bytes; the same for every 8th row."""
    return uint32(row * uint32(ROW_BYTES) + ((piece ^ (row // uint32(2) % uint32(4))) * uint32(PIECE_BYTES)))


@inlined
def locate_piece(depth, chunks, S, w_place):
    """What changes from slab to slab, of a piece of the depth: (which of its channels, the column and
    the row of its window, its place in the weights)."""
    tap, c = divide(depth, chunks)
    r, s = divide(tap, S)
    return c, s, r, w_place


@inlined
def next_piece(c, s, r, window):
    """The same 4 pieces on; `window` says what they are: less than a row of taps, some rows."""
    chunks, S, _, step_c, step_s, step_r = window
    c, s, r = uint32(c + step_c), uint32(s + step_s), uint32(r + step_r)
    if c >= chunks:
        c, s = uint32(c - chunks), uint32(s + uint32(1))
    if s >= S:
        s, r = uint32(s - S), uint32(r + uint32(1))
    return c, s, r


def make_loads(tile: PackedTile, elements: int) -> tuple[Callable[..., None], Callable[..., Any]]:
    """`locate_pixels` and `load` for a tile, of `elements` in a piece.

    The first puts down, once, where the windows of a thread's pixels begin, in memory and in their image;
    the second asks for a slab, and gives what has changed.
    """
    X_ROWS, W_ROWS = tile.pixels // LOAD_ROWS, tile.k // LOAD_ROWS
    INPUT = ROW_BYTES * tile.k  # the byte where a stage's input begins

    @inlined
    def locate_pixels(bases, tops, lefts, pixel, group, image, strides):
        pixels, P, Q, h_origin, w_origin, stride_h, stride_w = image
        x_n, x_h, x_w = strides
        for i in range(X_ROWS):
            here = uint32(pixel + uint32(LOAD_ROWS * i))
            rest, q = divide(here, Q)
            n, p = divide(rest, P)
            h, w = uint32(p * stride_h + h_origin), uint32(q * stride_w + w_origin)  # they wrap if negative
            bases[i] = int64(n) * x_n + group + int64(int32(h)) * x_h + int64(int32(w)) * x_w
            tops[i], lefts[i] = uint32(OUTSIDE) if here >= pixels else h, w

    @inlined
    def load(x, w, bases, tops, lefts, state, inside, rows, w_step, window, extents, to):
        c, s, r, w_place = state
        H, W, dilation_h, dilation_w, x_h, x_w = extents
        for i in range(W_ROWS):
            is_there = inside and rows > int32(LOAD_ROWS * i)
            ask(w, w_place + int64(i) * w_step, is_there, uint32(to + uint32(STEP * i)))
        down, right = uint32(r * dilation_h), uint32(s * dilation_w)
        place = int64(down) * x_h + int64(right) * x_w + int64(uint32(c * uint32(elements)))
        within = inside and r < window[2]
        for i in range(X_ROWS):
            is_there = within and uint32(tops[i] + down) < H and uint32(lefts[i] + right) < W
            ask(x, bases[i] + place, is_there, uint32(to + uint32(INPUT + STEP * i)))
        c, s, r = next_piece(c, s, r, window)
        return c, s, r, w_place + int64(PIECES * elements)

    @inlined
    def ask(array, place, is_there, to):
        copy_async(elements, to, array, place, uint32(PIECE_BYTES) if is_there else uint32(0))

    return locate_pixels, load
