"""The command `python -m profiling.model`: counts in several processes, predictions on every GPU."""

import argparse
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from pathlib import Path

from gpuconv.cuda.runtime.gpu import GPUS, Gpu
from gpuconv.spec import Spec
from profiling.counts import Counted, counted, launches, selected, supported
from profiling.model import rows
from profiling.model.prediction import of_launch, together
from profiling.results import Row
from profiling.workloads import WORKLOADS, Workload

SUMMARY = "predicted times of the workloads on GPUs, from counts that are made without one"
Task = tuple[Spec, str, Gpu]  # a problem, an algorithm, what it is planned for
CHUNK = 24  # tasks of one kernel that one process counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables and, with --out, write the file; returns exit code 0."""
    parser = argparse.ArgumentParser("python -m profiling.model", description=SUMMARY)
    parser.add_argument("--gpu", nargs="+", choices=GPUS, default=[*GPUS], help="%(default)s")
    choices = {**WORKLOADS, "known": rows.known}
    parser.add_argument("--workload", nargs="+", choices=choices, default=[*choices], help="%(default)s")
    parser.add_argument("--algorithm", default="", metavar="NAME", help="only those with NAME in their name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON, one row a GPU, layer and algorithm")
    options = parser.parse_args(arguments)
    workloads = [choices[name]() for name in options.workload]
    gpus = [GPUS[name] for name in options.gpu]
    found = count(sorted(set(tasks(workloads, gpus, options.algorithm)), key=str), options.jobs)
    if not found:
        parser.error(f"no algorithm {options.algorithm!r} supports any of these layers")
    table = [*rows_of(workloads, gpus, found)]
    rows.print_tables(table)
    if options.out:
        rows.write(options.out, table)
        print(f"wrote {options.out}")
    return 0


def rows_of(
    workloads: Sequence[Workload], gpus: Sequence[Gpu], found: dict[Task, tuple[Counted, ...]]
) -> Iterator[Row]:
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


def count(wanted: Sequence[Task], jobs: int) -> dict[Task, tuple[Counted, ...]]:
    """Count tasks in so many processes; those of one kernel together, so that few compile it."""
    if jobs <= 1:
        return dict(zip(wanted, count_chunk(wanted), strict=True))
    groups: dict[tuple, list[Task]] = {}
    for task in wanted:
        spec, name, gpu = task
        first = next(iter(launches(spec, selected(spec, gpu, name), gpu)), None)
        groups.setdefault((first and first.launch.kernel.name, gpu.arch), []).append(task)
    chunks = [group[i : i + CHUNK] for group in groups.values() for i in range(0, len(group), CHUNK)]
    chunks.sort(key=len, reverse=True)
    with ProcessPoolExecutor(jobs) as pool:
        results = [*pool.map(count_chunk, chunks)]
    return dict(zip(chain.from_iterable(chunks), chain.from_iterable(results), strict=True))


def count_chunk(chunk: Sequence[Task]) -> list[tuple[Counted, ...]]:
    """What `counted` gives for each task."""
    return [counted(*task) for task in chunk]
