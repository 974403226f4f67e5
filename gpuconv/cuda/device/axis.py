"""What one stage of a tiled convolution holds in shared memory: an input tile with its halo, and weights.

Pure arithmetic, tested without a GPU. A stage covers `c` channels and r x s taps of the kernel: all R x S of
them where their halo fits, else one row of taps, else one tap, which always fits.

Along an axis only the lines that some tap reads are staged. A tile of T outputs and `taps` taps reads the
positions t stride + r dilation, all multiples of step = gcd(stride, dilation); in steps, neighbouring outputs
are `pixel` lines apart and neighbouring taps `tap` lines. Columns are stored by their remainder modulo
`pixel` (a "phase"), so that neighbouring outputs lie in neighbouring words.
"""

import math
from dataclasses import dataclass

from gpuconv.cuda.device.limits import LANES, SHARED_BYTES
from gpuconv.spec import ConvSpec

STAGE_BYTES = 32 * 1024  # a longer stage would cost more resident blocks than it saves barriers
MAX_C = 32
BANKS_BYTES = 128  # one access of shared memory serves 32 banks of 4 bytes


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the input tile, in lines (rows or columns)."""

    step: int  # input positions between staged lines
    pixel: int  # lines from one output to the next
    tap: int  # lines from one tap to the next
    lines: int

    @classmethod
    def of(cls, outputs: int, taps: int, stride: int, dilation: int) -> "Axis":
        step = stride if taps == 1 else math.gcd(stride, dilation)
        pixel, tap = stride // step, dilation // step  # a single tap never moves by `tap`
        return cls(step, pixel, tap, (outputs - 1) * pixel + (taps - 1) * tap + 1)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its extents, its input tile, and where each part begins, in the units of its type.

    Shared memory holds, in this order: the weights' offset of each tap (int64), the tile's offset of each tap
    (uint32, from `x_table`), the place of each column (uint32, from `places`), the input tile (from `x_tile`)
    and the weights (from `w_tile`, `pitch_k` elements a tap).
    """

    c: int
    r: int
    s: int
    rows: Axis
    columns: Axis
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


def largest_stage(spec: ConvSpec, tile_p: int, tile_q: int, pitch_k: int) -> Stage:
    """The stage with the most taps, then the most channels, that the limits of shared memory allow."""

    def stage(c: int, r: int, s: int) -> Stage:
        rows = Axis.of(tile_p, r, spec.stride[0], spec.dilation[0])
        columns = Axis.of(tile_q, s, spec.stride[1], spec.dilation[1])
        phase_pitch = _conflict_free_pitch(rows.pixel, columns, tile_q, spec.itemsize)
        return Stage(c, r, s, rows, columns, phase_pitch, spec.itemsize, pitch_k)

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


def _conflict_free_pitch(pixel_h: int, columns: Axis, tile_q: int, itemsize: int) -> int:
    """Elements of one phase of a row: the fewest at which a warp that spans rows has no bank conflict."""
    least = -(-columns.lines // columns.pixel)
    for pitch in range(least, least + LANES):
        if conflict_degree(pixel_h * columns.pixel * pitch, tile_q, itemsize) == 1:
            return pitch
    return least


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
