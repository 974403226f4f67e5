"""Pipelines in Numba with inline PTX: copies ahead of their use, for the tests of the executor."""

from __future__ import annotations

from numba import float32, int32, uint32, uint64

from .inline_ptx import (
    bulk_commit,
    bulk_load,
    bulk_wait,
    commit_group,
    copy_4,
    copy_16,
    cuda,
    global_address,
    mbarrier_arrive,
    mbarrier_done,
    mbarrier_expect,
    mbarrier_fence,
    mbarrier_init,
    proxy_fence,
    shared_address,
    tile_load,
    tile_store,
    wait_group_0,
    wait_group_1,
)

THREADS, STAGES, TILE = 128, 2, 128


def saxpy(x, y, out, factor, tiles):
    """out = factor * x + y on a block's tiles, each of them reversed; two stages by cp.async."""
    xs, ys = cuda.shared.array((2, 128), float32), cuda.shared.array((2, 128), float32)
    t = cuda.threadIdx.x
    first = cuda.blockIdx.x * tiles * 128
    for i in range(-1, tiles):
        ahead = i + 1
        if ahead < tiles:
            place = uint32(((ahead % 2) * 128 + t) * 4)
            element = first + ahead * 128 + t
            size = uint32(4) if element < x.size else uint32(0)
            offset = uint64(element * 4)
            copy_4(shared_address(xs) + place, global_address(x) + offset, size)
            copy_4(shared_address(ys) + place, global_address(y) + offset, size)
        commit_group()
        if i >= 0:
            wait_group_1()
            cuda.syncthreads()
            element = first + i * 128 + t
            if element < out.size:
                out[element] = factor * xs[i % 2, 127 - t] + ys[i % 2, 127 - t]
            cuda.syncthreads()


def transpose(x, out):
    """Tiles of 32 x 32, copied 16 bytes at a time."""
    tile = cuda.shared.array((32, 36), float32)
    t = cuda.threadIdx.x
    row, column = t // 8, t % 8 * 4
    for part in range(2):
        r = row + part * 16
        source = (cuda.blockIdx.y * 32 + r) * x.shape[1] + cuda.blockIdx.x * 32 + column
        place = uint32((r * 36 + column) * 4)
        copy_16(shared_address(tile) + place, global_address(x) + uint64(source * 4), uint32(16))
    commit_group()
    wait_group_0()
    cuda.syncthreads()
    for part in range(8):
        r, c = t // 32 + part * 4, t % 32
        out[cuda.blockIdx.x * 32 + r, cuda.blockIdx.y * 32 + c] = tile[c, r]


def ring(x, out, tiles):
    """One producer thread loads tiles to a ring of two slots; 128 threads double and reverse them."""
    data = cuda.shared.array((2, 128), float32, 128)
    full, empty = cuda.shared.array(2, uint64), cuda.shared.array(2, uint64)
    t = int32(cuda.threadIdx.x)
    if t == 0:
        for slot in range(2):
            mbarrier_init(shared_address(full) + uint32(slot * 8), uint32(1))
            mbarrier_init(shared_address(empty) + uint32(slot * 8), uint32(128))
        mbarrier_fence()
    cuda.syncthreads()
    first = cuda.blockIdx.x * tiles * 128
    if t < 32:
        if t == 0:
            for i in range(tiles):
                slot, phase = uint32(i % 2 * 8), uint32(i // 2 & 1)
                while mbarrier_done(shared_address(empty) + slot, phase ^ uint32(1)) == 0:
                    pass
                mbarrier_expect(shared_address(full) + slot, uint32(512))
                source = global_address(x) + uint64((first + i * 128) * 4)
                bulk_load(
                    shared_address(data) + slot * uint32(64), source, uint32(512), shared_address(full) + slot
                )
    else:
        c = t - 32
        for i in range(tiles):
            slot, phase = uint32(i % 2 * 8), uint32(i // 2 & 1)
            while mbarrier_done(shared_address(full) + slot, phase) == 0:
                pass
            value = data[i % 2, 127 - c]
            mbarrier_arrive(shared_address(empty) + slot)
            out[first + i * 128 + c] = float32(2) * value


def tiles(x, out):
    """A tile by tensor map in, negated in shared memory, and out again."""
    data = cuda.shared.array((8, 32), float32, 128)
    barrier = cuda.shared.array(1, uint64)
    t = cuda.threadIdx.x
    row, column = uint32(cuda.blockIdx.y * 8), uint32(cuda.blockIdx.x * 32)
    if t == 0:
        mbarrier_init(shared_address(barrier), uint32(1))
        mbarrier_fence()
    cuda.syncthreads()
    if t == 0:
        mbarrier_expect(shared_address(barrier), uint32(1024))
        tile_load(shared_address(data), global_address(x), column, row, shared_address(barrier))
    while mbarrier_done(shared_address(barrier), uint32(0)) == 0:
        pass
    data[t // 32, t % 32] = -data[t // 32, t % 32]
    proxy_fence()
    cuda.syncthreads()
    if t == 0:
        tile_store(global_address(out), column, row, shared_address(data))
        bulk_commit()
        bulk_wait()
