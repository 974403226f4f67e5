"""What predictions of cost share. Cycles come from counts of instructions and bytes, not from measurements.

A multiprocessor has 4 schedulers, each of which issues an instruction of a warp a cycle, `ISSUE` of the time;
the one with the most blocks counts; the cache behind them hands out `CACHE` of its rate; a second kernel has
to start, and reads what the blocks of one output have summed.
"""

from gpuconv.cuda.runtime.gpu import Gpu

ISSUE = 0.95
CACHE = 0.75  # of the rate of the cache behind a multiprocessor that is reached
SECOND_KERNEL = 3000  # cycles until it has begun
HOST = 4000  # cycles that a second kernel has to win: to launch it takes the host two microseconds


def busiest(blocks: int, gpu: Gpu) -> int:
    """Blocks of the multiprocessor with the most of them."""
    return -(-blocks // gpu.multiprocessors)


def cache_rate(gpu: Gpu) -> float:
    """Bytes in a clock that reach one multiprocessor from the cache behind it."""
    return CACHE * gpu.each.cache_bytes


def is_even(length: int, splits: int) -> bool:
    """Whether no fewer shares would do with as much each."""
    return -(-length // -(-length // splits)) == splits
