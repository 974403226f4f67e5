"""The kernel of the implicit GEMM: a tile of outputs as a product of slabs that are gathered meanwhile.

A block computes tile.k channels x tile.pixels pixels of one group; blocks run over channels first, so that
those which read the same pixels run together. It walks over the depth in slabs of 16 taps (`gather.py`), and
keeps three of them in shared memory: two on their way by `cp.async` while the third is multiplied.

    weights  [16][tile.k + 4]     the pad staggers taps over the banks: w is read along taps, kept along k
    input    [16][tile.pixels]
    ... three times, then
    w table  [threads / 8][4] int32         the rows of w that a thread loads, relative to the tile's first
    x table  [period + 16][2] uint32        where the taps lie; none for a 1x1 window

A warp computes 32 channels x 8 thread_pixels pixels, a thread 8 x thread_pixels of them in registers, as two
by one or two squares of 4 x 4: per tap 3 or 4 loads of 128 bits for 32 or 64 products.

      pixels ->   lanes 0 .. 7 along the pixels, 4 of them each: 128 bytes of a row
    k |  lane  0  1  2 ...  7       channels 4 i .. 4 i + 3, and the same 16 further down
      v  lane  8  9 10 ... 15

A thread loads one pixel's elements of 8 or 16 taps and the weights of two taps, 8 lanes side by side along
them: whole sectors, and no two lanes in a bank. With `pointwise` it loads 4 neighbouring pixels of a few
channels, 16 bytes at a time. All loop-carried state is addresses, because what can be computed anew from the
thread's number is, by the compiler, in every slab. Not yet run on a GPU.
"""

from collections.abc import Callable
from typing import Any

from numba import cuda, float32, int32, int64, types, uint32, uint64

from gpuconv.cuda.compiled import Kernel
from gpuconv.cuda.gather import SLAB, divide, fill_table, locate_pixel, make_gather, make_rows
from gpuconv.cuda.gemm_tiles import PAD, STAGES, THREAD_K, Tile
from gpuconv.cuda.ptx.async_copy import commit_group, copy_async, element_pointer, shared_address, wait_group
from gpuconv.cuda.ptx.slab_product import make_slab_product
from gpuconv.cuda.ptx.vectors import load4, store4

AHEAD = STAGES - 1  # slabs on their way
PENDING = AHEAD - 1


