"""Segments bound to a machine: what executes one straight run of instructions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .faults import DivergenceError, PtxError
from .lanes import Active
from .machine import Machine
from .program import Segment
from .registry import Binder, Operation, Step, lookup, registers_read, registers_written
from .syntax import Immediate, Instruction


def groups_with(lanes: np.ndarray, size: int) -> np.ndarray:
    """All lanes of the groups that have one of `lanes`."""
    return np.repeat(lanes.reshape(-1, size).any(axis=1), size)


def _is_everyone(members: object) -> bool:
    return isinstance(members, Immediate) and int(members.value) & 0xFFFFFFFF == 0xFFFFFFFF


class BoundSegment:
    """A segment whose instructions are bound to a machine."""

    def __init__(self, machine: Machine, segment: Segment) -> None:
        self.machine = machine
        self.index = segment.index
        self.instructions = segment.instructions
        self.touched = segment.touched
        self.steps = [
            bind(machine, instruction, segment.index + 1, segment.successors)
            for instruction in segment.instructions
        ]
        self.control = segment.control is not None
        self.operation: Operation = lookup(segment.instructions[0])[1]
        self.group = self.operation.group
        self.warps = 0
        self.threads = 0
        guard = segment.instructions[0].guard
        self.guard = None if guard is None else machine.register(guard)
        self.needed = self._needed()
        members = self.operation.members
        self.members = None if members is None else self._members(segment.instructions[0], members)
        self.for_all = members is None or _is_everyone(segment.instructions[0].operands[members])

    def _members(self, instruction: Instruction, operand: int) -> np.ndarray:
        return self.machine.source(instruction.operands[operand], "b32", instruction)

    def disagreeing(self, runs: np.ndarray) -> np.ndarray:
        """The lanes of `runs` whose member mask names one that has another mask, or that does not execute."""
        guard, instruction = self.guard, self.instructions[0]
        wanted = runs if guard is None else runs & (guard != instruction.negated)
        masks = np.where(wanted, self.members, 0).reshape(-1, 32)
        result = np.zeros_like(runs).reshape(-1, 32)
        there = runs.reshape(-1, 32)
        bit = np.uint32(1) << np.arange(32, dtype=np.uint32)
        whole = np.bitwise_or.reduce(np.where(there, bit, 0), axis=1)
        for warp in np.flatnonzero(((masks != whole[:, None]) & there).any(axis=1)):
            own = masks[warp]
            names = (own[:, None] >> np.arange(32, dtype=np.uint32)) & 1 != 0
            result[warp] = (names & there[warp] & (own[:, None] != own)).any(axis=1)
        return result.reshape(-1)

    def _needed(self) -> Callable[[np.ndarray], np.ndarray]:
        """The function that tells which lanes must take part, given those that are there."""
        instruction, machine = self.instructions[0], self.machine
        guard = self.guard
        if self.operation.members is None:
            size = self.group or 1
            return lambda mask: groups_with(mask, size)
        members = self._members(instruction, self.operation.members)
        bit = machine.special["%lanemask_eq"]

        def needed(mask: np.ndarray) -> np.ndarray:
            wanted = mask if guard is None else mask & (guard != instruction.negated)
            named = np.bitwise_or.reduce(np.where(wanted, members, 0).reshape(-1, 32), axis=1)
            return ((np.repeat(named, 32) & bit) != 0) | (mask & ~wanted)

        return needed

    def run(self, active: Active) -> int | None:
        """Execute; returns the segment where all the lanes continue, or None."""
        machine = self.machine
        undefined, busy = machine.states.undefined, machine.states.busy
        self.warps += active.warps
        self.threads += active.count
        result = None
        number = 0
        try:
            for number, step in enumerate(self.steps):
                if undefined or busy:
                    touched = self.touched[number]
                    if not (touched.isdisjoint(undefined) and touched.isdisjoint(busy)):
                        machine.states.follow(self.instructions[number], active)
                result = step(active)
        except PtxError as fault:
            raise machine.scheduler.locate(fault, self.instructions[number]) from None
        return result if self.control else self.index + 1


def bind(machine: Machine, instruction: Instruction, following: int, successors: list[int]) -> Step:
    """The function that executes an instruction, its guard included."""
    binder = Binder(machine, instruction, following, successors)
    step = _noting(machine, instruction, binder.bind())
    if instruction.guard is None:
        return step
    predicate, negated = machine.register(instruction.guard), instruction.negated
    select = np.greater if negated else np.logical_and  # mask > p is mask & ~p
    if binder.operation.control:
        return _guarded_control(machine, step, predicate, select, following)

    group = binder.operation.group if binder.operation.whole else 0
    obeyed = machine.counts.obeyed

    def guarded(active: Active) -> None:
        mask = select(active.mask, predicate)
        count = int(np.count_nonzero(mask))
        if group and count and (partial := mask ^ groups_with(mask, group)).any():
            raise DivergenceError(
                f"an instruction for {group} threads, whose guard differs among them",
                lane=int(np.flatnonzero(partial)[0]),
            )
        if count:
            obeyed.add(instruction)
            step(active.narrow(mask, count))

    return guarded


def _noting(machine: Machine, instruction: Instruction, step: Step) -> Step:
    """`step`, which also notes that it accesses registers of asynchronous operations."""
    states = machine.states
    read = [register for register in registers_read(instruction) if register in states.read]
    written = [register for register in registers_written(instruction) if register in states.written]
    if not (read or written) or lookup(instruction)[1].asynchronous:
        return step

    def noting(active: Active) -> int | None:
        states.note_accesses(read, written, active)
        return step(active)

    return noting


def _guarded_control(
    machine: Machine, step: Step, predicate: np.ndarray, select: np.ufunc, following: int
) -> Step:
    def guarded(active: Active) -> int | None:
        mask = select(active.mask, predicate)
        count = int(np.count_nonzero(mask))
        if count == 0:
            return following
        if count == active.count:
            return step(active)
        scheduler = machine.scheduler
        machine.counts.diverged(active.mask, mask)
        scheduler.send(np.flatnonzero(active.mask & ~mask), following)
        target = step(Active(mask, count))
        if target is not None:
            scheduler.send(np.flatnonzero(mask), target)
        return None

    return guarded
