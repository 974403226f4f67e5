"""The threads that share planes in `pool_global`."""

from dataclasses import dataclass

STAGE = 32  # accesses of a thread whose sum is added to the total
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

    def blocks(self, planes: int) -> int:
        """Blocks for so many planes."""
        return -(-planes // (self.planes * self.block // self.threads))


TEAMS = (Team("warp", 32, 8, 8, 128, 3), Team("block", 256, 1, 4, 256, 4))
