"""What the choice of a tile has to know of a GPU."""

import functools
from dataclasses import dataclass

from gpuconv.cuda.runtime import launch

SYSTEM_BYTES = 1024  # of shared memory that each block takes besides its own, from compute capability 8.0 on
FEW_UNITS = ((7, 5), (8, 0))  # compute capabilities with 64 multiply-adds in a clock, instead of 128
WIDE_CACHES = ((8, 0), (9, 0), (10, 0), (10, 3))  # those with 32 bytes from the cache in a clock, not 16


@dataclass(frozen=True, slots=True)
class Chip:
    """Multiprocessors; of each, bytes of shared memory, and in a clock float32 multiply-adds and bytes from
    the cache behind it (an assumption).
    """

    multiprocessors: int
    shared_bytes: int
    fp32: int
    cache_bytes: int

    def blocks(self, shared_bytes: int) -> int:
        """How many blocks that take so many bytes of shared memory a multiprocessor holds, at least 1."""
        return max(1, self.shared_bytes // (shared_bytes + SYSTEM_BYTES))


H200 = Chip(132, 228 * 1024, 128, 32)


@functools.cache
def chip(ordinal: int) -> Chip:
    """That of a device, or an H200 where there is no driver, for whoever plans without one."""
    try:
        launch.start_driver()
    except RuntimeError:
        return H200
    multiprocessors, shared_bytes = launch.multiprocessors(ordinal)
    capability = launch.device(ordinal).capability
    fp32, cache_bytes = 64 if capability in FEW_UNITS else 128, 32 if capability in WIDE_CACHES else 16
    return Chip(multiprocessors, shared_bytes, fp32, cache_bytes)
