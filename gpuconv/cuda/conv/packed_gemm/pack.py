"""How the packed GEMM's operands come to lie: channels of a tap side by side, in whole pieces of 16 bytes.

    input      [N][H][W][groups][chunks][16 bytes]
    weights    [K][R S chunks, whole slabs of 4][16 bytes]

What is missing of a piece, or of a slab, is zero. Elements are copied whatever they mean.

Of the input a block turns 64 channels of 32 pixels: lanes read neighbouring pixels of a channel, and write
neighbouring pieces of a pixel. The words of shared memory are [64][33], one for each element.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from gpuconv.cuda.conv.packed_gemm.load import locate_piece
from gpuconv.cuda.device.division import divide
from gpuconv.cuda.device.elements import inlined
from gpuconv.cuda.language import cuda, int64, types, uint32
from gpuconv.cuda.ptx.matrices import PIECE_BYTES
from gpuconv.cuda.ptx.memory import store4
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.spec.dtypes import UINT8, UINT16, Dtype

THREADS = 256
CHANNELS, PIXELS = 64, 32  # of a block
PITCH = PIXELS + 1
TURNED = CHANNELS * PITCH  # words of shared memory
WORDS = PIECE_BYTES // 4


def make_put(itemsize: int) -> Callable[..., None]:
    """put(packed, piece, values): a piece of 16 bytes from elements that are words of their own."""
    BITS, COUNT = 8 * itemsize, 4 // itemsize  # of an element; elements of a word

    @inlined
    def joined(values, first):
        word = values[first]
        for i in range(1, COUNT):
            word = uint32(word | values[first + i] << uint32(BITS * i))
        return word

    @inlined
    def put(packed, piece, values):
        store4(
            packed, piece * WORDS,
            joined(values, 0), joined(values, COUNT), joined(values, 2 * COUNT), joined(values, 3 * COUNT),
        )  # fmt: skip

    return put


def make_pixels_function(stored: Dtype) -> Callable[..., None]:
    ELEMENTS, put = PIECE_BYTES // stored.itemsize, make_put(stored.itemsize)
    PIECES = CHANNELS // ELEMENTS  # of a pixel, in a block

    def pack_pixels(
        x, packed, x_n, x_c, x_h, x_w,  # strides in elements
        pixels, C, H, W, groups, chunks, tiles_c,
    ):  # fmt: skip
        shared = cuda.shared.array(TURNED, uint32)
        values = cuda.local.array(ELEMENTS, uint32)
        thread = uint32(cuda.threadIdx.x)
        block, tile_c = divide(uint32(cuda.blockIdx.x), tiles_c)
        tile_pixel, g = divide(block, groups)
        lane, c_first = uint32(thread % uint32(PIXELS)), uint32(tile_c * uint32(CHANNELS))
        first = int64(tile_pixel) * PIXELS
        pixel = first + int64(lane)
        rest = pixel // int64(W)
        n = rest // int64(H)
        place = n * x_n + (rest - n * int64(H)) * x_h + (pixel - rest * int64(W)) * x_w
        for i in range(thread // uint32(PIXELS), uint32(CHANNELS), uint32(THREADS // PIXELS)):
            c, value = uint32(c_first + uint32(i)), uint32(0)
            if c < C and pixel < pixels:
                value = uint32(x[place + int64(uint32(g * C + c)) * x_c])
            shared[uint32(uint32(i) * uint32(PITCH) + lane)] = value
        cuda.syncthreads()
        mine, piece = divide(thread, uint32(PIECES))
        chunk = uint32(tile_c * uint32(PIECES) + piece)
        if mine < uint32(PIXELS) and chunk < chunks and first + int64(mine) < pixels:
            for e in range(ELEMENTS):
                row = uint32(piece * uint32(ELEMENTS) + uint32(e))
                values[e] = shared[uint32(row * uint32(PITCH) + mine)]
            to = ((first + int64(mine)) * int64(groups) + int64(g)) * int64(chunks) + int64(chunk)
            put(packed, to, values)

    return pack_pixels


def make_weights_function(stored: Dtype) -> Callable[..., None]:
    ELEMENTS, put = PIECE_BYTES // stored.itemsize, make_put(stored.itemsize)

    def pack_weights(
        w, packed, w_k, w_c, w_r, w_s,  # strides in elements
        pieces, row_pieces, C, R, S, chunks,
    ):  # fmt: skip
        values = cuda.local.array(ELEMENTS, uint32)
        here = uint32(uint32(cuda.blockIdx.x) * uint32(THREADS) + uint32(cuda.threadIdx.x))
        if here < pieces:
            k, piece = divide(here, row_pieces)
            c, s, r, place = locate_piece(piece, chunks, S, int64(k) * w_k)
            place += int64(r) * w_r + int64(s) * w_s
            for e in range(ELEMENTS):
                values[e] = uint32(0)
                channel = uint32(c * uint32(ELEMENTS) + uint32(e))
                if r < R and channel < C:
                    values[e] = uint32(w[place + int64(channel) * w_c])
            put(packed, int64(here), values)

    return pack_weights


def _kernel(name: str, make: Callable[..., Any], stored: Dtype, array: str, axes: str) -> Kernel:
    pointer = types.CPointer(getattr(types, stored.stored))
    strides = " ".join(f"{array}_{axis}" for axis in axes)
    scalars = f"{strides} pixels" if array == "x" else strides
    kinds = {pointer: array, types.CPointer(types.uint32): "packed", int64: scalars}
    return Kernel(f"{name} {stored}", partial(make, stored), kinds, THREADS, 4)


STORED = {dtype.itemsize: dtype for dtype in (UINT8, UINT16)}
PIXELS_KERNELS = {
    itemsize: _kernel("conv_pack_pixels", make_pixels_function, stored, "x", "nchw")
    for itemsize, stored in STORED.items()
}
WEIGHTS_KERNELS = {
    itemsize: _kernel("conv_pack_weights", make_weights_function, stored, "w", "kcrs")
    for itemsize, stored in STORED.items()
}
