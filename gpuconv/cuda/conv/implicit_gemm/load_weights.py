"""How a block of the implicit GEMM loads the weights of a slab: 16 taps of its tile's channels, `cp.async`.

A thread has two taps, the second 8 after the first, of 4 or 8 channels. Eight lanes lie along the taps, so
that they ask for whole sectors, and 4 along the channels, so that no two of the 32 put an element into one
bank. Where the rows of its channels begin is too much for its registers, and stands in shared memory.
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.conv.implicit_gemm.gather import SLAB
from gpuconv.cuda.conv.implicit_gemm.tiles import PAD, GemmTile
from gpuconv.cuda.language import cuda, int32, int64, uint32
from gpuconv.cuda.ptx.copies import copy_async, element_pointer, shared_address
from gpuconv.cuda.ptx.memory import shared_words

TAP_LANES = 8  # along the taps


def make_weights(tile: GemmTile) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., None]]:
    """Three functions.

    `locate` puts down the rows, and gives (where the weights begin, how many taps are left from the thread's
    first on, the address of its rows, the word of a stage that its first element goes to). Channels beyond
    the last get its weights, which nothing stores. `read` takes the rows to registers, an array of
    `tile.w_rows`, and `load` asks for their weights.
    """
    TABLE, PITCH = tile.w_table, tile.k + PAD
    STEP = tile.threads // TAP_LANES  # channels between those of a thread
    ROWS = tile.w_rows

    @cuda.jit(device=True, inline="always")
    def locate(w, table, thread, k_first, g, K, w_k, first, left):
        tap, row = uint32(thread % uint32(TAP_LANES)), uint32(thread // uint32(TAP_LANES))
        rows = uint32(uint32(TABLE) + uint32(ROWS) * row)
        if tap < uint32(ROWS):
            k = min(uint32(row + tap * uint32(STEP)), uint32(K - k_first - uint32(1)))
            table[uint32(rows + tap)] = uint32(k * w_k)
        tile_from = int64(uint32(g * K + k_first)) * int64(int32(w_k))
        w_from = element_pointer(w, tile_from + int64(uint32(first + tap)))
        word = uint32(tap * uint32(PITCH) + row)
        return w_from, int32(left - int32(tap)), shared_address(table, rows), word

    @cuda.jit(device=True, inline="always")
    def read(rows, address):
        for i in range(0, ROWS, 4):
            rows[i], rows[i + 1], rows[i + 2], rows[i + 3] = shared_words(address, i)

    @cuda.jit(device=True, inline="always")
    def load(w_from, rows, left, to):
        for i in range(ROWS):
            ask(w_from, rows[i], left, uint32(to + uint32(4 * STEP * i)))

    @cuda.jit(device=True, inline="always")
    def ask(w_from, row, left, to):
        for tap in range(0, SLAB, TAP_LANES):
            bytes = uint32(4) if int32(tap) < left else uint32(0)
            copy_async(1, uint32(to + uint32(4 * PITCH * tap)), w_from, int64(int32(row)) + int64(tap), bytes)

    return locate, read, load
