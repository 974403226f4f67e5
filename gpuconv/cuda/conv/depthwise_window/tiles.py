"""Which tiles a block of `conv_depthwise_window` computes, and what its shared memory holds in a stage.

Pure arithmetic, tested without a GPU. A block has several slots, each with a tile of one plane: `tile_q`
columns of the output times `groups` * `pixels` rows, with `spacing` rows from one to the next. A stage
brings `taps` columns of the kernel. Along the rows, with g = gcd(stride, dilation),

    spacing = dilation / g       outputs so many rows from each other read the same rows of the image
    phases = stride / g          taps r, r + phases, ... meet every row_step-th row of the image: output i
                                 meets tap j of its phase at element i + j
    row_step = stride spacing

so that all stride and dilation becomes a dense window over each phase. The first `longer` phases have one tap
more than the others. Columns lie one beside the other, by their remainder modulo stride / g of their own
axis: with a pitch of an odd number of 16 bytes, so that the 8 lanes of an access meet all banks, also where
they go on to the next slot.
"""

import functools
import math
from dataclasses import dataclass

from gpuconv.cuda.conv.depthwise_window.load import COLUMNS, ROWS
from gpuconv.cuda.device.axis import StagedAxis
from gpuconv.cuda.device.limits import LANES, SHARED_BYTES
from gpuconv.cuda.device.rings import CHUNK, WEIGHTS
from gpuconv.cuda.runtime.cost import busiest, busiest_scheduler
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import FLOAT32, FLOAT64

SLOT_BYTES = 32  # of a slot's line in the table: two places and four coordinates
ACCESS = 16  # bytes of one lane
BANKS = 8  # such accesses that make use of all banks

# For the choice, in instructions of a warp, read off the compiled kernels.
SETUP, PER_COLUMN, PER_PRODUCT = 500, 70, 1.08
PER_PATCH, PER_COPY, PER_WEIGHT = 90, 14, 40
STAGE, CYCLES = 900, 2  # cycles until a stage is there; from one instruction of a warp to its next
ENOUGH = 2  # warps of a scheduler that keep it busy


@dataclass(frozen=True, slots=True)
class WindowShape:
    """What is compiled into a kernel: threads of a block, rows of output of a thread, its ring; residents."""

    threads: int
    pixels: int
    ring: int
    itemsize: int
    blocks_per_sm: int


# 28 rows fit images of 28 and 56 rows, 16 and 8 smaller ones and small batches.
SHAPES: dict[str, tuple[WindowShape, ...]] = {
    FLOAT32: (
        WindowShape(256, 28, 32, 4, 2),
        WindowShape(128, 16, 24, 4, 5),
        WindowShape(128, 8, 16, 4, 6),
    ),
    FLOAT64: (WindowShape(128, 8, 16, 8, 4),),
}


