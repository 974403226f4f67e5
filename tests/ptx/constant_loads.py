"""Loads that take memory for constant, ``ld.global.nc``: nothing may write it as long as the kernel runs.

They go through a cache that is not kept coherent, so no barrier or fence makes a write visible to them, not
even one by the same thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .access_kinds import Access
from .faults import RaceError
from .program import Program

if TYPE_CHECKING:
    from .region import Region


def has_constant_loads(program: Program) -> bool:
    """Whether any load of the kernel is one."""
    return any(
        instruction.parts[0] == "ldu" or "nc" in instruction.parts for instruction in program.instructions()
    )


class ConstantLoads:
    """Which granules of an array have been read as constant, and which have been written, in this launch."""

    def __init__(self, region: Region) -> None:
        self.region = region
        region.add_record("read_as_constant")
        region.add_record("written")
        self.any_read = self.any_written = False

    def note(self, positions: np.ndarray, size: int, access: Access) -> None:
        """Note accesses of `size` bytes, or raise; the lane of the fault is a place among them."""
        if access.writes:
            self._write(positions, size)
        elif access.constant:
            self._read(positions, size)

    def _read(self, positions: np.ndarray, size: int) -> None:
        if self.any_written:
            self._check("written", positions, size, "ld.global.nc of bytes that this launch has written")
        self.any_read = True
        self.region.mark("read_as_constant", positions, size, True)

    def _write(self, positions: np.ndarray, size: int) -> None:
        if self.any_read:
            self._check(
                "read_as_constant", positions, size, "write to bytes that ld.global.nc takes for constant"
            )
        self.any_written = True
        self.region.mark("written", positions, size, True)

    def _check(self, record: str, positions: np.ndarray, size: int, message: str) -> None:
        bad = self.region.look(record, positions, size) != 0
        if np.count_nonzero(bad):
            place = int(np.flatnonzero(bad)[0])
            address = self.region.address(int(positions[place]))
            raise RaceError(message, lane=place, address=address, array=self.region.name)
