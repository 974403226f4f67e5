"""What the model says: its rows, the tables on the terminal and the JSON file.

A row of the file, all of it predicted and nothing measured:

    gpu, workload, layer, multiplicity, op, spec    as in the benchmark's file
    algorithm, selected        which of gpuconv's; whether a call without `algorithm=` takes it
    fastest                    whether the model predicts no other of the table to be faster
    us                         microseconds of device time, each kernel's start on a stream included
    graph_us                   the same in a CUDA graph
    tflops, gbytes_s           of the direct sum, and input, weight and output once each, over `us`
    roofline_pct               100 times the larger of (operations / peak) and (bytes / bandwidth) over `us`,
                               both by the data sheet
    bound, waves, kernel       what decides, how often the device is filled, of the longest kernel
    launches                   how many kernels
    issue_us ... latency_us    each part as if nothing else took time
    known_us, known            what is known of another library on such a GPU, and where from; null elsewhere

`left_out` in the file says what the model does not know, `layers` how many there are, one on two GPUs being
two, and how many there were to be: a run that was stopped has fewer.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.spec import Spec
from profiling import results
from profiling.counts import selected
from profiling.counts.kernels import TOOLS
from profiling.model.prediction import Prediction
from profiling.results import Row, Table, show_plain, significant
from profiling.workloads import Layer, Workload, convolution, describe, label, operator

# (problem, architecture): microseconds and whose. On tensor cores with 16 bits, so no like for like.
KNOWN = {
    (convolution(32, 64, 56, 64, 3), "sm_90a"): (31.0, "cuDNN, bfloat16, kernel alone; read, not measured"),
}
# Printed below the tables, and written with them.
LEFT_OUT = (
    "the clock that a power limit leaves: it is the data sheet's boost clock",
    "schedulers that wait for a warp though a block alone would not take longer",
    "the caches of instructions and of translated addresses, and conflicts between banks of registers",
    "loads that a cache serves sooner than device memory, and lines of it that blocks take from each other",
    "arrays with gaps, a bias, and inputs that a kernel before has left in a cache",
)
# Heading and key of each column.
COLUMNS = {
    "layer": "layer", "x": "multiplicity", "algorithm": "algorithm", "": "mark", "us": "us",
    "TFLOP/s": "tflops", "GB/s": "gbytes_s", "roof %": "roofline_pct", "bound": "bound", "waves": "waves",
    "kernel": "kernel", "known us": "known_us",
}  # fmt: skip
SUMMARY = {
    "gpu": "gpu", "workload": "workload", "layers": "layers", "pass us": "pass_us",
    "roof % geomean": "roofline_pct", "worst layer": "worst", "roof %": "worst_pct",
    "choice agrees": "agrees", "selected / fastest": "over_fastest",
}  # fmt: skip


def known() -> Workload:
    """The problems for which there are figures of another library."""
    return Workload("known", tuple(Layer(f"{label(spec)} N{spec.N}", spec) for spec, _ in KNOWN))


def of_layer(gpu: Gpu, workload: Workload, layer: Layer, predicted: dict[str, Prediction]) -> list[Row]:
    """One for each algorithm of a layer."""
    if not predicted:
        return []
    spec = layer.spec
    chosen = selected(spec, gpu).name
    fastest = min(predicted, key=lambda name: predicted[name].us)
    known_us, source = KNOWN.get((spec, gpu.arch), (None, None))
    head = {
        "gpu": gpu.name, "workload": workload.name, "layer": layer.label, "multiplicity": layer.multiplicity,
        "op": operator(spec), "spec": describe(spec),
    }  # fmt: skip
    return [
        {**head, "algorithm": name, "selected": name == chosen, "fastest": name == fastest,
         **speeds(spec, each, gpu), "known_us": known_us, "known": source}
        for name, each in predicted.items()
    ]  # fmt: skip


def speeds(spec: Spec, predicted: Prediction, gpu: Gpu) -> Row:
    """The prediction's fields, rounded, and what follows from its time."""
    fields = {
        name: significant(value) if isinstance(value, float) else value
        for name, value in asdict(predicted).items()
    }
    least = max(spec.flops / gpu.gflops, spec.min_bytes / gpu.device_gbytes) / 1e3
    return {
        "us": fields.pop("us"), "graph_us": fields.pop("graph_us"),
        "tflops": significant(spec.flops / predicted.us / 1e6),
        "gbytes_s": significant(spec.min_bytes / predicted.us / 1e3),
        "roofline_pct": significant(100 * least / predicted.us), **fields,
    }  # fmt: skip


def summarise(found: Sequence[Row]) -> list[Row]:
    """For each GPU and workload, over the selected algorithms of the layers that have one in the table.

    `pass_us` is one forward pass; `agrees` counts the layers whose selected algorithm is the fastest
    predicted; `over_fastest` is the geometric mean of the selected algorithm's time over that of the
    fastest.
    """
    groups: dict[tuple, list[Row]] = {}
    fastest: dict[tuple, float] = {}
    for row in found:
        if row["fastest"]:
            fastest[row["gpu"], row["workload"], row["layer"], row["spec"]] = row["us"]
        if row["selected"]:
            groups.setdefault((row["gpu"], row["workload"]), []).append(row)
    summary = []
    for (gpu, workload), members in groups.items():
        worst = min(members, key=lambda row: row["roofline_pct"])
        over = [row["us"] / fastest[gpu, workload, row["layer"], row["spec"]] for row in members]
        summary.append(
            {"gpu": gpu, "workload": workload, "layers": len(members),
             "pass_us": significant(sum(row["multiplicity"] * row["us"] for row in members)),
             "roofline_pct": significant(geometric_mean(row["roofline_pct"] for row in members)),
             "worst": worst["layer"], "worst_pct": worst["roofline_pct"],
             "agrees": sum(row["fastest"] for row in members),
             "over_fastest": significant(geometric_mean(over))}
        )  # fmt: skip
    return summary


def print_tables(found: Sequence[Row]) -> None:
    """A table for each GPU and workload, then the summary."""
    for gpu, workload in dict.fromkeys((row["gpu"], row["workload"]) for row in found):
        members = [row for row in found if (row["gpu"], row["workload"]) == (gpu, workload)]
        marked = [row | {"mark": _mark(row)} for row in members]
        compared = any(row["known_us"] for row in members)
        columns = {name: key for name, key in COLUMNS.items() if compared or key != "known_us"}
        title = f"{workload} on {gpu}, predicted; * selected by gpuconv, < fastest by the model"
        _show(title, columns, marked)
        for row in members:
            if row["known_us"] and row["selected"]:
                print(f"known: {row['layer']} takes {row['known_us']} us: {row['known']}")
    _show("Summary of predictions", SUMMARY, summarise(found))
    print("\nPredicted, not measured. Left out:", *LEFT_OUT, sep="\n- ")


def _mark(row: Row) -> str:
    return "*" * row["selected"] + "<" * row["fastest"]


def _show(title: str, columns: dict[str, str], found: Sequence[Row]) -> None:
    lines = [[_cell(row[key]) for key in columns.values()] for row in found]
    show_plain([Table(title, [*columns], lines)])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    return "" if value is None else str(value)


def write(path: Path, found: Sequence[Row], layers: Sequence[int]) -> None:
    """The rows and their summary, with what they depend on, and of how many of all layers they are."""
    head = {
        "date": results.today(), "commit": results.commit(), "predicted": True,
        "packages": results.versions(*TOOLS), "layers": layers, "left_out": LEFT_OUT,
    }  # fmt: skip
    results.write(path, head, summary=summarise(found), rows=found)
