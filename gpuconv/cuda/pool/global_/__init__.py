"""Global pooling: one window for each plane, as of an image that becomes a vector of its channels' means.

    y[n, c, 0, 0] = max, or sum / divisor, over the part of x[n, c] that the window covers

A team of threads reads its planes once, COLUMNS elements a thread with one access of up to 128 bits, and has
PARTS such accesses under way at a time:

    warp: 32 threads, 8 small planes                block: 256 threads, one large plane

    plane 0  |lane 0: ....|lane 1: ....| ..         part 0  |thread 0: ....|thread 1: ....| ..
    plane 1  |lane 0: ....|lane 1: ....| ..         part 1  |thread 0: ....|thread 1: ....| ..

The lanes of a warp exchange what they hold by shuffles. Of 8 planes each gives away half, then half again, so
that 9 exchanges do for all 8, and the results lie in 8 lanes that store 8 neighbours. The 8 warps of a block
meet in shared memory, 32 or 64 bytes. The order of all sums is fixed, and none is longer than STAGE accesses
before it is added to the total: the rounding error stays small.

`wide` kernels need rows, or planes without gaps, of whole aligned vectors; `narrow` ones take any strides.
Indices are found by `pool_global_argmax`. It knows no dilation. A plane is never shared by two blocks, so a
few huge ones do not fill the chip. Not yet run on a GPU: the tests execute its compiled PTX; speed is not
measured.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

from numba import cuda, int64, types, uint32

from gpuconv.algorithm import Algorithm
from gpuconv.arrays import DeviceArray
from gpuconv.cuda.device.division import LIMIT, quotient_and_rest, reciprocal
from gpuconv.cuda.device.elements import ELEMENTS, add, make_loader
from gpuconv.cuda.device.limits import ALL_LANES, VECTOR_BYTES
from gpuconv.cuda.pool.global_.argmax import make_argmax_kernel
from gpuconv.cuda.pool.global_.teams import LARGE, STAGE, TEAMS, Team, make_locate
from gpuconv.cuda.ptx.extremes import maximum
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import PoolSpec


def make_halving(both: Callable[..., Any], mask: int, half: int) -> Callable[..., Any]:
    """halve(totals, lane): lanes that differ in `mask` give each other half of 2 `half` planes."""

    def halve(totals, lane):
        upper = (lane & uint32(mask)) != uint32(0)
        for j in range(half):
            low, high = totals[j], totals[half + j]  # read first: a choice between places is no register
            given = low if upper else high
            totals[j] = both(high if upper else low, cuda.shfl_xor_sync(ALL_LANES, given, mask))

    return cuda.jit(device=True, inline="always")(halve)


def make_meeting(team: Team, both: Callable[..., Any], scalar: Any) -> Callable[..., Any]:
    """meet(totals, thread): (the result for one plane, its number, whether this thread stores it)."""
    warps = team.block // 32
    halve16, halve8, halve4 = (make_halving(both, mask, half) for mask, half in ((16, 4), (8, 2), (4, 1)))

    def lanes(totals, thread):
        lane = uint32(thread % uint32(32))
        halve16(totals, lane)
        halve8(totals, lane)
        halve4(totals, lane)
        for mask in (2, 1):
            totals[0] = both(totals[0], cuda.shfl_xor_sync(ALL_LANES, totals[0], mask))
        return totals[0], uint32(lane // uint32(4)), lane % uint32(4) == uint32(0)

    def warps_of_block(totals, thread):
        met = cuda.shared.array(warps, scalar)
        value = totals[0]
        for mask in (16, 8, 4, 2, 1):
            value = both(value, cuda.shfl_xor_sync(ALL_LANES, value, mask))
        if thread % uint32(32) == uint32(0):
            met[uint32(thread // uint32(32))] = value
        cuda.syncthreads()
        value = met[uint32(thread % uint32(warps))]
        for mask in (4, 2, 1):
            value = both(value, cuda.shfl_xor_sync(ALL_LANES, value, mask))
        return value, uint32(0), thread == uint32(0)

    return cuda.jit(device=True, inline="always")(lanes if team.planes > 1 else warps_of_block)


def make_kernel(dtype: str, op: str, team: Team, wide: bool) -> Kernel:
    element = ELEMENTS[dtype]
    scalar, narrow = element.scalar, element.narrow
    both, nothing = (add, 0.0) if op == "avg" else (maximum, -math.inf)
    COLUMNS = VECTOR_BYTES // element.size if wide else 1
    PLANES, PARTS = team.planes, team.parts
    PART, STEP = team.part_elements(COLUMNS), team.step(COLUMNS)
    VALUES, IS_AVERAGE = PARTS * COLUMNS, op == "avg"
    SUMS = PARTS * min(COLUMNS, 4)  # eight elements come to four sums
    locate, load = make_locate(team, COLUMNS), make_loader(element, COLUMNS, nothing)
    meet = make_meeting(team, both, scalar)

    def pool_global(
        x, y, x_n, x_c, x_h, x_w, y_n, y_c,  # strides in elements
        divisor, planes, C, C_by, C_shift, rows, columns,
    ):  # fmt: skip
        place, ends = cuda.local.array(PARTS, int64), cuda.local.array(PARTS, uint32)
        values, sums = cuda.local.array(VALUES, scalar), cuda.local.array(SUMS, scalar)
        totals = cuda.local.array(PLANES, scalar)
        thread, first = locate(place, ends, columns, x_n, x_c, x_w, planes, C, C_by, C_shift)
        own = uint32(thread * uint32(COLUMNS))
        for j in range(PLANES):
            totals[j] = scalar(nothing)

        for h in range(rows):
            for begin in range(uint32(0), columns, uint32(STAGE * STEP)):
                for i in range(SUMS):
                    sums[i] = scalar(nothing)
                end = min(columns, uint32(begin + uint32(STAGE * STEP)))
                for at in range(begin, end, uint32(STEP)):
                    row = int64(h) * x_h + int64(at) * x_w
                    for j in range(PARTS):
                        inside = uint32(at + own + uint32(j * PART)) < ends[j]
                        load(values, j * COLUMNS, inside, x, row + place[j])
                    for i in range(VALUES):
                        sums[i * SUMS // VALUES] = both(sums[i * SUMS // VALUES], values[i])
                width = SUMS // PLANES  # of a plane
                for j in range(PLANES):
                    value = sums[j * width]
                    for i in range(1, width):
                        value = both(value, sums[j * width + i])
                    totals[j] = both(totals[j], value)

        value, number, stores = meet(totals, thread)
        plane = uint32(first + number)
        if stores & (plane < planes):
            if IS_AVERAGE:
                value /= scalar(divisor)
            n, c = quotient_and_rest(plane, (C, C_by, C_shift))
            y[int64(n) * y_n + int64(c) * y_c] = narrow(value)

    pointers = [types.CPointer(element.stored)] * 2
    arguments = (*pointers, *[int64] * 7, *[uint32] * 6)
    name = f"pool_global {dtype} {op} {team.name} {'wide' if wide else 'narrow'}"
    return Kernel(name, pool_global, arguments, team.block, team.blocks_per_sm)


_KERNELS = {
    (dtype, op, team, wide): make_kernel(dtype, op, team, wide)
    for dtype, op, team, wide in itertools.product(ELEMENTS, ("max", "avg"), TEAMS, (True, False))
}
_ARGMAX_KERNELS = {
    (dtype, team): make_argmax_kernel(dtype, team) for dtype, team in itertools.product(ELEMENTS, TEAMS)
}
KERNELS = (*_KERNELS.values(), *_ARGMAX_KERNELS.values())


def unsupported(spec: PoolSpec) -> str | None:
    if spec.P * spec.Q > 1:
        return f"it takes one window for each plane, not {spec.P} x {spec.Q}"
    if spec.dilation != (1, 1):
        return "it knows no dilation"
    rows, columns = _covered(spec)
    if rows <= 0 or columns <= 0:
        return "the window covers padding alone"
    if spec.H * spec.W >= 2**30:
        return "an image has 2^30 elements or more"
    if spec.N * spec.C >= LIMIT // 2:
        return "there are 2^30 planes or more"
    return None


def worth(spec: PoolSpec) -> bool:
    # Counted, not measured: each element is requested once, where pool_direct gives a plane to one thread; a
    # plane of 16 x 16 takes 2800 instructions of threads instead of 11400, on 4 times as many threads.
    return True


def _covered(spec: PoolSpec) -> tuple[int, int]:
    """Rows and columns of the image that the window covers, from the first on."""
    (top, _), (left, _) = spec.pads
    return min(spec.R - top, spec.H), min(spec.S - left, spec.W)


def _divisor(spec: PoolSpec) -> int:
    rows, columns = _covered(spec)
    if spec.count_include_pad:
        (top, bottom), (left, right) = spec.pads
        rows, columns = min(spec.R, top + spec.H + bottom), min(spec.S, left + spec.W + right)
    return spec.divisor_override or rows * columns


@functools.lru_cache(maxsize=1024)
def plan(
    spec: PoolSpec,
    x_strides: tuple[int, ...],
    y_strides: tuple[int, ...],
    indices_strides: tuple[int, ...] | None,
    offset: int = 0,
) -> Launch:
    """The launch for a problem, the byte strides of its arrays, and the input's address modulo 16."""
    rows, columns = _covered(spec)
    if x_strides[2] == spec.W * x_strides[3] and columns == spec.W:
        rows, columns = 1, rows * columns  # one long row
    team = TEAMS[int(columns * rows >= LARGE)]
    C, planes = spec.C, spec.N * spec.C
    blocks = -(-planes // (team.planes * team.block // team.threads))
    strides = [step // spec.itemsize for step in (*x_strides, *y_strides[:2])]
    work = planes, C, *reciprocal(C), rows, columns
    if indices_strides is not None:
        strides += [step // 8 for step in indices_strides[:2]]
        return Launch(_ARGMAX_KERNELS[spec.dtype, team], blocks, 0, (*strides, *work, spec.W))
    used = (*x_strides[:2], offset, columns * spec.itemsize, x_strides[2] if rows > 1 else 0)
    wide = x_strides[3] == spec.itemsize and not any(part % VECTOR_BYTES for part in used)
    return Launch(_KERNELS[spec.dtype, spec.op, team, wide], blocks, 0, (*strides, _divisor(spec), *work))


def run(spec: PoolSpec, x: DeviceArray, y: DeviceArray, indices: DeviceArray | None) -> Launch:
    places = None if indices is None else indices.strides
    launch = plan(spec, x.strides, y.strides, places, x.pointer % VECTOR_BYTES)
    return launch.start(y, x, y, *[] if indices is None else [indices])


ALGORITHM = Algorithm("pool_global", unsupported, worth, run, fast_for="one window for each plane")
