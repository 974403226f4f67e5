"""The command `python -m profiling.bench`: its options, the run over all layers, and what is written."""

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from gpuconv.spec import PRECISIONS, Dtype
from gpuconv.spec.dtypes import FLOAT32, FLOATS
from profiling import interrupts, needs, results
from profiling.bench import contest, imports, reference, report
from profiling.progress import progress
from profiling.results import Row, significant
from profiling.workloads import WORKLOADS, Layer, Workload, drawn, flops, operands_of

SUMMARY = "every algorithm on every layer, checked, then timed beside the other libraries"
QUICK = {"layers": 5, "repeats": 10, "seconds": 0.2, "algorithm": "selected", "limit": 100.0}
NAMED = [each for each in PRECISIONS if each]
PRECISION_HELP = (
    "the error that gpuconv may make; unless given, that of a call without precision=, which allows "
    "Winograd's in layers of 32 channels and more"
)
RANDOM = {"repeats": 10, "seconds": 0.2, "algorithm": "selected"}
DEFAULTS = {"repeats": 25, "seconds": 1.0, "algorithm": "all", "limit": None}
IMPORTED, IMPORT_REPEATS = ("gpuconv", "numba", "numpy"), 11
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
    add("--precision", choices=NAMED, help=PRECISION_HELP)
    add("--threads", type=_thread_list, help="as in 1,2; one and all cores unless given; CPU only")
    add("--algorithm", help="a name, 'all' (the default), or 'selected' (that of --quick)")
    add("--repeats", type=_positive, help=f"timed calls of each contestant, {DEFAULTS['repeats']}")
    add("--seconds", type=float, help=f"at most so long for each contestant, {DEFAULTS['seconds']}")
    add("--out", type=Path, default=results.FOLDER, help="folder for the JSON file and the plot, %(default)s")
    add("--random", type=_positive, metavar="COUNT", help="so many problems drawn at random instead")
    add("--seed", type=int, default=0, help="of --random, %(default)s")
    add("--quick", action="store_true", help="two minutes at most: a few layers of each workload in turn")
    add("--no-plot", action="store_true")
    add("--import-time", action="store_true", help="only what `import gpuconv` costs, beside numba and numpy")
    options = parser.parse_args(arguments)
    if options.threads and options.device == "cuda":
        parser.error("--threads is for --device cpu")
    if options.random and (options.workload or options.quick):
        parser.error("--random draws its own workload, and is not for --workload or --quick")
    for name, value in _left_open(options).items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    return options


def _left_open(options: argparse.Namespace) -> dict[str, Any]:
    """The options that a kind of run sets, unless they are given."""
    return QUICK if options.quick else DEFAULTS | RANDOM if options.random else DEFAULTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write; the exit status is 1 if a result was wrong, and that of an interrupt after one."""
    options = parse(arguments)
    if options.device == "cuda":
        needs.launching("bench")
    engine = import_module(f"profiling.device.{options.device}")
    head = describe(engine)
    path = options.out / f"{_stem(options, head)}.json"
    found: list[Row] = []
    try:
        if options.import_time:
            found += imports.measure(IMPORTED, IMPORT_REPEATS)
        else:
            refuse_unknown(options)
            run(engine, options, head, found, lambda: save(path, head, found))
    except KeyboardInterrupt:
        interrupts.note(found)
        if found:
            report_on(path, head, found)
        return interrupts.EXIT_CODE
    report_on(path, head, found)
    plot(options, path.with_suffix(".png"), head, found)
    return 1 if any(line["ms"] is None for line in found) else 0


def describe(engine: ModuleType) -> dict[str, Any]:
    """What the results depend on."""
    device, driver = engine.describe()
    return {
        "device": device, "driver": driver, "packages": results.packages(), "date": results.today(),
        "commit": results.commit(), "settings": results.settings(),
    }  # fmt: skip


def _stem(options: argparse.Namespace, head: dict[str, Any]) -> str:
    """The name of the files, after what is measured and the date."""
    if options.import_time:
        name = "import"
    else:
        name = "cpu" if options.device == "cpu" else head["device"]
        name += f" random {options.random} seed {options.seed}" * bool(options.random)
    return re.sub(r"[^a-z0-9]+", "-", f"{name} {options.precision or ''} {head['date']}".lower())


def report_on(path: Path, head: dict[str, Any], rows: list[Row]) -> None:
    """Write what was measured, and print it."""
    others_pct = head.get("others_pct", 0.0)
    save(path, head, rows)
    if others_pct > report.OTHERS_PCT:
        print(OTHERS_WARNING.format(others_pct), file=sys.stderr)
    report.print_report(rows, others_pct)
    print(f"wrote {path}")


def refuse_unknown(options: argparse.Namespace) -> None:
    """End with a message if --algorithm names none of the engine's."""
    engine = import_module(f"gpuconv.{options.device}")
    names = [algorithm.name for listed in engine.ALGORITHMS.values() for algorithm in listed]
    if options.algorithm not in ("all", "selected", *names):
        raise SystemExit(f"--algorithm must be all, selected or one of {', '.join(names)}")


