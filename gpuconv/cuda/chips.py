"""What the choice of a tile has to know of a GPU."""

import functools
from dataclasses import dataclass

from gpuconv.cuda import launch

SYSTEM_BYTES = 1024  # of shared memory that each block takes besides its own, from compute capability 8.0 on
FEW_UNITS = ((7, 5), (8, 0))  # compute capabilities with 64 multiply-adds in a clock, instead of 128


@dataclass(frozen=True, slots=True)
class Chip:
    """Multiprocessors; bytes of shared memory and float32 multiply-adds in a clock of each."""

    multiprocessors: int
    shared_bytes: int
    fp32: int

    def blocks(self, shared_bytes: int) -> int:
        """How many blocks that take so many bytes of shared memory a multiprocessor holds, at least 1."""
        return max(1, self.shared_bytes // (shared_bytes + SYSTEM_BYTES))


H200 = Chip(132, 228 * 1024, 128)


@functools.cache
def chip(ordinal: int) -> Chip:
    """That of a device, or an H200 where there is no driver, for whoever plans without one."""
    try:
        launch.start_driver()
    except RuntimeError:
        return H200
    multiprocessors, shared_bytes = launch.multiprocessors(ordinal)
    return Chip(multiprocessors, shared_bytes, 64 if launch.device(ordinal).capability in FEW_UNITS else 128)
