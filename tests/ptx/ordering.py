"""Which accesses come before which: vector clocks of threads and of blocks.

Barriers of a whole block order everything within it, so a kernel that uses nothing else needs no
clocks. With barriers of warps, named barriers, mbarriers or fences every thread has a vector clock over
the threads of its block; with fences beyond the block, every block has one over the grid.

A fence followed by a strong write or atomic releases, a strong read or atomic followed by a fence
acquires, as ``.release`` and ``.acquire`` do by themselves. All such places are taken for one: a
kernel that pairs a release with the acquire of another variable is not found out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .clocks import MBARRIERS, Clocks
from .faults import RaceError
from .lanes import Active
from .program import Program
from .races import Access, Entry, RaceFound, Record, Tracker
from .region import Region
from .syntax import Instruction

if TYPE_CHECKING:
    from .machine import Machine


class Races:
    """All trackers of a machine, and what its threads do that orders accesses."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        program = machine.program
        self.numbers = np.zeros(machine.lanes, np.int64)
        self.meetings = np.zeros(machine.blocks, np.int64)  # barriers of each whole block so far
        self.threads: Clocks | None = None
        if needs_thread_clocks(program):
            self.threads = Clocks(machine.blocks, machine.width, MBARRIERS)
        total = machine.grid[0] * machine.grid[1] * machine.grid[2]
        self.grid = Clocks(1, total) if needs_grid_clocks(program) else None
        shared = machine.memory.spaces["shared"].region
        shared.tracker = Tracker(shared.name, shared.granule, shared.valid.size, shared.address)
        self.shared = shared
        for region in machine.memory.spaces["global"].regions:
            if region.writeable:
                region.tracker = Tracker(region.name, region.granule, region.valid.size, region.address)
                region.tracker.when_full = self._shorten
        self.global_regions = [
            region for region in machine.memory.spaces["global"].regions if region.writeable
        ]

    def begin(self, first: int) -> None:
        """Blocks of the grid from number `first` on start."""
        self.numbers[:] = first + self.machine.block_of_lane
        self.shared.tracker.forget(slice(None))

    def end(self) -> None:
        """All threads of the blocks have exited."""
        self.settle()
        self.shared.tracker.clear()

    def settle(self) -> None:
        """Examine all logs: nothing logged so far is ordered with what follows except by clocks."""
        try:
            for region in self.global_regions:
                self._settle_global(region.tracker)
            tracker = self.shared.tracker
            tracker.examine()
            if self.threads is not None:
                clocks, machine = self.threads, self.machine
                tracker.compare_history(machine.thread_of_lane, machine.lane, clocks.own, clocks.ordered)
                tracker.clear()
        except RaceFound as race:
            raise self._error(race) from None

    def check_read(
        self, region: Region, instruction: Instruction, lanes: np.ndarray, positions: np.ndarray, size: int
    ) -> None:
        """Raise if reads by lanes (indices) race with earlier writes; the reads are not remembered.

        For reads that complete later: until then nobody may write there anyway.
        """
        if self.threads is not None:
            self.settle()
        tracker, machine = region.tracker, self.machine
        width = max(size // region.granule, 1)
        record = Record(instruction, lanes, positions // region.granule, width, Access.READ)
        ordered = _only_itself if self.threads is None else self.threads.ordered
        try:
            tracker.check_read(record, machine.thread_of_lane[lanes], machine.lane[lanes], ordered)
        except RaceFound as race:
            raise self._error(race) from None

    def _settle_global(self, tracker: Tracker) -> None:
        tracker.examine()
        if self.grid is None:
            ones = np.ones(self.machine.lanes, np.int32)
            tracker.compare_history(self.numbers, self.numbers, ones, _only_itself)
        else:
            tracker.compare_history(
                self.numbers, self.numbers, self.grid.own[self.numbers], self.grid.ordered
            )
        tracker.clear()

    def _shorten(self, tracker: Tracker) -> None:
        """Keep the log of global memory short where a kernel has no barriers.

        What threads of one block did before and after is then not compared any more.
        """
        try:
            self._settle_global(tracker)
        except RaceFound as race:
            raise self._error(race) from None

    def _error(self, race: RaceFound) -> RaceError:
        if race.other is not None:
            block, thread = self.machine.position(race.agent)
            other = (
                f"{race.other.access.value} by block {block}, thread {thread}, line "
                f"{race.other.instruction.line}: {race.other.instruction.text}"
            )
        else:
            what = "thread" if race.array == self.shared.name else "block"
            other = f"earlier, by {what} number {race.agent}"
            if what == "thread" and race.agent >= self.machine.width:
                other = "earlier, by an asynchronous copy that completed on an mbarrier"
        error = RaceError(
            f"{race.record.access.value} races with an access that nothing orders",
            lane=race.lane,
            address=race.address,
            array=race.array,
            other=other,
        )
        error.at(race.record.instruction)
        return error

    # -- what orders accesses --------------------------------------------------------------------

    def barrier(self, arrived: np.ndarray, waiting: np.ndarray, whole: bool) -> None:
        """Lanes of whole blocks, or (not `whole`) of a part of one block, meet at a barrier."""
        self.settle()
        if whole:
            self._forget_blocks(np.unique(self.machine.block_of_lane[arrived]))
        elif self.threads is not None:
            self.threads.join(arrived, waiting)

    def grid_barrier(self) -> None:
        """All threads of the grid meet."""
        self.settle()
        self._forget_blocks(np.arange(self.machine.blocks))
        for region in self.global_regions:
            region.tracker.forget(slice(None))

    def _forget_blocks(self, blocks: np.ndarray) -> None:
        self.meetings[blocks] += 1
        tracker, machine = self.shared.tracker, self.machine
        if blocks.size == machine.blocks:
            tracker.clear()
            tracker.forget(slice(None))
            return
        others = ~np.isin(machine.block_of_lane, blocks)
        tracker.records[:] = [record.of(others) for record in tracker.records]
        granules = self.shared.stride // self.shared.granule
        for block in blocks:
            tracker.forget(slice(block * granules, (block + 1) * granules))

    def warp_barrier(self, active: Active, members: np.ndarray) -> None:
        """Active lanes synchronise with those of their warp that their member masks name."""
        self.settle()
        lanes = active.indices
        keys = (lanes // 32 << 32) | members[lanes]
        for key in np.unique(keys):
            group = lanes[keys == key]
            self.threads.join(group, group)

    def land(self, record: Record, agent: int, clock: int, knowledge: np.ndarray) -> None:
        """A copy that completes on an mbarrier writes shared memory: an access that is no thread's.

        `knowledge` has, for each lane of the record, a row of what came before the copy's issue.
        """
        lanes = np.arange(record.lanes.size)
        entry = Entry(record, np.full(lanes.size, agent), lanes, np.full(lanes.size, clock))
        tracker = self.shared.tracker
        tracker.written = True
        self.settle()
        try:
            tracker.insert(entry, lambda agents, clocks, rows: knowledge[rows, agents] >= clocks)
        except RaceFound as race:
            raise self._error(race) from None

    def fence(self, active: Active, wide: bool) -> None:
        """Active lanes execute a fence; `wide` if it reaches beyond the block."""
        self.settle()
        self.threads.acquire(active.indices)
        self.threads.fenced[active.indices] = True
        if wide and self.grid is not None:
            blocks = np.unique(self.numbers[active.indices])
            self.grid.acquire(blocks)
            self.grid.fenced[blocks] = True

    def strong_write(self, active: Active, release: bool) -> None:
        """Before a strong write or atomic: publish what a fence has ordered before it."""
        for clocks, rows in self._clocks(active):
            rows = rows if release else rows[clocks.fenced[rows]]
            if rows.size:
                self.settle()
                clocks.release(np.unique(rows))

    def strong_read(self, active: Active, acquire: bool) -> None:
        """After a strong read or atomic."""
        if acquire:
            self.settle()
            for clocks, rows in self._clocks(active):
                clocks.acquire(np.unique(rows))

    def _clocks(self, active: Active) -> list[tuple[Clocks, np.ndarray]]:
        found = [] if self.threads is None else [(self.threads, active.indices)]
        return found if self.grid is None else [*found, (self.grid, self.numbers[active.indices])]


def _only_itself(agents: np.ndarray, clocks: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return agents == rows


def needs_thread_clocks(program: Program) -> bool:
    """Whether the kernel synchronises anything less, or more, than whole blocks."""
    for instruction in program.instructions():
        parts = instruction.parts
        fence = parts[0] in ("fence", "membar") and "proxy" not in parts
        if parts[:2] == ("bar", "warp") or fence or parts[0] == "mbarrier":
            return True
        if parts[0] == "cp" and any(part.startswith("mbarrier") for part in parts):
            return True
        if parts[0] in ("bar", "barrier") and ("arrive" in parts or len(instruction.operands) > 1):
            return True
        if {"acquire", "release", "acq_rel"} & set(parts):
            return True
    return False


def needs_grid_clocks(program: Program) -> bool:
    """Whether the kernel has fences or orderings that reach beyond a block, its cluster of one."""
    for instruction in program.instructions():
        words = set(instruction.parts)
        if instruction.parts[0] in ("fence", "membar") and not words & {"cta", "cluster", "proxy"}:
            return True
        if instruction.parts[0] == "mbarrier":
            continue
        if words & {"acquire", "release", "acq_rel"} and not words & {"cta", "cluster"}:
            return True
    return False
