"""What asynchronous copies share: bytes in use, bytes on their way, accesses that no thread makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .faults import MisalignedError, PtxError, ReadOnlyError
from .lanes import Active
from .races import Access
from .region import CHUNKS, Region
from .syntax import Instruction

if TYPE_CHECKING:
    from .machine import Machine

CHUNK = 16


class Lanes(NamedTuple):
    """Lanes of an access to be logged, where a lane may occur more than once."""

    indices: np.ndarray
    count: int


class Holds:
    """Extension of a machine: which granules copies still read or write, counted.

    A region's own records tell only whether something is pending; of copies, many may read the same.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._counts: dict[tuple[Region, str], np.ndarray] = {}

    def begin(self) -> None:
        """New blocks start. Shared memory has forgotten everything, global memory has not."""
        for (region, record), counts in self._counts.items():
            if region.space == "global":
                region.release(record, np.flatnonzero(counts))
            counts.fill(0)

    def hold(self, region: Region, record: str, granules: np.ndarray) -> None:
        """A copy begins to use granules, of which one may occur several times."""
        counts = self._counts.get((region, record))
        if counts is None:
            counts = self._counts[region, record] = np.zeros(region.valid.size, np.int32)
        distinct = np.unique(granules)
        region.hold(record, distinct[counts[distinct] == 0])
        np.add.at(counts, granules, 1)

    def release(self, region: Region, record: str, granules: np.ndarray) -> None:
        """A copy no longer uses granules."""
        counts = self._counts[region, record]
        np.subtract.at(counts, granules, 1)
        distinct = np.unique(granules)
        region.release(record, distinct[counts[distinct] == 0])


class Stretch:
    """Bytes of one region that the copy of one lane reads or writes, as chunks in a certain order.

    Parameters
    ----------
    machine : Machine
    instruction : Instruction
    lane : int
        Which lane issues the copy.
    region : Region
    positions : ndarray of int64, shape (chunks,)
        Where the chunks begin in the region.
    size : int
        Bytes of a chunk: 1, 2, 4, 8 or 16.
    """

    def __init__(
        self,
        machine: Machine,
        instruction: Instruction,
        lane: int,
        region: Region,
        positions: np.ndarray,
        size: int = CHUNK,
    ) -> None:
        self.machine, self.instruction, self.lane = machine, instruction, lane
        self.region, self.positions, self.size = region, positions, size
        count = max(size // region.granule, 1)
        granules = positions[:, None] // region.granule + np.arange(count)
        self.by_chunk = granules
        self.granules = np.unique(granules)

    def check(self, access: Access) -> None:
        """Compare with pending operations, count and log the access, as one of the lane's own."""
        region = self.region
        if access.writes and not region.writeable:
            raise ReadOnlyError(f"copy to {region.name}", lane=self.lane, array=region.name)
        if region.held or region.has_gaps:
            try:
                if region.has_gaps:
                    region.check_gaps(self.positions, self.size)
                region.check_pending(self.positions, self.size, access.writes)
            except PtxError as fault:
                fault.lane = self.lane
                raise
        if region.constant_loads is not None:
            try:
                region.constant_loads.note(self.positions, self.size, access)
            except PtxError as fault:
                fault.lane = self.lane
                raise
        if self.machine.memory.observer is not None and region.space == "global":
            self.machine.counts.observe_bulk(self.instruction, region, self.positions, self.size)
        self.log(access)

    def log(self, access: Access) -> None:
        """Log the access to every granule."""
        tracker, granules = self.region.tracker, self.granules
        if tracker is not None and granules.size:
            lanes = Lanes(np.full(granules.size, self.lane), granules.size)
            granule = self.region.granule
            tracker.log(self.instruction, lanes, granules * granule, granule, access)

    def hold(self, record: str) -> None:
        self.machine.extension(Holds).hold(self.region, record, self.granules)

    def release(self, record: str) -> None:
        self.machine.extension(Holds).release(self.region, record, self.granules)

    def read(self) -> np.ndarray:
        """The bytes, shape (chunks, size)."""
        return self.region.read(self.positions, self.size).view(np.uint8).reshape(-1, self.size)

    def written(self) -> np.ndarray:
        """Whether each byte holds a value, shape (chunks, size)."""
        if self.region.all_valid:
            return np.ones((self.positions.size, self.size), bool)
        known = self.region.valid[self.by_chunk]
        return np.repeat(known, self.size // known.shape[1], axis=1)

    def write(self, data: np.ndarray, known: np.ndarray) -> None:
        """Store bytes, shape (chunks, size), of which `known` tells which hold a value."""
        region = self.region
        chunks = np.ascontiguousarray(data).view(CHUNKS[self.size]).reshape(-1)
        region.write(self.positions, self.size, chunks)
        if not known.all():
            width = self.by_chunk.shape[1]
            region.valid[self.by_chunk] = known.reshape(known.shape[0], width, -1).all(axis=2)


def only(machine: Machine, lane: int) -> Active:
    """The set of one lane."""
    mask = np.zeros(machine.lanes, bool)
    mask[lane] = True
    return Active(mask, 1)


def place(
    machine: Machine, space: str, address: int, lane: int, size: int, alignment: int
) -> tuple[Region, int]:
    """The region of `size` bytes, a multiple of 16, at an address that a lane gives; and the position.

    Raises
    ------
    OutOfBoundsError, MisalignedError
    """
    active = only(machine, lane)
    if address % alignment:
        raise MisalignedError(f"an address that is not a multiple of {alignment}", lane=lane, address=address)
    ends = np.array([address, address + max(size, CHUNK) - CHUNK])
    parts = [next(machine.memory.parts(space, end[None], active, CHUNK)) for end in ends]
    (_, _, region, first), _ = parts
    return region, int(first[0])
