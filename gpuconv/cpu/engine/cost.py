"""The time that an algorithm is predicted to take, by which one is chosen: what it does, times RATES.

Each convolution counts what it does of a problem (`amounts` in its file): cycles of its tiles as if every
operand were at hand, calls of tiles, tasks, vectors that are copied or turned, and bytes that come from
beyond a cache. RATES says how many nanoseconds one of each takes. They were fitted, for each algorithm by
itself, to the times of 500 convolutions, most drawn at random (`profiling.workloads.drawn`), on one core of
an AMD EPYC (Zen 5) on 30 November 2026: the logarithms of predicted and measured times differ by the least
squares.
Those of `conv_fft` were fitted to 70 convolutions on a busy AMD EPYC (Zen 3), and divided by 1.5, as other
algorithms take there so many times what is predicted.
Those of `conv_channels_last` and `conv_depthwise_pixels`, and what `conv_relaid` adds, were set by hand after
a few measurements. What is counted depends on the vectors and registers of the processor (`simd.target`), so
that the same rates serve others, if their caches and clocks stand in about the same relation.

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
        "call": 6100, "tasks": 140, "tiles": 0.1, "near": 0.24, "second": 0.25, "far": 0.31, "beyond": 1.1,
        "turned": 28, "turned far": 3.2, "elements": 1.5, "weights": 0.017, "taps": 1.9, "memory": 0.0018,
    },
    "conv_channels_last": {
        "call": 7000, "weights": 0.15, "pixels": 3, "runs": 8, "copied": 0.5, "tiles": 15, "near": 0.26,
        "memory": 0.01,
    },
    "conv_depthwise, on bands": {
        "call": 6000, "tasks": 31, "windows": 8.6, "tiles": 3.2, "near": 0.29, "second": 0.29, "far": 0.33,
        "beyond": 0.5, "copied": 1.3, "elements": 1.6, "rows": 0.14, "stored": 1.5, "memory": 0.0055,
    },
    "conv_depthwise, on images": {
        "call": 5500, "planes": 7.4, "streamed": 0.35, "rows": 0.95, "memory": 0.0018,
    },
    "conv_depthwise_channels": {
        "call": 6300, "turned": 16, "turned far": 12, "elements": 12, "tiles": 12, "near": 0.25,
        "second": 0.28, "far": 0.29, "beyond": 0.5, "cleared": 0.57, "memory": 0.006,
    },
    "conv_depthwise_pixels": {
        "call": 6500, "tasks": 30, "turned": 16, "copied": 1.0, "tiles": 12, "near": 0.28, "memory": 0.02,
    },
    "conv_direct": {
        "call": 9200, "rows": 3.6, "products": 0.63, "copies": 12, "elements": 0.77, "memory": 0.11,
    },
    "conv_dots": {
        "call": 5300, "tasks": 780, "tiles": 7.2, "near": 0.12, "second": 0.3, "far": 0.83, "beyond": 0.5,
        "copied": 9.3, "elements": 1.5, "stored": 2.4, "weights": 0.0071, "memory": 0.0019,
    },
    "conv_fft": {
        "batches": 700_000, "rows": 1, "columns": 0.35, "products": 4, "loaded": 8, "stored": 7,
    },
    "conv_implicit_gemm": {
        "call": 6300, "tasks": 69, "tiles": 15, "near": 0.25, "copied": 0.78, "elements": 0.74, "cut": 14,
        "scattered": 3.3, "weights": 0.00059, "weights near": 0.00057, "memory": 0.01,
    },
    "conv_small": {
        "call": 6700, "tasks": 42, "tiles": 3.7, "near": 0.3, "second": 0.3, "far": 0.37, "beyond": 0.5,
        "copied": 0.99, "elements": 1, "rows": 3.3, "stored": 1.5, "taps": 7.9, "memory": 0.013,
    },
    "conv_winograd": {
        "call": 16000, "products": 0.23, "inputs": 33, "outputs": 61, "kernels": 3, "memory": 0.012,
    },
}  # fmt: skip


def priced(name: str, amounts: Callable[..., Amounts]) -> Callable[[Any, Any, Any], float]:
    """The `cost` of an algorithm, in seconds, from what it counts."""
    rates = RATES.get(name, {})

    def cost(spec: Any, layouts: Any, device: Any) -> float:
        counted = amounts(spec, layouts, device)
        return 1e-9 * sum(rates.get(what, 1.0) * number for what, number in counted.items())

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
