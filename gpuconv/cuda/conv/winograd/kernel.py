"""The kernel of `conv_winograd`: 16 products of slabs at once, transformed before and after in one block.

A block computes 64 output channels x 32 tiles of 2 x 2 outputs of one group, over the input channels in slabs
of 8. Tiles are one axis (n, p, q), so that small images leave no lane without work; blocks run over channels
first, so that those which read the same pixels run together.

    shared memory, 96 KB      two stages of each: one is multiplied while the next is filled
    weights  [2][8 c][16 elements][64 k]      32 KB a stage, by cp.async, as `transform.py` laid them
    inputs   [2][8 c][16 elements][32 tiles]  16 KB a stage, from registers, transformed
    biases   [64 k]

    a warp: 2 of the 16 elements, 64 k x 32 tiles         a thread: 8 k x 8 tiles of both, 128 sums

      tiles ->   lane  0  1  4  5      4 tiles each, and the same 16 further on
    k |          lane  2  3  6  7      4 channels each, and the same 32 further down
      v          lane  8  9 12 13
                 ...
Lanes n and n ^ 1 read the same weights, n and n ^ 2 the same inputs, so a load of 128 bits takes two passes.
To load, a lane is a tile and a warp a channel of the slab: 16 elements, asked for two slabs ahead, and one
slab ahead transformed and put down. To store, a lane is that tile again, and a warp takes 8 channels: sums
change hands through the same shared memory (`store.py`).

A sum is one chain of fused multiply-adds over the input channels. Where a result is not finite, its tile is
computed anew (`direct.py`).
"""

from gpuconv.cuda.conv.winograd.direct import compute_directly
from gpuconv.cuda.conv.winograd.load import TILES, first_output, inside_bits, put
from gpuconv.cuda.conv.winograd.store import lane_k, lane_tile, store_tiles
from gpuconv.cuda.conv.winograd.transform import BLOCK_K, ELEMENTS, SLAB_C, SLAB_WORDS, THREADS
from gpuconv.cuda.device.division import divide
from gpuconv.cuda.language import cuda, float32, int32, int64, types, uint32
from gpuconv.cuda.ptx.copies import commit_group, element_pointer, make_run_copy, shared_address, wait_group
from gpuconv.cuda.ptx.fragments import make_slab_product
from gpuconv.cuda.ptx.memory import load_if, load_tile
from gpuconv.cuda.runtime.compiled import Kernel

ROW_W, ROW_X = ELEMENTS * BLOCK_K, ELEMENTS * TILES  # words of one input channel
W_STAGE, X_STAGE = SLAB_WORDS, SLAB_C * ROW_X  # words
X_FIRST = 2 * W_STAGE
BIASES = 2 * (W_STAGE + X_STAGE)  # where they begin
BLOCK_BYTES = 4 * (BIASES + BLOCK_K)
COPIES, MIDDLE = 8, 8 // 2 * 128  # of 16 bytes, of a thread for a slab; where the middle one begins, words
SUMS = 64  # of a thread for an element

copy_weights = make_run_copy(COPIES, 16 * 32)
slab_product = make_slab_product(SLAB_C, ROW_W, ROW_X, (0, 32), (0, 16))


