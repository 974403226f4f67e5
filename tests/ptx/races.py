"""Data races: accesses to one place by two threads that nothing orders, one of them a write.

Each region has a `Tracker` with a log of accesses. Whenever threads synchronise the log is
examined at once: since the synchronisation before, no two threads were ordered, so two accesses to
one granule by different threads, one of them a write, race. What has to be remembered for longer
goes to a `History` and is compared using the clocks of `ordering`.

Which accesses race, `access_kinds` says. Two plain writes do even if they store the same value: PTX gives
that no meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .access_kinds import BLOCKS, THREADS, Access, conflict
from .history import NOBODY, History, Observed, Ordered, nothing_is
from .lanes import Active
from .syntax import Instruction

SEVERAL = -2
# Entries, one for each thread and access: of reads kept although nothing has written so far, and
# of a log, above which it is examined early if its owner asks for that.
DELAYED_LIMIT = LOG_LIMIT = 1 << 22


class Record(NamedTuple):
    """One logged access: `granules` are the first granules of each lane, `width` their number."""

    instruction: Instruction
    lanes: np.ndarray
    granules: np.ndarray
    width: int
    access: Access

    def expanded(self) -> tuple[np.ndarray, np.ndarray]:
        """Lanes and granules, one entry for each granule."""
        if self.width == 1:
            return self.lanes, self.granules
        return (
            np.repeat(self.lanes, self.width),
            (self.granules[:, None] + np.arange(self.width)).reshape(-1),
        )

    def of(self, chosen: np.ndarray) -> Record:
        """The part of the record for which `chosen`, a bool for each lane of the machine, holds."""
        keep = chosen[self.lanes]
        return self._replace(lanes=self.lanes[keep], granules=self.granules[keep])


class Entry(NamedTuple):
    """A record with, for each of its lanes, the agent, the row to ask `Ordered` for, and its own clock."""

    record: Record
    agents: np.ndarray
    rows: np.ndarray
    clocks: np.ndarray


class Tracker:
    """The log of one region.

    Parameters
    ----------
    name : str
        Of the region, for messages.
    granule : int
        Bytes.
    size : int
        Number of granules.
    address : callable
        Position in the region's data to address.
    width : int
        Lanes of a block where threads of several blocks may meet, else 0.
    crowded : bool
        Whether less than whole blocks synchronise, so that two accesses to a granule stand for no others.
    observed : callable, optional
        (Granules, lanes) to whether the lanes have observed all strong writes there.
    """

    def __init__(
        self,
        name: str,
        granule: int,
        size: int,
        address: Callable[[int], int],
        width: int = 0,
        crowded: bool = False,
        observed: Observed | None = None,
    ) -> None:
        self.name = name
        self.granule = granule
        self.shift = granule.bit_length() - 1
        self.size = size
        self.address = address
        self.width, self.crowded, self.observed = width, crowded, observed
        self.records: list[Record] = []
        self.entries = 0
        self.when_full: Callable[[Tracker], None] | None = None
        self.delayed: list[Entry] = []
        self.delayed_entries = 0
        self.written = False
        self.histories: dict[Access, History] = {}
        self._owner: np.ndarray | None = None

    def log(
        self, instruction: Instruction, lanes: Active, positions: np.ndarray, size: int, access: Access
    ) -> None:
        """Note an access of `size` bytes at `positions` by each of `lanes`."""
        width = max(size >> self.shift, 1)
        self.written = self.written or access.writes
        self.records.append(Record(instruction, lanes.indices, positions >> self.shift, width, access))
        self.entries += lanes.count
        if self.entries > LOG_LIMIT and self.when_full is not None:
            self.when_full(self)

    # -- between two synchronisations ------------------------------------------------------------

    def examine(self) -> None:
        """Raise if accesses in the log race with each other."""
        if not any(record.access.writes for record in self.records):
            return
        self._prepare()
        kinds: dict[Access, list[Record]] = {}
        for record in self.records:
            kinds.setdefault(record.access, []).append(record)
        if Access.WRITE in kinds:
            self._compare(kinds.pop(Access.WRITE), self.records)
        for access, writers in kinds.items():
            for other, records in kinds.items() if access.writes else ():
                how = conflict(access, other)
                if how == THREADS or (how == BLOCKS and self.width):
                    self._compare(writers, records, self.width if how == BLOCKS else 1)

    def _prepare(self) -> None:
        if self._owner is None:
            self._owner = np.full(self.size, NOBODY, np.int32)

    def _compare(self, writers: list[Record], others: list[Record], together: int = 1) -> None:
        """Raise if one of `others` meets a granule of one of `writers` by a different lane.

        Lanes of the same `together` do not count as different.
        """
        owner = self._owner
        entries = [(lanes // together, granules) for lanes, granules in map(Record.expanded, writers)]
        for lanes, granules in entries:
            owner[granules] = lanes
        for lanes, granules in entries:
            owner[granules[owner[granules] != lanes]] = SEVERAL
        for record in others:
            lanes, granules = record.expanded()
            other = owner[granules]
            bad = (other != NOBODY) & (other != lanes // together)
            if np.count_nonzero(bad):
                entry = int(np.flatnonzero(bad)[0])
                self._raise(record, int(lanes[entry]), int(granules[entry]), writers, together)
        for _, granules in entries:
            owner[granules] = NOBODY

    def _raise(self, record: Record, lane: int, granule: int, writers: list[Record], together: int) -> None:
        for writer in writers:
            lanes, granules = writer.expanded()
            others = np.flatnonzero((lanes // together != lane // together) & (granules == granule))
            if others.size:
                break
        raise RaceFound(
            record, lane, self.address(granule * self.granule), self.name, writer, int(lanes[others[0]])
        )

    # -- across synchronisations -----------------------------------------------------------------

    def compare_history(
        self, agents: np.ndarray, rows: np.ndarray, clocks: np.ndarray, ordered: Ordered
    ) -> None:
        """Raise if the log races with the history, then add the log to it.

        Parameters
        ----------
        agents, rows, clocks : ndarray, shape (lanes,)
            The agent that each lane is, its row among the clocks, and its own clock now.
        """
        entries = [
            Entry(record, agents[record.lanes], rows[record.lanes], clocks[record.lanes])
            for record in self.records
        ]
        self.delayed_entries += sum(record.lanes.size for record in self.records)
        if not self.written and self.delayed_entries < DELAYED_LIMIT:
            self.delayed += entries
            return
        delayed, self.delayed, self.delayed_entries = self.delayed, [], 0
        for entry in delayed:  # what its rows knew then, clocks do not tell any more
            self.insert(entry, nothing_is if self.crowded else ordered)
        for entry in entries:
            self.insert(entry, ordered)

    def insert(self, entry: Entry, ordered: Ordered) -> None:
        """Raise if an access races with the history, then add it."""
        record, width = entry.record, entry.record.width
        _, granules = record.expanded()
        agents, rows, clocks = (np.repeat(values, width) for values in entry[1:])
        self._look_back(record, agents, rows, ordered)
        if record.access not in self.histories:
            self.histories[record.access] = History(self.size, self.crowded)
        self.histories[record.access].add(granules, agents, rows, clocks, ordered)

    def check_read(self, record: Record, agents: np.ndarray, rows: np.ndarray, ordered: Ordered) -> None:
        """Raise if a read, which is not to be remembered, races with earlier writes.

        `agents` and `rows` have one entry for each of the record's lanes.
        """
        writers = [earlier for earlier in self.records if earlier.access.writes]
        if writers:
            self._prepare()
            self._compare(writers, [record])
        if self.histories:
            self._look_back(record, *(np.repeat(values, record.width) for values in (agents, rows)), ordered)

    def _look_back(self, record: Record, agents: np.ndarray, rows: np.ndarray, ordered: Ordered) -> None:
        """Raise if an access races with the history; `agents` and `rows` are for each granule."""
        lanes, granules = record.expanded()
        for kind, history in self.histories.items():
            how = conflict(record.access, kind)
            if how is None or (how == BLOCKS and not self.width):
                continue
            observed = self.observed if kind.strong and not record.access.strong else None
            width = self.width if how == BLOCKS else 0
            found = history.find(granules, agents, rows, ordered, width, observed)
            if found is not None:
                place, agent = found
                raise RaceFound(
                    record,
                    int(lanes[place]),
                    self.address(int(granules[place]) * self.granule),
                    self.name,
                    None,
                    agent,
                )

    def clear(self) -> None:
        """Drop the log."""
        self.records.clear()
        self.entries = 0

    def forget(self, granules: slice) -> None:
        """All accesses so far to some granules come before whatever follows."""
        for history in self.histories.values():
            history.clear(granules)
        self.delayed.clear()


class RaceFound(Exception):
    """A race in terms of lanes; `ordering.Races` makes a `RaceError` of it."""

    def __init__(
        self, record: Record, lane: int, address: int, array: str, other: Record | None, agent: int
    ) -> None:
        super().__init__(array)
        self.record, self.lane, self.address, self.array = record, lane, address, array
        self.other, self.agent = other, agent