@dataclass(frozen=True, slots=True)
class WindowRows:
    """The rows of a window, as the docstring has it."""

    spacing: int
    phases: int
    row_step: int
    phase_step: int
    full: int  # taps of the phases but the first `longer`
    longer: int

    @classmethod
    def of(cls, spec: ConvSpec) -> "WindowRows":
        stride, dilation = spec.stride[0], spec.dilation[0]
        shared = stride if spec.R == 1 else math.gcd(stride, dilation)
        spacing, phases = (1, 1) if spec.R == 1 else (dilation // shared, stride // shared)
        return cls(spacing, phases, stride * spacing, dilation, *divmod(spec.R, phases))

    @property
    def longest(self) -> int:
        return self.full + (self.longer > 0)

    @property
    def chunks(self) -> int:
        """Of a phase: all of them have room for as many."""
        return -(-self.longest // CHUNK)


@dataclass(frozen=True, slots=True)
class WindowTile:
    """A way to cut a problem; pitches in elements."""

    tile_q: int
    groups: int
    slots: int
    taps: int
    classes: int  # of rows of output that share rows of the image
    tiles_p: int  # of a class
    tiles_q: int
    lines: int  # that are filled, of a phase
    columns: int  # likewise
    phase_pitch: int
    pitch: int
    residue_pitch: int
    slot_pitch: int
    w_phase: int
    w_column: int
    w_slot: int
    x_tile: int
    w_tile: int
    bytes: int
    cycles: float

    @classmethod
    def of(
        cls, spec: ConvSpec, shape: WindowShape, tile_q: int, groups: int, slots: int, taps: int, gpu: Gpu
    ) -> "WindowTile":  # fmt: skip
        rows, size = WindowRows.of(spec), shape.itemsize
        columns = StagedAxis.of(tile_q, spec.S, spec.stride[1], spec.dilation[1])
        used = (tile_q - 1) * columns.pixel + (taps - 1) * (columns.tap if spec.S > 1 else 0) + 1
        classes = min(rows.spacing, spec.P)
        outputs = -(-spec.P // rows.spacing)  # rows of a class
        phases, odd = min(rows.phases, spec.R), ACCESS // size
        lines = min(groups * shape.pixels, outputs) + rows.longest - 1
        phase_pitch = groups * shape.pixels + CHUNK * rows.chunks
        pitch = _congruent(phases * phase_pitch, odd, 2 * odd)
        residue_pitch = -(-used // columns.pixel)
        slot_pitch = _congruent(columns.pixel * residue_pitch * pitch, tile_q * pitch, BANKS * odd)
        w_phase = CHUNK * rows.chunks
        w_slot = _congruent(taps * phases * w_phase, odd, 2 * odd)
        x_tile = slots * SLOT_BYTES // size
        w_tile = x_tile + slots * slot_pitch
        # Lanes read up to a ring beyond their columns, which the weights' room covers or not.
        words = w_tile + max(slots * w_slot + WEIGHTS, shape.ring + CHUNK)
        tiles_p, tiles_q = -(-outputs // (groups * shape.pixels)), -(-spec.Q // tile_q)
        blocks = -(-spec.N * spec.K * classes * tiles_p * tiles_q // slots)
        cycles = _cycles(
            spec, shape, blocks, tile_q * groups * slots, slots, taps, lines, used, words * size, gpu
        )
        return cls(
            tile_q, groups, slots, taps, classes, tiles_p, tiles_q, lines, used, phase_pitch, pitch,
            residue_pitch, slot_pitch, w_phase, phases * w_phase, w_slot, x_tile, w_tile, words * size,
            cycles,
        )  # fmt: skip

    def tasks(self, spec: ConvSpec) -> int:
        """Tiles of all planes."""
        return spec.N * spec.K * self.classes * self.tiles_p * self.tiles_q


def _cycles(
    spec: ConvSpec, shape: WindowShape, blocks: int, busy: int, slots: int, taps: int, lines: int,
    columns: int, shared_bytes: int, gpu: Gpu,
) -> float:  # fmt: skip
    """Predicted, of the multiprocessor with the most blocks."""
    phases, stages = min(WindowRows.of(spec).phases, spec.R), -(-spec.S // taps)
    warps = -(-busy // LANES)
    thread = SETUP + spec.S * (phases * PER_COLUMN + PER_PRODUCT * spec.R * shape.pixels)
    patch = PER_PATCH + PER_COPY * phases * -(-lines // ROWS)
    fill = stages * slots * (-(-columns // COLUMNS) * patch + -(-spec.R * taps // LANES) * PER_WEIGHT)
    resident = min(shape.blocks_per_sm, gpu.resident(shared_bytes))
    most = busiest(blocks, gpu)
    # A block of 4 or 8 warps gives each scheduler as many, of which those that compute are the first.
    computing, filling = busiest_scheduler(warps), busiest_scheduler(shape.threads // LANES)
    filled = fill * LANES / shape.threads  # of a warp
    idle = max(1.0, ENOUGH / (min(resident, max(1, most)) * computing))
    path = stages * STAGE + CYCLES * (thread + filled)
    return path + most * (computing * thread + filling * filled) * min(idle, 4.0)


def _congruent(least: int, to: int, modulus: int) -> int:
    """The least number from `least` on that leaves the remainder of `to`."""
    return least + (to - least) % modulus


def choose(spec: ConvSpec, shape: WindowShape, gpu: Gpu) -> WindowTile | None:
    """The tile with the fewest predicted cycles; None if none fits."""
    found: WindowTile | None = None
    for tile_q in sorted({-(-spec.Q // parts) for parts in (1, 2, 3, 4, 6, 8)} | {8, 16, 32, 64}):
        if 0 < tile_q <= min(spec.Q, shape.threads):
            for groups in (1, 2, 3, 4):
                slots = shape.threads // (tile_q * groups)
                for several in sorted({slots, slots // 2, slots // 4, min(slots, 1)} - {0}):
                    for stages in (1, 2, 4, spec.S):
                        tile = WindowTile.of(spec, shape, tile_q, groups, several, -(-spec.S // stages), gpu)
                        if tile.bytes <= SHARED_BYTES and (found is None or tile.cycles < found.cycles):
                            found = tile
    return found


@functools.lru_cache(maxsize=256)
def tile_of(spec: ConvSpec, gpu: Gpu) -> tuple[WindowShape, WindowTile] | None:
    """The kernel and the tile that are predicted to take least; None if no column of taps fits."""
    tiles = [(shape, choose(spec, shape, gpu)) for shape in SHAPES[spec.dtype]]
    fitting = [(shape, tile) for shape, tile in tiles if tile is not None]
    return min(fitting, key=lambda each: each[1].cycles, default=None)
