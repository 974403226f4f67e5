"""The kernel of `conv_tiled`, for dtypes and a block: stages are loaded and widened, then summed."""

from collections.abc import Callable
from itertools import product

from gpuconv.cuda.conv.operands import Operands
from gpuconv.cuda.conv.tiled.load import fill_tables, make_load_input
from gpuconv.cuda.conv.tiled.store import make_store
from gpuconv.cuda.conv.tiled.tiles import BLOCKS, THREAD_PIXELS, THREADS, WARPS, TiledBlock
from gpuconv.cuda.device.elements import CONJUGATES, OPERANDS, SCALARS
from gpuconv.cuda.language import cuda, int64, uint32, uint64
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.spec import CONJUGATED
from gpuconv.spec.dtypes import BYTES, COMPLEX, FLOAT32, FLOATS, INT32, SIXTEEN_BITS


def make_function(operands: Operands, tile: TiledBlock) -> Callable[..., None]:
    scalar = SCALARS[operands.y.arithmetic]
    load_input = make_load_input((CONJUGATES if operands.conjugate == "input" else OPERANDS)[operands.x])
    widen = (CONJUGATES if operands.conjugate == "weight" else OPERANDS)[operands.w].widen
    THREAD_K, WARPS_K, TILE_K, PITCH_K = tile.thread_k, tile.warps_k, tile.k, tile.pitch_k
    THREAD_OUTPUTS = THREAD_K * THREAD_PIXELS
    PIXEL_THREADS = THREADS // WARPS_K  # threads along the pixels
    store = make_store(operands.bias, operands.y, tile)

    def conv_tiled(
        x, w, bias, y,
        x_n, x_c, x_h, x_w, w_k, w_c, w_r, w_s, bias_k, y_n, y_k, y_p, y_q,  # strides in elements
        C, H, W, K, P, Q, groups, h_origin, w_origin, stride_h, stride_w, dilation_h, dilation_w,
        stage_c, stage_r, stage_s, stages_r, stages_s, stages,
        step_h, step_w, tap_h, tap_w, pixel_h, phases, phase_pitch, pitch, tile_h, tile_w, tile_p, tile_q,
        tiles_p, tiles_q, tiles_k, has_bias, x_table, places, x_tile, w_tile,
    ):  # fmt: skip
        shared = cuda.shared.array(0, scalar, alignment=16)
        table = cuda.shared.array(0, uint32, alignment=16)
        offsets = cuda.shared.array(0, int64, alignment=16)
        thread = uint32(cuda.threadIdx.x)
        lane, warp = thread % uint32(32), thread // uint32(32)
        warp_k, pixel = warp % uint32(WARPS_K), warp // uint32(WARPS_K) * uint32(32) + lane

        # locate: channels fastest, so that blocks which share an input tile run together
        block = uint32(cuda.blockIdx.x)
        k_first, block = uint32(block % tiles_k * uint32(TILE_K)), uint32(block // tiles_k)
        g, block = uint32(block % groups), uint32(block // groups)
        q_first, block = uint32(block % tiles_q * tile_q), uint32(block // tiles_q)
        p_first, n = uint32(block % tiles_p * tile_p), uint32(block // tiles_p)
        x_image = int64(n) * x_n
        fill_tables(
            table, offsets, thread, stage_c, stage_r, stage_s, w_c, w_r, w_s,
            tile_h, tile_w, tap_h, tap_w, phases, phase_pitch, pitch, x_table, places,
        )  # fmt: skip
        place_of_pixel = cuda.local.array(THREAD_PIXELS, uint32)
        for j in range(THREAD_PIXELS):
            e = pixel + uint32(j * PIXEL_THREADS)
            place_of_pixel[j] = uint32(x_tile + e // tile_q * pixel_h * pitch + e % tile_q)
        total = cuda.local.array(THREAD_OUTPUTS, scalar)
        partial = cuda.local.array(THREAD_OUTPUTS, scalar)
        for i in range(THREAD_OUTPUTS):
            total[i] = scalar(0)

        for stage in range(stages):
            s_first, rest = uint32(uint32(stage) % stages_s * stage_s), uint32(uint32(stage) // stages_s)
            r_first, c_first = uint32(rest % stages_r * stage_r), uint32(rest // stages_r * stage_c)
            channels = min(stage_c, uint32(C - c_first))
            taps = uint32(channels * stage_r * stage_s)
            cuda.syncthreads()  # the stage before has been read
            load_input(
                shared, table, x, x_image + int64(uint32(g * C + c_first)) * x_c, x_c, x_h, x_w, lane, warp,
                uint32(p_first * stride_h + r_first * dilation_h + h_origin),
                uint32(q_first * stride_w + s_first * dilation_w + w_origin),
                H, W, channels, step_h, step_w, tile_h, tile_w, pitch, places, x_tile, scalar(0),
            )  # fmt: skip
            w_first = int64(c_first) * w_c + int64(r_first) * w_r + int64(s_first) * w_s
            for k in range(warp, uint32(TILE_K), uint32(WARPS)):
                w_row = w_first + int64(uint32(g * K + k_first + k)) * w_k
                for t in range(lane, taps, uint32(32)):
                    value = scalar(0)
                    if uint32(k_first + k) < K:
                        value = widen(w[w_row + offsets[uint32(t)]])
                    shared[uint32(w_tile + t * uint32(PITCH_K) + k)] = value
            cuda.syncthreads()

            # accumulate
            for i in range(THREAD_OUTPUTS):
                partial[i] = scalar(0)
            weights = uint64(w_tile + warp_k * uint32(THREAD_K))  # 64 bits, so that i becomes an offset
            for t in range(taps):
                place = table[uint32(x_table + t)]
                for i in range(THREAD_K):
                    weight = shared[weights + uint64(i)]
                    for j in range(THREAD_PIXELS):
                        partial[i * THREAD_PIXELS + j] += weight * shared[uint32(place + place_of_pixel[j])]
                weights += uint64(PITCH_K)
            for i in range(THREAD_OUTPUTS):
                total[i] += partial[i]

        # store
        store(
            total, bias, bias_k, has_bias, y, (y_n, y_k, y_p, y_q), n, g, K, k_first, warp_k, p_first,
            q_first, P, Q, pixel, tile_q,
        )  # fmt: skip

    return conv_tiled


def make_kernel(operands: Operands, tile: TiledBlock) -> Kernel:
    """The kernel for dtypes and a block."""
    return Kernel(
        f"conv_tiled {operands} {tile.k}x{tile.pixels}",
        lambda: make_function(operands, tile),
        {
            **operands.pointers,
            int64: "x_n x_c x_h x_w w_k w_c w_r w_s bias_k y_n y_k y_p y_q",
        },
        THREADS,
        blocks_per_sm=2,
    )


OPERANDS_TAKEN: tuple[Operands, ...] = (
    *(Operands(dtype, dtype, dtype) for dtype in (*FLOATS, *SIXTEEN_BITS, *COMPLEX)),
    *(Operands(dtype, dtype, dtype, conjugated) for dtype in COMPLEX for conjugated in CONJUGATED),
    *(Operands(dtype, dtype, FLOAT32) for dtype in SIXTEEN_BITS),
    *(Operands(x, w, INT32) for x, w in product(BYTES, BYTES)),
)
KERNELS_BY_TILE: dict[tuple[Operands, TiledBlock], Kernel] = {
    (operands, tile): make_kernel(operands, tile)
    for operands in OPERANDS_TAKEN
    for tile in BLOCKS[operands.y]
}
