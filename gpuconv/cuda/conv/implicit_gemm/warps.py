"""Which sums of a tile a thread of the implicit GEMM has, and what it multiplies for them.

A warp computes 32 channels x 64 pixels, a thread rows and columns of 4 of them side by side.

Of multiply-adds, 8 x 8 as two by two squares of 4 x 4: per tap 4 loads of 128 bits for 64 products.

      pixels ->   lanes 0 2 4 .. 14 along the pixels, 4 of them each, and the same 32 further on
    k |  lane  0  2  4 ... 14       channels 4 i .. 4 i + 3, and the same 16 further down
      v  lane  1  3  5 ... 15
         lane 16 18 20 ... 30

So the lanes of every pair n, n + 1 read the same pixels, and those of n, n + 2 the same channels: then the
hardware serves a load of 128 bits in two passes, and otherwise in four (NVIDIA's developer forum, thread
77228).

Of tensor cores, lane 4 g + t has 4 channels from first(g) on, of 4 pixels from 4 t on, and the same 16, 32
and 48 further on; it loads both factors of taps t and t + 4, of 8 that are multiplied together, from first(g)
on (`ptx/tensor_fragments.py`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from gpuconv.cuda.conv.implicit_gemm.gather import SLAB
from gpuconv.cuda.conv.implicit_gemm.tiles import PAD, WARP_K, WARP_PIXELS, GemmTile
from gpuconv.cuda.language import cuda, uint32
from gpuconv.cuda.ptx.fragments import make_slab_product
from gpuconv.cuda.ptx.tensor_fragments import SPAN, make_tensor_product


class Steps(NamedTuple):
    """From one quad of a thread's sums to the next, along the channels and the pixels; and how many quads."""

    k: int
    pixels: int
    quads_k: int
    quads_pixels: int


def steps_of(tile: GemmTile) -> Steps:
    if tile.arithmetic.products:
        return Steps(32, 16, 1, 4)
    return Steps(16, 32, 2, 2)


def make_product(tile: GemmTile) -> Callable[..., None]:
    """A function (total, w, x) that adds the product of a stage to a thread's sums, for addresses in it."""
    pitches = tile.k + PAD, tile.x_pitch
    if products := tile.arithmetic.products:
        return make_tensor_product(SLAB, *pitches, WARP_PIXELS // SPAN, products)
    return make_slab_product(SLAB, *pitches, (0, 16), (0, 32))


def make_locate(tile: GemmTile) -> Callable[..., Any]:
    """A function of the thread: (first channel and first pixel of its sums in the tile, first word that it
    reads of the weights of a stage, and of the input)."""
    WARPS_K, W_PITCH, X_PITCH = tile.warps_k, tile.k + PAD, tile.x_pitch

    @cuda.jit(device=True, inline="always")
    def locate_warp(thread):
        warp = uint32(thread // uint32(32))
        k = uint32(warp % uint32(WARPS_K) * uint32(WARP_K))
        return k, uint32(warp // uint32(WARPS_K) * uint32(WARP_PIXELS)), uint32(thread % uint32(32))

    @cuda.jit(device=True, inline="always")
    def locate(thread):
        k, pixel, lane = locate_warp(thread)
        k += uint32(lane % uint32(2) + lane // uint32(16) * uint32(2)) * uint32(4)
        pixel += uint32(lane // uint32(2) % uint32(8) * uint32(4))
        return uint32(k), uint32(pixel), uint32(k), uint32(pixel)

    @cuda.jit(device=True, inline="always")
    def locate_fragments(thread):
        k, pixel, lane = locate_warp(thread)
        g, t = uint32(lane // uint32(4)), uint32(lane % uint32(4))
        first = uint32(g // uint32(2) * uint32(4) + g % uint32(2) * uint32(16))
        k = uint32(k + first)
        w_word, x_word = uint32(t * uint32(W_PITCH) + k), uint32(t * uint32(X_PITCH) + pixel + first)
        return k, uint32(pixel + t * uint32(4)), w_word, x_word

    return locate_fragments if tile.arithmetic.products else locate
