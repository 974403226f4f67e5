"""Matrix products in Numba with inline PTX, for the tests of the executor.

Matrices have whole tiles: there are no guards. `warp_product_tf32` and `warp_product_bf16` give each
warp a tile of C, 16 x 8; `warpgroup_product` gives each warpgroup a tile of 64 x 32 and keeps three
stages of A and B in shared memory, laid out with the 128-byte swizzle.
"""

from __future__ import annotations

from .matrix_intrinsics import (
    cuda,
    fence_proxy,
    float32,
    float_bits,
    ldmatrix_x2_trans,
    ldmatrix_x4,
    mma_bf16,
    mma_tf32,
    shared_address,
    sixteen_zeros,
    store_shared,
    uint16,
    uint32,
    uint64,
    wgmma_bf16,
    wgmma_commit,
    wgmma_fence,
    wgmma_wait,
)

ZERO = float32(0)
wait_for_all_but_one = wgmma_wait(1, 16)
wait_for_all = wgmma_wait(0, 16)


def warp_product_tf32(a, b, c):
    """C (M, N) = A (M, K) @ B (K, N) of float32, two warps a block: 16 x 16 of C, 8 of K at a time."""
    tile_a, tile_b = cuda.shared.array((16, 8), float32), cuda.shared.array((8, 16), float32)
    thread = cuda.threadIdx.x
    warp, lane = thread // 32, thread % 32
    group, place = lane // 4, lane % 4
    row, column = cuda.blockIdx.y * 16, cuda.blockIdx.x * 16
    d = (ZERO, ZERO, ZERO, ZERO)
    for k in range(0, a.shape[1], 8):
        for i in range(thread, 128, 64):
            tile_a[i // 8, i % 8] = a[row + i // 8, k + i % 8]
            tile_b[i // 16, i % 16] = b[k + i // 16, column + i % 16]
        cuda.syncthreads()
        d = mma_tf32(
            d,
            float_bits(tile_a[group, place]),
            float_bits(tile_a[group + 8, place]),
            float_bits(tile_a[group, place + 4]),
            float_bits(tile_a[group + 8, place + 4]),
            float_bits(tile_b[place, warp * 8 + group]),
            float_bits(tile_b[place + 4, warp * 8 + group]),
        )
        cuda.syncthreads()
    for half in range(2):
        c[row + group + half * 8, column + warp * 8 + place * 2] = d[2 * half]
        c[row + group + half * 8, column + warp * 8 + place * 2 + 1] = d[2 * half + 1]


def warp_product_bf16(a, b, c):
    """C (M, N) of float32 from bfloat16 A (M, K) and B (K, N), given as uint16; tiles go through ldmatrix."""
    tile_a, tile_b = cuda.shared.array((16, 16), uint16, 16), cuda.shared.array((16, 16), uint16, 16)
    thread = cuda.threadIdx.x
    warp, lane = thread // 32, thread % 32
    row, column = cuda.blockIdx.y * 16, cuda.blockIdx.x * 16
    from_a = shared_address(tile_a) + uint32(lane % 16 * 32 + lane // 16 * 16)
    from_b = shared_address(tile_b) + uint32(lane % 16 * 32 + warp * 16)
    d = (ZERO, ZERO, ZERO, ZERO)
    for k in range(0, a.shape[1], 16):
        for i in range(thread, 256, 64):
            tile_a[i // 16, i % 16] = a[row + i // 16, k + i % 16]
            tile_b[i // 16, i % 16] = b[k + i // 16, column + i % 16]
        cuda.syncthreads()
        a0, a1, a2, a3 = ldmatrix_x4(from_a)
        b0, b1 = ldmatrix_x2_trans(from_b)
        d = mma_bf16(d, a0, a1, a2, a3, b0, b1)
        cuda.syncthreads()
    for half in range(2):
        c[row + lane // 4 + half * 8, column + warp * 8 + lane % 4 * 2] = d[2 * half]
        c[row + lane // 4 + half * 8, column + warp * 8 + lane % 4 * 2 + 1] = d[2 * half + 1]


def warpgroup_product(a, b, c):
    """C (M, N) of float32 from bfloat16 A (M, K) and B (N, K) in pairs, given as uint32.

    Two warpgroups a block: 128 x 32 of C, and 64 of K at a time, which fills the 128 bytes of a line.
    A stage has 128 lines of A and 32 of B, 8 chunks of 16 bytes each; dynamic shared memory holds three.
    """
    stages = cuda.shared.array(0, uint32, 1024)
    start = shared_address(stages)
    thread = uint32(cuda.threadIdx.x)
    warpgroup, lane = thread // uint32(128), thread % uint32(128)
    row, column = cuda.blockIdx.y * 128, cuda.blockIdx.x * 32
    fixed = uint64(1) << uint64(62) | uint64(64) << uint64(32) | uint64(1) << uint64(16)
    d = sixteen_zeros()
    stage = start
    for k in range(0, a.shape[1], 32):
        for i in range(thread, 1280, 256):
            line, chunk = uint32(i // 8), uint32(i % 8)
            at = stage + line * uint32(128) + ((chunk ^ (line & uint32(7))) * uint32(16))
            j = k + chunk * 4
            if line < 128:
                m = row + line
                store_shared(at, a[m, j], a[m, j + 1], a[m, j + 2], a[m, j + 3])
            else:
                n = column + line - 128
                store_shared(at, b[n, j], b[n, j + 1], b[n, j + 2], b[n, j + 3])
        fence_proxy()
        d = wait_for_all_but_one(d)
        cuda.syncthreads()
        from_a = fixed | uint64((stage + warpgroup * uint32(8192)) >> uint32(4))
        from_b = fixed | uint64((stage + uint32(16384)) >> uint32(4))
        wgmma_fence()
        for _ in range(4):
            d = wgmma_bf16(d, from_a, from_b)
            from_a += uint64(2)
            from_b += uint64(2)
        wgmma_commit()
        stage += uint32(20480)
        if stage == start + uint32(61440):
            stage = start
    d = wait_for_all(d)
    m = row + warpgroup * 64 + lane // 32 * 16 + lane % 32 // 4
    n = column + lane % 4 * 2
    for j in range(4):
        for half in range(2):
            c[m + half * 8, n + j * 8] = d[4 * j + 2 * half]
            c[m + half * 8, n + j * 8 + 1] = d[4 * j + 2 * half + 1]
