"""Global maxima with their indices: the kernel of `pool_global` that carries both.

An index is flat in the input plane, h W + w. Values are compared as integers that sort like them
(`ordered.py`). A part meets its elements in the order of their indices and keeps the first of equals; where
parts, lanes and warps meet, of equals the smallest index wins. A load is of one element, side by side in a
warp.
"""

from collections.abc import Callable
from typing import Any

from numba import cuda, int32, int64, types, uint32

from gpuconv.cuda.device.division import quotient_and_rest
from gpuconv.cuda.device.elements import ELEMENTS, make_loader
from gpuconv.cuda.device.limits import ALL_LANES
from gpuconv.cuda.device.ordered import INTEGERS, KEY, LOWEST, VALUE
from gpuconv.cuda.pool.global_.teams import Team, make_locate
from gpuconv.cuda.runtime.compiled import Kernel


@cuda.jit(device=True, inline="always")
def first_greatest(key, index, other, other_index):
    """The greater of two keys with its index; of equals the one with the smaller index."""
    wins = (other > key) | ((other == key) & (other_index < index))
    return other if wins else key, other_index if wins else index


@cuda.jit(device=True, inline="always")
def exchange(key, index, mask):
    """What the lane that differs in `mask` holds."""
    other = cuda.shfl_xor_sync(ALL_LANES, key, mask)
    return other, uint32(cuda.shfl_xor_sync(ALL_LANES, int32(index), mask))


def make_halving(mask: int, half: int) -> Callable[..., Any]:
    """halve(keys, where, lane): lanes that differ in `mask` give each other half of 2 `half` planes."""

    def halve(keys, where, lane):
        upper = (lane & uint32(mask)) != uint32(0)
        for j in range(half):
            low, high = keys[j], keys[half + j]  # read first: a choice between places is no register
            low_index, high_index = where[j], where[half + j]
            key, index = high if upper else low, high_index if upper else low_index
            given, given_index = low if upper else high, low_index if upper else high_index
            other, other_index = exchange(given, given_index, mask)
            keys[j], where[j] = first_greatest(key, index, other, other_index)

    return cuda.jit(device=True, inline="always")(halve)


def make_meeting(team: Team, integer: Any) -> Callable[..., Any]:
    """meet(keys, where, thread): (key, index, number of the plane, whether this thread stores them)."""
    warps, parts = team.block // 32, team.parts
    halve16, halve8, halve4 = (make_halving(mask, half) for mask, half in ((16, 4), (8, 2), (4, 1)))

    def lanes(keys, where, thread):
        lane = uint32(thread % uint32(32))
        halve16(keys, where, lane)
        halve8(keys, where, lane)
        halve4(keys, where, lane)
        key, index = keys[0], where[0]
        for mask in (2, 1):
            other, other_index = exchange(key, index, mask)
            key, index = first_greatest(key, index, other, other_index)
        return key, index, uint32(lane // uint32(4)), lane % uint32(4) == uint32(0)

    def warps_of_block(keys, where, thread):
        met, met_where = cuda.shared.array(warps, integer), cuda.shared.array(warps, uint32)
        key, index = keys[0], where[0]
        for j in range(1, parts):
            key, index = first_greatest(key, index, keys[j], where[j])
        for mask in (16, 8, 4, 2, 1):
            other, other_index = exchange(key, index, mask)
            key, index = first_greatest(key, index, other, other_index)
        if thread % uint32(32) == uint32(0):
            met[uint32(thread // uint32(32))] = key
            met_where[uint32(thread // uint32(32))] = index
        cuda.syncthreads()
        key, index = met[uint32(thread % uint32(warps))], met_where[uint32(thread % uint32(warps))]
        for mask in (4, 2, 1):
            other, other_index = exchange(key, index, mask)
            key, index = first_greatest(key, index, other, other_index)
        return key, index, uint32(0), thread == uint32(0)

    return cuda.jit(device=True, inline="always")(lanes if team.planes > 1 else warps_of_block)


def make_argmax_kernel(dtype: str, team: Team) -> Kernel:
    element, arithmetic = ELEMENTS[dtype], ELEMENTS[dtype].arithmetic
    scalar, integer, narrow = element.scalar, INTEGERS[arithmetic], element.narrow
    lowest, key_of, value_of = LOWEST[arithmetic], KEY[arithmetic], VALUE[arithmetic]
    PARTS, PART, STEP = team.parts, team.part_elements(1), team.step(1)
    locate, meet = make_locate(team, 1), make_meeting(team, integer)
    load = make_loader(element, 1, 0.0)

    def pool_global_argmax(
        x, y, indices, x_n, x_c, x_h, x_w, y_n, y_c, i_n, i_c,  # strides in elements
        planes, C, C_by, C_shift, rows, columns, W,
    ):  # fmt: skip
        place, ends = cuda.local.array(PARTS, int64), cuda.local.array(PARTS, uint32)
        values = cuda.local.array(PARTS, scalar)
        keys, where = cuda.local.array(PARTS, integer), cuda.local.array(PARTS, uint32)
        thread, first = locate(place, ends, columns, x_n, x_c, x_w, planes, C, C_by, C_shift)
        for j in range(PARTS):
            keys[j], where[j] = integer(lowest), uint32(0)

        for h in range(rows):
            for at in range(uint32(0), columns, uint32(STEP)):
                row = int64(h) * x_h + int64(at) * x_w
                for j in range(PARTS):
                    inside = uint32(at + thread + uint32(j * PART)) < ends[j]
                    load(values, j, inside, x, row + place[j])
                for j in range(PARTS):
                    w = uint32(at + thread + uint32(j * PART))
                    key = key_of(values[j], w < ends[j])
                    index = uint32(uint32(h) * W + w)
                    greater = key > keys[j]
                    keys[j], where[j] = key if greater else keys[j], index if greater else where[j]

        key, index, number, stores = meet(keys, where, thread)
        plane = uint32(first + number)
        if stores & (plane < planes):
            n, c = quotient_and_rest(plane, (C, C_by, C_shift))
            y[int64(n) * y_n + int64(c) * y_c] = narrow(value_of(key))
            indices[int64(n) * i_n + int64(c) * i_c] = int64(index)

    pointers = *[types.CPointer(element.stored)] * 2, types.CPointer(int64)
    arguments = (*pointers, *[int64] * 8, *[uint32] * 7)
    name = f"pool_global {dtype} argmax {team.name}"
    return Kernel(name, pool_global_argmax, arguments, team.block, team.blocks_per_sm)
