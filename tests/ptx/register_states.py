"""What is known of registers besides their values: undefined, or in use asynchronously."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .faults import AsynchronousError, UninitialisedError
from .lanes import Active
from .program import Program
from .registry import lookup, registers_addressing, registers_read, registers_written
from .syntax import Instruction, Register, Vector, registers_of
from .undefined_bits import ALL, Flow, carried, low, whole, width_of

if TYPE_CHECKING:
    from .machine import Machine


def registers_noted(program: Program) -> set[Register]:
    """The registers in vectors of operations that want to know who else accesses them."""
    return {
        register
        for instruction in program.instructions()
        if lookup(instruction)[1].notes_registers
        for operand in instruction.operands
        if isinstance(operand, Vector)
        for register in registers_of(operand)
    }


class RegisterStates:
    """Undefined and busy registers of a machine.

    An undefined value may be moved and computed with, which makes the result undefined
    (`undefined_bits`); it is a fault only where it reaches memory, an address or a branch. Since few
    registers are ever undefined, instructions that touch none of them cost nothing.

    Attributes
    ----------
    undefined : dict of Register to ndarray of uint64, shape (lanes,)
        Which bits of a register hold a value that nothing has written.
    busy : dict of Register to ndarray of bool, shape (lanes,)
        In which lanes an asynchronous operation still reads or writes a register.
    read, written : dict of Register to ndarray of bool, shape (lanes,)
        For registers of operations that note accesses: in which lanes another instruction has read
        or written them, until `forget_accesses`.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.undefined: dict[Register, np.ndarray] = {}
        self.busy: dict[Register, np.ndarray] = {}
        noted = registers_noted(machine.program)
        self.read = {register: np.zeros(machine.lanes, bool) for register in noted}
        self.written = {register: np.zeros(machine.lanes, bool) for register in noted}
        self._recently: set[Register] = set()

    def begin(self) -> None:
        """New blocks start: what some path reads before writing it is undefined."""
        self.busy.clear()
        self.undefined.clear()
        for lanes in [*self.read.values(), *self.written.values()]:
            lanes.fill(False)
        self._recently.clear()
        for register in self.machine.program.uncertain:
            self.undefined[register] = np.full(self.machine.lanes, ALL)

    def follow(self, instruction: Instruction, active: Active) -> None:
        """Follow undefined values through one instruction before it executes, and guard busy ones."""
        _, found = lookup(instruction)
        if instruction.guard is not None:
            self.reject(instruction.guard, active, "a branch or guard")
            mask = active.mask & (self.machine.register(instruction.guard) != instruction.negated)
            active = Active(mask, int(np.count_nonzero(mask)))
        for register in registers_addressing(instruction):
            self.reject(register, active, "an address")
        read, written = registers_read(instruction), registers_written(instruction)
        if self.busy and not found.asynchronous:
            self._reject_busy(read + written, active)
        if found.own_checks:
            return
        if self.undefined.keys().isdisjoint(read):
            for register in written:
                self.mark(register, np.zeros(self.machine.lanes, np.uint64), active.mask)
            return
        results = carried(Flow(self.machine, instruction, written))
        for register, undefined in zip(written, results, strict=True):
            if found.group:  # of any lane of the group
                some = (undefined != 0).reshape(-1, found.group).any(axis=1)
                undefined = whole(np.repeat(some, found.group))
            self.mark(register, undefined, active.mask)

    def _reject_busy(self, registers: list[Register], active: Active) -> None:
        for register in registers:
            lanes = self.busy.get(register)
            if lanes is not None and (lanes & active.mask).any():
                lane = int(np.flatnonzero(lanes & active.mask)[0])
                raise AsynchronousError(f"{register} is in use by an asynchronous operation", lane=lane)

    def reject(self, operand: object, active: Active, what: str) -> None:
        """Raise if a register is undefined in an active lane; `what` says what depends on it."""
        lanes = self.undefined_in(operand) & active.mask
        if lanes.any():
            lane = int(np.flatnonzero(lanes)[0])
            raise UninitialisedError(
                f"{what} depends on {operand}, whose value nothing has written", lane=lane
            )

    def note_accesses(self, read: list[Register], written: list[Register], active: Active) -> None:
        """An ordinary instruction reads and writes registers that some operation notes."""
        for register in read:
            self.read[register] |= active.mask
        for register in written:
            self.written[register] |= active.mask
        self._recently.update(read, written)

    def forget_accesses(self, active: Active) -> None:
        """What the active lanes have accessed so far does not matter any more."""
        for register in list(self._recently):
            read, written = self.read[register], self.written[register]
            read[active.mask] = written[active.mask] = False
            if not (read.any() or written.any()):
                self._recently.discard(register)

    def accessed_by(self, register: Register, active: Active, reads: bool) -> int | None:
        """The first active lane in which a register has been written, or (`reads`) read, if any."""
        if register not in self._recently:
            return None
        lanes = self.written[register] | self.read[register] if reads else self.written[register]
        found = np.flatnonzero(lanes & active.mask)
        return int(found[0]) if found.size else None

    def undefined_in(self, operand: object, bits: int = 64) -> np.ndarray:
        """The lanes in which some of the lowest bits of a register are undefined."""
        known = self.undefined.get(operand) if isinstance(operand, Register) else None
        if known is None:
            return np.zeros(self.machine.lanes, bool)
        return known & low(min(bits, width_of(operand.type))) != 0

    def mark(self, operand: object, undefined: np.ndarray, mask: np.ndarray) -> None:
        """Set which bits of a register are undefined (or whether all are), in the lanes of `mask`."""
        if not isinstance(operand, Register):
            return
        known = self.undefined.get(operand)
        bits = whole(undefined) if undefined.dtype == bool else undefined
        result = np.where(mask, bits, np.uint64(0) if known is None else known)
        if result.any():
            self.undefined[operand] = result
        elif known is not None:
            del self.undefined[operand]
