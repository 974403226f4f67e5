"""The tiles of the implicit GEMM, and which of them a problem takes, with how many blocks sharing its depth.

A choice is made by a prediction of cycles on an H200, from counts and not from measurements:

- a warp issues one instruction a cycle, and a multiprocessor has 4 schedulers: a slab costs a block
  `instructions` * warps / 4 cycles; `instructions` is the length of the main loop (`profiling.kernels`)
- a block begins and ends with about OVERHEAD instructions a warp
- the multiprocessor with the most blocks counts
- few warps do not hide each other's waiting: EFFICIENCY, by warps of a scheduler, is an assumption
- partial sums are written and read once, and a second kernel has to start
"""

import functools
from dataclasses import dataclass

from gpuconv.cuda.gather import SLAB, Depth
from gpuconv.spec import ConvSpec

STAGES = 2  # slabs in shared memory
PAD = 4  # words between the taps of the weights, which staggers them over the banks
SIDE = 8  # channels, and pixels, of a thread
SUMS = SIDE**2
WARP_K, WARP_PIXELS = 32, 64
MULTIPROCESSORS, SCHEDULERS = 132, 4
OVERHEAD = 1500
EFFICIENCY = (0.5, 0.75, 0.85, 0.92)  # of 1, 2, 3, and 4 or more warps
SECOND_KERNEL = 5000  # cycles
BYTES_PER_CYCLE = 2500  # of the cache and the memory behind it, for the whole device
MAX_SPLITS = 32


@dataclass(frozen=True, slots=True)
class Tile:
    """The outputs of a block, and the instructions of a warp for a slab, gathered and of a 1x1 window."""

    k: int
    pixels: int
    gathered: int
    pointwise: int

    @property
    def warps_k(self) -> int:
        return self.k // WARP_K

    @property
    def threads(self) -> int:
        return self.k * self.pixels // SUMS

    @property
    def blocks_per_sm(self) -> int:
        """As many as leave 128 registers to a thread."""
        return 65536 // 128 // self.threads

    @property
    def stage(self) -> int:
        """Words of one stage."""
        return SLAB * (self.k + PAD + self.pixels)

    @property
    def w_rows(self) -> int:
        """Channels whose weights a thread loads."""
        return 8 * self.k // self.threads

    @property
    def w_table(self) -> int:
        """The word where the rows of the weights stand, behind the stages."""
        return STAGES * self.stage

    @property
    def x_table(self) -> int:
        """The word where the table of taps begins, behind the rows of the weights."""
        return self.w_table + self.k

    def blocks(self, spec: ConvSpec) -> int:
        """Blocks that cover the outputs once."""
        pixels = -(-spec.N * spec.P * spec.Q // self.pixels)
        return spec.groups * -(-spec.K_group // self.k) * pixels


TILES = (
    Tile(128, 128, gathered=1155, pointwise=1131),
    Tile(64, 64, gathered=1201, pointwise=1153),
    Tile(32, 128, gathered=1242, pointwise=1159),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A tile, and how many blocks share the depth of each."""

    tile: Tile
    splits: int


@functools.lru_cache(maxsize=1024)
def choose(spec: ConvSpec, workspace: int) -> Choice:
    """The choice with the fewest predicted cycles that takes at most `workspace` bytes."""
    slabs = Depth.of(spec).slabs
    choices = (
        Choice(tile, splits)
        for tile in TILES
        for splits in range(1, min(MAX_SPLITS, slabs) + 1)
        if splits == 1 or (is_even(slabs, splits) and splits * partial_bytes(spec) <= workspace)
    )
    return min(choices, key=lambda choice: cycles(spec, choice))


def is_even(slabs: int, splits: int) -> bool:
    """Whether no fewer blocks would do with as many slabs each."""
    return -(-slabs // -(-slabs // splits)) == splits


def partial_row(spec: ConvSpec) -> int:
    """Elements of one channel's partial sums: the pixels, and up to 3 more for aligned stores."""
    return -(-spec.N * spec.P * spec.Q // 4) * 4


def partial_bytes(spec: ConvSpec) -> int:
    """Bytes of one share of the partial sums."""
    return 4 * spec.K * partial_row(spec)


def cycles(spec: ConvSpec, choice: Choice) -> float:
    """Predicted cycles of an H200."""
    tile, splits = choice.tile, choice.splits
    slabs = -(-Depth.of(spec).slabs // splits)
    blocks = -(-tile.blocks(spec) * splits // MULTIPROCESSORS)  # of the busiest multiprocessor
    warps = tile.threads // 32 / SCHEDULERS
    resident = int(min(blocks, tile.blocks_per_sm) * warps)
    efficiency = EFFICIENCY[min(resident, len(EFFICIENCY)) - 1]
    busy = blocks * warps * (slabs * tile.gathered + OVERHEAD) / efficiency
    if splits == 1:
        return busy
    return busy + SECOND_KERNEL + 2 * splits * partial_bytes(spec) / BYTES_PER_CYCLE
