"""The tiles of the packed GEMM, and which of them a problem takes, with how many blocks sharing its depth.

A choice is made by a prediction of cycles on the GPU at hand (`runtime/cost.py`): a slab costs a warp as many
instructions as the main loop is long, and the tensor cores their products; a block begins and ends with about
OVERHEAD instructions a warp, and alone waits STALL cycles in each slab and START in all.
"""

import functools
from dataclasses import dataclass

from gpuconv.cuda.conv.split import cycles_of_shares, splits_of
from gpuconv.cuda.device.limits import SCHEDULERS
from gpuconv.cuda.ptx.matrices import A_ROWS, B_ROWS, PIECE_BYTES, ROW_BYTES, SUMS
from gpuconv.cuda.runtime.cost import ISSUE, busiest, cost, moving, waves
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.spec import ConvSpec

THREADS, WARPS = 128, 4
STAGES = 3  # slabs in shared memory
STORED_K = 32  # channels that a warp stores at a time
PIECES = ROW_BYTES // PIECE_BYTES  # of a row of a slab
LOAD_ROWS = THREADS // PIECES  # rows that all threads load at once
OVERHEAD = 1500  # instructions
STALL, START = 40, 2500  # cycles
MAX_SPLITS = 32


@dataclass(frozen=True, slots=True)
class PackedTile:
    """The outputs of a block and of each of its warps, and the instructions of a warp for a slab."""

    k: int
    pixels: int
    warp_k: int
    warp_pixels: int
    instructions: int
    blocks_per_sm: int

    @property
    def warps_k(self) -> int:
        return self.k // self.warp_k

    @property
    def k_tiles(self) -> int:
        """Tiles of the product along the channels of a warp."""
        return self.warp_k // A_ROWS

    @property
    def pixel_tiles(self) -> int:
        return self.warp_pixels // B_ROWS

    @property
    def sums(self) -> int:
        """Of a thread."""
        return SUMS * self.k_tiles * self.pixel_tiles

    @property
    def stage(self) -> int:
        """Bytes of one stage."""
        return ROW_BYTES * (self.k + self.pixels)

    @property
    def shared_bytes(self) -> int:
        return STAGES * self.stage

    def blocks(self, spec: ConvSpec) -> int:
        """Blocks that cover the outputs once."""
        pixels = -(-spec.N * spec.P * spec.Q // self.pixels)
        return spec.groups * -(-spec.K_group // self.k) * pixels


TILES = (
    PackedTile(128, 128, 64, 64, 182, 2),
    PackedTile(64, 64, 32, 32, 98, 4),
)


@dataclass(frozen=True, slots=True)
class PackedDepth:
    """The depth of one group: windows row by row, of each tap its channels in pieces of 16 bytes."""

    elements: int  # of a piece
    chunks: int  # pieces of a tap
    taps: int

    @classmethod
    def of(cls, spec: ConvSpec) -> "PackedDepth":
        elements = PIECE_BYTES // spec.itemsize
        return cls(elements, -(-spec.C_group // elements), spec.R * spec.S)

    @property
    def slabs(self) -> int:
        return -(-self.chunks * self.taps // PIECES)

    @property
    def channels(self) -> int:
        """Of a group as it is packed."""
        return self.chunks * self.elements

    @property
    def row_bytes(self) -> int:
        """Of the packed weights of one output channel."""
        return ROW_BYTES * self.slabs


@dataclass(frozen=True, slots=True)
class PackedChoice:
    """A tile, and how many blocks share the depth of each."""

    tile: PackedTile
    splits: int


@functools.lru_cache(maxsize=1024)
def choose(spec: ConvSpec, workspace: int, gpu: Gpu) -> PackedChoice:
    """The choice of the least predicted cost whose shares take at most `workspace` bytes."""
    splits_taken = [*splits_of(spec, PackedDepth.of(spec).slabs, MAX_SPLITS, workspace)]
    choices = (PackedChoice(tile, splits) for tile in TILES for splits in splits_taken)
    return min(choices, key=lambda choice: (cost_of(spec, choice, gpu), _computing(spec, choice, gpu)))


def cost_of(spec: ConvSpec, choice: PackedChoice, gpu: Gpu) -> tuple[float, float]:
    """Of the product, with what adds up its shares."""
    return cost(cycles(spec, choice, gpu), 1 if choice.splits == 1 else 2, gpu)


def cycles(spec: ConvSpec, choice: PackedChoice, gpu: Gpu) -> float:
    """Predicted, of the product and of what adds up its shares."""
    return cycles_of_shares(spec, choice.splits, _computing(spec, choice, gpu), gpu)


def _computing(spec: ConvSpec, choice: PackedChoice, gpu: Gpu) -> float:
    """Predicted cycles of the product, but for device memory."""
    tile, depth = choice.tile, PackedDepth.of(spec)
    slabs = -(-depth.slabs // choice.splits)
    products = slabs * tile.k * tile.pixels * PIECES * depth.elements / WARPS
    warp = max(
        (slabs * tile.instructions + OVERHEAD) / ISSUE, products * SCHEDULERS / gpu.tensor_rate(spec.itemsize)
    )
    alone = slabs * (tile.instructions + STALL) + OVERHEAD + START + gpu.measured.device_latency
    blocks = busiest(tile.blocks(spec) * choice.splits, gpu)
    resident = min(tile.blocks_per_sm, gpu.resident(tile.shared_bytes))
    busy = sum(
        wave.times * max(wave.scheduler_warps * warp, alone) for wave in waves(blocks, resident, WARPS)
    )
    pixels = tile.pixels * spec.stride[1] / spec.S  # the taps of a row find their sectors in the nearer cache
    loaded = tile.blocks(spec) * depth.slabs * ROW_BYTES * (tile.k + pixels)
    return max(busy, moving(loaded, 0, gpu))
