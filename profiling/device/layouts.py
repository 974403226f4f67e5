"""Is what the PTX executor believes of each instruction what a GPU does? Both run the same small kernels.

    python -m profiling.device.layouts
    python -m profiling.device.layouts --sample wgmma --out layouts.json

The kernels are those of `tests.ptx.samples`. Every array that a kernel was given is compared, bit for bit or
within the units in the last place that the sample allows. The device runs in a process of its own, which is
replaced after an error or when a kernel does not end, so that one kernel cannot spoil the next.
"""

import argparse
import json
import multiprocessing
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from tests.ptx import Kernel
from tests.ptx.arguments import Pointer
from tests.ptx.sample import Sample
from tests.ptx.samples import SAMPLES

SECONDS = 60.0  # for one sample, the start of the process included
EQUAL, DIFFERENT, FAILED, SKIPPED = "equal", "different", "failed", "skipped"


def open_device() -> Any:
    """The CUDA device; RuntimeError where there is none."""
    from profiling.device.driver import Device

    return Device()


def main(arguments: Sequence[str] | None = None, device: Callable[[], Any] = open_device) -> int:
    """Print one line a sample; the exit code is 1 if one differs or fails, 2 if there is no device."""
    parser = argparse.ArgumentParser(
        "python -m profiling.device.layouts", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--sample", default="", metavar="NAME", help="only samples with NAME in their name")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON, one row a sample")
    options = parser.parse_args(arguments)
    samples = [sample for sample in SAMPLES if options.sample in sample.name]
    if not samples:
        parser.error(
            f"no sample {options.sample!r}; there are {', '.join(sample.name for sample in SAMPLES)}"
        )
    worker = Worker(device)
    name = worker.start()
    if worker.problem:
        print(f"no CUDA device: {worker.problem}", file=sys.stderr)
        return 2
    found = []
    for sample in samples:
        result, detail = worker.compare(sample.name)
        found.append({"sample": sample.name, "result": result, "detail": detail})
        print(f"{result:<10}{sample.name}{': ' * bool(detail)}{detail}", flush=True)
    worker.stop()
    counts = {
        kind: sum(row["result"] == kind for row in found) for kind in (EQUAL, DIFFERENT, FAILED, SKIPPED)
    }
    print(f"{name}: " + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    if options.out:
        head = {"device": name, "date": datetime.now(UTC).date().isoformat(), **counts, "rows": found}
        options.out.write_text(json.dumps(head, indent=1) + "\n", encoding="utf-8")
    return 1 if counts[DIFFERENT] or counts[FAILED] else 0


class Worker:
    """The process that has the device; it is replaced when it fails or does not answer.

    Attributes
    ----------
    problem : str
        Why the process could not open the device, empty if it could.
    """

    def __init__(self, device: Callable[[], Any], seconds: float = SECONDS) -> None:
        self.device, self.seconds = device, seconds
        self.problem = ""
        self._process: Any = None
        self._connection: Any = None

    def start(self) -> str:
        """Start the process, and return the device's name."""
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=serve, args=(other, self.device), daemon=True)
        self._process.start()
        other.close()
        name, self.problem = self._answer()
        return name

    def compare(self, name: str) -> tuple[str, str]:
        """(result, detail) of one sample."""
        if self._process is None:
            self.start()
            if self.problem:
                self.stop()
                return FAILED, self.problem
        self._connection.send(name)
        result, detail = self._answer()
        if result == FAILED:
            self.stop()
        return result, detail

    def _answer(self) -> tuple[str, str]:
        try:
            if self._connection.poll(self.seconds):
                return self._connection.recv()
        except EOFError:
            self._process.join()
            return FAILED, f"the process ended with exit code {self._process.exitcode}"
        return FAILED, f"no answer within {self.seconds:g} s"

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None


def serve(connection: Connection, device: Callable[[], Any]) -> None:
    """The worker's loop: names of samples in, (result, detail) out."""
    try:
        opened = device()
    except Exception as error:  # whatever prevents it is what the user has to know
        connection.send(("", f"{type(error).__name__}: {error}"))
        return
    connection.send((opened.name, ""))
    samples = {sample.name: sample for sample in SAMPLES}
    while True:
        try:
            name = connection.recv()
        except EOFError:
            return
        connection.send(compare(samples[name], opened))


def compare(sample: Sample, device: Any) -> tuple[str, str]:
    """Run a sample on the device and in the executor, each on fresh arguments that are the same."""
    if not runs_on(sample.target, device.capability):
        return SKIPPED, f"needs {sample.target}"
    expected, got = (sample.make_arguments(np.random.default_rng(7)) for _ in range(2))
    try:
        Kernel(sample.text).launch(sample.grid, sample.block, *expected, shared_bytes=sample.shared_bytes)
        device.run(sample, got)
    except Exception as error:  # a fault in the sample, or of the device: it is the finding
        return FAILED, f"{type(error).__name__}: {error}"
    pairs = zip(arrays(expected), arrays(got), strict=True)
    for index, (here, there) in enumerate(pairs):
        difference = first_difference(here, there, sample.ulps)
        if difference:
            return DIFFERENT, f"array {index}, {difference}"
    return EQUAL, ""


def runs_on(target: str, capability: tuple[int, int]) -> bool:
    """Whether a device runs PTX for a target: its own or a later one, but for "sm_90a" exactly that one."""
    major, minor, only = re.fullmatch(r"sm_(\d+)(\d)([af]?)", target).groups()
    needed = int(major), int(minor)
    return tuple(capability) == needed if only else tuple(capability) >= needed


def arrays(arguments: Sequence[Any]) -> list[np.ndarray]:
    """The arrays among a kernel's arguments."""
    given = [argument.array if isinstance(argument, Pointer) else argument for argument in arguments]
    return [argument for argument in given if isinstance(argument, np.ndarray) and argument.ndim]


def first_difference(expected: np.ndarray, got: np.ndarray, ulps: int) -> str:
    """Where two arrays differ first, in bits and values, and how many elements do; empty if none does."""
    wrong = (expected.view(_bits(expected)) != got.view(_bits(got))).ravel()
    if expected.dtype.kind == "f":
        wrong &= ~(np.isnan(expected) & np.isnan(got)).ravel()
        if ulps:  # else the sign of a zero counts
            wrong &= ~(distance(expected, got) <= ulps).ravel()
    if not wrong.any():
        return ""
    place = int(np.flatnonzero(wrong)[0])
    here, there = (f"{array.flat[place]!r} ({_hex(array, place)})" for array in (expected, got))
    return (
        f"element {place}: the executor has {here}, the device {there}; {wrong.sum()} of {wrong.size} differ"
    )


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Units in the last place between two floating-point arrays, as float64; NaN where one is NaN."""
    x, y = map(_ordered, (a, b))
    across_zero = abs(x.astype(np.float64) - y.astype(np.float64))
    apart = np.where((x < 0) == (y < 0), abs(x - y), across_zero)
    return np.where(np.isnan(a) | np.isnan(b), np.nan, apart)


def _ordered(array: np.ndarray) -> np.ndarray:
    """Integers in the order of the floating-point numbers, neighbours one apart, both zeros 0."""
    magnitude = np.abs(array).view(_bits(array)).astype(np.int64)
    return np.where(np.signbit(array), -magnitude, magnitude)


def _bits(array: np.ndarray) -> np.dtype:
    return np.dtype(f"u{array.itemsize}")


def _hex(array: np.ndarray, place: int) -> str:
    return f"{int(array.ravel().view(_bits(array))[place]):#0{2 * array.itemsize + 2}x}"


if __name__ == "__main__":
    sys.exit(main())
