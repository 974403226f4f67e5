"""Predicted times of the workloads on GPUs, from counts that are made without one.

    python -m profiling.model
    python -m profiling.model --gpu h200 a100 --workload resnet50 --algorithm conv_tiled --out model-h200.json

Nothing here is measured. For each layer and each algorithm that supports it, the launches that the engine
would queue are captured, some of their blocks executed by the PTX executor (`block_sample.py`), the counts
turned into instructions of machine code (`slots.py`), and the time of each launch computed (`predict`):

    wave     = max(r * max(issue, math, shared), path)   of a multiprocessor that holds r blocks at once
    busy     = sum of the waves of the multiprocessor with the most blocks: the tail is its last wave
    launch   = LATENCY + max(busy, bytes from L2 / its rate, bytes from device memory / its rate)

issue: all instructions of a block's warps, four a clock; math: those of the busiest unit; shared: passes
through shared memory and the first-level cache; path: what a block takes alone, waiting for each of its
loads (`critical_path.py`). r is what registers, shared memory and threads allow (`occupancy.py`). A time is
the sum of an algorithm's launches, START for the first and NEXT for each other. `gpus.py` has the rates and
where they come from.

What it leaves out, and so where a measurement will differ:
- clocks are the boost clocks of the data sheets; a card at its power limit is slower by up to a third (L4
  more)
- schedulers are never idle for want of a ready warp while a wave's path is shorter than its work; ISSUE and
  MEMORY are what is assumed to be reached of the rates of schedulers and of memory
- what several blocks load is taken to come from device memory once, and what a block loads twice within some
  executions of an instruction to be kept by the first-level cache; conflicts between these are not seen
- inputs are in device memory and not in a cache; arrays are contiguous and aligned; there is no bias
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain
from math import ceil
from pathlib import Path

from gpuconv import cuda as engine
from gpuconv.cuda.runtime.gpu import Chip
from gpuconv.spec import ConvSpec
from profiling import predictions
from profiling.captured import launches
from profiling.counted import Counted, algorithm_of, counted
from profiling.gpus import GPUS, Gpu
from profiling.occupancy import WARP, blocks_per_sm
from profiling.workloads import WORKLOADS, Spec, Workload

START, NEXT = 2.0, 1.0  # microseconds of an empty kernel, alone and behind another: assumptions
ISSUE, MEMORY = 0.95, 0.9  # of the rates that is reached: assumptions
LATENCY = 500  # cycles until the first data arrive


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted time of one or several launches, and its parts, all in microseconds.

    Each part is what the launches would take if nothing else took time. `waves` is how often the device is
    filled, of the longest launch; `bound` the part that decides about it; `kernel` its name.
    """

    us: float
    issue_us: float
    math_us: float
    shared_us: float
    l2_us: float
    device_us: float
    latency_us: float
    waves: float
    bound: str
    kernel: str
    launches: int = 1


def predict(spec: Spec, algorithm: str, gpu: Gpu) -> Prediction:
    """What one of the engine's algorithms, by name, is predicted to take for a problem.

    Examples
    --------
    >>> from profiling.workloads import convolution
    >>> predict(convolution(1, 8, 8, 8, 3), "conv_tiled", GPUS["h200"]).bound
    'latency'
    """
    return together([of_launch(launch, gpu) for launch in counted(spec, algorithm, gpu.arch, gpu.chip)])


def together(launches: Sequence[Prediction]) -> Prediction:
    """Launches one after the other, which have to be started; nothing for an empty result."""
    if not launches:
        return Prediction(*[0.0] * 8, "nothing", "", 0)
    longest = max(launches, key=lambda each: each.us)
    us, *sums = [sum(getattr(each, name) for each in launches) for name in _PARTS]
    us += START + NEXT * (len(launches) - 1)
    return Prediction(us, *sums, longest.waves, longest.bound, longest.kernel, len(launches))


_PARTS = ("us", "issue_us", "math_us", "shared_us", "l2_us", "device_us", "latency_us")


def of_launch(launch: Counted, gpu: Gpu) -> Prediction:
    """The time of one launch, but for its start."""
    resident = blocks_per_sm(gpu.capability, launch.threads, launch.registers, launch.shared_bytes)
    most = ceil(launch.blocks / gpu.multiprocessors)  # blocks of the busiest multiprocessor
    parts = {"issue": launch.work.issued / gpu.issue / ISSUE, "math": math_cycles(launch, gpu)}
    parts["shared"] = launch.shared_cycles * 128 / gpu.shared_bytes
    busy, latency = waves(most, resident, max(parts.values()), launch.path_cycles)
    us = {name: gpu.microseconds(most * cycles) for name, cycles in parts.items()}
    us["latency"] = gpu.microseconds(latency)
    l2_cycles = launch.blocks * launch.l2_bytes / (gpu.l2_bytes * gpu.multiprocessors * MEMORY)
    us["l2"] = gpu.microseconds(l2_cycles)
    us["device"] = device_bytes(launch, gpu) / (gpu.device_gbytes * MEMORY) / 1e3
    decisive = max(us, key=us.__getitem__)
    total = gpu.microseconds(LATENCY) + max(gpu.microseconds(busy), us["l2"], us["device"])
    ordered = [us[name.removesuffix("_us")] for name in _PARTS[1:]]
    full = launch.blocks / (resident * gpu.multiprocessors)
    return Prediction(total, *ordered, full, decisive, launch.kernel)


