"""What predictions of cost share. Cycles come from counts of instructions and bytes, not from measurements.

A multiprocessor has 4 schedulers, each with a quarter of its units, which issues an instruction of one of its
own warps a cycle, `ISSUE` of the time. A warp stays with its scheduler, so what counts is the scheduler with
the most warps, of the multiprocessor with the most blocks. The cache behind them hands out bytes at the rate,
a kernel waits for its first data, and a second one of a stream takes the time beyond its work, that others
have measured (`runtime/gpu.py`). What one kernel leaves for the next comes from that cache, or from device
memory where there is more of it than the cache keeps. The host prepares a call while the device computes the
one before it, so what is short for the device takes as long as the host does, which was measured without a
device (`profiling.latency --device idle`).

Left out: warps are spread over the schedulers as evenly as can be, and a scheduler that has one is never
idle, but for what a kernel's own prediction says; clocks are those of the data sheet.
"""

from dataclasses import dataclass

from gpuconv.cuda.device.limits import SCHEDULERS
from gpuconv.cuda.runtime.gpu import Gpu

ISSUE, MEMORY = 0.95, 0.9  # of the rates of schedulers and device memory that is reached
HOST_CALL, HOST_KERNEL = 7.5, 2.0  # microseconds of the host, for a call and for each further kernel


def busiest(blocks: int, gpu: Gpu) -> int:
    """Blocks of the multiprocessor with the most of them."""
    return -(-blocks // gpu.multiprocessors)


def busiest_scheduler(warps: int) -> int:
    """Warps of the scheduler with the most of them, of a multiprocessor with so many.

    Examples
    --------
    >>> [busiest_scheduler(3 * 2), busiest_scheduler(4 * 2), busiest_scheduler(1)]  # blocks of two warps; one
    [2, 2, 1]
    """
    return -(-warps // SCHEDULERS)


@dataclass(frozen=True, slots=True)
class Wave:
    """Blocks that a multiprocessor holds at once: how often, how many, and the warps of a scheduler."""

    times: int
    blocks: int
    scheduler_warps: float


def waves(blocks: int, resident: int, warps: int) -> tuple[Wave, ...]:
    """How a multiprocessor carries out `blocks` of so many warps, `resident` at once.

    Of the last wave, which may be the only one, the scheduler with the most warps counts. In those before it
    a block that ends makes room for the next on the schedulers that it leaves, so that all are as busy as
    each other, unless one block at a time leaves some idle.

    Examples
    --------
    >>> waves(3, 8, warps=2)  # six warps, of which two schedulers carry two
    (Wave(times=1, blocks=3, scheduler_warps=2),)
    >>> waves(13, 5, warps=2)
    (Wave(times=2, blocks=5, scheduler_warps=2.5), Wave(times=1, blocks=3, scheduler_warps=2))
    """
    before, last = divmod(max(0, blocks - 1), resident)
    steady = Wave(before, resident, max(resident * warps / SCHEDULERS, busiest_scheduler(warps)))
    end = Wave(1, last + 1, busiest_scheduler((last + 1) * warps))
    return (steady,) * (before > 0) + (end,) * (blocks > 0)


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
