"""Which tile of `conv_tiled` computes a problem, and how many blocks that takes.

Pure arithmetic, tested without a GPU.
"""

from dataclasses import dataclass

from gpuconv.cuda.device.limits import LANES
from gpuconv.spec import ConvSpec

THREADS = 256
WARPS = THREADS // LANES
THREAD_PIXELS = 4
TILE_Q = (64, 32, 16, 8)


@dataclass(frozen=True, slots=True)
class Tile:
    """How the warps of a block share output channels and pixels."""

    thread_k: int
    warps_k: int

    @property
    def k(self) -> int:
        return self.thread_k * self.warps_k

    @property
    def pixels(self) -> int:
        return THREADS // self.warps_k * THREAD_PIXELS

    @property
    def pitch_k(self) -> int:
        return self.k + 4 if self.k > 4 else self.k  # words; staggers the rows over the banks


# The first that covers the channels of a group is taken, else the last. Twice THREAD_K * THREAD_PIXELS sums
# must fit the 128 registers that two blocks per multiprocessor leave a thread.
TILES = {
    "float32": (Tile(1, 1), Tile(4, 1), Tile(8, 4)),
    "float64": (Tile(1, 1), Tile(4, 1), Tile(4, 4)),
}


@dataclass(frozen=True, slots=True)
class Grid:
    """Which tile computes a problem, and how many of them along each axis."""

    tile: Tile
    tile_p: int
    tile_q: int
    p: int
    q: int
    k: int
    blocks: int


def grid_of(spec: ConvSpec) -> Grid:
    """The tile for the channels of a group, as wide as wastes the fewest pixels."""
    tiles = TILES[spec.dtype]
    tile = next((tile for tile in tiles if tile.k >= spec.K_group), tiles[-1])
    k = -(-spec.K_group // tile.k)

    def grid(tile_q: int) -> Grid:
        tile_p = tile.pixels // tile_q
        p, q = -(-spec.P // tile_p), -(-spec.Q // tile_q)
        return Grid(tile, tile_p, tile_q, p, q, k, spec.N * spec.groups * p * q * k)

    return min(map(grid, TILE_Q), key=lambda grid: grid.blocks)