def conv_winograd(
    x, w, u, bias, y,
    x_n, x_c, x_h, w_k, w_c, w_r, w_s, bias_k, y_n, y_k, y_p, y_q, y_split, u_first,  # in elements
    H, W, K, P, Q, C, groups, h_origin, w_origin, tiles_p, tiles_q, tiles, blocks_k, all_slabs, slabs,
    splits, has_bias, aligned,
):  # fmt: skip
    shared = cuda.shared.array(0, float32, alignment=16)
    thread = uint32(cuda.threadIdx.x)
    lane, warp = thread % uint32(32), thread // uint32(32)

    # locate: the block, the thread's tile, what it loads, what it multiplies
    rest, block_k = divide(uint32(cuda.blockIdx.x), blocks_k)
    rest, g = divide(rest, groups)
    rest, split = divide(rest, splits)
    tile = uint32(rest * uint32(TILES) + lane)
    n, p, q = first_output(tile, tiles_p, tiles_q)
    row, column = uint32(p + h_origin), uint32(q + w_origin)  # they wrap if negative
    inside = inside_bits(row, column, H, W) if tile < tiles else uint32(0)
    slab = uint32(split * slabs)
    slab_end = min(all_slabs, uint32(slab + slabs))
    c_first, c_end = uint32(slab * uint32(SLAB_C)), uint32(min(C, uint32(slab_end * uint32(SLAB_C))))
    c = uint32(c_first + warp)
    x_tile = int64(n) * x_n + int64(uint32(g * C)) * x_c + int64(int32(row)) * x_h + int64(int32(column))
    x_from = element_pointer(x, x_tile + int64(c) * x_c)
    to_copy = uint32(warp * uint32(COPIES * 128) + lane * uint32(4))
    w_slab = u_first + int64(uint32(uint32(g * blocks_k + block_k) * all_slabs + slab)) * int64(SLAB_WORDS)
    w_from = element_pointer(u, w_slab + int64(uint32(to_copy + uint32(MIDDLE))))
    to_w = shared_address(shared, to_copy)
    to_x = uint32(uint32(X_FIRST) + warp * uint32(ROW_X) + lane)
    from_w = shared_address(shared, uint32(warp * uint32(2 * BLOCK_K) + lane_k(lane) * uint32(4)))
    x_fragment = uint32(uint32(X_FIRST) + warp * uint32(2 * TILES) + lane_tile(lane) * uint32(4))
    from_x = shared_address(shared, x_fragment)
    sums, others = cuda.local.array(SUMS, float32), cuda.local.array(SUMS, float32)
    for i in range(SUMS):
        sums[i] = others[i] = float32(0)
    d = cuda.local.array(ELEMENTS, float32)

    k = uint32(block_k * uint32(BLOCK_K) + thread)
    with_bias = has_bias != uint32(0) and thread < uint32(BLOCK_K) and k < K
    start = load_if(with_bias, bias, int64(uint32(g * K + k)) * bias_k, float32(0))
    copy_weights(to_w, w_from, uint32(16))
    commit_group()
    load_tile(d, x_from, x_h, inside if c < c_end else uint32(0))
    put(d, shared, to_x)
    if thread < uint32(BLOCK_K):
        shared[uint32(uint32(BIASES) + thread)] = start
    c, x_from = uint32(c + uint32(SLAB_C)), element_pointer(x_from, int64(SLAB_C) * x_c)
    load_tile(d, x_from, x_h, inside if c < c_end else uint32(0))
    stage = uint32(0)
    while slab < slab_end:
        wait_group(0)
        cuda.syncthreads()  # this slab is there, the one before has been read

        # load: the next slab's weights; its inputs, which have come meanwhile; those of the slab after it
        slab, c, following = uint32(slab + uint32(1)), uint32(c + uint32(SLAB_C)), uint32(stage ^ uint32(1))
        w_from = element_pointer(w_from, int64(SLAB_WORDS))
        x_from = element_pointer(x_from, int64(SLAB_C) * x_c)
        to = uint32(to_w + following * uint32(4 * W_STAGE))
        copy_weights(to, w_from, uint32(16) if slab < slab_end else uint32(0))
        commit_group()
        put(d, shared, uint32(to_x + following * uint32(X_STAGE)))
        load_tile(d, x_from, x_h, inside if c < c_end else uint32(0))

        # accumulate
        weights = uint32(from_w + stage * uint32(4 * W_STAGE))
        inputs = uint32(from_x + stage * uint32(4 * X_STAGE))
        slab_product(sums, weights, inputs)
        slab_product(others, uint32(weights + uint32(4 * BLOCK_K)), uint32(inputs + uint32(4 * TILES)))
        stage = following

    # store
    wait_group(0)
    cuda.syncthreads()
    rows = min(uint32(2), uint32(P - p)) if tile < tiles else uint32(0)
    columns = min(uint32(2), uint32(Q - q))
    k = int64(uint32(g * K + block_k * uint32(BLOCK_K)))
    y_tile = int64(n) * y_n + k * y_k + int64(split) * y_split + int64(p) * y_p + int64(q) * y_q
    y_to = element_pointer(y, y_tile)
    first, channels = uint32(warp * uint32(4)), uint32(K - block_k * uint32(BLOCK_K))
    outputs = uint32(BIASES), y_k, y_p, y_q, first, channels, rows, columns, aligned
    anew = store_tiles(shared, sums, others, d, lane, warp, y_to, outputs)
    compute_directly(
        anew, element_pointer(x, x_tile + int64(c_first) * x_c),
        element_pointer(w, k * w_k + int64(c_first) * w_c), shared, uint32(BIASES), y_to,
        x_c, x_h, w_k, w_c, w_r, w_s, y_k, y_p, y_q, inside, uint32(c_end - c_first), rows, columns,
        first,
    )  # fmt: skip


KERNEL = Kernel(
    "conv_winograd",
    lambda: conv_winograd,
    {
        types.CPointer(float32): "x w u bias y",
        int64: "x_n x_c x_h w_k w_c w_r w_s bias_k y_n y_k y_p y_q y_split u_first",
    },
    THREADS,
    blocks_per_sm=1,
)
