"""The command `python -m profiling.model`: counts in several processes, predictions on every GPU."""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gpuconv.cuda.runtime.gpu import GPUS, Gpu
from gpuconv.spec import Spec
from profiling import interrupts
from profiling.counts import Counted, counted, launches, selected, supported
from profiling.counts.shares import add_jobs, share_out
from profiling.model import rows
from profiling.model.prediction import of_launch, together
from profiling.results import Row
from profiling.workloads import WORKLOADS, Workload, is_forward

SUMMARY = "predicted times of the workloads on GPUs, from counts that are made without one"
Task = tuple[Spec, str, Gpu]  # a problem, an algorithm, what it is planned for
Counts = Mapping[Task, tuple[Counted, ...]]
CHUNK = 24  # tasks of one kernel that one process counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables and, with --out, write the file; the exit code is that of an interrupt after one."""
    forward = {name: make for name, make in WORKLOADS.items() if _is_predicted(make())}
    choices = {**forward, "known": rows.known}
    parser = _parser([*choices])
    options = parser.parse_args(arguments)
    workloads = [choices[name]() for name in options.workload]
    gpus = [GPUS[name] for name in options.gpu]
    wanted = sorted(set(tasks(workloads, gpus, options.algorithm)), key=str)
    if not wanted:
        parser.error(f"no algorithm {options.algorithm!r} supports any of these layers")
    found = count(wanted, options.jobs)
    stopped = len(found) < len(wanted)
    whole = complete_layers(wanted, found)
    table = [*rows_of(workloads, gpus, whole)]
    if stopped:
        interrupts.note(table)
    if table:
        report(table, [_layers(whole), _layers(wanted)], options.out)
    return interrupts.EXIT_CODE if stopped else 0


def _is_predicted(workload: Workload) -> bool:
    """Gradients are not: what their kernels cost was not looked at."""
    return all(is_forward(layer.spec) for layer in workload.layers)


def _parser(workloads: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m profiling.model", description=SUMMARY)
    parser.add_argument("--gpu", nargs="+", choices=GPUS, default=[*GPUS], help="%(default)s")
    parser.add_argument("--workload", nargs="+", choices=workloads, default=workloads, help="%(default)s")
    parser.add_argument("--algorithm", default="", metavar="NAME", help="only those with NAME in their name")
    add_jobs(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON, one row a GPU, layer and algorithm")
    return parser


def report(table: Sequence[Row], layers: Sequence[int], out: Path | None) -> None:
    """Print and write the rows, of so many of all layers."""
    rows.print_tables(table)
    if out:
        rows.write(out, table, layers)
        print(f"wrote {out}")


def rows_of(workloads: Sequence[Workload], gpus: Sequence[Gpu], found: Counts) -> Iterator[Row]:
    """One for each GPU, layer and algorithm that has been counted."""
    for gpu in gpus:
        for workload in workloads:
            for layer in workload.layers:
                predicted = {
                    each.name: together(
                        [of_launch(launch, gpu) for launch in found[layer.spec, each.name, gpu]]
                    )
                    for each in supported(layer.spec, gpu)
                    if (layer.spec, each.name, gpu) in found
                }
                yield from rows.of_layer(gpu, workload, layer, predicted)


def tasks(workloads: Sequence[Workload], gpus: Sequence[Gpu], wanted: str) -> Iterator[Task]:
    """What has to be counted; GPUs of one architecture often have the same launches (`counted`)."""
    for workload in workloads:
        for layer in workload.layers:
            for gpu in gpus:
                names = [each.name for each in supported(layer.spec, gpu)]
                yield from ((layer.spec, name, gpu) for name in names if wanted in name)


def complete_layers(wanted: Sequence[Task], found: Counts) -> Counts:
    """Without what was counted of a layer on a GPU whose other algorithms were not, and may be faster."""
    partial = {(spec, gpu) for spec, name, gpu in wanted if (spec, name, gpu) not in found}
    return {task: counts for task, counts in found.items() if (task[0], task[2]) not in partial}


def _layers(tasks: Iterable[Task]) -> int:
    """On how many GPUs how many problems, together."""
    return len({(spec, gpu) for spec, _, gpu in tasks})


def count(wanted: Sequence[Task], jobs: int) -> Counts:
    """Count tasks in so many processes, those of one kernel together, so that few compile it.

    An interrupt leaves those of the chunks that were done.
    """
    groups: dict[tuple, list[Task]] = {}
    for task in wanted:
        spec, name, gpu = task
        first = next(iter(launches(spec, selected(spec, gpu, name), gpu)), None)
        groups.setdefault((first and first.launch.kernel.name, gpu.arch), []).append(task)
    chunks = [tuple(group[i : i + CHUNK]) for group in groups.values() for i in range(0, len(group), CHUNK)]
    chunks.sort(key=len, reverse=True)
    found = share_out(count_chunk, chunks, jobs, _label)
    return {task: counts for chunk in found for task, counts in zip(chunk, found[chunk], strict=True)}


def count_chunk(chunk: Sequence[Task]) -> list[tuple[Counted, ...]]:
    """What `counted` gives for each task."""
    return [counted(*task) for task in chunk]


def _label(chunk: Sequence[Task]) -> str:
    _, name, gpu = chunk[0]
    return f"{name} {gpu.arch}: {len(chunk)} prediction{'s' * (len(chunk) != 1)}"
