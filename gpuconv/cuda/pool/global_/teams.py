"""The threads that share planes in `pool_global`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numba import cuda, int64, uint32

from gpuconv.cuda.device.division import quotient_and_rest

STAGE = 64  # accesses of a thread whose sum is added to the total
LARGE = 1024  # elements of a plane from which on a block reads it


@dataclass(frozen=True, slots=True)
class Team:
    """The threads that share planes, and the accesses that each has under way at a time."""

    name: str
    threads: int
    planes: int
    parts: int
    block: int  # threads of a block
    blocks_per_sm: int

    def part_elements(self, columns: int) -> int:
        """Elements from one part of a plane to the next; 0 where each part is of a plane of its own."""
        return 0 if self.planes > 1 else self.threads * columns

    def step(self, columns: int) -> int:
        """Elements of a plane that all parts together take."""
        return self.threads * columns * self.parts // self.planes


TEAMS = (Team("warp", 32, 8, 8, 128, 3), Team("block", 256, 1, 4, 256, 4))


def make_locate(team: Team, columns: int) -> Callable[..., Any]:
    """locate(place, ends, elements, x_n, x_c, x_w, planes, C, C_by, C_shift): (its thread, first plane).

    Writes where each part begins in the input, and before which of a plane's `elements` it ends.
    """
    PLANES, PARTS, TEAM, PART = team.planes, team.parts, team.threads, team.part_elements(columns)
    TEAMS_OF_BLOCK, NEXT = team.block // team.threads, int(team.planes > 1)

    def locate(place, ends, elements, x_n, x_c, x_w, planes, C, C_by, C_shift):
        number, thread = uint32(cuda.blockIdx.x) * uint32(TEAMS_OF_BLOCK), uint32(cuda.threadIdx.x)
        number, thread = uint32(number + thread // uint32(TEAM)), uint32(thread % uint32(TEAM))
        first = uint32(number * uint32(PLANES))
        for j in range(PARTS):
            plane = uint32(first + uint32(j * NEXT))
            n, c = quotient_and_rest(plane, (C, C_by, C_shift))
            own = int64(uint32(thread * uint32(columns) + uint32(j * PART)))
            place[j] = int64(n) * x_n + int64(c) * x_c + own * x_w
            ends[j] = elements if plane < planes else uint32(0)
        return thread, first

    return cuda.jit(device=True, inline="always")(locate)
