"""Maxima and means of whole planes, and the list of all kernels of `pool_global`."""

import functools
import itertools
from collections.abc import Callable

from gpuconv.cuda.device.division import quotient_and_rest
from gpuconv.cuda.device.elements import ELEMENTS, make_loader
from gpuconv.cuda.device.limits import LANES, VECTOR_BYTES
from gpuconv.cuda.device.reduction import REDUCTIONS, reduction_of
from gpuconv.cuda.language import cuda, int64, types, uint32
from gpuconv.cuda.pool.global_.argmax import make_argmax_function
from gpuconv.cuda.pool.global_.load import make_locate
from gpuconv.cuda.pool.global_.meeting import make_meeting, numbers
from gpuconv.cuda.pool.global_.tiles import STAGE, TEAMS, Team
from gpuconv.cuda.pool.global_.zeros import make_zero_signer
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.spec.dtypes import FLOAT64


def make_function(dtype: str, reduction: str, team: Team, wide: bool) -> Callable[..., None]:
    """Maxima, or means; a maximum takes no notice of the divisor."""
    element = ELEMENTS[dtype]
    scalar, narrow = element.scalar, element.narrow
    reducing = reduction_of(reduction, element.arithmetic)
    combine, gather, identity = reducing.combine, reducing.gather, reducing.identity
    COLUMNS = VECTOR_BYTES // element.size if wide else 1
    PLANES, PARTS = team.planes, team.parts
    PART, STEP = team.part_elements(COLUMNS), team.step(COLUMNS)
    VALUES, IS_MEAN = PARTS * COLUMNS, reduction == "mean"
    SUMS = PARTS * min(COLUMNS, 4)  # eight elements reduce to four sums
    locate, load = make_locate(team, COLUMNS), make_loader(element, COLUMNS, identity)
    meet = make_meeting(team, numbers(combine, scalar, team.block // LANES), parts=1)
    signed = make_zero_signer(element, team, COLUMNS)

    def pool_global(
        x, y, x_n, x_c, x_h, x_w, y_n, y_c,  # strides in elements
        divisor, planes, C, C_multiplier, C_shift, rows, columns,
    ):  # fmt: skip
        place, ends = cuda.local.array(PARTS, int64), cuda.local.array(PARTS, uint32)
        values, sums = cuda.local.array(VALUES, scalar), cuda.local.array(SUMS, scalar)
        totals, lost = cuda.local.array(PLANES, scalar), cuda.local.array(PLANES, scalar)
        channels = C, C_multiplier, C_shift
        thread, first = locate(place, ends, columns, x_n, x_c, x_w, planes, channels)
        own = uint32(thread * uint32(COLUMNS))
        for j in range(PLANES):
            totals[j], lost[j] = scalar(identity), scalar(0)

        for h in range(rows):
            for begin in range(uint32(0), columns, uint32(STAGE * STEP)):
                for i in range(SUMS):
                    sums[i] = scalar(identity)
                end = min(columns, uint32(begin + uint32(STAGE * STEP)))
                for at in range(begin, end, uint32(STEP)):
                    row = int64(h) * x_h + int64(at) * x_w
                    for j in range(PARTS):
                        inside = uint32(at + own + uint32(j * PART)) < ends[j]
                        load(values, j * COLUMNS, inside, x, row + place[j])
                    for i in range(VALUES):
                        sums[i * SUMS // VALUES] = combine(sums[i * SUMS // VALUES], values[i])
                width = SUMS // PLANES  # of a plane
                for j in range(PLANES):
                    value = sums[j * width]
                    for i in range(1, width):
                        value = combine(value, sums[j * width + i])
                    totals[j], lost[j] = gather(totals[j], lost[j], value)

        value, number, stores = meet(totals, thread)
        if not IS_MEAN:
            value = signed(value, x, place, ends, x_h, x_w, rows, columns, thread)
        plane = uint32(first + number)
        if stores & (plane < planes):
            if IS_MEAN:
                value /= scalar(divisor)
            n, c = quotient_and_rest(plane, channels)
            y[int64(n) * y_n + int64(c) * y_c] = narrow(value)

    return pool_global


def make_kernel(dtype: str, reduction: str, team: Team, wide: bool) -> Kernel:
    """The kernel for maxima, or for means, in vectors or not."""
    types_of = {types.CPointer(ELEMENTS[dtype].stored): "x y", int64: "x_n x_c x_h x_w y_n y_c divisor"}
    name = f"pool_global {dtype} {reduction} {team.name} {'wide' if wide else 'narrow'}"
    make = functools.partial(make_function, dtype, reduction, team, wide)
    blocks_per_sm = team.blocks_per_sm
    if (dtype, reduction, team.name, wide) == (FLOAT64, "max", "warp", True):
        blocks_per_sm -= 1  # 8 bytes of the search for zeros would spill on sm_80 and sm_90a
    return Kernel(name, make, types_of, team.block, blocks_per_sm)


def make_argmax_kernel(dtype: str, team: Team) -> Kernel:
    """The kernel for maxima with their indices."""
    types_of = {
        types.CPointer(ELEMENTS[dtype].stored): "x y",
        types.CPointer(int64): "indices",
        int64: "x_n x_c x_h x_w y_n y_c i_n i_c",
    }
    make = functools.partial(make_argmax_function, dtype, team)
    return Kernel(f"pool_global {dtype} argmax {team.name}", make, types_of, team.block, team.blocks_per_sm)


KERNEL_OF = {
    **{key: make_kernel(*key) for key in itertools.product(ELEMENTS, REDUCTIONS, TEAMS, (True, False))},
    **{
        (dtype, "argmax", team, False): make_argmax_kernel(dtype, team)
        for dtype, team in itertools.product(ELEMENTS, TEAMS)
    },
}
