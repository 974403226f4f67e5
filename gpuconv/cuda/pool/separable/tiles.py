"""How `pool_separable` cuts a problem into tiles, and what a tile holds in shared memory. Pure arithmetic.

    x tile  [planes][rows][pitch]         rows and columns of the image that the tile's windows cover
    lines   [planes][rows][lines_pitch]   the windows of each row, `tile_q` of them

Columns of the x tile begin with a whole sector, or pair, `lead` columns before the first window. Where the
stride is even they lie by their remainder modulo its greatest power of two, each `phase_pitch` from the next,
so that neighbouring windows begin in neighbouring words, or an odd number of words from each other. Pitches,
and how many lanes a row takes, are those with which a warp meets the fewest bank conflicts (`banks.py`). Of
the tiles that fit, the one is taken whose predicted time is the least.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from gpuconv.cuda.device.limits import LANES, SHARED_BYTES, VECTOR_BYTES
from gpuconv.cuda.pool.separable.banks import IDLE, Walk, best_pitch, round_up
from gpuconv.cuda.runtime.cost import busiest
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.spec import PoolSpec

SECTOR_BYTES = 32
THREADS = 256
COUNT = 5  # windows that a thread computes; odd, so that lanes meet no bank conflict
WIDEST = 256  # outputs of a tile's row
MOST_PLANES = 64
MOST_PARTS = 64  # of a plane's height
LOW = (COUNT, 2 * COUNT, 4 * COUNT, 8 * COUNT)  # heights of tiles, whatever the plane's

# For the prediction: threads' instructions for each element, and of a block besides
LOADED, REDUCED, STORED, SETUP = 5.0, 10.0, 8.0, 25_000


def is_chained(taps: int, stride: int, dilation: int) -> bool:
    """Whether COUNT neighbouring windows share taps enough to be computed from their parts."""
    return stride == dilation == 1 and taps >= COUNT - 1


@dataclass(frozen=True, slots=True)
class SeparableTile:
    """The outputs of a block, and where shared memory holds what; extents in elements."""

    planes: int
    tile_p: int
    tile_q: int
    rows: int  # of the x tile
    columns: int
    lead: int
    phases: int
    phase_pitch: int
    pitch: int
    lines_pitch: int
    groups: int  # of COUNT windows of a row
    group_lanes: int  # for each row, some of them idle
    vectors: int  # of outputs of a row
    vector_lanes: int
    itemsize: int

    @property
    def lines(self) -> int:
        """Where the lines begin."""
        return round_up(self.planes * self.rows * self.pitch, VECTOR_BYTES // self.itemsize)

    def blocks(self, spec: PoolSpec) -> int:
        """Blocks of a whole problem."""
        return -(-spec.N * spec.C // self.planes) * -(-spec.P // self.tile_p) * -(-spec.Q // self.tile_q)

    @property
    def shared_bytes(self) -> int:
        return (self.lines + self.planes * self.rows * self.lines_pitch) * self.itemsize


@functools.lru_cache(maxsize=1024)
def tile_for(spec: PoolSpec, gpu: Gpu, load: int, store: int, together: bool) -> SeparableTile | None:
    """The tile for a problem whose arrays allow accesses of `load` and `store` elements, or None.

    `together`: planes follow each other at one distance, so that a block may take several.
    """
    fitting = [cut for cut in _cuts(spec, together) if _least_bytes(spec, *cut) <= SHARED_BYTES]
    for cut in sorted(fitting, key=lambda cut: _cycles(spec, gpu, *cut)):
        tile = _tile(spec, cut, load, store)
        if tile.shared_bytes <= SHARED_BYTES:
            return tile
    return None


Cut = tuple[int, int, int]  # planes, tile_p, tile_q


def _cuts(spec: PoolSpec, together: bool) -> Iterator[Cut]:
    """Whole planes, several where they may be; or parts of them."""
    P, Q = round_up(spec.P, COUNT), round_up(spec.Q, COUNT)
    unit = COUNT * SECTOR_BYTES // spec.itemsize
    heights = {round_up(-(-P // parts), COUNT) for parts in range(1, MOST_PARTS)}
    heights |= {height for height in LOW if height <= P}
    widths = {Q, *range(unit, min(Q, WIDEST), unit)}
    yield from ((1, height, width) for height in heights for width in widths if width <= WIDEST)
    if together and Q <= WIDEST:
        yield from ((planes, P, Q) for planes in range(2, min(MOST_PLANES, spec.N * spec.C) + 1))


def _extents(spec: PoolSpec, tile_p: int, tile_q: int) -> tuple[int, int]:
    """Rows and columns that the windows of a tile cover."""
    return (
        (tile_p - 1) * spec.stride[0] + (spec.R - 1) * spec.dilation[0] + 1,
        (tile_q - 1) * spec.stride[1] + (spec.S - 1) * spec.dilation[1] + 1,
    )


def _least_bytes(spec: PoolSpec, planes: int, tile_p: int, tile_q: int) -> int:
    rows, columns = _extents(spec, tile_p, tile_q)
    return planes * rows * (columns + tile_q) * spec.itemsize


def _cycles(spec: PoolSpec, gpu: Gpu, planes: int, tile_p: int, tile_q: int) -> float:
    """Predicted, of the multiprocessor with the most blocks: what its warps issue; fewer bytes in a tie."""
    rows, columns = _extents(spec, tile_p, tile_q)
    tiles = -(-spec.P // tile_p) * -(-spec.Q // tile_q)
    blocks = -(-spec.N * spec.C // planes) * tiles
    work = planes * (
        LOADED * min(rows, spec.H) * min(columns, spec.W) + REDUCED * rows * tile_q + STORED * tile_p * tile_q
    )
    return busiest(blocks, gpu) * (work + SETUP)


def _tile(spec: PoolSpec, cut: Cut, load: int, store: int) -> SeparableTile:
    planes, tile_p, tile_q = cut
    rows, columns = _extents(spec, tile_p, tile_q)
    unit = SECTOR_BYTES // spec.itemsize if load * spec.itemsize == VECTOR_BYTES else load
    lead = -spec.pads[1][0] % unit
    columns = round_up(lead + columns, unit)
    phases = min(spec.stride[1] & -spec.stride[1], LANES)
    groups, vectors = tile_q // COUNT, -(-min(tile_q, spec.Q) // store)
    phase_pitch = round_up(-(-columns // phases), load)
    idle = range(groups, groups + groups // IDLE + 1)
    choices = []
    for group_lanes in idle:
        reads = Walk(groups, COUNT * spec.stride[1] // phases, lanes=group_lanes)
        writes = Walk(groups, COUNT, lanes=group_lanes)
        columns_of_lines = Walk(vectors, store, COUNT * spec.stride[0], store, 2.0)
        passes, pitch, _ = best_pitch(phases * phase_pitch, load, spec.itemsize, [reads])
        more, lines_pitch, lanes = best_pitch(
            round_up(tile_q, store), store, spec.itemsize, [writes, columns_of_lines]
        )
        choices.append((2 * passes + more, group_lanes, pitch, lines_pitch, lanes[1]))
    _, group_lanes, pitch, lines_pitch, vector_lanes = min(choices)
    return SeparableTile(
        planes, tile_p, tile_q, rows, columns, lead, phases, phase_pitch, pitch, lines_pitch, groups,
        group_lanes, vectors, vector_lanes, spec.itemsize,
    )  # fmt: skip
