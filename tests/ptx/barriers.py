"""Barriers of a block: ``bar.sync``, ``bar.arrive`` and ``bar.red``, numbered and counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .clocks import Knowledge
from .faults import BarrierError
from .lanes import Active
from .syntax import Instruction

if TYPE_CHECKING:
    from .scheduler import Scheduler


# In place of (block, number of the barrier).
WHOLE_GRID = (-1, -1)


@dataclass
class Point:
    """One barrier of one block that some threads have arrived at.

    `known` is what those that do not wait knew and did when they arrived.
    """

    instruction: Instruction
    expected: int | None
    arrived: list[np.ndarray] = field(default_factory=list)
    waiting: list[np.ndarray] = field(default_factory=list)
    released: list[Callable[[np.ndarray], None]] = field(default_factory=list)
    known: list[Knowledge] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(lanes.size for lanes in self.arrived)


class Barriers:
    """All barriers of the blocks that a scheduler runs.

    A thread that has exited never arrives, unless `exited_arrive` is set.
    """

    def __init__(self, scheduler: Scheduler, exited_arrive: bool) -> None:
        self.scheduler = scheduler
        self.machine = scheduler.machine
        self.exited_arrive = exited_arrive
        self.points: dict[tuple[int, int], Point] = {}

    def clear(self) -> None:
        self.points.clear()

    def sync_all(self, active: Active) -> bool:
        """Try the usual case: all threads of all blocks arrive at once; whether it was so."""
        if active.where is not True or self.points or not self.scheduler.intact:
            return False
        self.machine.races.barrier(active.indices, whole=True)
        return True

    def arrive(
        self,
        instruction: Instruction,
        active: Active,
        number: np.ndarray,
        expected: np.ndarray | None,
        following: int | None,
        released: Callable[[np.ndarray], None] | None = None,
    ) -> None:
        """Let the active lanes arrive at barriers.

        Parameters
        ----------
        number : ndarray
            The barrier of each lane.
        expected : ndarray, optional
            How many threads each lane's barrier waits for; None means the whole block.
        following : int or None
            Segment where the lanes continue once the barrier opens; None if they do not wait.
        released : callable, optional
            Called with the lanes (indices) that have arrived when the barrier opens.
        """
        lanes = active.indices
        if following is not None:
            self.scheduler.ready[lanes] = False
            self.scheduler.segment[lanes] = following
        for block in np.unique(self.machine.block_of_lane[lanes]):
            here = lanes[self.machine.block_of_lane[lanes] == block]
            for name in np.unique(number[here]):
                group = here[number[here] == name]
                count = None if expected is None else int(expected[group[0]])
                self._join((int(block), int(name)), instruction, group, count, following, released)

    def arrive_in_grid(self, instruction: Instruction, active: Active, following: int) -> None:
        """Let the active lanes wait for all threads of the grid, whose blocks all run at once."""
        machine = self.machine
        point = self.points.setdefault(WHOLE_GRID, Point(instruction, machine.blocks * machine.threads))
        lanes = active.indices
        point.arrived.append(lanes)
        self.scheduler.ready[lanes] = False
        self.scheduler.segment[lanes] = following
        self._open_grid_if_complete()

    def _open_grid_if_complete(self) -> None:
        point = self.points[WHOLE_GRID]
        if point.count == (self.scheduler.living if self.exited_arrive else point.expected):
            del self.points[WHOLE_GRID]
            self.machine.races.grid_barrier()
            self.scheduler.ready[np.concatenate(point.arrived)] = True

    def _join(
        self,
        key: tuple[int, int],
        instruction: Instruction,
        lanes: np.ndarray,
        expected: int | None,
        following: int | None,
        released: Callable | None,
    ) -> None:
        lane = int(lanes[0])
        if not 0 <= key[1] < 16:
            raise BarrierError(f"there is no barrier {key[1]}, only 0 to 15", lane=lane)
        if expected is not None and (expected <= 0 or expected % 32):
            raise BarrierError(f"a barrier for {expected} threads: not a multiple of 32", lane=lane)
        point = self.points.setdefault(key, Point(instruction, expected))
        if point.expected != expected:
            raise BarrierError(
                f"barrier {key[1]} waits for {point.expected or 'all'} threads, this instruction "
                f"says {expected or 'all'}",
                lane=lane,
                other=f"line {point.instruction.line}",
            )
        point.arrived.append(lanes)
        if following is not None:
            point.waiting.append(lanes)
        else:
            point.known.append(self.machine.races.arrive(lanes))
        if released is not None:
            point.released.append(released)
        self._open_if_complete(key, lane)

    def _open_if_complete(self, key: tuple[int, int], lane: int) -> None:
        point = self.points[key]
        needed = self._threads(key[0]) if point.expected is None else point.expected
        if point.count > needed:
            raise BarrierError(
                f"{point.count} threads arrive at barrier {key[1]}, which is for {needed}", lane=lane
            )
        if point.count < needed:
            return
        del self.points[key]
        arrived = np.sort(np.concatenate(point.arrived))
        waiting = np.sort(np.concatenate(point.waiting)) if point.waiting else arrived[:0]
        for released in point.released:
            released(arrived)
        whole = point.expected is None or arrived.size == self._threads(key[0])
        whole = whole and waiting.size == arrived.size
        self.machine.races.barrier(waiting, whole, point.known)
        self.scheduler.ready[waiting] = True

    def _threads(self, block: int) -> int:
        if not self.exited_arrive:
            return self.machine.threads
        width = self.machine.width
        return int(np.count_nonzero(~self.scheduler.exited[block * width : (block + 1) * width]))

    def on_exit(self) -> None:
        """Threads have exited: with `exited_arrive`, a barrier may be complete without them."""
        if self.exited_arrive:
            for key, point in list(self.points.items()):
                if key == WHOLE_GRID:
                    self._open_grid_if_complete()
                else:
                    self._open_if_complete(key, int(point.arrived[0][0]))

    def deadlock(self) -> BarrierError:
        """The fault that describes why nobody can run."""
        key, point = next(iter(self.points.items()))
        machine, arrived = self.machine, np.concatenate(point.arrived)
        members = machine.thread_of_lane < machine.threads
        if key == WHOLE_GRID:
            name, needed = "the barrier of the grid", point.expected
        else:
            members &= machine.block_of_lane == key[0]
            name, needed = f"barrier {key[1]}", point.expected or machine.threads
        members[arrived] = False
        exited = int(np.count_nonzero(members & self.scheduler.exited))
        absent = [machine.position(int(lane)) for lane in np.flatnonzero(members)[:1]]
        fault = BarrierError(
            f"{name} waits for {needed} threads but only {point.count} arrive; of the others, "
            f"{exited} have exited{' (exited_threads_arrive=True counts them)' * bool(exited)}, "
            f"and the first is {absent[0] if absent else 'none'} (block, thread)",
            lane=int(arrived[0]),
        )
        return self.scheduler.locate(fault, point.instruction)
