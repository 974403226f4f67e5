"""The sign of a maximum that is zero: that of the first zero of the plane, which is looked for afterwards.

Threads meet the elements of a plane in no order that could keep the first of equals. So a plane whose maximum
is zero is read again, up to the first zero that each thread finds: of planes of zeros, one step. What they
find is a number that grows along the plane, 2 (elements before) + (1 if the zero is negative), and the least
wins.
"""

from gpuconv.cuda.device.elements import Element, Function, inlined, make_loader
from gpuconv.cuda.device.limits import ALL_LANES, LANES
from gpuconv.cuda.device.zeros import IS_NEGATIVE_ZERO
from gpuconv.cuda.language import cuda, int64, uint32
from gpuconv.cuda.pool.global_.meeting import make_meeting, numbers
from gpuconv.cuda.pool.global_.tiles import Team

NONE = 0xFFFFFFFF


@inlined
def least(a, b):
    return b if b < a else a


def make_search(element: Element, team: Team, columns: int) -> Function:
    """search(firsts, x, place, ends, x_h, x_w, rows, elements, thread): each plane's first zero of a thread.

    Of the `columns` elements at a time that `make_locate` has found, it looks at four: of eight the loops are
    too long to be unrolled, and what they index would not be in registers.
    """
    PLANES, PARTS, PART, STEP = team.planes, team.parts, team.part_elements(columns), team.step(columns)
    COLUMNS, LOOKED_AT = columns, min(columns, 4)
    VALUES, scalar, load = PARTS * LOOKED_AT, element.scalar, make_loader(element, LOOKED_AT, 1.0)
    is_negative_zero = IS_NEGATIVE_ZERO[element.arithmetic]

    def search(firsts, x, place, ends, x_h, x_w, rows, elements, thread):
        values = cuda.local.array(VALUES, scalar)
        own = uint32(thread * uint32(columns))
        for j in range(PLANES):
            firsts[j] = uint32(NONE)
        for h in range(rows):
            for at in range(uint32(0), elements, uint32(STEP)):
                for offset in range(uint32(0), uint32(COLUMNS), uint32(LOOKED_AT)):
                    row = int64(h) * x_h + int64(uint32(at)) * x_w + int64(uint32(offset))
                    begin = uint32(uint32(uint32(h) * elements) + uint32(at + own + offset))
                    for j in range(PARTS):
                        inside = uint32(at + own + uint32(j * PART)) < ends[j]
                        load(values, j * LOOKED_AT, inside, x, row + place[j])
                    for i in range(VALUES):
                        before = uint32(begin + uint32(i // LOOKED_AT * PART + i % LOOKED_AT))
                        number = uint32(uint32(before << uint32(1)) | uint32(is_negative_zero(values[i])))
                        if values[i] == scalar(0):
                            firsts[i * PLANES // VALUES] = least(firsts[i * PLANES // VALUES], number)
                if PLANES == 1 and firsts[0] != uint32(NONE):
                    break
            if PLANES == 1 and firsts[0] != uint32(NONE):
                break

    return inlined(search)


def make_zero_signer(element: Element, team: Team, columns: int) -> Function:
    """signed(value, x, place, ends, x_h, x_w, rows, elements, thread): a team's maximum, as it is stored."""
    PLANES, scalar = team.planes, element.scalar
    search = make_search(element, team, columns)
    meet = make_meeting(team, numbers(least, uint32, team.block // LANES), parts=1)

    def signed(value, x, place, ends, x_h, x_w, rows, elements, thread):
        if cuda.any_sync(ALL_LANES, value == scalar(0)):  # of a block, all warps have the same
            firsts = cuda.local.array(PLANES, uint32)
            search(firsts, x, place, ends, x_h, x_w, rows, elements, thread)
            first = meet(firsts, thread)[0]
            if value == scalar(0):
                value = scalar(-0.0) if first & uint32(1) else scalar(0.0)
        return value

    return inlined(signed)
