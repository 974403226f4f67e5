"""The time that an algorithm is predicted to take, by which one is chosen: what it does, times RATES.

Each convolution counts what it does of a problem (`amounts` in its file): cycles of its tiles as if every
operand were at hand, calls of tiles, tasks, vectors that are copied or turned, and bytes that come from
beyond a cache. RATES says how many nanoseconds one of each takes: `engine.rates` has them for processors with
wide vectors and for others, as they were fitted. What is counted depends on the vectors and registers of the
processor (`simd.target`), so that the same rates serve others of a kind, if their caches and clocks stand in
about the same relation.

A prediction is that of one thread, and good enough to tell algorithms apart: its order is what matters.
"""

from collections.abc import Callable, Mapping
from typing import Any

from gpuconv.cpu.engine import rates
from gpuconv.cpu.simd import ROWS
from gpuconv.cpu.simd.target import TILE

Amounts = Mapping[str, float]
LATENCY = 4  # cycles from a multiply-add to the next on the same sum

IS_WIDE = TILE.bits == 512
RATES = rates.WIDE if IS_WIDE else rates.NARROW
FIRST_LEVEL, SECOND_LEVEL, THIRD_LEVEL = rates.LEVELS_OF_WIDE if IS_WIDE else rates.LEVELS_OF_NARROW


def priced(name: str, amounts: Callable[..., Amounts]) -> Callable[[Any, Any, Any], float]:
    """The `cost` of an algorithm, in seconds, from what it counts."""
    own = RATES.get(name, {})

    def cost(spec: Any, layouts: Any, device: Any) -> float:
        counted = amounts(spec, layouts, device)
        return 1e-9 * sum(own.get(what, 1.0) * number for what, number in counted.items())

    return cost


def pieces_of(rows: int) -> list[int]:
    """The rows of the tiles that so many rows are cut into: as many as registers hold, then 4, 2 and 1."""
    pieces = [ROWS] * (rows // ROWS)
    rest = rows % ROWS
    for size in (4, 2, 1):
        count = rest // size if size < ROWS else 0
        pieces += [size] * count
        rest -= size * count
    return pieces


def cycles_of(rows: int, vectors: int) -> float:
    """Of a step of a tile: two multiply-adds or two loads a cycle, each sum waiting for its last."""
    return max(rows * vectors / 2, (rows + vectors) / 2, LATENCY)


def steps_of(rows: int, vectors: int) -> tuple[float, int]:
    """(cycles of one product for each of so many rows, tiles)."""
    rest = pieces_of(rows % ROWS)
    whole = rows // ROWS
    cycles = whole * cycles_of(ROWS, vectors) + sum(cycles_of(each, vectors) for each in rest)
    return cycles, whole + len(rest)


def by_distance(cycles: float, bytes_read: float) -> dict[str, float]:
    """The cycles of tiles by where their operands are: the first-level cache, the second, or beyond."""
    near = bytes_read <= FIRST_LEVEL
    return {
        "near": cycles if near else 0.0,
        "second": cycles if not near and bytes_read <= SECOND_LEVEL else 0.0,
        "far": cycles if SECOND_LEVEL < bytes_read <= THIRD_LEVEL else 0.0,
        "beyond": cycles if bytes_read > THIRD_LEVEL else 0.0,
    }


def from_memory(spec: Any) -> float:
    """Bytes of the arrays, where they do not fit into the second-level cache."""
    return spec.min_bytes if spec.min_bytes > SECOND_LEVEL else 0.0


def weights_again(size: int, times: int) -> float:
    """Bytes of weights that are read so many times, where others drive them out of the second-level cache."""
    return size * times if size > SECOND_LEVEL // 2 else 0.0
