"""How the threads of a team reduce what each of them holds of the planes that they share.

What is held is one number for each plane, or a key and its index: `Held` says how to handle it, and the same
steps serve both. Lanes of a warp exchange halves of what they hold by shuffles, warps meet in shared memory.
"""

from dataclasses import dataclass
from typing import Any

from gpuconv.cuda.device.elements import Function, inlined
from gpuconv.cuda.device.limits import ALL_LANES, LANES
from gpuconv.cuda.language import cuda, uint32
from gpuconv.cuda.pool import indices
from gpuconv.cuda.pool.global_.tiles import Team


@dataclass(frozen=True, slots=True)
class Held:
    """What a thread holds: arrays in registers, or in shared memory, of items that combine.

    Attributes
    ----------
    get, put : callable
        get(held, j) is item j; put(held, j, item).
    choose : callable
        choose(condition, item, other).
    exchange : callable
        exchange(item, mask): what the lane that differs in `mask` holds.
    combine : callable
        combine(item, other).
    share : callable
        share(): shared memory for an item of each warp.
    """

    get: Function
    put: Function
    choose: Function
    exchange: Function
    combine: Function
    share: Function


def numbers(combine: Function, scalar: Any, warps: int) -> Held:
    """Numbers of a type; `held` is an array."""

    def get(held, j):
        return held[j]

    def put(held, j, item):
        held[j] = item

    def choose(condition, item, other):
        return item if condition else other

    def exchange(item, mask):
        return cuda.shfl_xor_sync(ALL_LANES, item, mask)

    def share():
        return cuda.shared.array(warps, scalar)

    return Held(
        inlined(get), inlined(put), inlined(choose), inlined(exchange), combine, inlined(share)
    )  # fmt: skip


def indexed_keys(integer: Any, warps: int) -> Held:
    """Keys and their indices; `held` is a pair of arrays."""

    def get(held, j):
        return held[0][j], held[1][j]

    def put(held, j, item):
        held[0][j], held[1][j] = item

    def choose(condition, item, other):
        return item[0] if condition else other[0], item[1] if condition else other[1]

    def exchange(item, mask):
        return indices.exchange(item[0], item[1], mask)

    def combine(item, other):
        return indices.first_greatest(item[0], item[1], other[0], other[1])

    def share():
        return cuda.shared.array(warps, integer), cuda.shared.array(warps, uint32)

    return Held(
        inlined(get), inlined(put), inlined(choose), inlined(exchange), inlined(combine), inlined(share)
    )  # fmt: skip


def make_halving(items: Held, mask: int, half: int) -> Function:
    """halve(held, lane): lanes that differ in `mask` give each other half of 2 `half` planes."""
    get, put, choose, exchange, combine = items.get, items.put, items.choose, items.exchange, items.combine

    def halve(held, lane):
        upper = (lane & uint32(mask)) != uint32(0)
        for j in range(half):
            low, high = get(held, j), get(held, half + j)  # read first: a choice of places is no register
            kept, given = choose(upper, high, low), choose(upper, low, high)
            put(held, j, combine(kept, exchange(given, mask)))

    return inlined(halve)


def make_meeting(team: Team, items: Held, parts: int) -> Function:
    """meet(held, thread): (the item of one plane, its number, whether this thread stores it).

    A thread holds an item of each plane of its team; of a block's one plane it holds `parts`.
    """
    WARPS = team.block // LANES
    get, put, exchange, combine, share = items.get, items.put, items.exchange, items.combine, items.share
    halve16, halve8, halve4 = (make_halving(items, mask, half) for mask, half in ((16, 4), (8, 2), (4, 1)))

    def lanes(held, thread):
        lane = uint32(thread % uint32(LANES))
        halve16(held, lane)
        halve8(held, lane)
        halve4(held, lane)
        item = get(held, 0)
        for mask in (2, 1):
            item = combine(item, exchange(item, mask))
        return item, uint32(lane // uint32(4)), lane % uint32(4) == uint32(0)

    def warps_of_block(held, thread):
        met = share()
        item = get(held, 0)
        for j in range(1, parts):
            item = combine(item, get(held, j))
        for mask in (16, 8, 4, 2, 1):
            item = combine(item, exchange(item, mask))
        if thread % uint32(LANES) == uint32(0):
            put(met, uint32(thread // uint32(LANES)), item)
        cuda.syncthreads()
        item = get(met, uint32(thread % uint32(WARPS)))
        for mask in (4, 2, 1):
            item = combine(item, exchange(item, mask))
        return item, uint32(0), thread == uint32(0)

    return inlined(lanes if team.planes > 1 else warps_of_block)