def math_cycles(launch: Counted, gpu: Gpu) -> float:
    """Clocks in which the busiest of the units for arithmetic carries out a block's instructions."""
    units = ("fp32", "fp64", "integer", "special")
    return max(getattr(launch.work, unit) * WARP / getattr(gpu, unit) for unit in units)


def waves(blocks: int, resident: int, cycles: float, path: float) -> tuple[float, float]:
    """Clocks of a multiprocessor that carries out `blocks`, `resident` at once, and how many of its paths
    alone.

    Examples
    --------
    >>> waves(5, 2, cycles=10.0, path=12.0)  # 2, 2 and 1 block
    (52.0, 36.0)
    """
    full, rest = divmod(blocks, resident)
    busy = full * max(resident * cycles, path) + (max(rest * cycles, path) if rest else 0.0)
    return busy, (full + bool(rest)) * path


def device_bytes(launch: Counted, gpu: Gpu) -> float:
    """Bytes of device memory: each array once, or what is asked for of it; scratch if the cache cannot keep
    it."""
    scratch = launch.scratch_bytes if launch.scratch_bytes > gpu.l2_mbytes * 1e6 else 0
    return min(launch.array_bytes + scratch, launch.blocks * launch.l2_bytes)


# The command

Task = tuple[Spec, str, str, Chip]  # a problem, an algorithm, an architecture, what it is chosen for
CHUNK = 24  # tasks of one kernel that one process counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables and, with --out, write the file; returns exit code 0."""
    parser = argparse.ArgumentParser("python -m profiling.model", description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", nargs="+", choices=GPUS, default=[*GPUS], help="%(default)s")
    choices = {**WORKLOADS, "known": predictions.known}
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
    rows = [*rows_of(workloads, gpus, found)]
    predictions.print_tables(rows)
    if options.out:
        predictions.write(options.out, rows)
        print(f"wrote {options.out}")
    return 0


def rows_of(
    workloads: Sequence[Workload], gpus: Sequence[Gpu], found: dict[Task, tuple[Counted, ...]]
) -> Iterator[predictions.Row]:
    """One for each GPU, layer and algorithm that has been counted."""
    for gpu in gpus:
        for workload in workloads:
            for layer in workload.layers:
                tasks_of_layer = {name: (layer.spec, name, gpu.arch, gpu.chip) for name in names(layer.spec)}
                predicted = {
                    name: together([of_launch(launch, gpu) for launch in found[task]])
                    for name, task in tasks_of_layer.items()
                    if task in found
                }
                yield from predictions.rows(gpu, workload, layer, predicted)


def names(spec: Spec) -> list[str]:
    """The engine's algorithms that support a problem, in its order."""
    algorithms = engine.CONVOLUTIONS if isinstance(spec, ConvSpec) else engine.POOLS
    return [algorithm.name for algorithm in algorithms if algorithm.unsupported(spec) is None]


def tasks(workloads: Sequence[Workload], gpus: Sequence[Gpu], wanted: str) -> Iterator[Task]:
    """What has to be counted; GPUs of one architecture often have the same launches (`counted`)."""
    for workload in workloads:
        for layer in workload.layers:
            for name in names(layer.spec):
                if wanted in name:
                    yield from ((layer.spec, name, gpu.arch, gpu.chip) for gpu in gpus)


def count(wanted: Sequence[Task], jobs: int) -> dict[Task, tuple[Counted, ...]]:
    """Count tasks in so many processes; those of one kernel together, so that few compile it."""
    if jobs <= 1:
        return dict(zip(wanted, count_chunk(wanted), strict=True))
    groups: dict[tuple, list[Task]] = {}
    for spec, name, arch, chip in wanted:
        first = next(iter(launches(spec, algorithm_of(spec, name), chip)), None)
        groups.setdefault((first and first.launch.kernel.name, arch), []).append((spec, name, arch, chip))
    chunks = [group[i : i + CHUNK] for group in groups.values() for i in range(0, len(group), CHUNK)]
    chunks.sort(key=len, reverse=True)
    with ProcessPoolExecutor(jobs) as pool:
        results = [*pool.map(count_chunk, chunks)]
    return dict(zip(chain.from_iterable(chunks), chain.from_iterable(results), strict=True))


def count_chunk(chunk: Sequence[Task]) -> list[tuple[Counted, ...]]:
    """What `counted` gives for each task."""
    return [counted(*task) for task in chunk]


if __name__ == "__main__":
    sys.exit(main())
