"""Where a thread of `pool_global` begins to load."""

from gpuconv.cuda.device.division import quotient_and_rest
from gpuconv.cuda.device.elements import Function, inlined
from gpuconv.cuda.language import cuda, int64, uint32
from gpuconv.cuda.pool.global_.tiles import Team


def make_locate(team: Team, columns: int) -> Function:
    """locate(place, ends, elements, x_n, x_c, x_w, planes, channels): (its thread, first plane).

    Writes where each part begins in the input, and before which of a plane's `elements` it ends.
    """
    PLANES, PARTS, TEAM, PART = team.planes, team.parts, team.threads, team.part_elements(columns)
    TEAMS_OF_BLOCK, NEXT = team.block // team.threads, int(team.planes > 1)

    def locate(place, ends, elements, x_n, x_c, x_w, planes, channels):
        number, thread = uint32(cuda.blockIdx.x) * uint32(TEAMS_OF_BLOCK), uint32(cuda.threadIdx.x)
        number, thread = uint32(number + thread // uint32(TEAM)), uint32(thread % uint32(TEAM))
        first = uint32(number * uint32(PLANES))
        for j in range(PARTS):
            plane = uint32(first + uint32(j * NEXT))
            n, c = quotient_and_rest(plane, channels)
            own = int64(uint32(thread * uint32(columns) + uint32(j * PART)))
            place[j] = int64(n) * x_n + int64(c) * x_c + own * x_w
            ends[j] = elements if plane < planes else uint32(0)
        return thread, first

    return inlined(locate)
