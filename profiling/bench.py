"""The benchmark: every algorithm on every layer, checked, then timed beside the other libraries.

    python -m profiling.bench --quick
    python -m profiling.bench --workload resnet50 --workload pools --threads 1,2
    python -m profiling.bench --device cuda
    python -m profiling.bench --import-time

An algorithm takes part by standing in its backend's tuple, a peer by being installed. A layer's contestants
get the same arrays and threads in this one process and take turns, so only ratios of one run are comparable.
`results/README.md` explains the file that is written.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from gpuconv.algorithm import Algorithm, select
from gpuconv.spec import FLOAT_DTYPES, PRECISIONS, ConvSpec
from profiling import environment, peers, reference, report
from profiling.rows import against, import_rows, row
from profiling.timing import Call
from profiling.workloads import WORKLOADS, Layer, Spec, Workload

RESULTS = Path(__file__).parent / "results"
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
    parser = argparse.ArgumentParser("python -m profiling.bench", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--workload", action="append", choices=[*WORKLOADS], help="may be repeated; all unless given")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--dtype", choices=FLOAT_DTYPES, default="float32")
    add("--precision", choices=PRECISIONS, help="the error that gpuconv may make; its dtype's unless given")
    add("--threads", type=_thread_list, help="as in 1,2; one and all cores unless given; CPU only")
    add("--algorithm", default="all", help="a name, 'all' (the default), or 'selected'")
    add("--repeats", type=_positive, help=f"timed calls of each contestant, {DEFAULTS['repeats']}")
    add("--seconds", type=float, help=f"at most so long for each contestant, {DEFAULTS['seconds']}")
    add("--out", type=Path, default=RESULTS, help="folder for the JSON file and the plot")
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
    engine = import_module(f"profiling.{options.device}")
    device, driver = engine.describe()
    head = {
        "device": device, "driver": driver, "packages": environment.packages(),
        "date": datetime.now(UTC).date().isoformat(), "commit": environment.commit(),
        "settings": environment.settings(),
    }  # fmt: skip
    if options.import_time:
        name, found = "import", import_rows(IMPORTED, environment.import_times(IMPORTED, IMPORT_REPEATS))
    else:
        refuse_unknown(options)
        name, found = "cpu" if options.device == "cpu" else device, []
        head |= run(engine, options, found)
    report.print_report(found)
    stem = re.sub(r"[^a-z0-9]+", "-", f"{name} {options.precision or ''} {head['date']}".lower())
    write(options, stem, head, found)
    return 1 if any(line["ms"] is None for line in found) else 0


def refuse_unknown(options: argparse.Namespace) -> None:
    """End with a message if --algorithm names none of the backend's."""
    backend = import_module(f"gpuconv.{options.device}")
    names = [algorithm.name for algorithm in (*backend.CONVOLUTIONS, *backend.POOLS)]
    if options.algorithm not in ("all", "selected", *names):
        raise SystemExit(f"--algorithm must be all, selected or one of {', '.join(names)}")


def write(options: argparse.Namespace, stem: str, head: dict[str, Any], rows: list[report.Row]) -> None:
    """The JSON file, and the plot beside it if matplotlib is installed."""
    options.out.mkdir(parents=True, exist_ok=True)
    report.write_json(options.out / f"{stem}.json", head, rows)
    print(f"wrote {options.out / stem}.json")
    if options.no_plot or options.import_time or not any(map(report.ratio, rows)):
        return
    if find_spec("matplotlib") is None:
        print("no plot: matplotlib is not installed")
        return
    import_module("profiling.plots").speeds(options.out / f"{stem}.png", head, rows)
    print(f"wrote {options.out / stem}.png")


def run(engine: ModuleType, options: argparse.Namespace, found: list[report.Row]) -> dict[str, Any]:
    """Measure all layers into `found`, and return how; an interrupt keeps the rows that are there."""
    ceilings = measure_ceilings(engine, options)
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
                arrays = reference.operands(layer.spec)
                for ceiling in ceilings:
                    found.extend(measure(engine, options, workload, layer, arrays, ceiling))
    except KeyboardInterrupt:
        print("interrupted: what was measured is reported", file=sys.stderr)
    available = (time.perf_counter() - begun) * (os.cpu_count() or 1)
    others_pct = 100 * (engine.seconds_of_others() - others) / available
    if others_pct > OTHERS_PCT:
        print(OTHERS_WARNING.format(others_pct), file=sys.stderr)
    how = {"reference": reference.method(), "others_pct": report.significant(others_pct)}
    return how | {"ceilings": ceilings}


