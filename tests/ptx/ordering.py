"""Which accesses come before which: barriers of whole blocks, and vector clocks of threads.

Barriers of a whole block order everything within it, so a kernel that uses nothing else needs no clocks:
it is enough to count them. With barriers of warps, named barriers, mbarriers, fences or strong reads every
thread has a vector clock over the threads of its block, and knows of other blocks what `releases` tell it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .access_kinds import Access
from .clocks import Clocks, Knowledge
from .constant_loads import ConstantLoads, has_constant_loads
from .faults import RaceError
from .history import nothing_is
from .lanes import Active
from .program import Program
from .races import Entry, RaceFound, Record, Tracker
from .region import Region
from .releases import Meaning, Releases
from .syntax import Instruction

if TYPE_CHECKING:
    from .machine import Machine

# Modifiers of accesses that are strong, atomics aside.
STRONG = {"volatile", "relaxed", "acquire", "release", "mmio"}
MEETING_BITS = 32


class Races:
    """All trackers of a machine, and what its threads do that orders accesses.

    Attributes
    ----------
    numbers : ndarray, shape (lanes,)
        The number of each lane's block in the grid.
    meetings : ndarray, shape (blocks,)
        How many barriers of each whole block there have been.
    threads : Clocks or None
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.numbers = np.zeros(machine.lanes, np.int64)
        self.in_grid = np.zeros(machine.lanes, np.int64)  # each thread's number, blocks being padded
        self.in_block = machine.lane % machine.width
        self.meetings = np.zeros(machine.blocks, np.int64)
        self.threads: Clocks | None = None
        self.releases: Releases | None = None
        if needs_thread_clocks(machine.program):
            self.threads = Clocks(machine.lanes, machine.width, self.numbers)
            self.releases = Releases(self.threads)
        self.shared = machine.memory.spaces["shared"].region
        self.shared.tracker = self._tracker(self.shared, 0)
        self.global_regions = [
            region for region in machine.memory.spaces["global"].regions if region.writeable
        ]
        for region in self.global_regions:
            region.tracker = self._tracker(region, machine.width)
            region.tracker.when_full = self._shorten
            if has_constant_loads(machine.program):
                region.constant_loads = ConstantLoads(region)

    def _tracker(self, region: Region, width: int) -> Tracker:
        observed = partial(self.releases.observed, region.name) if self.releases else None
        crowded = self.threads is not None
        return Tracker(
            region.name, region.granule, region.valid.size, region.address, width, crowded, observed
        )

    def begin(self) -> None:
        """Other blocks start."""
        self.numbers[:] = self.machine.number_of_lane
        self.in_grid[:] = self.numbers * self.machine.width + self.in_block
        self.shared.tracker.forget(slice(None))
        if self.threads is not None:
            self.threads.begin()
            self.releases.begin(self.shared.name)

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
                clocks = self.threads
                tracker.compare_history(self.in_block, self.machine.lane, clocks.own, clocks.ordered_in_block)
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
        ordered = nothing_is if self.threads is None else self.threads.ordered_in_block
        try:
            tracker.check_read(record, self.in_block[lanes], machine.lane[lanes], ordered)
        except RaceFound as race:
            raise self._error(race) from None

    def _settle_global(self, tracker: Tracker) -> None:
        tracker.examine()
        if self.threads is None:
            meetings = self.meetings[self.machine.block_of_lane]
            rows = self.numbers << MEETING_BITS | meetings
            tracker.compare_history(self.in_grid, rows, meetings, self._met)
        else:
            tracker.compare_history(self.in_grid, self.machine.lane, self.threads.own, self.threads.ordered)
        tracker.clear()

    def _met(self, agents: np.ndarray, meetings: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whether earlier accesses are of the same block, and before its latest barrier."""
        now = rows & ((1 << MEETING_BITS) - 1)
        return (agents // self.machine.width == rows >> MEETING_BITS) & (meetings < now)

    def _shorten(self, tracker: Tracker) -> None:
        """Keep the log of global memory short where a kernel has no barriers."""
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
            width = self.machine.width
            if race.array != self.shared.name:
                other = f"earlier, by thread {race.agent % width} of block {race.agent // width} of the grid"
            elif race.agent < width:
                other = f"earlier, by thread number {race.agent}"
            else:
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

    def arrive(self, lanes: np.ndarray) -> Knowledge:
        """Lanes of one block arrive at a barrier that they do not wait for: what they know and did."""
        self.settle()
        return self.threads.gather(lanes)

    def barrier(self, waiting: np.ndarray, whole: bool, known: Sequence[Knowledge] = ()) -> None:
        """A barrier opens for lanes of whole blocks, or (not `whole`) of a part of one block.

        `known` is what others have brought who do not wait.
        """
        self.settle()
        if whole:
            self._forget_blocks(np.unique(self.machine.block_of_lane[waiting]))
        elif self.threads is not None and waiting.size:
            self.threads.join(waiting, waiting)
            for knowledge in known:
                self.threads.absorb(waiting, knowledge)

    def grid_barrier(self) -> None:
        """All threads of the grid meet."""
        self.settle()
        self._forget_blocks(np.arange(self.machine.blocks))
        for region in self.global_regions:
            region.tracker.forget(slice(None))

    def _forget_blocks(self, blocks: np.ndarray) -> None:
        self.meetings[blocks] += 1
        if self.threads is not None:
            self.threads.meet(blocks)
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
        self.releases.fence(active.indices, wide)

    def strong(
        self,
        region: Region,
        lanes: np.ndarray,
        positions: np.ndarray,
        access: Access,
        meaning: Meaning,
        written: np.ndarray | None = None,
    ) -> None:
        """Lanes (indices) have made strong accesses at `positions`; see `Releases.access`."""
        tracker = region.tracker
        if self.threads is not None and tracker is not None:
            self.settle()
            width = max(access.size >> tracker.shift, 1)
            granules = positions >> tracker.shift
            if meaning.reads:
                self.machine.scheduler.poll()
            self.releases.access(region.name, lanes, granules, access, width, meaning, written)


def needs_thread_clocks(program: Program) -> bool:
    """Whether the kernel synchronises anything less, or more, than whole blocks."""
    return any(map(_orders_threads, program.instructions()))


def _orders_threads(instruction: Instruction) -> bool:
    parts, words = instruction.parts, set(instruction.parts)
    if parts[0] in ("fence", "membar") and "proxy" not in parts:
        return True
    if parts[0] in ("bar", "barrier"):
        return parts[1] == "warp" or "arrive" in parts or len(instruction.operands) > 1
    if parts[0] == "cp":
        return any(part.startswith("mbarrier") for part in parts)
    if parts[0] == "ld" and words & STRONG:
        return True
    return parts[0] in ("mbarrier", "atom") or bool(words & {"acquire", "release", "acq_rel"})


def may_wait_for_blocks(program: Program) -> bool:
    """Whether the kernel has strong reads of global memory, by which a block can wait for another one."""
    return any(
        instruction.parts[0] in ("ld", "atom")
        and (instruction.parts[0] == "atom" or bool(STRONG & set(instruction.parts)))
        and not {"shared", "shared::cta", "cta"} & set(instruction.parts)
        for instruction in program.instructions()
    )
