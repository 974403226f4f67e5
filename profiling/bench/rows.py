"""The rows of a results file: one for each layer, algorithm, number of threads and peer."""

from typing import Any, NamedTuple

from gpuconv.spec import Spec
from gpuconv.spec.dtypes import FLOAT32, FLOAT64
from profiling.bench.reference import Error
from profiling.device import Timing
from profiling.results import Row, significant
from profiling.workloads import Layer, Workload, describe, flops, operator

PRECISIONS = {FLOAT32: "fp32", FLOAT64: "fp64"}  # unless the caller allows less
SPEEDS = ("ms", "fastest_ms", "gflops", "gbytes_s", "roofline_pct")


class Chosen(NamedTuple):
    """Whether a call without `algorithm=` takes an algorithm: as the workload has it, or with "ieee"."""

    selected: bool
    ieee: bool


def row(
    workload: Workload, layer: Layer, algorithm: str, chosen: Chosen, timing: Timing | None, error: Error,
    ceiling: dict[str, Any],
) -> Row:  # fmt: skip
    """One algorithm's row, still without a peer; without a timing if its result was wrong."""
    spec = layer.spec
    return {
        "workload": workload.name,
        "layer": layer.label,
        "multiplicity": layer.multiplicity,
        "op": operator(spec),
        "spec": describe(spec) + " channels-last" * layer.channels_last,
        "dtype": spec.dtype,
        "precision": getattr(spec, "precision", None) or PRECISIONS[spec.dtype],
        "algorithm": algorithm,
        "selected": chosen.selected,
        "ieee": chosen.ieee,
        "threads": ceiling["threads"],
        **speeds(spec, timing, ceiling),
        "max_error": significant(error.greatest),
        "norm_error": significant(error.norm),
    }


def speeds(spec: Spec, timing: Timing | None, ceiling: dict[str, Any]) -> dict[str, float | None]:
    """What follows from the time; nothing, if there is none."""
    if timing is None:
        return dict.fromkeys(SPEEDS)
    ms = timing.median
    values = (
        ms,
        timing.fastest,
        flops(spec) / ms / 1e6,
        spec.min_bytes / ms / 1e6,
        100 * 1e3 * lower_bound(spec, ceiling) / ms,
    )
    return dict(zip(SPEEDS, map(significant, values), strict=True))


def against(peer: str | None, timing: Timing | None, error: Error | None) -> Row:
    """The peer's part of a row; nulls where no peer computes this layer."""
    return {
        "peer": peer,
        "peer_ms": significant(timing and timing.median),
        "peer_fastest_ms": significant(timing and timing.fastest),
        "peer_error": significant(error and error.greatest),
        "peer_norm_error": significant(error and error.norm),
    }


def lower_bound(spec: Spec, ceiling: dict[str, Any]) -> float:
    """Seconds that the arithmetic or the traffic needs at least, whichever is more.

    The copy is the largest one measured that moves no more bytes than the problem (the smallest, if all do).
    """
    copies = ceiling["copy_gbytes_s"]
    size = max((size for size in copies if size <= spec.min_bytes), default=min(copies))
    return max(flops(spec) / ceiling["gflops"], spec.min_bytes / copies[size]) / 1e9
