"""The kernel of the implicit GEMM: a tile of outputs as a product of slabs that are gathered meanwhile.

A block computes tile.k channels x tile.pixels pixels of one group; blocks run over channels first, so that
those which read the same pixels run together. It walks over the depth in slabs of 16 taps, and keeps two of
them in shared memory: one on its way by `cp.async` while the other is multiplied. That takes any warp more
than 1100 cycles, about twice the way from device memory, so that a third would only take room.

    weights  [16][tile.k + 4]     the pad staggers taps over the banks: w is read along taps, kept along k
    input    [16][tile.pixels]    of tensor cores, which read both along taps, [16][tile.pixels + 4]
    ... twice, then
    w table  [threads / 8][8 tile.k / threads] int32    the rows of w that a thread loads (`load_weights.py`)
    x table  [period + 32][2] uint32                    where the taps lie (`gather.py`); none if `pointwise`

A warp computes 32 channels x 64 pixels, a thread 64 sums of them in registers (`warps.py`), by multiply-adds
or by tensor cores; whose sums are looked at in the end, and those that are not finite computed anew
(`direct.py`).

All state of the main loop is addresses, because what can be computed anew from the thread's number is, by the
compiler, in every slab.
"""

from collections.abc import Callable

from gpuconv.cuda.conv.implicit_gemm.direct import make_direct
from gpuconv.cuda.conv.implicit_gemm.gather import SLAB
from gpuconv.cuda.conv.implicit_gemm.load import make_gathered, make_pointwise
from gpuconv.cuda.conv.implicit_gemm.load_weights import make_weights
from gpuconv.cuda.conv.implicit_gemm.store import make_store
from gpuconv.cuda.conv.implicit_gemm.tiles import ALL_TILES, PAD, SUMS, GemmTile
from gpuconv.cuda.conv.implicit_gemm.warps import make_locate, make_product
from gpuconv.cuda.device.division import divide
from gpuconv.cuda.language import cuda, float32, int32, int64, types, uint32
from gpuconv.cuda.ptx.assembly import AMPERE
from gpuconv.cuda.ptx.copies import commit_group, element_pointer, shared_address, wait_group
from gpuconv.cuda.ptx.places import place_again
from gpuconv.cuda.runtime.compiled import Kernel


