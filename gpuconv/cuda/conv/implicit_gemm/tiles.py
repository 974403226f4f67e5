"""The tiles of the implicit GEMM, and which of them a problem takes, with how many blocks sharing its depth.

A choice is made by a prediction of cycles on the GPU at hand (`runtime/cost.py`); it is what
`profiling.model` says, in short:

- a slab costs a warp as many instructions as the main loop is long; multiply-adds take longer where there
  are 64 units; the scheduler with the most warps counts
- a block begins and ends with about OVERHEAD instructions a warp, and alone, with nothing to hide it, waits
  STALL cycles in each slab, START in all and once for device memory
- the cache behind the multiprocessors hands out the slabs

Predicted for ResNet-50, VGG-16, U-Net and DeepBench on H200, RTX 4090 and A100, tiles of 64x128, 128x64,
64x256, 256x64, 96 or 192 along one side and 32x64 win at most 2 % in the geometric mean of a workload, and
64x32 5 %, of blocks of one warp.
"""

import functools
from dataclasses import dataclass

from gpuconv.cuda.conv.implicit_gemm.gather import SLAB, Depth
from gpuconv.cuda.conv.split import cycles_of_shares, splits_of
from gpuconv.cuda.device.limits import LANES, SCHEDULERS
from gpuconv.cuda.runtime.cost import (
    ISSUE,
    busiest,
    busiest_scheduler,
    cost,
    moving,
    waves,
)
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.spec import ConvSpec

