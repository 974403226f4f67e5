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
        "call": 6100, "tasks": 140, "tiles": 0.13, "near": 0.24, "second": 0.26, "far": 0.32, "beyond": 1.1,
        "turned": 28, "turned far": 1, "elements": 1.1, "weights": 0.016, "taps": 2.6, "memory": 0.0012,
    },
    "conv_depthwise, on bands": {
        "call": 6000, "tasks": 30, "windows": 8.8, "tiles": 2.8, "near": 0.28, "second": 0.29, "far": 0.33,
        "beyond": 0.5, "copied": 1.2, "elements": 1.6, "rows": 0.16, "stored": 1.5, "memory": 0.0084,
    },
    "conv_depthwise, on images": {
        "call": 5400, "planes": 6.6, "streamed": 0.35, "rows": 1, "memory": 0.0019,
    },
    "conv_depthwise_channels": {
        "call": 6500, "turned": 17, "turned far": 11, "elements": 12, "tiles": 11, "near": 0.27,
        "second": 0.29, "far": 0.29, "beyond": 0.5, "cleared": 0.33, "memory": 0.006,
    },
    "conv_direct": {
        "call": 9600, "rows": 3.5, "products": 0.67, "copies": 11, "elements": 0.72, "memory": 0.11,
    },
    "conv_dots": {
        "call": 5100, "tasks": 940, "tiles": 0.34, "near": 0.12, "second": 0.3, "far": 0.85, "beyond": 0.5,
        "copied": 9.2, "elements": 1.5, "stored": 2.8, "weights": 0.0068, "memory": 0.0019,
    },
    "conv_implicit_gemm": {
        "call": 6300, "tasks": 110, "tiles": 0.25, "near": 0.26, "copied": 0.87, "elements": 0.73,
        "cut": 14, "scattered": 2.5, "weights": 0.0027, "weights near": 0.0024, "memory": 0.0024,
    },
    "conv_small": {
        "call": 6900, "tasks": 37, "tiles": 7.4, "near": 0.3, "second": 0.3, "far": 0.37, "beyond": 0.5,
        "copied": 0.94, "elements": 1, "rows": 3.3, "stored": 1.5, "taps": 8.4, "memory": 0.01,
    },
    "conv_winograd": {
        "call": 17000, "products": 0.23, "inputs": 33, "outputs": 60, "kernels": 2.9, "memory": 0.014,
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