def make_function(tile: GemmTile, pointwise: bool) -> Callable[..., None]:
    TILE_K, TILE_PIXELS, W_ROWS = tile.k, tile.pixels, tile.w_rows
    TENSOR = tile.arithmetic.products > 0
    STAGE = 4 * tile.stage  # bytes
    X = SLAB * (tile.k + PAD)  # the word where a stage's input begins
    locate_input, load_input = (make_pointwise if pointwise else make_gathered)(tile)
    locate_weights, read_rows, load_weights = make_weights(tile)
    locate_sums, slab_product, store = make_locate(tile), make_product(tile), make_store(tile)
    look_at, compute_directly = make_direct(tile)

    def conv_implicit_gemm(
        x, w, bias, y,
        x_n, x_c, x_h, x_w, x_period, bias_k, y_n, y_k, y_p, y_q, y_split,  # strides in elements
        w_k, H, W, K, P, Q, C, groups, h_origin, w_origin, stride_h, stride_w, dilation_h, dilation_w, R, S,
        taps, period, pixels, slabs, splits, tiles_k, run, runs, has_bias, aligned,
    ):  # fmt: skip
        shared = cuda.shared.array(0, float32, alignment=16)
        table = cuda.shared.array(0, uint32, alignment=16)
        thread = uint32(cuda.threadIdx.x)

        # locate
        tile_k, tile_pixel, g, split = locate_tile(uint32(cuda.blockIdx.x), tiles_k, groups, splits)
        k_first, pixel_first = uint32(tile_k * uint32(TILE_K)), uint32(tile_pixel * uint32(TILE_PIXELS))
        first, left = locate_share(split, slabs, taps)
        moving, fixed, x_word = locate_input(
            x, table, thread, pixel_first, int64(uint32(g * C)) * x_c, (first, left, taps, period),
            (pixels, P, Q, H, W, h_origin, w_origin, stride_h, stride_w), (R, S, dilation_h, dilation_w),
            (x_n, x_c, x_h, x_w, x_period),
        )  # fmt: skip
        w_from, left_w, w_rows, w_word = locate_weights(w, table, thread, k_first, g, K, w_k, first, left)
        k_thread, pixel_thread, w_from_word, x_from_word = locate_sums(thread)
        to_w, to_x = shared_address(shared, w_word), shared_address(shared, uint32(uint32(X) + x_word))
        from_w = shared_address(shared, w_from_word)
        from_x = shared_address(shared, uint32(uint32(X) + x_from_word))
        rows = cuda.local.array(W_ROWS, uint32)
        total = cuda.local.array(SUMS, float32)
        for i in range(SUMS):
            total[i] = float32(0)
        cuda.syncthreads()  # the tables are there

        # load: the first slab
        read_rows(rows, w_rows)
        moving = load_input(moving, fixed, left, to_x)
        load_weights(w_from, rows, left_w, to_w)
        w_from = element_pointer(w_from, int64(SLAB))
        commit_group()
        to_w, to_x, stage = uint32(to_w + uint32(STAGE)), uint32(to_x + uint32(STAGE)), uint32(0)
        while left > int32(0):
            wait_group(0)
            cuda.syncthreads()  # this slab is there, the one before has been read

            # load: the slab that follows; zeros beyond the last
            left, left_w = int32(left - int32(SLAB)), int32(left_w - int32(SLAB))
            read_rows(rows, w_rows)
            moving = load_input(moving, fixed, left, uint32(to_x - stage))
            load_weights(w_from, rows, left_w, uint32(to_w - stage))
            w_from = element_pointer(w_from, int64(SLAB))
            commit_group()

            # accumulate
            slab_product(total, uint32(from_w + stage), uint32(from_x + stage))
            stage = uint32(uint32(STAGE) - stage)

        # store
        if TENSOR:
            block, thread = place_again()
            tile_k, tile_pixel, g, split = locate_tile(block, tiles_k, groups, splits)
            k_first, pixel_first = uint32(tile_k * uint32(TILE_K)), uint32(tile_pixel * uint32(TILE_PIXELS))
            k_thread, pixel_thread, _, _ = locate_sums(thread)
        k, channels = uint32(k_first + k_thread), uint32(0)
        if k < K:
            channels = uint32(K - k)  # from the thread's first on
        store(
            total, bias, bias_k, has_bias, y, int64(split) * y_split, (y_n, y_k, y_p, y_q), uint32(g * K + k),
            channels, uint32(pixel_first + pixel_thread), pixels, (run, runs, aligned),
        )  # fmt: skip
        found = look_at(total) if TENSOR else uint32(0)
        if found != uint32(0):
            first, left = locate_share(split, slabs, taps)
            compute_directly(
                found, element_pointer(x, int64(uint32(g * C)) * x_c), w, bias, bias_k, has_bias, y,
                int64(split) * y_split, (y_n, y_k, y_p, y_q), uint32(g * K + k), channels,
                uint32(pixel_first + pixel_thread), w_k, (first, uint32(first + uint32(left))),
                (pixels, P, Q, H, W, h_origin, w_origin, stride_h, stride_w), (R, S, dilation_h, dilation_w),
                (x_n, x_c, x_h, x_w, x_period), (run, runs, aligned),
            )  # fmt: skip

    return conv_implicit_gemm


@cuda.jit(device=True, inline="always")
def locate_tile(block, tiles_k, groups, splits):
    """(tile along the channels, along the pixels, group, share of the depth) of a block."""
    block, tile_k = divide(block, tiles_k)
    block, g = divide(block, groups)
    tile_pixel, split = divide(block, splits)
    return tile_k, tile_pixel, g, split


@cuda.jit(device=True, inline="always")
def locate_share(split, slabs, taps):
    """(first tap, number of taps) of a share of the depth, `slabs` long but for the last."""
    most = uint32(slabs * uint32(SLAB))
    first = uint32(split * most)
    return first, int32(min(uint32(taps - first), most))


def make_kernel(tile: GemmTile, pointwise: bool) -> Kernel:
    """The kernel for a tile, of any window or of 1x1 over pixels side by side."""
    return Kernel(
        f"{tile.arithmetic.algorithm} {tile.k}x{tile.pixels}{' pointwise' if pointwise else ''}",
        lambda: make_function(tile, pointwise),
        {
            types.CPointer(float32): "x w bias y",
            int64: "x_n x_c x_h x_w x_period bias_k y_n y_k y_p y_q y_split",
        },
        tile.threads,
        tile.blocks_per_sm,
        oldest=AMPERE if tile.arithmetic.products else None,
    )


KERNELS_BY_TILE = {
    (tile, pointwise): make_kernel(tile, pointwise) for tile in ALL_TILES for pointwise in (False, True)
}