STAGES = 2  # slabs in shared memory
PAD = 4  # words between the taps of the weights, which staggers them over the banks
WARP_K, WARP_PIXELS = 32, 64
SUMS = WARP_K * WARP_PIXELS // LANES  # of a thread
OVERHEAD = 1400  # instructions
STALL, START = 40, 2500  # cycles
MAX_SPLITS = 32


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How sums are computed: an algorithm of its own, with tiles of its own.

    `products` are those of tensor cores for each product of a sum; 0 where it is a multiply-add of float32.
    """

    algorithm: str
    products: int


FLOAT32_SUMS = Arithmetic("conv_implicit_gemm", 0)
TF32 = Arithmetic("conv_implicit_gemm_tf32", 1)
THREE_TF32 = Arithmetic("conv_implicit_gemm_3xtf32", 3)


@dataclass(frozen=True, slots=True)
class GemmTile:
    """The outputs of a block, and the instructions of a warp for a slab, gathered and of a 1x1 window.

    A thread has `registers`.
    """

    k: int
    pixels: int
    gathered: int
    pointwise: int
    arithmetic: Arithmetic = FLOAT32_SUMS
    registers: int = 128

    @property
    def warps_k(self) -> int:
        return self.k // WARP_K

    @property
    def threads(self) -> int:
        return self.k * self.pixels // SUMS

    @property
    def x_pitch(self) -> int:
        """Words from tap to tap of the input: fragments of tensor cores are read along taps, too."""
        return self.pixels + (PAD if self.arithmetic.products else 0)

    @property
    def warps(self) -> int:
        return self.threads // LANES

    def shared_bytes(self, table: int) -> int:
        """Of a block with so many bytes of a table of taps."""
        return 4 * self.x_table + table

    @property
    def blocks_per_sm(self) -> int:
        """As many as leave its registers to a thread."""
        return 65536 // self.registers // self.threads

    @property
    def stage(self) -> int:
        """Words of one stage."""
        return SLAB * (self.k + PAD + self.x_pitch)

    @property
    def fragments(self) -> int:
        """Words that a warp reads of a stage."""
        return SLAB * (WARP_K + WARP_PIXELS)

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
    GemmTile(128, 128, gathered=1155, pointwise=1131),
    GemmTile(64, 64, gathered=1201, pointwise=1153),
    GemmTile(32, 128, gathered=1242, pointwise=1159),
)
TF32_TILES = (
    GemmTile(128, 64, 280, 253, TF32, registers=200),
    GemmTile(64, 64, 300, 259, TF32, registers=200),
)
THREE_TF32_TILES = (GemmTile(64, 64, 494, 448, THREE_TF32, registers=256),)
TILES_OF = {FLOAT32_SUMS: TILES, TF32: TF32_TILES, THREE_TF32: THREE_TF32_TILES}
ALL_TILES = (*TILES, *TF32_TILES, *THREE_TF32_TILES)


@dataclass(frozen=True, slots=True)
class GemmChoice:
    """A tile, and how many blocks share the depth of each."""

    tile: GemmTile
    splits: int


@functools.lru_cache(maxsize=1024)
def choose(spec: ConvSpec, workspace: int, gpu: Gpu, tiles: tuple[GemmTile, ...] = TILES) -> GemmChoice:
    """The choice of the least predicted cost, of these tiles, that takes at most `workspace` bytes.

    Where device memory decides, and several take as long, the one that computes least.
    """
    splits_taken = [*splits_of(spec, Depth.of(spec).slabs, MAX_SPLITS, workspace)]
    choices = (GemmChoice(tile, splits) for tile in tiles for splits in splits_taken)
    return min(choices, key=lambda choice: (cost_of(spec, choice, gpu), _computing(spec, choice, gpu)))


def least_cost(
    spec: ConvSpec, workspace: int, gpu: Gpu, tiles: tuple[GemmTile, ...] = TILES
) -> tuple[float, float]:
    """That of the choice for a problem."""
    return cost_of(spec, choose(spec, workspace, gpu, tiles), gpu)


def cost_of(spec: ConvSpec, choice: GemmChoice, gpu: Gpu) -> tuple[float, float]:
    """Of one kernel, or of two."""
    return cost(cycles(spec, choice, gpu), 1 if choice.splits == 1 else 2, gpu)


def cycles(spec: ConvSpec, choice: GemmChoice, gpu: Gpu) -> float:
    """Predicted, of one kernel or of two."""
    return cycles_of_shares(spec, choice.splits, _computing(spec, choice, gpu), gpu)


def _computing(spec: ConvSpec, choice: GemmChoice, gpu: Gpu) -> float:
    """Predicted cycles of the first kernel, but for device memory."""
    tile, depth = choice.tile, Depth.of(spec)
    slabs = -(-depth.slabs // choice.splits)
    instructions = tile.pointwise if spec.is_pointwise and spec.stride == (1, 1) else tile.gathered
    units = slabs * SLAB * SUMS * LANES * SCHEDULERS / gpu.each.fp32
    warp, pace = max((slabs * instructions + OVERHEAD) / ISSUE, units), float(instructions)
    if tile.arithmetic.products:
        # What is loaded passes twice: it is asked for, and put there.
        products = SLAB * SUMS * LANES * tile.arithmetic.products * SCHEDULERS / gpu.tensor_rate(4)
        shared = (tile.warps * tile.fragments + 2 * tile.stage) * 4 / gpu.each.shared_rate
        shared *= SCHEDULERS / tile.warps
        warp = max((slabs * instructions + OVERHEAD) / ISSUE, slabs * products, slabs * shared)
        pace = max(pace, products)
    alone = busiest_scheduler(tile.warps) * (slabs * (pace + STALL) + OVERHEAD)
    alone += START + gpu.measured.device_latency
    blocks = busiest(tile.blocks(spec) * choice.splits, gpu)
    resident = min(tile.blocks_per_sm, gpu.resident(tile.shared_bytes(depth.table_bytes)))
    busy = sum(
        wave.times * max(wave.scheduler_warps * warp, alone) for wave in waves(blocks, resident, tile.warps)
    )
    pixels = tile.pixels * spec.stride[1] / spec.S  # the taps of a row find their sectors in the nearer cache
    loaded = tile.blocks(spec) * depth.slabs * SLAB * 4 * (tile.k + pixels)
    return max(busy, moving(loaded, 0, gpu))
