"""The kernel of the packed GEMM: a tile of outputs by tensor cores, from slabs that are loaded meanwhile.

A block of 4 warps computes tile.k channels x tile.pixels pixels of one group; blocks run over channels first,
so that those which read the same pixels run together. It walks over the depth in slabs of 64 bytes, and keeps
three of them in shared memory: two on their way by `cp.async` while one is multiplied.

    weights  [tile.k][64 bytes]          a row is 4 pieces of 16 bytes, which change places from row to row
    input    [tile.pixels][64 bytes]     (`ptx/matrices.py`)
    ... three times

      pixels ->      a warp has warp_k x warp_pixels of the outputs, in tiles of 16 x 8
    k |  0  2
      v  1  3        warps, of a tile of twice a warp's along both sides
"""

from collections.abc import Callable
from itertools import product

from gpuconv.cuda.conv.operands import Operands
from gpuconv.cuda.conv.packed_gemm.load import locate_piece, make_loads, place_of_piece
from gpuconv.cuda.conv.packed_gemm.store import make_store
from gpuconv.cuda.conv.packed_gemm.tiles import (
    LOAD_ROWS,
    PIECES,
    STAGES,
    STORED_K,
    THREADS,
    TILES,
    PackedTile,
)
from gpuconv.cuda.device.division import divide
from gpuconv.cuda.device.elements import SCALARS, inlined
from gpuconv.cuda.language import cuda, int32, int64, uint32
from gpuconv.cuda.ptx.assembly import AMPERE
from gpuconv.cuda.ptx.copies import commit_group, shared_address, wait_group
from gpuconv.cuda.ptx.matrices import PIECE_BYTES, ROW_BYTES, make_matrix_product, make_put_sums
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.spec.dtypes import BYTES, FLOAT32, INT32, SIXTEEN_BITS


