"""Which lanes execute what next: divergence, reconvergence, barriers, waiting for a warp.

Among all lanes that can run, those at the lowest segment of the program run, together. Lanes of a
warp that diverged therefore meet again at the first segment that they share, and so do the blocks
of the vector. A loop that waits for lanes further on would run for ever: lanes that have taken too
many turns, or go back after a strong read, while others could run stand aside for a while.
"""

from __future__ import annotations

import numpy as np

from .barriers import Barriers
from .faults import DivergenceError, PtxError, StepLimitError
from .lanes import Active
from .machine import Machine
from .segments import BoundSegment, groups_with
from .syntax import Instruction

PATIENCE = 2000
NOWHERE = np.iinfo(np.int32).max


class Scheduler:
    """Runs the blocks of a machine to their end."""

    def __init__(self, machine: Machine, limit: int, exited_arrive: bool = False) -> None:
        self.machine = machine
        machine.scheduler = self
        self.limit = limit
        self.steps = 0
        self.segment = np.zeros(machine.lanes, np.int32)
        self.ready = np.zeros(machine.lanes, bool)
        self.exited = np.ones(machine.lanes, bool)
        self.aside = np.zeros(machine.lanes, bool)
        self.parked = np.zeros(machine.lanes, bool)
        self.living = 0
        self.intact = True
        self.tired = False
        self.polls = False
        self.barriers = Barriers(self, exited_arrive)
        self.segments = [BoundSegment(machine, segment) for segment in machine.program.segments]

    def run(self, count: int) -> None:
        """Run the first `count` blocks of the machine."""
        machine = self.machine
        self.exited[:] = (machine.block_of_lane >= count) | (machine.thread_of_lane >= machine.threads)
        self.ready[:] = ~self.exited
        self.aside[:] = self.parked[:] = False
        self.living = int(np.count_nonzero(self.ready))
        self.intact = self.living == machine.lanes
        self.segment[:] = machine.program.starts[machine.program.entry.name]
        self.barriers.clear()
        with np.errstate(all="ignore"):
            while self.living:
                self._advance(*self._pick())
        self._finish()

    def _finish(self) -> None:
        """All threads have exited: what they did is complete."""
        try:
            self.machine.end()
        except PtxError as fault:
            raise self.locate(fault, self.machine.program.segments[-1].instructions[-1]) from None

    def _pick(self) -> tuple[Active, int, int]:
        """The lanes that run next, their segment, and the lowest segment of the others."""
        candidates = self.ready & ~self.aside
        if not candidates.any():
            self.aside[:] = False
            candidates = self.ready
            if not candidates.any():
                raise self._deadlock()
        places = np.where(candidates, self.segment, NOWHERE)
        lowest = int(places.min())
        mask = places == lowest
        count = int(np.count_nonzero(mask))
        places[mask] = NOWHERE
        return Active(mask, count, count == self.living), lowest, int(places.min())

    def _advance(self, active: Active, index: int, others: int) -> None:
        """Run lanes until they diverge, wait, end, or meet the lanes at segment `others`."""
        turns = 0
        self.tired = self.polls = False
        while True:
            segment = self.segments[index]
            self.steps += 1
            turns += 1
            if self.steps > self.limit:
                fault = StepLimitError(f"no end after {self.limit} segments", lane=int(active.indices[0]))
                raise self.locate(fault, segment.instructions[0])
            if segment.group and not (active.where is True and self.intact and segment.for_all):
                active = self._converge(segment, active)
                if active is None:
                    return
            following = segment.run(active)
            if following is None:
                return
            self.tired = self.tired or (self.polls and following <= index)
            index = following
            if index >= others or turns > PATIENCE or self.tired:
                self.segment[active.indices] = index
                self.aside[active.indices] = index < others
                return

    def send(self, lanes: np.ndarray, index: int | np.ndarray) -> None:
        """Let lanes (indices) continue at a segment."""
        self.segment[lanes] = index
        self.ready[lanes] = True

    def stand_aside(self) -> None:
        """Called by an instruction that waits in a loop: let the others run first."""
        self.tired = True

    def poll(self) -> None:
        """Called by a strong read: a loop that goes on with it may be waiting for others."""
        self.polls = True

    def exit(self, active: Active) -> None:
        """End the active lanes."""
        self.exited[active.indices] = True
        self.ready[active.indices] = False
        self.living -= active.count
        self.intact = self.intact and self.living == 0
        self.ready |= self.parked  # there may be one thread less to wait for
        self.barriers.on_exit()

    # -- instructions for a whole warp -----------------------------------------------------------

    def _converge(self, segment: BoundSegment, active: Active) -> Active | None:
        """Those of the lanes at `segment`, parked ones included, whose groups are complete."""
        mask = active.mask | (self.parked & (self.segment == segment.index))
        size = segment.group
        needed = segment.needed(mask)
        waiting = mask & groups_with(needed & ~self.exited & ~mask, size)
        outside = mask & ~needed
        if segment.operation.whole:
            outside |= mask & groups_with(needed & self.exited, size)
        if outside.any():
            what = "of which some have exited" if segment.operation.whole else "but not in its member mask"
            fault = DivergenceError(
                f"a thread executes an instruction for {size} threads, {what}",
                lane=int(np.flatnonzero(outside)[0]),
            )
            raise self.locate(fault, segment.instructions[0])
        if segment.members is not None and (bad := segment.disagreeing(mask & ~waiting)).any():
            fault = DivergenceError(
                "threads that meet at an instruction do not have the same member mask, or not all that a "
                "mask names execute it",
                lane=int(np.flatnonzero(bad)[0]),
            )
            raise self.locate(fault, segment.instructions[0])
        self.parked[mask] = False
        self.parked[waiting] = True
        self.ready[waiting] = False
        self.segment[waiting] = segment.index
        runs = mask & ~waiting
        self.ready[runs] = True
        count = int(np.count_nonzero(runs))
        return Active(runs, count, count == self.living) if count else None

    # -- faults ----------------------------------------------------------------------------------

    def _deadlock(self) -> PtxError:
        lanes = np.flatnonzero(~self.exited)
        lane = int(lanes[0])
        if self.parked.any():
            lane = int(np.flatnonzero(self.parked)[0])
            segment = self.segments[self.segment[lane]]
            fault: PtxError = DivergenceError(
                f"threads wait for others of their {segment.group} threads that never come", lane=lane
            )
            return self.locate(fault, segment.instructions[0])
        return self.barriers.deadlock()

    def locate(self, fault: PtxError, instruction: Instruction) -> PtxError:
        """Add instruction, block and thread to a fault."""
        fault.at(instruction)
        if fault.block is None and fault.lane is not None:
            fault.block, fault.thread = self.machine.position(fault.lane)
        fault.kernel = self.machine.program.entry.name
        return fault
