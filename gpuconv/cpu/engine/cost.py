"""The time that an algorithm is predicted to take, by which one is chosen: what it does, times RATES.

Each convolution counts what it does of a problem (`amounts` in its file): cycles of its tiles as if every
operand were at hand, calls of tiles, tasks, vectors that are copied or turned, and bytes that come from
beyond a cache. RATES says how many nanoseconds one of each takes. They were fitted, for each algorithm by
itself, to the times of 750 convolutions drawn at random (`profiling.workloads.drawn`), on one core of an AMD
EPYC (Zen 5) on 30 November 2026: the logarithms of predicted and measured times differ by the least squares.
What is counted depends on the vectors and registers of the processor (`simd.target`), so that the same rates
serve others, if their caches and clocks stand in about the same relation.

A prediction is that of one thread, and good enough to tell algorithms apart: its order is what matters.
"""

from collections.abc import Callable, Mapping
from typing import Any

from gpuconv.cpu.simd import ROWS

Amounts = Mapping[str, float]
FIRST_LEVEL, SECOND_LEVEL, THIRD_LEVEL = 40 << 10, 1 << 20, 12 << 20  # bytes of a core's caches
LATENCY = 4  # cycles from a multiply-add to the next on the same sum

RATES: dict[str, dict[str, float]] = {  # nanoseconds
    "conv_batch": {
        "call": 5700, "tasks": 140, "tiles": 1.2, "near": 0.24, "second": 0.25, "far": 0.32, "turned": 25,
        "turned far": 2.4, "weights": 0.0049, "taps": 0.68, "memory": 0.0038,
    },
    "conv_depthwise, on bands": {
        "call": 6100, "tasks": 38, "windows": 4.2, "tiles": 2.6, "near": 0.26, "second": 0.25,
        "copied": 0.87, "elements": 1, "rows": 0.65, "memory": 0.015,
    },
    "conv_depthwise, on images": {
        "call": 5700, "planes": 4.8, "streamed": 0.36, "rows": 0.94, "memory": 0.004,
    },
    "conv_depthwise_channels": {
        "call": 5900, "turned": 23, "turned far": 14, "tiles": 5.6, "near": 0.21, "second": 0.22,
        "far": 0.26, "cleared": 0.18, "memory": 0.0073,
    },
    "conv_direct": {
        "call": 6900, "rows": 3.7, "products": 0.69, "copies": 12, "elements": 0.52, "memory": 0.093,
    },
    "conv_implicit_gemm": {
        "call": 6400, "tasks": 140, "tiles": 0.26, "near": 0.25, "copied": 0.82, "cut": 11,
        "scattered": 1.4, "weights": 0.0011, "weights near": 0.0011, "memory": 0.011,
    },
    "conv_small": {
        "call": 6500, "tasks": 33, "tiles": 5, "near": 0.29, "second": 0.29, "far": 0.33, "copied": 0.66,
        "elements": 0.73, "rows": 3.3, "taps": 0.15, "memory": 0.022,
    },
    "conv_winograd": {
        "call": 63000, "products": 0.24, "inputs": 27, "outputs": 66, "kernels": 1.4, "memory": 0.026,
    },
}  # fmt: skip


def priced(name: str, amounts: Callable[..., Amounts]) -> Callable[[Any, Any, Any], float]:
    """The `cost` of an algorithm, in seconds, from what it counts."""
    rates = RATES.get(name, {})

    def cost(spec: Any, layouts: Any, device: Any) -> float:
        counted = amounts(spec, layouts, device)
        return 1e-9 * sum(rates.get(what, 1.0) * number for what, number in counted.items())

    cost.amounts = amounts  # type: ignore[attr-defined]
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
