"""How `conv_winograd` cuts a problem: which tiles, spans and blocks, in which order, in how many passes."""

from dataclasses import dataclass
from functools import lru_cache

from gpuconv.cpu.conv.winograd.tiles import DEPTH, POINTS, Sizes
from gpuconv.cpu.simd import LANES, ROWS, VECTORS
from gpuconv.spec import ConvSpec

SPAN_BYTES = 600_000  # of V and M of one span, beside which the U in use fits into 1 MiB
BLOCK_K = 32  # output channels of M, and of U by channels
LARGE = 12 << 20  # bytes of a V so far away that it is read for twice as many output channels at a time
BLOCK_C = 32  # input channels that one task transforms for all


@dataclass(frozen=True, slots=True)
class Spans:
    """How a problem is cut, and what its workspaces take."""

    m: int
    by_tiles: bool
    parts: tuple[tuple[int, int], ...]  # the passes: by tiles output channels, by channels spans
    spans: int
    sizes: Sizes
    shared: int  # elements of what all threads share, U or V, in one pass
    own: tuple[int, ...]  # of what each has for itself, V or U, and of M and the rest of Arrays

    def needed(self, itemsize: int) -> int:
        """Bytes of the larger buffer."""
        return itemsize * max(self.shared, sum(self.own))

    def tasks(self, spec: ConvSpec, part: tuple[int, int]) -> tuple[int, int]:
        """The tasks of sharing U or V in a pass, and of multiplying."""
        count = part[1] - part[0]
        if not self.by_tiles:
            shared = spec.groups * count * -(-spec.C_group // BLOCK_C)
            return shared, spec.groups * -(-spec.K_group // self.sizes.K)
        groups, blocks = max(1, count // spec.K_group), -(-min(count, spec.K_group) // self.sizes.K)
        return groups * blocks * -(-self.sizes.K // ROWS), groups * self.spans


@lru_cache(maxsize=1024)
def cut_spans(spec: ConvSpec, threads: int, limit: int) -> Spans:
    """Cut the problem for so many threads, and for buffers of `limit` bytes if it can be."""
    cut = _cut(spec, threads, limit)
    if cut.needed(spec.itemsize) <= limit:
        return cut
    return _cut(spec, 1, limit)  # more coarsely, it needs less


def _cut(spec: ConvSpec, threads: int, limit: int) -> Spans:
    m, width = tile(spec), LANES[spec.dtype]
    t, C, K, groups = m + 2, spec.C_group, spec.K_group, spec.groups
    TH, TW = -(-spec.P // m), -(-spec.Q // m)
    tiles, panel = spec.N * TH * TW, VECTORS * width
    number = t * t * spec.itemsize  # bytes of one element of each xi

    by_tiles = tiles >= 3 * K
    most = min(SPAN_BYTES, limit // 4) // (number * (C + BLOCK_K))
    spans = -(-tiles // max(most // panel * panel, panel))
    if by_tiles and threads > 1:  # four tasks a thread, where there are enough tiles
        spans = max(spans, min(-(-4 * threads // groups), -(-tiles // panel)))
    T = round_up(-(-tiles // spans), width)
    spans = -(-tiles // T)
    block = min(BLOCK_K, round_up(K, ROWS))
    if not by_tiles:
        most = BLOCK_K if number * C * T * spans * groups < LARGE else 2 * BLOCK_K
        block = min(most, round_up(-(-spec.K // (4 * threads)), ROWS))

    U_row, line = min(DEPTH, round_up(C, width)), m * (round_up(min(T, TW), width) + width)
    steps = -(-C // DEPTH) * block * U_row + width, C * T + width, block * T + width
    sizes = Sizes(TH, TW, T, block, line, U_row, *steps)
    U, V, M = (t * t * step for step in steps)
    rest = 9 * width, t * t * (T + width), (t + 1) * line, m * m * T, ROWS
    if not by_tiles:
        most = min(max(limit // (V * groups * spec.itemsize), 1), spans)  # spans of which V fits the limit
        parts = tuple((span, min(span + most, spans)) for span in range(0, spans, most))
        return Spans(m, False, parts, spans, sizes, V * groups * most, (U, M, *rest))
    blocks, parts = -(-K // block) * groups, ((0, spec.K),)
    if U * blocks * spec.itemsize > limit:
        blocks = min(max(limit // (U * spec.itemsize), 1), -(-K // block))  # of one group, of which U fits
        firsts = (k for g in range(groups) for k in range(g * K, (g + 1) * K, blocks * block))
        parts = tuple((k, min(k + blocks * block, k - k % K + K)) for k in firsts)
    return Spans(m, True, parts, spans, sizes, U * blocks, (V, M, *rest))


def tile(spec: ConvSpec) -> int:
    """m: 4 where its error is allowed, unless its vectors of tiles are so empty that it multiplies more."""
    if not spec.allows_tf32:
        return 2
    tiles = {m: spec.N * -(-spec.P // m) * -(-spec.Q // m) for m in POINTS}
    return min(POINTS, key=lambda m: (m + 2) ** 2 * round_up(tiles[m], LANES[spec.dtype]))


def round_up(number: int, unit: int) -> int:
    """The least multiple of `unit` that is not less."""
    return -(-number // unit) * unit
