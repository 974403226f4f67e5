"""The copies of ``cp.async`` under way: many lanes' copies of one instruction as one batch.

The data are read when the copy is issued, and nobody may change them until it is complete. They
arrive at the latest possible moment: when their own thread waits for their group, or when some
thread waits for an mbarrier that tracks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .asynchronous import Holds, Lanes
from .lanes import Active
from .mbarrier_state import Mbarrier
from .mbarriers import Mbarriers
from .proxies import granules_of
from .races import Access, Record
from .region import CHUNKS, Region
from .syntax import Instruction

if TYPE_CHECKING:
    from .machine import Machine


@dataclass(eq=False)
class Source:
    """What a batch reads from one array: granules, and the copy (number in the batch) of each."""

    region: Region
    granules: np.ndarray
    copies: np.ndarray


@dataclass(eq=False)
class Batch:
    """The copies that lanes issued together.

    Attributes
    ----------
    number : int
        Batches are numbered as they are issued.
    lanes, groups, positions : ndarray, shape (copies,)
        Who issued each copy, the group of that lane it belongs to, and its place in shared memory.
    size : int
        Bytes of a copy.
    data : ndarray of uint8, shape (copies, size)
    known : ndarray of bool, same shape
        Which bytes hold a value.
    sources : list of Source
    waiting : ndarray of bool, shape (copies,)
        Which copies are still under way.
    """

    instruction: Instruction
    number: int
    lanes: np.ndarray
    groups: np.ndarray
    positions: np.ndarray
    size: int
    data: np.ndarray
    known: np.ndarray
    sources: list[Source]
    waiting: np.ndarray


class AsyncCopies:
    """Extension of a machine: the copies of its lanes, and how many groups each has committed."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.region = machine.memory.spaces["shared"].region
        self.holds = machine.extension(Holds)
        self.committed = np.zeros(machine.lanes, np.int64)
        self.batches: list[Batch] = []
        self.issued = 0

    def begin(self) -> None:
        self.committed.fill(0)
        self.batches.clear()

    def issue(
        self,
        instruction: Instruction,
        active: Active,
        positions: np.ndarray,
        data: np.ndarray,
        known: np.ndarray,
        sources: list[Source],
    ) -> None:
        """Begin copies of `data`, shape (copies, size), to positions in shared memory."""
        size = data.shape[1]
        self.holds.hold(self.region, "pending_write", self._granules(positions, size))
        for source in sources:
            self.holds.hold(source.region, "pending_read", source.granules)
        lanes = active.indices
        batch = Batch(
            instruction,
            self.issued,
            lanes,
            self.committed[lanes],
            positions,
            size,
            data,
            known,
            sources,
            np.ones(lanes.size, bool),
        )
        self.batches.append(batch)
        self.issued += 1

    def commit(self, active: Active) -> None:
        self.committed[active.indices] += 1

    def wait(self, active: Active, pending: int) -> None:
        """The lanes wait until at most `pending` of their latest groups are under way."""
        for batch in self.batches:
            done = batch.waiting & active.mask[batch.lanes]
            done &= batch.groups < self.committed[batch.lanes] - pending
            if done.any():
                self._arrive(batch, done)
                lanes = Lanes(batch.lanes[done], int(np.count_nonzero(done)))
                self.region.tracker.log(
                    batch.instruction, lanes, batch.positions[done], batch.size, Access.WRITE
                )
        self._drop_complete()

    def track(self, barrier: Mbarrier, instruction: Instruction, lanes: np.ndarray) -> TrackedCopies:
        """All copies that lanes have under way, to complete on an mbarrier."""
        clocks = self.machine.races.threads
        knowledge = clocks.known[lanes]
        knowledge[np.arange(lanes.size), lanes % clocks.agents] = clocks.own[lanes]
        return TrackedCopies(self, instruction, lanes, knowledge, self.issued)

    def land(self, tracked: TrackedCopies, barrier: Mbarrier) -> None:
        """Let copies complete on an mbarrier: visible to those that wait for it, and to them only."""
        row = np.full(self.machine.lanes, -1)
        row[tracked.lanes] = np.arange(tracked.lanes.size)
        clock = self.machine.extension(Mbarriers).landed(barrier)
        for batch in self.batches:
            done = batch.waiting & (row[batch.lanes] >= 0) & (batch.number < tracked.before)
            if done.any():
                self._arrive(batch, done)
                shift = self.region.granule.bit_length() - 1
                record = Record(
                    batch.instruction,
                    batch.lanes[done],
                    batch.positions[done] >> shift,
                    max(batch.size >> shift, 1),
                    Access.WRITE,
                )
                rows = tracked.knowledge[row[batch.lanes[done]]]
                self.machine.races.land(record, barrier.agent, clock, rows)
        self._drop_complete()

    def _arrive(self, batch: Batch, done: np.ndarray) -> None:
        """Write the data of the chosen copies."""
        region, positions, size = self.region, batch.positions[done], batch.size
        self.holds.release(region, "pending_write", self._granules(positions, size))
        for source in batch.sources:
            self.holds.release(source.region, "pending_read", source.granules[done[source.copies]])
        chunks = batch.data[done].view(CHUNKS[size]).reshape(-1)
        region.write(positions, size, chunks)
        known = batch.known[done]
        if not known.all():
            granules = granules_of(region, positions, size)
            region.valid[granules] = known.reshape(*granules.shape, -1).all(axis=2)
        for watcher in region.watchers:
            watcher(region, batch.lanes[done], positions, size)
        batch.waiting &= ~done

    def _drop_complete(self) -> None:
        self.batches = [batch for batch in self.batches if batch.waiting.any()]

    def _granules(self, positions: np.ndarray, size: int) -> np.ndarray:
        return granules_of(self.region, positions, size).reshape(-1)


@dataclass(eq=False)
class TrackedCopies:
    """What ``cp.async.mbarrier.arrive`` leaves with an mbarrier: arrivals after the copies so far."""

    copies: AsyncCopies
    instruction: Instruction
    lanes: np.ndarray
    knowledge: np.ndarray
    before: int
    bytes: int = 0

    @property
    def lane(self) -> int:
        return int(self.lanes[0])

    @property
    def arrivals(self) -> int:
        return self.lanes.size

    def land(self, barrier: Mbarrier) -> None:
        self.copies.land(self, barrier)