def make_function(operands: Operands, tile: PackedTile) -> Callable[..., None]:
    scalar, ELEMENTS = SCALARS[operands.y.arithmetic], PIECE_BYTES // operands.x.itemsize
    TILE_K, TILE_PIXELS, WARPS_K, WARP_K, WARP_PIXELS = (
        tile.k, tile.pixels, tile.warps_k, tile.warp_k, tile.warp_pixels,
    )  # fmt: skip
    STAGE, LAST, SUMS = tile.stage, (STAGES - 1) * tile.stage, tile.sums
    PENDING = STAGES - 2  # slabs on their way while one is multiplied
    INPUT = ROW_BYTES * tile.k  # the byte where a stage's input begins
    INPUT_ROWS = tile.pixels // LOAD_ROWS  # of a thread
    locate_pixels, load = make_loads(tile, ELEMENTS)
    matrix_product = make_matrix_product(operands.w, operands.x, tile.k_tiles, tile.pixel_tiles)
    store = make_store(operands.bias, operands.y, tile)
    put_first, put_second = (
        make_put_sums(tile.k_tiles, tile.pixel_tiles, tiles % tile.k_tiles) for tiles in (0, 2)
    )
    WARP_WORDS = STORED_K * tile.warp_pixels

    def conv_packed_gemm(
        x, w, bias, y,
        x_n, x_g, x_h, x_w, w_k, bias_k, y_n, y_k, y_p, y_q, y_split,  # strides in elements
        H, W, K, P, Q, R, S, groups, h_origin, w_origin, stride_h, stride_w, dilation_h, dilation_w,
        chunks, step_c, step_s, step_r, pixels, slabs, all_slabs, tiles_k, tiles_pixels,
        run, run_multiplier, run_shift, runs, runs_multiplier, runs_shift, has_bias, paired, channels_last,
    ):  # fmt: skip
        shared = cuda.shared.array(0, uint32, alignment=128)
        turned = cuda.shared.array(0, scalar, alignment=128)
        thread = uint32(cuda.threadIdx.x)
        lane, warp = uint32(thread % uint32(32)), uint32(thread // uint32(32))

        # locate
        tile_k, tile_pixel, g, split = locate_tile(tiles_k, groups, tiles_pixels)
        k_first, pixel_first = uint32(tile_k * uint32(TILE_K)), uint32(tile_pixel * uint32(TILE_PIXELS))
        first = uint32(split * slabs)
        left = int32(min(slabs, uint32(all_slabs - first)))
        row, piece = uint32(thread // uint32(PIECES)), uint32(thread % uint32(PIECES))
        bases = cuda.local.array(INPUT_ROWS, int64)
        tops, lefts = cuda.local.array(INPUT_ROWS, uint32), cuda.local.array(INPUT_ROWS, uint32)
        locate_pixels(
            bases, tops, lefts, uint32(pixel_first + row), int64(g) * x_g,
            (pixels, P, Q, h_origin, w_origin, stride_h, stride_w), (x_n, x_h, x_w),
        )  # fmt: skip
        depth = uint32(first * uint32(PIECES) + piece)
        w_place = int64(uint32(g * K + k_first + row)) * w_k + int64(depth) * int64(ELEMENTS)
        w_step, rows = int64(LOAD_ROWS) * w_k, int32(int32(K - k_first) - int32(row))
        window, extents = (chunks, S, R, step_c, step_s, step_r), (H, W, dilation_h, dilation_w, x_h, x_w)
        state = locate_piece(depth, chunks, S, w_place)
        begin = shared_address(shared, uint32(0))
        to = uint32(begin + place_of_piece(row, piece))
        k_warp = uint32(warp % uint32(WARPS_K) * uint32(WARP_K))
        pixel_warp = uint32(warp // uint32(WARPS_K) * uint32(WARP_PIXELS))
        from_w = uint32(begin + row_of_weights(k_warp, lane))
        from_x = uint32(begin + uint32(INPUT) + row_of_pixels(pixel_warp, lane))
        total = cuda.local.array(SUMS, scalar)
        for i in range(SUMS):
            total[i] = scalar(0)

        # load: the first slabs
        for stage in range(STAGES - 1):
            inside = int32(stage) < left
            state = load(
                x, w, bases, tops, lefts, state, inside, rows, w_step, window, extents,
                uint32(to + uint32(STAGE * stage)),
            )  # fmt: skip
            commit_group()
        read, write = uint32(0), uint32(LAST)
        while left > int32(0):
            wait_group(PENDING)
            cuda.syncthreads()  # this slab is there, the one before has been read

            # load: the slab behind those that are on their way; zeros beyond the last
            inside = left > int32(STAGES - 1)
            state = load(
                x, w, bases, tops, lefts, state, inside, rows, w_step, window, extents, uint32(to + write)
            )
            commit_group()

            # accumulate
            matrix_product(total, uint32(from_w + read), uint32(from_x + read))
            left = int32(left - int32(1))
            write = read
            read = uint32(0) if read == uint32(LAST) else uint32(read + uint32(STAGE))

        # store: by way of the stages, each warp in a part of its own
        wait_group(0)
        cuda.syncthreads()
        k, channels = uint32(k_first + k_warp), uint32(0)
        if k < K:
            channels = uint32(K - k)  # from the warp's first on
        word, spread = uint32(warp * uint32(WARP_WORDS)), (uint32(pixel_first + pixel_warp), pixels)
        place, y_first = uint32(begin + uint32(4) * word), int64(split) * y_split
        added, strides = (bias_k, has_bias), (y_n, y_k, y_p, y_q)
        ways = (
            (run, run_multiplier, run_shift), (runs, runs_multiplier, runs_shift), paired, channels_last
        )  # fmt: skip
        put_first(total, place, lane)
        cuda.syncwarp()
        part = (word, lane), (uint32(g * K + k), channels), spread
        store(turned, bias, y, part, added, y_first, strides, ways)
        if WARP_K > STORED_K and channels > uint32(STORED_K):
            cuda.syncwarp()
            put_second(total, place, lane)
            cuda.syncwarp()
            left_k = uint32(g * K + k + uint32(STORED_K)), uint32(channels - uint32(STORED_K))
            store(turned, bias, y, ((word, lane), left_k, spread), added, y_first, strides, ways)

    return conv_packed_gemm


@inlined
def row_of_weights(first, lane):
    """The byte of a slab that a lane names of the first 16 channels: their left pieces, then their right."""
    return place_of_piece(uint32(first + lane % uint32(16)), uint32(lane // uint32(16)))


@inlined
def row_of_pixels(first, lane):
    """The same of the first 16 pixels: both pieces of the first 8, then of the others."""
    row = uint32(first + lane // uint32(16) * uint32(8) + lane % uint32(8))
    return place_of_piece(row, uint32(lane // uint32(8) % uint32(2)))


@inlined
def locate_tile(tiles_k, groups, tiles_pixels):
    """(tile along the channels, along the pixels, group, share of the depth) of a block."""
    block, tile_k = divide(uint32(cuda.blockIdx.x), tiles_k)
    block, g = divide(block, groups)
    split, tile_pixel = divide(block, tiles_pixels)
    return tile_k, tile_pixel, g, split


def make_kernel(operands: Operands, tile: PackedTile) -> Kernel:
    """The kernel for dtypes and a tile."""
    return Kernel(
        f"conv_packed_gemm {operands} {tile.k}x{tile.pixels}",
        lambda: make_function(operands, tile),
        {**operands.pointers, int64: "x_n x_g x_h x_w w_k bias_k y_n y_k y_p y_q y_split"},
        THREADS,
        tile.blocks_per_sm,
        AMPERE,
    )


OPERANDS_TAKEN: tuple[Operands, ...] = (
    *(Operands(dtype, dtype, dtype) for dtype in SIXTEEN_BITS),
    *(Operands(dtype, dtype, FLOAT32) for dtype in SIXTEEN_BITS),
    *(Operands(x, w, INT32) for x, w in product(BYTES, BYTES)),
)
KERNELS_BY_TILE: dict[tuple[Operands, PackedTile], Kernel] = {
    (operands, tile): make_kernel(operands, tile) for operands in OPERANDS_TAKEN for tile in TILES
}
