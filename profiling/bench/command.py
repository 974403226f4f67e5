"""The command `python -m profiling.bench`: its options, the run over all layers, and what is written."""

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from gpuconv.spec import Dtype
from gpuconv.spec.conv import PRECISIONS
from gpuconv.spec.dtypes import FLOAT32, FLOATS
from profiling import results
from profiling.bench import contest, imports, reference, report
from profiling.results import Row, significant
from profiling.workloads import WORKLOADS, operands

SUMMARY = "every algorithm on every layer, checked, then timed beside the other libraries"
QUICK = {"layers": 5, "repeats": 10, "seconds": 0.2}
DEFAULTS = {"repeats": 25, "seconds": 1.0}
IMPORTED, IMPORT_REPEATS = ("gpuconv", "numba", "numpy"), 11
OTHERS_PCT = 2.0  # of the machine, from which times are doubtful
OTHERS_WARNING = (
    "warning: others (processes, or the hypervisor) took {:.0f} % of this machine. Times on several threads "
    "are doubtful, above all OpenMP's, whose threads spin for each other; GOMP_SPINCOUNT=0 helps it."
)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, with what --quick and the device leave open filled in."""
    parser = argparse.ArgumentParser("python -m profiling.bench", description=SUMMARY)
    add = parser.add_argument
    add("--workload", action="append", choices=[*WORKLOADS], help="may be repeated; all unless given")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--dtype", choices=FLOATS, type=Dtype, default=FLOAT32)
    add("--precision", choices=PRECISIONS, help="the error that gpuconv may make; its dtype's unless given")
    add("--threads", type=_thread_list, help="as in 1,2; one and all cores unless given; CPU only")
    add("--algorithm", default="all", help="a name, 'all' (the default), or 'selected'")
    add("--repeats", type=_positive, help=f"timed calls of each contestant, {DEFAULTS['repeats']}")
    add("--seconds", type=float, help=f"at most so long for each contestant, {DEFAULTS['seconds']}")
    add("--out", type=Path, default=results.FOLDER, help="folder for the JSON file and the plot")
    add("--quick", action="store_true", help="a few layers of each workload, few repeats")
    add("--no-plot", action="store_true")
    add("--import-time", action="store_true", help="only what `import gpuconv` costs, beside numba and numpy")
    options = parser.parse_args(arguments)
    if options.threads and options.device == "cuda":
        parser.error("--threads is for --device cpu")
    for name, value in (QUICK if options.quick else DEFAULTS).items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write; the exit status is 1 if a result was wrong."""
    options = parse(arguments)
    engine = import_module(f"profiling.device.{options.device}")
    device, driver = engine.describe()
    head = {
        "device": device, "driver": driver, "packages": results.packages(), "date": results.today(),
        "commit": results.commit(), "settings": results.settings(),
    }  # fmt: skip
    if options.import_time:
        name, found = "import", imports.measure(IMPORTED, IMPORT_REPEATS)
    else:
        refuse_unknown(options)
        name, found = "cpu" if options.device == "cpu" else device, []
        head |= run(engine, options, found)
    report.print_report(found)
    stem = re.sub(r"[^a-z0-9]+", "-", f"{name} {options.precision or ''} {head['date']}".lower())
    write(options, stem, head, found)
    return 1 if any(line["ms"] is None for line in found) else 0


def refuse_unknown(options: argparse.Namespace) -> None:
    """End with a message if --algorithm names none of the engine's."""
    engine = import_module(f"gpuconv.{options.device}")
    names = [algorithm.name for listed in engine.ALGORITHMS.values() for algorithm in listed]
    if options.algorithm not in ("all", "selected", *names):
        raise SystemExit(f"--algorithm must be all, selected or one of {', '.join(names)}")


def write(options: argparse.Namespace, stem: str, head: dict[str, Any], rows: list[Row]) -> None:
    """The JSON file, and the plot beside it if matplotlib is installed."""
    options.out.mkdir(parents=True, exist_ok=True)
    results.write(options.out / f"{stem}.json", head, summary=report.summarise(rows), rows=rows)
    print(f"wrote {options.out / stem}.json")
    if options.no_plot or options.import_time or not any(map(report.ratio, rows)):
        return
    if find_spec("matplotlib") is None:
        print("no plot: matplotlib is not installed")
        return
    import_module("profiling.bench.plots").speeds(options.out / f"{stem}.png", head, rows)
    print(f"wrote {options.out / stem}.png")


def run(engine: ModuleType, options: argparse.Namespace, found: list[Row]) -> dict[str, Any]:
    """Measure all layers into `found`, and return how; an interrupt keeps the rows that are there."""
    ceilings = contest.ceilings(engine, options.dtype, options.threads or engine.thread_counts())
    workloads = [WORKLOADS[name]().with_dtype(options.dtype) for name in options.workload or WORKLOADS]
    workloads = [workload.with_precision(options.precision) for workload in workloads]
    if options.quick:
        workloads = [workload.sample(options.layers) for workload in workloads]
    layers = [(workload, layer) for workload in workloads for layer in workload.layers]
    begun, others = time.perf_counter(), engine.seconds_of_others()
    try:
        with report.progress(len(layers)) as begin:
            for workload, layer in layers:
                begin(f"{workload.name}: {layer.label}")
                arrays = operands(layer.spec)
                for ceiling in ceilings:
                    found.extend(contest.rows(engine, options, workload, layer, arrays, ceiling))
    except KeyboardInterrupt:
        print("interrupted: what was measured is reported", file=sys.stderr)
    available = (time.perf_counter() - begun) * (os.cpu_count() or 1)
    others_pct = 100 * (engine.seconds_of_others() - others) / available
    if others_pct > OTHERS_PCT:
        print(OTHERS_WARNING.format(others_pct), file=sys.stderr)
    how = {"reference": reference.method(), "others_pct": significant(others_pct)}
    return how | {"ceilings": ceilings}


def _thread_list(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


def _positive(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1, not {text!r}")
    return int(text)