def measure_ceilings(engine: ModuleType, options: argparse.Namespace) -> list[dict[str, Any]]:
    """For each number of threads, the most arithmetic and the fastest copies that this process can do."""
    found = []
    for threads in options.threads or engine.thread_counts():
        copies = engine.copy_gbytes_s(threads)
        found.append(
            {"threads": threads, "gflops": report.significant(engine.peak_gflops(options.dtype, threads)),
             "copy_gbytes_s": {size: report.significant(speed) for size, speed in copies.items()}}
        )  # fmt: skip
    return found


def measure(
    engine: ModuleType, options: argparse.Namespace, workload: Workload, layer: Layer, arrays: tuple,
    ceiling: dict[str, Any],
) -> Iterator[report.Row]:  # fmt: skip
    """The rows of one layer on so many threads: one for each algorithm and peer."""
    if ceiling["threads"] is not None:
        peers.use_threads(ceiling["threads"])
    spec = layer.spec
    algorithms = [algorithm.name for algorithm in candidates(options.device, spec, options.algorithm)]
    if not algorithms:
        return
    calls = contestants(options.device, spec, tuple(map(engine.place, arrays)), algorithms)
    errors = check(engine, spec, arrays, calls)
    for name, error in errors.items():
        if not error.greatest <= reference.TOLERANCE[spec.dtype]:
            print(f"{name} is wrong on {layer.label}: error {error.greatest:.1e}, not timed", file=sys.stderr)
            del calls[name]
    clock = engine.host_times if workload.host_clock else engine.times
    timings = dict(zip(calls, clock([*calls.values()], options.repeats, options.seconds), strict=True))
    others = [name for name in timings if name not in algorithms]
    best = select(listed(options.device, spec), spec).name
    for name in algorithms:
        ours = row(workload, layer, name, name == best, timings.get(name), errors[name], ceiling)
        for peer in others or [None]:
            yield ours | against(peer, timings.get(peer), errors.get(peer))


def contestants(device: str, spec: Spec, arrays: tuple, algorithms: Sequence[str]) -> dict[str, Call]:
    """The calls by name: our algorithms, then each peer that can compute `spec`."""
    calls = {name: peers.ours(spec, arrays, name) for name in algorithms}
    for peer in peers.installed(device):
        call = peer.prepare(spec, arrays)
        if call is not None:
            calls[peer.name] = call
    return calls


def candidates(device: str, spec: Spec, wanted: str) -> list[Algorithm]:
    """The backend's algorithms that can run `spec`: all of them, the selected one, or the one named."""
    if wanted == "selected":
        return [select(listed(device, spec), spec)]
    supported = [algorithm for algorithm in listed(device, spec) if algorithm.unsupported(spec) is None]
    return supported if wanted == "all" else [a for a in supported if a.name == wanted]


def listed(device: str, spec: Spec) -> tuple[Algorithm, ...]:
    """The backend's algorithms for the operator of `spec`."""
    backend = import_module(f"gpuconv.{device}")
    return backend.CONVOLUTIONS if isinstance(spec, ConvSpec) else backend.POOLS


def check(
    engine: ModuleType, spec: Spec, arrays: tuple, calls: dict[str, Call]
) -> dict[str, reference.Error]:
    """The error of each call's result; other libraries' image filters return a plane, here a batch of 1."""
    results = [engine.fetch(call()) for call in calls.values()]
    results = [result.reshape(spec.out_shape) if result.ndim == 2 else result for result in results]
    return dict(zip(calls, reference.errors(spec, arrays, results), strict=True))


def _thread_list(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


def _positive(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1, not {text!r}")
    return int(text)


if __name__ == "__main__":
    environment.restart_with_fair_allocator()
    sys.exit(main())