def save(path: Path, head: dict[str, Any], rows: list[Row]) -> None:
    """The JSON file, of what has been measured so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    results.write(path, head, summary=report.summarise(rows), spread=report.spread(rows), rows=rows)


def plot(options: argparse.Namespace, path: Path, head: dict[str, Any], rows: list[Row]) -> None:
    """The picture, if matplotlib is installed."""
    if options.no_plot or options.import_time or not any(map(report.ratio, rows)):
        return
    if find_spec("matplotlib") is None:
        print("no plot: matplotlib is not installed")
        return
    import_module("profiling.bench.plots").speeds(path, head, rows)
    print(f"wrote {path}")


def run(
    engine: ModuleType, options: argparse.Namespace, head: dict[str, Any], found: list[Row],
    keep: Callable[[], None],
) -> None:  # fmt: skip
    """Measure all layers into `found`, and say in `head` how; `keep()` is called after each of them.

    An interrupt, and the end of the time, leave the rows that are there.
    """
    layers = layers_of(options)
    head |= {"reference": reference.method(), "others_pct": 0.0, "ceilings": []}
    try:
        with interrupts.time_limit(options.limit), interrupts.never_lost(), progress(len(layers)) as begin:
            threads = options.threads or engine.thread_counts()
            head["ceilings"] = contest.ceilings(engine, options.dtype, threads)
            others = Others(engine)
            for number, (workload, layer) in enumerate(layers, 1):
                begin(f"{workload.name}: {layer.label}")
                measure(engine, options, workload, layer, head["ceilings"], found)
                head |= {"others_pct": others.percent(), "layers": [number, len(layers)]}
                keep()
    except interrupts.TimeIsUp:
        print(f"{options.limit:.0f} s are over: what was measured is reported", file=sys.stderr)


def measure(
    engine: ModuleType, options: argparse.Namespace, workload: Workload, layer: Layer,
    ceilings: Sequence[dict[str, Any]], found: list[Row],
) -> None:  # fmt: skip
    """One layer, on each number of threads; its rows are printed when they are there."""
    arrays = operands_of(layer)
    for ceiling in ceilings:
        new = [*contest.rows(engine, options, workload, layer, arrays, ceiling)]
        found.extend(new)
        report.print_rows(new)


class Others:
    """What others take of the machine, from now on."""

    def __init__(self, engine: ModuleType) -> None:
        self.engine, self.begun, self.before = engine, time.perf_counter(), engine.seconds_of_others()

    def percent(self) -> float | None:
        """Of the CPU time that there was."""
        available = (time.perf_counter() - self.begun) * (os.cpu_count() or 1)
        return significant(100 * (self.engine.seconds_of_others() - self.before) / available)


def layers_of(options: argparse.Namespace) -> list[tuple[Workload, Layer]]:
    """The layers to measure; those of --quick a few of each workload, the workloads taking turns."""
    chosen = [WORKLOADS[name]() for name in options.workload or WORKLOADS]
    if options.random:
        chosen = [drawn(options.random, options.seed)]
    workloads = [each.with_dtype(options.dtype).with_precision(options.precision) for each in chosen]
    if not options.quick:
        return [(workload, layer) for workload in workloads for layer in workload.layers]
    few = [workload.sample(options.layers) for workload in workloads]
    turns = [sorted(workload.layers, key=lambda layer: flops(layer.spec)) for workload in few]
    return [
        (workload, layers[turn])
        for turn in range(options.layers)
        for workload, layers in zip(few, turns, strict=True)
        if turn < len(layers)
    ]


def _thread_list(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


def _positive(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1, not {text!r}")
    return int(text)
