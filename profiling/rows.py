"""The rows of a results file: one for each layer, algorithm, number of threads and peer."""

from typing import Any

from gpuconv.spec import ConvSpec
from profiling.reference import Error
from profiling.report import Row, significant
from profiling.timing import Timing
from profiling.workloads import Layer, Spec, Workload

PRECISIONS = {"float32": "fp32", "float64": "fp64"}  # unless the caller allows less
SPEEDS = ("ms", "fastest_ms", "gflops", "gbytes_s", "roofline_pct")


def row(
    workload: Workload, layer: Layer, algorithm: str, selected: bool, timing: Timing | None, error: Error,
    ceiling: dict[str, Any],
) -> Row:  # fmt: skip
    """One algorithm's row, still without a peer; without a timing if its result was wrong."""
    spec = layer.spec
    return {
        "workload": workload.name,
        "layer": layer.label,
        "multiplicity": layer.multiplicity,
        "op": "conv2d" if isinstance(spec, ConvSpec) else f"{spec.op}_pool2d",
        "spec": describe(spec),
        "dtype": spec.dtype,
        "precision": getattr(spec, "precision", None) or PRECISIONS[spec.dtype],
        "algorithm": algorithm,
        "selected": selected,
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
        spec.flops / ms / 1e6,
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
    return max(spec.flops / ceiling["gflops"], spec.min_bytes / copies[size]) / 1e9


def describe(spec: Spec) -> str:
    """The problem in one string: input, weight or window, pads, stride, and dilation and groups if any.

    Examples
    --------
    >>> describe(ConvSpec(N=8, C=64, H=56, W=56, K=64, R=3, S=3, pads=((1, 1), (1, 1))))
    '8x64x56x56 64x64x3x3 pad 1 1 1 1 stride 1 1'
    """
    shape = f"{spec.N}x{spec.C}x{spec.H}x{spec.W}"
    window, groups = f"{spec.R}x{spec.S}", ""
    if isinstance(spec, ConvSpec):
        window = f"{spec.K}x{spec.C_group}x{window}"
        groups = f" groups {spec.groups}" if spec.groups > 1 else ""
    pads = " ".join(str(side) for sides in spec.pads for side in sides)
    dilation = "" if spec.dilation == (1, 1) else " dilation {} {}".format(*spec.dilation)
    return f"{shape} {window} pad {pads} stride {spec.stride[0]} {spec.stride[1]}{dilation}{groups}"


def import_rows(modules: tuple[str, ...], timings: list[Timing]) -> list[Row]:
    """The import of the first module beside that of each other one."""
    ours = dict.fromkeys(("spec", "dtype", "precision", "threads", *SPEEDS, "max_error", "norm_error"))
    ours |= {"workload": "import", "layer": f"import {modules[0]}", "multiplicity": 1, "op": "import"}
    ours |= {"algorithm": modules[0], "selected": True}
    ours |= {"ms": significant(timings[0].median), "fastest_ms": significant(timings[0].fastest)}
    peers = zip(modules[1:], timings[1:], strict=True)
    return [ours | against(module, timing, None) for module, timing in peers]
