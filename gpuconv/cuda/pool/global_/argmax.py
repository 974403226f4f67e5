"""Global maxima with their indices, which travel beside their values (`pool/indices.py`).

A part meets its elements in the order of their indices and keeps the first of equals; where parts, lanes and
warps meet, of equals the smallest index wins. A load is of one element, side by side in a warp.
"""

from collections.abc import Callable

from gpuconv.cuda.device.division import quotient_and_rest
from gpuconv.cuda.device.elements import ELEMENTS, make_loader
from gpuconv.cuda.device.limits import LANES
from gpuconv.cuda.device.ordered import INTEGERS, KEY, LOWEST, VALUE
from gpuconv.cuda.language import cuda, int64, uint32
from gpuconv.cuda.pool.global_.load import make_locate
from gpuconv.cuda.pool.global_.meeting import indexed_keys, make_meeting
from gpuconv.cuda.pool.global_.tiles import Team


def make_argmax_function(dtype: str, team: Team) -> Callable[..., None]:
    """The kernel for a dtype and a team."""
    element, arithmetic = ELEMENTS[dtype], ELEMENTS[dtype].arithmetic
    scalar, integer, narrow = element.scalar, INTEGERS[arithmetic], element.narrow
    lowest, key_of, value_of = LOWEST[arithmetic], KEY[arithmetic], VALUE[arithmetic]
    PARTS, PART, STEP = team.parts, team.part_elements(1), team.step(1)
    locate, meet = make_locate(team, 1), make_meeting(team, indexed_keys(integer, team.block // LANES), PARTS)
    load = make_loader(element, 1, 0.0)

    def pool_global_argmax(
        x, y, indices, x_n, x_c, x_h, x_w, y_n, y_c, i_n, i_c,  # strides in elements
        planes, C, C_multiplier, C_shift, rows, columns, W,
    ):  # fmt: skip
        place, ends = cuda.local.array(PARTS, int64), cuda.local.array(PARTS, uint32)
        values = cuda.local.array(PARTS, scalar)
        keys, where = cuda.local.array(PARTS, integer), cuda.local.array(PARTS, uint32)
        channels = C, C_multiplier, C_shift
        thread, first = locate(place, ends, columns, x_n, x_c, x_w, planes, channels)
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

        (key, index), number, stores = meet((keys, where), thread)
        plane = uint32(first + number)
        if stores & (plane < planes):
            n, c = quotient_and_rest(plane, channels)
            y[int64(n) * y_n + int64(c) * y_c] = narrow(value_of(key))
            indices[int64(n) * i_n + int64(c) * i_c] = int64(index)

    return pool_global_argmax
