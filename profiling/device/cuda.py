"""Measuring on a GPU: the clock, the device's ceilings and its name. Same surface as `profiling.device.cpu`.

Everything runs on CuPy's current stream, which is the default stream of PyTorch too. One repeat on it:

    memset of FLUSH_BYTES | event | the call's kernels | event

The memset empties the second-level cache and keeps the device busy while the host queues the rest, so the
time between the events is the device's and holds no launch latency; `host_times` measures that one.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cupy
import numpy as np

from gpuconv.cuda.language import numba_cuda
from profiling.device.timing import Call, Timing, turns

cuda = numba_cuda()
FLUSH_BYTES = 2**29  # many times any second-level cache; its memset takes more than 0.1 ms on an H200
COPY_BYTES = 2**31  # read and written together
WARM_UP = 3  # calls: compilation, cuDNN's search, memory from the pool
QUEUED = 50  # calls the host queues in one measurement, far fewer than the queue takes without blocking
UNROLLED, CHAINS, STEPS = 16, 8, 2000


def place(array: np.ndarray) -> cupy.ndarray:
    """The array where this device reads it."""
    return cupy.asarray(array)


def fetch(result: Any) -> np.ndarray:
    """A CuPy or PyTorch result as a NumPy array."""
    return result.get() if isinstance(result, cupy.ndarray) else result.cpu().numpy()


def times(calls: Sequence[Call], repeats: int, seconds: float) -> list[Timing]:
    """The device's time for each call, the calls taking turns (see `timing.turns`), caches emptied before."""
    flush = cupy.empty(FLUSH_BYTES, cupy.uint8).data
    for call in calls:
        _queue(flush, call, WARM_UP)
    expected = [min(_queue(flush, call, 2)) for call in calls]
    found: list[list[float]] = [[] for _ in calls]
    for counts in turns(expected, repeats, seconds):
        for call, count, series in zip(calls, counts, found, strict=True):
            series.extend(_queue(flush, call, count))
    return [Timing.of(series) for series in found]


def _queue(flush: cupy.cuda.MemoryPointer, call: Call, count: int) -> list[float]:
    """Milliseconds between the events around each of `count` calls, queued one behind the other."""
    pairs = [(cupy.cuda.Event(), cupy.cuda.Event()) for _ in range(count)]
    for begin, end in pairs:
        flush.memset_async(0, FLUSH_BYTES)
        begin.record()
        call()
        end.record()
    cupy.cuda.Device().synchronize()
    return [cupy.cuda.get_elapsed_time(begin, end) for begin, end in pairs]


def host_times(calls: Sequence[Call], repeats: int, seconds: float) -> list[Timing]:
    """What the host spends on each call, the device not waited for."""
    for call in calls:
        for _ in range(WARM_UP):
            call()
    expected = [QUEUED * _host_milliseconds(call) for call in calls]
    found: list[list[float]] = [[] for _ in calls]
    for counts in turns(expected, repeats, seconds):
        for call, count, series in zip(calls, counts, found, strict=True):
            series.extend(_host_milliseconds(call) for _ in range(count))
    return [Timing.of(series) for series in found]


def _host_milliseconds(call: Call) -> float:
    """Of one call, the mean of QUEUED that are queued on an idle device."""
    cupy.cuda.Device().synchronize()
    begin = time.perf_counter_ns()
    for _ in range(QUEUED):
        call()
    elapsed = time.perf_counter_ns() - begin
    cupy.cuda.Device().synchronize()
    return elapsed / QUEUED / 1e6


def multiply_add_chains(out, factor, summand, steps):
    """CHAINS independent chains a = a * factor + summand in each thread's registers."""
    a0 = factor
    a1 = a0 + summand
    a2 = a1 + summand
    a3 = a2 + summand
    a4 = a3 + summand
    a5 = a4 + summand
    a6 = a5 + summand
    a7 = a6 + summand
    for _ in range(steps):
        for _ in range(UNROLLED):
            a0 = a0 * factor + summand
            a1 = a1 * factor + summand
            a2 = a2 * factor + summand
            a3 = a3 * factor + summand
            a4 = a4 * factor + summand
            a5 = a5 * factor + summand
            a6 = a6 * factor + summand
            a7 = a7 * factor + summand
    out[cuda.grid(1)] = ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7))


def peak_gflops(dtype: str, threads: int | None) -> float:
    """GFLOP/s of a kernel of independent multiply-adds in registers: the CUDA cores, no tensor core."""
    processors = cupy.cuda.Device().attributes["MultiProcessorCount"]
    block, grid = 256, 8 * processors
    scalar = np.dtype(dtype).type
    kernel = cuda.jit(multiply_add_chains)
    out = cuda.device_array(block * grid, dtype)

    def call() -> None:
        kernel[grid, block](out, scalar(0.75), scalar(0.5), STEPS)

    (timing,) = times([call], 10, 1.0)
    return 2 * block * grid * CHAINS * UNROLLED * STEPS / timing.fastest / 1e6


def copy_gbytes_s(threads: int | None) -> dict[int, float]:
    """GB/s of a copy in the device's memory, by its bytes read and written together."""
    source, target = cupy.ones(COPY_BYTES // 2, cupy.uint8), cupy.empty(COPY_BYTES // 2, cupy.uint8)
    (timing,) = times([lambda: cupy.copyto(target, source)], 10, 1.0)
    return {COPY_BYTES: COPY_BYTES / timing.fastest / 1e6}


def thread_counts() -> list[None]:
    """The host's threads play no part."""
    return [None]


def seconds_of_others() -> float:
    """Not known on a GPU: 0."""
    return 0.0


def describe() -> tuple[str, str]:
    """The GPU's name, and the version of its driver."""
    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
    supported = cupy.cuda.runtime.driverGetVersion()
    cuda_version = f"CUDA {supported // 1000}.{supported % 1000 // 10}"
    version = Path("/proc/driver/nvidia/version")
    text = version.read_text(encoding="utf-8") if version.exists() else ""
    driver = re.search(r"\s(\d{3}\.[\d.]+)\s", text)
    return name, f"{driver[1]}, {cuda_version}" if driver else cuda_version
