"""Mbarriers: barriers in shared memory that count arrivals and bytes, in phases.

A phase completes when as many arrivals as the mbarrier expects, and as many bytes as it was told to
expect, have come. Copies bring theirs at the latest possible moment: when a thread tests for the
phase, and then only as many of them, in order, as complete it. So a wait that is missing, or that
is for too little, never finds the data there by luck. For the same reason a test fails the first
time, unless something else has told the thread that the phase is complete.

Each mbarrier hands on what the arriving threads knew and did to those that wait, and nothing else
does: two mbarriers that are mixed up are a race.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .access_kinds import Access
from .clocks import MBARRIERS, merged
from .faults import AsynchronousError, BarrierError, OutOfBoundsError, UninitialisedError
from .lanes import Active
from .mbarrier_state import BYTES, LARGEST, Mbarrier
from .syntax import Instruction

if TYPE_CHECKING:
    from .machine import Machine

ACCESS = Access(True, strong=True, wide=False, size=BYTES)
# After so many failures of all threads that could run, with nothing happening, none will succeed.
PATIENCE = 100


class Mbarriers:
    """Extension of a machine: all its mbarriers, by their position in shared memory."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.region = machine.memory.spaces["shared"].region
        self.objects: dict[int, Mbarrier] = {}
        self.landings = np.zeros((machine.blocks, MBARRIERS), np.int32)
        self.failures = np.zeros(machine.lanes, np.int64)

    def begin(self) -> None:
        self.objects.clear()
        self.landings.fill(0)
        self.failures.fill(0)

    def end(self) -> None:
        """The blocks have ended: nothing may be on its way into their shared memory."""
        for barrier in self.objects.values():
            for delivery in barrier.queue:
                if delivery.bytes:
                    fault = AsynchronousError(
                        "the block ends while a copy into its shared memory is under way", lane=delivery.lane
                    )
                    raise fault.at(delivery.instruction)

    # -- objects ---------------------------------------------------------------------------------

    def places(self, space: str, addresses: np.ndarray, active: Active) -> np.ndarray:
        """The positions that addresses of mbarriers mean, for each active lane."""
        positions = np.zeros(active.count, np.int64)
        for selection, lanes, region, found in self.machine.memory.parts(space, addresses, active, BYTES):
            if region is not self.region:
                raise OutOfBoundsError("an mbarrier outside of shared memory", lane=int(lanes.indices[0]))
            positions[selection] = found
        return positions

    def meet(
        self, instruction: Instruction, space: str, addresses: np.ndarray, active: Active
    ) -> Iterator[tuple[Mbarrier, np.ndarray, np.ndarray]]:
        """(Mbarrier, its lanes, their places among the active ones) of an instruction that uses them."""
        positions = self.places(space, addresses, active)
        groups = [(int(position), np.flatnonzero(positions == position)) for position in np.unique(positions)]
        found = [(self.find(position, int(active.indices[chosen[0]])), chosen) for position, chosen in groups]
        self.region.tracker.log(instruction, active, positions, BYTES, ACCESS)
        self.machine.races.settle()
        for barrier, chosen in found:
            yield barrier, active.indices[chosen], chosen

    def find(self, position: int, lane: int) -> Mbarrier:
        barrier = self.objects.get(position)
        if barrier is None:
            raise UninitialisedError(
                "use of an mbarrier that is not initialised",
                lane=lane,
                address=self.region.address(position),
                array=self.region.name,
            )
        return barrier

    def initialise(self, position: int, lane: int, count: int) -> None:
        """Make an mbarrier; the caller keeps other accesses away from its bytes."""
        if position in self.objects:
            raise BarrierError("an mbarrier is initialised again without mbarrier.inval", lane=lane)
        if not 1 <= count <= LARGEST:
            raise BarrierError(f"an mbarrier for {count} arrivals: not from 1 to {LARGEST}", lane=lane)
        block = int(self.machine.block_of_lane[lane])
        slot = sum(other.block == block for other in self.objects.values()) % MBARRIERS
        clocks = np.zeros(self.machine.races.threads.known.shape[1], np.int32)
        self.objects[position] = Mbarrier(
            position,
            self.region.address(position),
            block,
            int(self.machine.races.numbers[lane]),
            self.machine.width + slot,
            count,
            count,
            clocks,
            clocks.copy(),
            np.full(self.machine.width, -1),
        )

    def invalidate(self, position: int, lane: int) -> None:
        if self.find(position, lane).queue:
            raise AsynchronousError("mbarrier.inval while copies are to complete on it", lane=lane)
        del self.objects[position]
        self.region.release("pending_write", self.region.granules(np.array([position]), BYTES))

    # -- arrivals and bytes ----------------------------------------------------------------------

    def expect(self, barrier: Mbarrier, lane: int, count: int) -> None:
        """Change the bytes that the current phase waits for."""
        self.failures.fill(0)
        barrier.transactions += count
        if abs(barrier.transactions) > LARGEST:
            raise BarrierError(f"{barrier.transactions} bytes for one phase of an mbarrier", lane=lane)
        self._finish_if_complete(barrier)

    def arrive(self, barrier: Mbarrier, lanes: np.ndarray, counts: np.ndarray, release: bool) -> np.ndarray:
        """Lanes arrive, `counts` times each; returns what was pending before each of them."""
        self.failures.fill(0)
        lane, total = int(lanes[0]), int(counts.sum())
        if not barrier.observed:
            raise BarrierError(
                f"arrival at phase {barrier.phase} of an mbarrier before any thread has waited for the "
                "phase before",
                lane=lane,
            )
        if total > barrier.pending or (counts < 1).any():
            raise BarrierError(f"{total} arrivals at {barrier.state()}", lane=lane)
        before = barrier.pending - np.cumsum(counts) + counts
        if release:
            self._gather(barrier, lanes)
        barrier.pending -= total
        self._finish_if_complete(barrier)
        return before

    def drop(self, barrier: Mbarrier, lane: int, count: int) -> None:
        """Expect fewer arrivals from the next phase on."""
        barrier.expected -= count
        if barrier.expected < 1:
            raise BarrierError("mbarrier.arrive_drop leaves no arrivals to expect", lane=lane)

    def _gather(self, barrier: Mbarrier, lanes: np.ndarray) -> None:
        knowledge = self.machine.races.threads.gather(lanes)
        near = knowledge.pop(barrier.number)
        np.maximum(barrier.gathered, near, out=barrier.gathered)
        barrier.gathered_far = merged(barrier.gathered_far, knowledge)

    def _finish_if_complete(self, barrier: Mbarrier) -> None:
        if barrier.pending or barrier.transactions:
            return
        barrier.phase += 1
        barrier.pending = barrier.expected
        barrier.known = barrier.gathered.copy()
        barrier.known_far = barrier.gathered_far
        barrier.observed = False
        barrier.meeting = int(self.machine.races.meetings[barrier.block])

    def landed(self, barrier: Mbarrier) -> int:
        """The clock of a copy that completes on an mbarrier."""
        clock = self.landings[barrier.block, barrier.agent - self.machine.width] + 1
        self.landings[barrier.block, barrier.agent - self.machine.width] = clock
        barrier.gathered[barrier.agent] = clock
        return int(clock)

    # -- waiting ---------------------------------------------------------------------------------

    def test(self, barrier: Mbarrier, lanes: np.ndarray, phases: np.ndarray, acquire: bool) -> np.ndarray:
        """Which of the lanes find the phase complete that each of them asks for."""
        done = np.zeros(lanes.size, bool)
        for phase in np.unique(phases):
            chosen = phases == phase
            done[chosen] = self._test(barrier, lanes[chosen], int(phase))
        if not done.all():
            self._check_progress(barrier, lanes[~done])
        if done.any():
            self.failures.fill(0)
            if acquire:
                knowledge = {**barrier.known_far, barrier.number: barrier.known}
                self.machine.races.threads.absorb(lanes[done], knowledge)
        return done

    def _test(self, barrier: Mbarrier, lanes: np.ndarray, phase: int) -> np.ndarray:
        if phase < 0:
            return np.ones(lanes.size, bool)
        needed = None if phase < barrier.phase else barrier.deliveries_needed()
        if phase == barrier.phase and needed is None:
            self.failures[lanes] += 1
            return np.zeros(lanes.size, bool)
        threads = self.machine.thread_of_lane[lanes]
        passes = barrier.refused[threads] == phase
        if needed is None:
            known = self.machine.races.threads.known[lanes]
            passes |= (known >= barrier.known).all(axis=1)
            passes |= barrier.meeting < self.machine.races.meetings[barrier.block]
        barrier.refused[threads[~passes]] = phase
        if passes.any():
            if needed is not None:
                self._deliver(barrier, needed)
            barrier.observed = barrier.observed or phase == barrier.phase - 1
        return passes

    def _deliver(self, barrier: Mbarrier, count: int) -> None:
        for delivery in barrier.queue[:count]:
            delivery.land(barrier)
            barrier.pending -= delivery.arrivals
            barrier.transactions -= delivery.bytes
        del barrier.queue[:count]
        self._finish_if_complete(barrier)

    def _check_progress(self, barrier: Mbarrier, lanes: np.ndarray) -> None:
        scheduler = self.machine.scheduler
        scheduler.stand_aside()
        if (self.failures[scheduler.ready] >= PATIENCE).all():
            failing = lanes[self.failures[lanes] >= PATIENCE]
            raise BarrierError(
                f"all threads wait for what never comes, this one for {barrier.state()}", lane=int(failing[0])
            )
