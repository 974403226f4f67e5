"""Which block of `conv_tiled` computes a problem, how many that takes, and what shared memory holds.

Pure arithmetic, tested without a GPU. A stage covers `c` channels and r x s taps of the kernel: all R x S of
them where their halo fits, else one row of taps, else one tap, which always fits. Columns are stored by
their remainder modulo `pixel` (`device/axis.py`), a "phase", so that neighbouring outputs lie in neighbouring
words.
"""

from dataclasses import dataclass

from gpuconv.cuda.device.axis import StagedAxis
from gpuconv.cuda.device.limits import BANKS_BYTES, LANES, SHARED_BYTES
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import BFLOAT16, COMPLEX64, COMPLEX128, FLOAT16, FLOAT32, FLOAT64, INT32

THREADS = 256
WARPS = THREADS // LANES
THREAD_PIXELS = 4
TILE_Q = (64, 32, 16, 8)
STAGE_BYTES = 32 * 1024  # a longer stage would cost more resident blocks than it saves barriers
MAX_C = 32  # channels of a stage


@dataclass(frozen=True, slots=True)
class TiledBlock:
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
# must fit the 128 registers that two blocks per multiprocessor leave a thread; with 32 sums to round to
# bfloat16, loops over them are not unrolled before sm_80. By the dtype of the result.
BLOCKS: dict[str, tuple[TiledBlock, ...]] = {
    FLOAT32: (TiledBlock(1, 1), TiledBlock(4, 1), TiledBlock(8, 4)),
    FLOAT64: (TiledBlock(1, 1), TiledBlock(4, 1), TiledBlock(4, 4)),
    COMPLEX64: (TiledBlock(1, 1), TiledBlock(4, 1), TiledBlock(4, 4)),
    COMPLEX128: (TiledBlock(1, 1), TiledBlock(2, 2), TiledBlock(2, 8)),
    INT32: (TiledBlock(1, 1), TiledBlock(4, 1), TiledBlock(8, 4)),
    FLOAT16: (TiledBlock(1, 1), TiledBlock(4, 1), TiledBlock(8, 4)),
    BFLOAT16: (TiledBlock(1, 1), TiledBlock(4, 1), TiledBlock(4, 4)),
}


@dataclass(frozen=True, slots=True)
class TiledGrid:
    """Which tile computes a problem, and how many of them along each axis."""

    tile: TiledBlock
    tile_p: int
    tile_q: int
    p: int
    q: int
    k: int
    blocks: int


def grid_of(spec: ConvSpec) -> TiledGrid:
    """The tile for the channels of a group, as wide as wastes the fewest pixels."""
    tiles = BLOCKS[spec.result]
    tile = next((tile for tile in tiles if tile.k >= spec.K_group), tiles[-1])
    k = -(-spec.K_group // tile.k)

    def grid(tile_q: int) -> TiledGrid:
        tile_p = tile.pixels // tile_q
        p, q = -(-spec.P // tile_p), -(-spec.Q // tile_q)
        return TiledGrid(tile, tile_p, tile_q, p, q, k, spec.N * spec.groups * p * q * k)

    return min(map(grid, TILE_Q), key=lambda grid: grid.blocks)


@dataclass(frozen=True, slots=True)
class TiledStage:
    """One stage: its extents, its input tile, and where each part begins, in the units of its type.

    Shared memory holds, in this order: the weights' offset of each tap (int64), the tile's offset of each tap
    (uint32, from `x_table`), the place of each column (uint32, from `places`), the input tile (from `x_tile`)
    and the weights (from `w_tile`, `pitch_k` elements a tap).
    """

    c: int
    r: int
    s: int
    rows: StagedAxis
    columns: StagedAxis
    phase_pitch: int
    itemsize: int
    pitch_k: int

    @property
    def pitch(self) -> int:
        """Elements from one row of the input tile to the next."""
        return self.columns.pixel * self.phase_pitch

    @property
    def x_table(self) -> int:
        return 2 * self.c * self.r * self.s

    @property
    def places(self) -> int:
        return self.x_table + self.c * self.r * self.s

    @property
    def x_tile(self) -> int:
        return _round_up(4 * (self.places + self.columns.lines), 16) // self.itemsize

    @property
    def w_tile(self) -> int:
        end = self.x_tile + self.c * self.rows.lines * self.pitch
        return _round_up(end * self.itemsize, 16) // self.itemsize

    @property
    def shared_bytes(self) -> int:
        return (self.w_tile + self.c * self.r * self.s * self.pitch_k) * self.itemsize


def least_cycles(spec: ConvSpec, gpu: Gpu) -> float:
    """Predicted at least: twice its multiply-adds, which wait for shared memory, where there are blocks.

    Of a tile all pixels are computed, those beyond the image too: of an image of one pixel 256.
    """
    grid = grid_of(spec)
    flops = spec.flops * (grid.p * grid.tile_p * grid.q * grid.tile_q) / (spec.P * spec.Q)
    return flops / gpu.each.fp32 / min(grid.blocks, gpu.multiprocessors)


def largest_stage(spec: ConvSpec, tile_p: int, tile_q: int, pitch_k: int) -> TiledStage:
    """The stage with the most taps, then the most channels, that the limits of shared memory allow."""

    itemsize = spec.result.arithmetic.itemsize

    def stage(c: int, r: int, s: int) -> TiledStage:
        rows = StagedAxis.of(tile_p, r, spec.stride[0], spec.dilation[0])
        columns = StagedAxis.of(tile_q, s, spec.stride[1], spec.dilation[1])
        phase_pitch = _conflict_free_pitch(rows.pixel, columns, tile_q, itemsize)
        return TiledStage(c, r, s, rows, columns, phase_pitch, itemsize, pitch_k)

    shapes = (spec.R, spec.S), (1, spec.S), (1, 1)
    r, s = next(shape for shape in shapes if stage(1, *shape).shared_bytes <= SHARED_BYTES)
    most = max(1, min(spec.C_group, MAX_C))
    fitting = (c for c in range(most, 1, -1) if stage(c, r, s).shared_bytes <= STAGE_BYTES)
    return stage(next(fitting, 1), r, s)


def conflict_degree(row_step: int, tile_q: int, itemsize: int) -> int:
    """How many accesses one warp's load of 32 outputs takes, `tile_q` of them in each row; 1 is free."""
    lanes = min(LANES, BANKS_BYTES // itemsize)  # 8-byte loads are served half a warp at a time
    words = [lane // tile_q * row_step + lane % tile_q for lane in range(LANES)]
    return max(_most_common(words[i : i + lanes], lanes) for i in range(0, LANES, lanes))


def _most_common(words: list[int], banks: int) -> int:
    hits = [word % banks for word in set(words)]
    return max(hits.count(bank) for bank in hits)


def _conflict_free_pitch(pixel_h: int, columns: StagedAxis, tile_q: int, itemsize: int) -> int:
    """Elements of one phase of a row: the fewest at which a warp that spans rows has no bank conflict."""
    least = -(-columns.lines // columns.pixel)
    for pitch in range(least, least + LANES):
        if conflict_degree(pixel_h * columns.pixel * pitch, tile_q, itemsize) == 1:
            return pitch
    return least


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
