"""Measuring on the CPU: the clock, the machine's ceilings and its name.

`profiling.device.cuda` has the same surface. Times are of the wall clock, of repeats that take turns.
"""

import gc
import os
import platform
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpuconv.spec.dtypes import Dtype
from profiling.device.multiply_adds import fused_multiply_adds
from profiling.device.timing import Call, Timing, turns

PAUSE = 0.02  # seconds between turns: OpenMP threads spin for some milliseconds after their last work
LONG_CALL = 50.0  # ms from which a turn does not begin with an untimed call
COPY_BYTES = tuple(2**power for power in (20, 22, 24, 26, 28))  # read and written together
CEILING_SECONDS = 0.02


def place(array: np.ndarray) -> np.ndarray:
    """The array where this device reads it."""
    return array


def fetch(result: Any) -> np.ndarray:
    """A result as a NumPy array."""
    return np.asarray(result)


def times(calls: Sequence[Call], repeats: int, seconds: float) -> list[Timing]:
    """The time of each call, the calls taking turns (see `timing.turns`).

    A turn begins, after a pause, with an untimed call that brings its threads and caches back.
    """
    expected = [_warm_up(call) for call in calls]
    found: list[list[float]] = [[] for _ in calls]
    gc.collect()
    gc.disable()
    try:
        for counts in turns(expected, repeats, seconds):
            for call, single, count, series in zip(calls, expected, counts, found, strict=True):
                if count > 0:
                    time.sleep(PAUSE)
                    if single < LONG_CALL:
                        call()
                    series.extend(_milliseconds(call) for _ in range(count))
    finally:
        gc.enable()
    return [Timing.of(series) for series in found]


host_times = times  # on a GPU: what the host alone spends on a call


def _warm_up(call: Call) -> float:
    """Fill the caches, and return the milliseconds of a warm call; a long one is warm enough."""
    first = _milliseconds(call)
    return first if first >= LONG_CALL else min(_milliseconds(call) for _ in range(2))


def _milliseconds(call: Call) -> float:
    begin = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - begin) / 1e6


def peak_gflops(dtype: Dtype, threads: int) -> float:
    """Most GFLOP/s seen from a loop of independent multiply-adds in registers, on `threads` threads."""
    compute, flops_per_step = fused_multiply_adds(dtype)
    compute(1000)
    begin = time.perf_counter()
    compute(100_000)
    steps = max(1, int(100_000 * CEILING_SECONDS / (time.perf_counter() - begin)))
    seconds = min(_together(lambda _: compute(steps), threads) for _ in range(10))
    return threads * steps * flops_per_step / seconds / 1e9


def copy_gbytes_s(threads: int) -> dict[int, float]:
    """GB/s of a copy, by its bytes read and written together: from a cache, or from memory."""
    speeds = {}
    for size in COPY_BYTES:
        source, target = np.ones(size // 2, np.uint8), np.zeros(size // 2, np.uint8)
        parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
        times = max(1, 2**26 // size)  # copies a measurement, so that starting the threads does not count
        seconds = min(
            _together(lambda part, parts=parts, times=times: _copy(*parts[part], times), threads)
            for _ in range(5)
        )
        speeds[size] = times * size / seconds / 1e9
    return speeds


def _copy(target: np.ndarray, source: np.ndarray, times: int) -> None:
    for _ in range(times):
        np.copyto(target, source)


def _together(work: Callable[[int], None], threads: int) -> float:
    """Seconds from the first to begin until the last of `threads` threads has done work(index)."""
    gate = threading.Barrier(threads)
    begins, ends = [0.0] * threads, [0.0] * threads

    def wait_and_work(index: int) -> None:
        gate.wait()
        begins[index] = time.perf_counter()
        work(index)
        ends[index] = time.perf_counter()

    workers = [threading.Thread(target=wait_and_work, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return max(ends) - min(begins)


def thread_counts() -> list[int]:
    """One, and all that this process may use."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return sorted({1, available})


def seconds_of_others() -> float:
    """CPU time that other processes and the hypervisor have taken, plus a constant; 0 if nothing tells."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    ticks = [int(field) for field in stat.read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, interrupts, soft_interrupts, stolen = ticks
    busy = user + nice + system + interrupts + soft_interrupts + stolen
    return busy / os.sysconf("SC_CLK_TCK") - time.process_time()


def describe() -> tuple[str, str | None]:
    """The processor with its cores, and no driver."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    name = " ".join(model[1].split()) if model else platform.processor() or platform.machine()
    widest = next((name for name in ("avx512f", "avx2", "asimd") if f" {name}" in text), None)
    return f"{name}, {thread_counts()[-1]} cores{f', {widest}' if widest else ''}", None
