"""Bulk copies under way: loads that complete on an mbarrier, stores that complete in groups.

Data are read when a copy is issued, and arrive when somebody waits for it. A store whose source was
read, which ``wait_group.read`` waits for, may still be under way when the block ends; one whose
source may still be read must not, since shared memory then belongs to another block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .asynchronous import CHUNK, Stretch
from .faults import AsynchronousError, UninitialisedError
from .lanes import Active
from .mbarrier_state import Mbarrier
from .mbarriers import Mbarriers
from .proxies import Proxies
from .races import Access, Record

if TYPE_CHECKING:
    from .machine import Machine
    from .syntax import Instruction


@dataclass(eq=False)
class BulkLoad:
    """A copy to shared memory.

    Attributes
    ----------
    data, known : ndarray, shape (chunks, 16)
        Bytes, and which of them hold a value.
    knowledge : ndarray
        Vector clocks of the issuing thread.
    """

    machine: Machine
    to: Stretch
    source: Stretch
    data: np.ndarray
    known: np.ndarray
    knowledge: np.ndarray
    arrivals: int = 0

    @classmethod
    def issue(cls, to: Stretch, source: Stretch, data: np.ndarray, known: np.ndarray) -> BulkLoad:
        """Check the destination and begin; `source` has been checked and read."""
        machine, lane, region = to.machine, to.lane, to.region
        proxies, races = machine.extension(Proxies), machine.races
        to.check(Access.WRITE)
        proxies.require_fence(region, to.positions, CHUNK, lane)
        for watcher in region.watchers:
            watcher(region, np.full(to.positions.size, lane), to.positions, CHUNK)
        proxies.written_asynchronously(region, to.positions, CHUNK)
        to.hold("pending_write")
        source.hold("pending_read")
        races.settle()
        clocks = races.threads
        knowledge = clocks.known[lane].copy()
        knowledge[lane % clocks.agents] = clocks.own[lane]
        clocks.own[lane] += 1
        return cls(machine, to, source, data, known, knowledge)

    @property
    def instruction(self) -> Instruction:
        return self.to.instruction

    @property
    def lane(self) -> int:
        return self.to.lane

    @property
    def bytes(self) -> int:
        return self.data.size

    def land(self, barrier: Mbarrier) -> None:
        """The data arrive: visible to those that wait for the mbarrier, and to them only."""
        self.to.release("pending_write")
        self.source.release("pending_read")
        self.to.write(self.data, self.known)
        clock = self.machine.extension(Mbarriers).landed(barrier)
        granules = self.to.granules
        lanes = np.full(granules.size, self.lane)
        record = Record(self.instruction, lanes, granules, 1, Access.WRITE)
        rows = np.broadcast_to(self.knowledge, (granules.size, self.knowledge.size))
        self.machine.races.land(record, barrier.agent, clock, rows)
        np.maximum(barrier.gathered, self.knowledge, out=barrier.gathered)


@dataclass(eq=False)
class BulkStore:
    """A copy from shared to global memory, or a reduction there if there is an `update`.

    Attributes
    ----------
    group : int
        The group of the issuing lane that it belongs to.
    data, known : ndarray, shape (elements, bytes of one)
    update : callable, optional
        Of old and new elements; `kind` is their dtype.
    reading : bool
        Whether the source may still be read.
    """

    group: int
    source: Stretch
    to: Stretch
    data: np.ndarray
    known: np.ndarray
    update: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    kind: np.dtype | None = None
    reading: bool = True

    @property
    def _reduction(self) -> Access:
        return Access(True, strong=True, size=self.kind.itemsize)

    def begin(self) -> None:
        if not self.known.all():
            raise UninitialisedError(
                "bulk copy of bytes that nothing has written",
                lane=self.source.lane,
                array=self.source.region.name,
            )
        self.source.hold("pending_read")
        if self.update is None:
            self.to.check(Access.WRITE)
            self.to.hold("pending_write")
        else:
            self.to.check(self._reduction)

    def finish_reading(self) -> None:
        if self.reading:
            self.reading = False
            self.source.release("pending_read")
            self.source.log(Access.READ)

    def finish(self) -> None:
        self.finish_reading()
        if self.update is None:
            self.to.release("pending_write")
            self.to.write(self.data, self.known)
            self.to.log(Access.WRITE)
        else:
            self.to.log(self._reduction)
            self.to.write(self._updated(), self.known)
        proxies = self.to.machine.extension(Proxies)
        proxies.written_asynchronously(self.to.region, self.to.positions, self.to.size)

    def _updated(self) -> np.ndarray:
        if not self.to.written().all():
            raise UninitialisedError(
                "reduction on memory that nothing has written", lane=self.to.lane, array=self.to.region.name
            )
        old, new = (values.reshape(-1).view(self.kind) for values in (self.to.read(), self.data))
        return np.ascontiguousarray(self.update(old, new)).view(np.uint8).reshape(self.data.shape)


class BulkStores:
    """Extension of a machine: the bulk stores of its lanes, and how many groups each has committed."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.proxies = machine.extension(Proxies)
        self.committed = np.zeros(machine.lanes, np.int64)
        self.stores: list[BulkStore] = []

    def begin(self) -> None:
        self.committed.fill(0)
        self.stores.clear()

    def end(self) -> None:
        """The blocks have ended: what is still under way completes, unless its source may be gone."""
        for store in self.stores:
            if store.reading:
                fault = AsynchronousError(
                    "the block ends while a bulk copy may still read its shared memory",
                    lane=store.source.lane,
                )
                raise fault.at(store.source.instruction)
            store.finish()
        self.stores.clear()

    def issue(self, store: BulkStore) -> None:
        store.begin()
        self.stores.append(store)

    def commit(self, active: Active) -> None:
        self.committed[active.indices] += 1

    def wait(self, active: Active, pending: int, only_reading: bool) -> None:
        """The lanes wait until at most `pending` of their latest groups are under way, or being read."""
        rest = []
        for store in self.stores:
            lane = store.source.lane
            if not active.mask[lane] or store.group >= self.committed[lane] - pending:
                rest.append(store)
            elif only_reading:
                store.finish_reading()
                rest.append(store)
            else:
                store.finish()
        self.stores = rest
