"""What predictions of cost share. Cycles come from counts of instructions and bytes, not from measurements.

A multiprocessor has 4 schedulers, each of which issues an instruction of a warp a cycle, `ISSUE` of the time;
the one with the most blocks counts; the cache behind them hands out bytes at the rate, and a second kernel of
a stream takes the time beyond its work, that others have measured (`runtime/gpu.py`). What one kernel leaves
for the next comes from that cache, or from device memory where there is more of it than the cache keeps. The
host prepares a call while the device computes the one before it, so what is short for the device takes as
long as the host does, which was measured without a device (`profiling.latency --device idle`).
"""

from gpuconv.cuda.runtime.gpu import Gpu

ISSUE, MEMORY = 0.95, 0.9  # of the rates of schedulers and device memory that is reached
HOST_CALL, HOST_KERNEL = 7.5, 2.0  # microseconds of the host, for a call and for each further kernel


def busiest(blocks: int, gpu: Gpu) -> int:
    """Blocks of the multiprocessor with the most of them."""
    return -(-blocks // gpu.multiprocessors)


def cache_rate(gpu: Gpu) -> float:
    """Bytes in a clock that reach one multiprocessor from the cache behind it."""
    return gpu.measured.l2_rate


def moving(cached: float, device: float, gpu: Gpu) -> float:
    """Cycles in which so many bytes pass through the cache behind all multiprocessors, and device memory."""
    return max(cached / (cache_rate(gpu) * gpu.multiprocessors), device / (MEMORY * gpu.device_bytes))


def uncached(moved: float, scratch: int, gpu: Gpu) -> float:
    """What of the bytes `moved` of memory between kernels passes through device memory: none or all."""
    return moved if scratch > gpu.l2_bytes else 0.0


def start(gpu: Gpu) -> float:
    """Cycles that a kernel of a stream takes beyond its work."""
    return gpu.cycles(gpu.measured.stream_us)


def cost(cycles: float, kernels: int, gpu: Gpu) -> tuple[float, float]:
    """What choices are compared by: cycles from a call to the next like it, and those of the device.

    `cycles` are those of the device, the start of the first kernel not included.
    """
    host = gpu.cycles(HOST_CALL + HOST_KERNEL * (kernels - 1))
    return max(cycles + start(gpu), host), cycles


def is_even(length: int, splits: int) -> bool:
    """Whether no fewer shares would do with as much each."""
    return -(-length // -(-length // splits)) == splits
