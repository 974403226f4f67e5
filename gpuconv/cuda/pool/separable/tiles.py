"""How `pool_separable` cuts a problem into tiles, and what a tile holds in shared memory. Pure arithmetic.

    x tile  [planes][rows][pitch]         rows and columns of the image that the tile's windows cover
    lines   [planes][rows][lines_pitch]   the windows of each row, `tile_q` of them

Columns of the x tile begin with a whole sector, or pair, `lead` columns before the first window. Where the
stride is even they lie by their remainder modulo its greatest power of two, each `phase_pitch` from the next,
so that neighbouring windows begin in neighbouring words, or an odd number of words apart. Pitches, and how
many lanes a row takes, are those with which a warp meets the fewest bank conflicts. Of the tiles that fit,
the one is taken whose predicted time is the least.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpuconv.cuda.device.axis import BANKS_BYTES
from gpuconv.cuda.device.limits import LANES, SHARED_BYTES, VECTOR_BYTES
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.spec import PoolSpec

SECTOR_BYTES = 32
THREADS = 256
COUNT = 5  # windows that a thread computes; odd, so that lanes meet no bank conflict
WIDEST = 256  # outputs of a tile's row
MOST_PLANES = 64
MOST_PARTS = 64  # of a plane's height
LOW = (COUNT, 2 * COUNT, 4 * COUNT, 8 * COUNT)  # heights of tiles, whatever the plane's
PITCHES = 32  # that are tried
IDLE = 6  # at most one lane of so many is idle for the banks' sake

# For the prediction: threads' instructions for each element, and of a block besides
LOADED, REDUCED, STORED, SETUP = 5.0, 10.0, 8.0, 25_000


def is_chained(taps: int, stride: int, dilation: int) -> bool:
    """Whether COUNT neighbouring windows share taps enough to be computed from their parts."""
    return stride == dilation == 1 and taps >= COUNT - 1


@dataclass(frozen=True, slots=True)
class Tile:
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
        return _round_up(self.planes * self.rows * self.pitch, VECTOR_BYTES // self.itemsize)

    def blocks(self, spec: PoolSpec) -> int:
        """Blocks of a whole problem."""
        return -(-spec.N * spec.C // self.planes) * -(-spec.P // self.tile_p) * -(-spec.Q // self.tile_q)

    @property
    def shared_bytes(self) -> int:
        return (self.lines + self.planes * self.rows * self.lines_pitch) * self.itemsize


@functools.lru_cache(maxsize=1024)
def tile_for(spec: PoolSpec, load: int, store: int, together: bool) -> Tile | None:
    """The tile for a problem whose arrays allow accesses of `load` and `store` elements, or None.

    `together`: planes follow each other at one distance, so that a block may take several.
    """
    fitting = [cut for cut in _cuts(spec, together) if _least_bytes(spec, *cut) <= SHARED_BYTES]
    for cut in sorted(fitting, key=lambda cut: _cycles(spec, *cut)):
        tile = _tile(spec, cut, load, store)
        if tile.shared_bytes <= SHARED_BYTES:
            return tile
    return None


Cut = tuple[int, int, int]  # planes, tile_p, tile_q


def _cuts(spec: PoolSpec, together: bool) -> Iterator[Cut]:
    """Whole planes, several where they may be; or parts of them."""
    P, Q = _round_up(spec.P, COUNT), _round_up(spec.Q, COUNT)
    unit = COUNT * SECTOR_BYTES // spec.itemsize
    heights = {_round_up(-(-P // parts), COUNT) for parts in range(1, MOST_PARTS)}
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


def _cycles(spec: PoolSpec, planes: int, tile_p: int, tile_q: int) -> float:
    """Predicted, of the multiprocessor with the most blocks: what its warps issue; fewer bytes in a tie."""
    rows, columns = _extents(spec, tile_p, tile_q)
    tiles = -(-spec.P // tile_p) * -(-spec.Q // tile_q)
    blocks = -(-spec.N * spec.C // planes) * tiles
    work = planes * (
        LOADED * min(rows, spec.H) * min(columns, spec.W) + REDUCED * rows * tile_q + STORED * tile_p * tile_q
    )
    return -(-blocks // H200.multiprocessors) * (work + SETUP)


def _tile(spec: PoolSpec, cut: Cut, load: int, store: int) -> Tile:
    planes, tile_p, tile_q = cut
    rows, columns = _extents(spec, tile_p, tile_q)
    unit = SECTOR_BYTES // spec.itemsize if load * spec.itemsize == VECTOR_BYTES else load
    lead = -spec.pads[1][0] % unit
    columns = _round_up(lead + columns, unit)
    phases = min(spec.stride[1] & -spec.stride[1], LANES)
    groups, vectors = tile_q // COUNT, -(-min(tile_q, spec.Q) // store)
    phase_pitch = _round_up(-(-columns // phases), load)
    idle = range(groups, groups + groups // IDLE + 1)
    choices = []
    for group_lanes in idle:
        reads = _Walk(groups, COUNT * spec.stride[1] // phases, lanes=group_lanes)
        writes = _Walk(groups, COUNT, lanes=group_lanes)
        columns_of_lines = _Walk(vectors, store, COUNT * spec.stride[0], store, 2.0)
        passes, pitch, _ = _best(phases * phase_pitch, load, spec.itemsize, [reads])
        more, lines_pitch, lanes = _best(
            _round_up(tile_q, store), store, spec.itemsize, [writes, columns_of_lines]
        )
        choices.append((2 * passes + more, group_lanes, pitch, lines_pitch, lanes[1]))
    _, group_lanes, pitch, lines_pitch, vector_lanes = min(choices)
    return Tile(
        planes, tile_p, tile_q, rows, columns, lead, phases, phase_pitch, pitch, lines_pitch, groups,
        group_lanes, vectors, vector_lanes, spec.itemsize,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Walk:
    """How lanes lie: `count` of them `step` elements apart, the next so many `pitches` pitches on.

    For each row there are `lanes`, those beyond `count` idle; 0 leaves that open.
    """

    count: int
    step: int
    pitches: int = 1
    width: int = 1  # elements of an access
    weight: float = 1.0
    lanes: int = 0

    @property
    def choices(self) -> range:
        return (
            range(self.lanes, self.lanes + 1)
            if self.lanes
            else range(self.count, self.count + self.count // IDLE + 1)
        )

    def degree(self, pitch: int, lanes: int, itemsize: int) -> float:
        """Passes through the banks of the first warps, over the fewest."""
        banks = BANKS_BYTES // (self.width * itemsize)  # of accesses, and lanes that are served at a time
        passes = 0
        for first in range(0, 4 * LANES, banks):
            parts = (divmod(number, lanes) for number in range(first, first + banks))
            places = {
                (row * self.pitches * pitch + lane * self.step) // self.width
                for row, lane in parts
                if lane < self.count
            }
            passes += max(Counter(place % banks for place in places).values(), default=1)
        return passes * banks / (4 * LANES)

    def best(self, pitch: int, itemsize: int) -> tuple[float, int]:
        """(the fewest passes, the fewest lanes to a row that take no more)."""
        return min((self.degree(pitch, lanes, itemsize), lanes) for lanes in self.choices)


def _best(
    least: int, multiple: int, itemsize: int, walks: Sequence[_Walk]
) -> tuple[float, int, tuple[int, ...]]:
    """(passes, the first multiple from `least` on with the fewest, the lanes to a row of each walk)."""
    best: tuple[float, int, tuple[int, ...]] = (math.inf, least, ())
    first = _round_up(least, multiple)
    for pitch in range(first, first + PITCHES, multiple):
        found = [walk.best(pitch, itemsize) for walk in walks]
        passes = sum(walk.weight * degree for walk, (degree, _) in zip(walks, found, strict=True))
        best = min(best, (passes, pitch, tuple(lanes for _, lanes in found)))
        if all(degree == 1 for degree, _ in found):
            break
    return best


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