def make_kernel(tile: Tile, pointwise: bool) -> Kernel:
    TILE_K, TILE_PIXELS, THREADS, WARPS_K = tile.k, tile.pixels, tile.threads, tile.warps_k
    THREAD_PIXELS, SUMS = tile.thread_pixels, THREAD_K * tile.thread_pixels
    WARP_PIXELS = 8 * THREAD_PIXELS
    PITCH, STAGE_BYTES = tile.k + PAD, 4 * tile.stage
    X_SLAB = SLAB * PITCH  # the word where a stage's input begins
    W_TABLE, X_TABLE = STAGES * tile.stage, tile.table_first  # words
    VECTOR = 4 if pointwise else 1  # pixels that are loaded at once
    TAPS = THREADS * VECTOR // TILE_PIXELS  # threads along the taps
    THREAD_TAPS = SLAB // TAPS
    FIRST_TAP = 1 if pointwise else THREAD_TAPS  # of the next thread
    gather = make_gather(THREAD_TAPS, TILE_PIXELS)
    rows = make_rows(THREAD_TAPS, TAPS, TILE_PIXELS)
    find_weights, load_weights = make_weights(TILE_K, THREADS, W_TABLE)
    following = make_ring(STAGE_BYTES)
    store = make_store(THREAD_PIXELS)
    slab_product = make_slab_product(SLAB, PITCH, TILE_PIXELS, (0, 16), range(0, WARP_PIXELS, 32))

    def conv_implicit_gemm(
        x, w, bias, y,
        x_n, x_c, x_h, x_w, x_period, bias_k, y_n, y_k, y_p, y_q, y_split,  # strides in elements
        w_k, H, W, K, P, Q, C, groups, h_origin, w_origin, stride_h, stride_w, dilation_h, dilation_w, R, S,
        taps, period, pixels, slabs, splits, tiles_k, run, runs, has_bias, aligned,
    ):  # fmt: skip
        shared = cuda.shared.array(0, float32, alignment=16)
        table = cuda.shared.array(0, uint32, alignment=16)
        thread = uint32(cuda.threadIdx.x)
        lane, warp = thread % uint32(32), thread // uint32(32)

        # locate: the tile, its share of the depth, what the thread loads, what it computes
        block, tile_k = divide(uint32(cuda.blockIdx.x), tiles_k)
        block, g = divide(block, groups)
        block, split = divide(block, splits)
        k_first, pixel_first = uint32(tile_k * uint32(TILE_K)), uint32(block * uint32(TILE_PIXELS))
        first = uint32(split * slabs * uint32(SLAB))
        left = uint32(taps - first)
        slabs_here = int32(min(slabs, uint32((left + uint32(SLAB - 1)) // uint32(SLAB))))

        column = uint32(thread % uint32(TILE_PIXELS // VECTOR) * uint32(VECTOR))
        tap_x = uint32(thread // uint32(TILE_PIXELS // VECTOR) * uint32(FIRST_TAP))
        base, outside = locate_pixel(
            uint32(pixel_first + column), pixels, P, Q, H, W, R, S, h_origin, w_origin, stride_h, stride_w,
            dilation_h, dilation_w, x_n, x_h, x_w,
        )  # fmt: skip
        periods, in_period = divide(first, period)
        base += int64(uint32(g * C)) * x_c + int64(periods) * x_period
        if pointwise:
            base += int64(tap_x) * x_c
        else:
            fill_table(
                table, uint32(X_TABLE), thread, uint32(THREADS), taps, period, R, S, dilation_h, dilation_w,
                x_c, x_h, x_w,
            )  # fmt: skip
        x_from = element_pointer(x, base)
        tap_w, row_w = lane % uint32(8), uint32(warp * uint32(4) + lane // uint32(8))
        w_entry = find_weights(table, tap_w, row_w, uint32(K - k_first), w_k)
        w_tile = int64(uint32(g * K + k_first)) * int64(int32(w_k))
        w_from = element_pointer(w, w_tile + int64(first + tap_w))

        k_thread = uint32(warp % uint32(WARPS_K) * uint32(32) + lane // uint32(8) * uint32(4))
        pixel_thread = uint32(warp // uint32(WARPS_K) * uint32(WARP_PIXELS) + lane % uint32(8) * uint32(4))
        to_w = shared_address(shared, uint32(tap_w * uint32(PITCH) + row_w))
        to_x = shared_address(shared, uint32(uint32(X_SLAB) + tap_x * uint32(TILE_PIXELS) + column))
        from_w = shared_address(shared, k_thread)
        from_x = shared_address(shared, uint32(uint32(X_SLAB) + pixel_thread))
        loading, multiplying = uint32(0), uint32(0)  # stages
        total = cuda.local.array(SUMS, float32)
        for i in range(SUMS):
            total[i] = float32(0)

        slab = int32(-AHEAD)
        while slab < slabs_here:
            wait_group(PENDING)
            cuda.syncthreads()  # this slab is there, the one before has been read

            # load
            if int32(slab + AHEAD) < slabs_here:
                w_rows = load4(table, w_entry)
                if pointwise:
                    rows(x_from, x_c, tap_x, left, outside, to_x)
                else:
                    entry = uint32((period if left <= uint32(SLAB) else in_period) + tap_x)
                    gather(table, uint32(uint32(X_TABLE) + uint32(2) * entry), outside, x_from, to_x)
                load_weights(w_from, w_rows, tap_w, left, to_w)
                w_from = element_pointer(w_from, int64(SLAB))
                left, in_period = uint32(left - uint32(SLAB)), uint32(in_period + uint32(SLAB))
                if in_period == period:
                    in_period = uint32(0)
                    x_from = element_pointer(x_from, x_period)
                loading, step = following(loading)
                to_w, to_x = uint32(to_w + step), uint32(to_x + step)
            commit_group()

            # accumulate
            if slab >= int32(0):
                slab_product(total, from_w, from_x)
                multiplying, step = following(multiplying)
                from_w, from_x = uint32(from_w + step), uint32(from_x + step)
            slab = int32(slab + 1)

        # store
        k = uint32(g * K + k_first + k_thread)
        channels = uint32(K - k_first - k_thread) if uint32(k_first + k_thread) < K else uint32(0)
        start = cuda.local.array(THREAD_K, float32)
        for i in range(THREAD_K):
            start[i] = float32(0)
            if has_bias != uint32(0) and channel(i) < channels:
                start[i] = bias[int64(uint32(k + channel(i))) * bias_k]
        y_tile = int64(k) * y_k + int64(split) * y_split
        pixel = uint32(pixel_first + pixel_thread)
        store(0, total, start, y, y_tile, pixel, channels, pixels, y_n, y_k, y_p, y_q, run, runs, aligned)
        if THREAD_PIXELS == 8:
            pixel = uint32(pixel + uint32(32))
            store(4, total, start, y, y_tile, pixel, channels, pixels, y_n, y_k, y_p, y_q, run, runs, aligned)

    arguments = (*[types.CPointer(float32)] * 4, *[int64] * 11, *[uint32] * 26)
    name = f"conv_implicit_gemm {tile.k}x{tile.pixels}{' pointwise' if pointwise else ''}"
    return Kernel(name, conv_implicit_gemm, arguments, THREADS, tile.blocks_per_sm)


def make_ring(stage_bytes: int) -> Callable[..., Any]:
    """A function from a stage to the one that follows, and what to add to an address in the first."""

    @cuda.jit(device=True, inline="always")
    def following(stage):
        if stage == uint32(STAGES - 1):
            return uint32(0), uint32(2**32 - (STAGES - 1) * stage_bytes)
        return uint32(stage + uint32(1)), uint32(stage_bytes)

    return following


def make_weights(tile_k: int, threads: int, w_table: int) -> tuple[Callable[..., Any], Callable[..., None]]:
    """Two functions: one puts down where a thread's rows of weights begin, and returns where that stands; the
    other asks for weights.

    A thread has two taps, 8 apart, of every STEP-th channel from `row` on. Channels beyond the last get its
    weights, which nothing stores.
    """
    STEP = threads // 8
    PASSES = tile_k // STEP

    @cuda.jit(device=True, inline="always")
    def find(table, tap, row, channels, w_k):
        if tap < uint32(PASSES):
            k = min(uint32(row + tap * uint32(STEP)), uint32(channels - uint32(1)))
            table[uint32(uint32(w_table) + uint32(4) * row + tap)] = uint32(k * w_k)
        return uint64(w_table) + uint64(4) * uint64(row)

    @cuda.jit(device=True, inline="always")
    def load(w, places, tap, left, to):
        for j in range(0, SLAB, 8):
            bytes = uint32(4) if uint32(tap + uint32(j)) < left else uint32(0)
            for i in range(PASSES):
                target = uint32(to + uint32(4 * (j * (tile_k + PAD) + i * STEP)))
                copy_async(1, target, w, int64(int32(places[i])) + int64(j), bytes)

    return find, load


@cuda.jit(device=True, inline="always")
def channel(i):
    """The channel of a thread's i-th row of sums, from its first."""
    return uint32(i % 4 + i // 4 * 16)


def make_store(thread_pixels: int) -> Callable[..., None]:
    """A function that stores 8 channels x 4 pixels of a thread's sums, those from the column `column` on."""

    @cuda.jit(device=True, inline="always")
    def store(
        column, total, start, y, y_first, pixel, channels, pixels, y_n, y_k, y_p, y_q, run, runs, aligned
    ):  # fmt: skip
        if aligned != uint32(0):
            place = y_first + place_of_pixel(pixel, run, runs, y_n, y_p, y_q)
            for i in range(THREAD_K):
                below, first = channel(i), i * thread_pixels + column
                if below < channels and pixel < pixels:
                    store4(
                        y, place + int64(below) * y_k,
                        epilogue(total[first], start[i]), epilogue(total[first + 1], start[i]),
                        epilogue(total[first + 2], start[i]), epilogue(total[first + 3], start[i]),
                    )  # fmt: skip
        else:
            places = cuda.local.array(4, int64)
            for j in range(4):
                places[j] = y_first + place_of_pixel(uint32(pixel + uint32(j)), run, runs, y_n, y_p, y_q)
            for i in range(THREAD_K):
                below = channel(i)
                for j in range(4):
                    if below < channels and uint32(pixel + uint32(j)) < pixels:
                        value = epilogue(total[i * thread_pixels + column + j], start[i])
                        y[places[j] + int64(below) * y_k] = value

    return store


@cuda.jit(device=True, inline="always")
def place_of_pixel(pixel, run, runs, y_n, y_p, y_q):
    """Where a pixel lies in the output, of which `run` pixels lie in a row, and `runs` rows in an image."""
    rest, q = divide(pixel, run)
    n, p = divide(rest, runs)
    return int64(n) * y_n + int64(p) * y_p + int64(q) * y_q


@cuda.jit(device=True, inline="always")
def epilogue(total, bias):
    """What is stored of a sum."""
    return total + bias
