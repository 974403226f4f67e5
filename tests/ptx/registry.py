"""The table of operations, and the `Binder` through which an operation meets its operands.

An operation is a function that is called once per instruction and machine, before anything runs.
It looks at the modifiers, fetches NumPy views of its operands' registers and returns the function
that executes the instruction on all lanes of an `Active` set::

    @operation("brev")
    def brev(op):
        (kind,) = op.types(1)
        return op.elementwise(reverse_bits, kind, kind)

A modifier that no operation asks for is an error, so nothing is ever silently ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .faults import UnknownInstructionError
from .syntax import DTYPES, Address, Immediate, Instruction, Register, Vector, registers_of

if TYPE_CHECKING:
    from .lanes import Active
    from .machine import Machine

Step = Callable[["Active"], Any]


@dataclass(frozen=True)
class Operation:
    """How to bind and schedule one opcode.

    Attributes
    ----------
    bind : callable
        `Binder` to the function that executes the instruction.
    writes : int
        How many leading operands are destinations.
    accumulates : bool
        Whether the destinations are read as well.
    control : bool
        Whether it may change where lanes continue. Its function then returns the index of the next
        segment for all of its lanes, or None after telling the scheduler where each of them goes.
    group : int
        0, or the number of consecutive lanes that must execute the instruction together: 32 for a
        warp, 128 for a warpgroup. Lanes wait for the others of their group.
    whole : bool
        Whether it is an error that a thread of the group has exited (matrix instructions), not
        just one thread less to wait for (barriers).
    members : int or None
        For warp operations with a member mask: the operand that holds it.
    own_checks : bool
        Whether the operation itself moves or reports undefined values (loads, stores, shuffles).
    asynchronous : bool
        Whether it may touch registers that an asynchronous operation is still using.
    notes_registers : bool
        Whether `RegisterStates` notes for it how other instructions access the registers in its
        vector operands.
    """

    bind: Callable[[Binder], Step]
    writes: int = 1
    accumulates: bool = False
    control: bool = False
    group: int = 0
    whole: bool = False
    members: int | None = None
    own_checks: bool = False
    asynchronous: bool = False
    notes_registers: bool = False


OPERATIONS: dict[str, Operation] = {}


def operation(*opcodes: str, **properties: Any) -> Callable:
    """Register a binding function for opcodes; the longest dotted prefix of an opcode wins."""

    def register(bind: Callable[[Binder], Step]) -> Callable[[Binder], Step]:
        for opcode in opcodes:
            if opcode in OPERATIONS:
                raise ValueError(f"{opcode} is registered twice")
            OPERATIONS[opcode] = Operation(bind, **properties)
        return bind

    return register


def lookup(instruction: Instruction) -> tuple[str, Operation]:
    """The operation of an instruction and the prefix of the opcode that selects it."""
    for length in range(len(instruction.parts), 0, -1):
        opcode = ".".join(instruction.parts[:length])
        if opcode in OPERATIONS:
            return opcode, OPERATIONS[opcode]
    raise UnknownInstructionError(f"unknown opcode {instruction.parts[0]!r}").at(instruction)


def registers_written(instruction: Instruction) -> list[Register]:
    """Destination registers."""
    _, found = lookup(instruction)
    operands = [item for item in instruction.operands[: found.writes] if not isinstance(item, Address)]
    return [register for item in operands for register in registers_of(item)]


def registers_read(instruction: Instruction) -> list[Register]:
    """Source registers, the guard and the bases of addresses included."""
    _, found = lookup(instruction)
    operands = list(instruction.operands if found.accumulates else instruction.operands[found.writes :])
    operands += [item for item in instruction.operands[: found.writes] if isinstance(item, Address)]
    read = [register for item in operands for register in registers_of(item)]
    return read + ([instruction.guard] if instruction.guard is not None else [])


def registers_addressing(instruction: Instruction) -> list[Register]:
    """Registers that an address is computed from."""
    return [
        register
        for item in instruction.operands
        if isinstance(item, Address)
        for register in registers_of(item)
    ]


class Binder:
    """One instruction on its way to becoming a function.

    Attributes
    ----------
    machine : Machine
    instruction : Instruction
    operands : tuple
    modifiers : list of str
        Those that nothing has asked for yet.
    following : int
        The segment after the instruction's own.
    successors : list of int
        For branches: the segments they may lead to.
    """

    def __init__(
        self,
        machine: Machine,
        instruction: Instruction,
        following: int = 0,
        successors: list[int] | None = None,
    ) -> None:
        self.machine = machine
        self.instruction = instruction
        self.operands = instruction.operands
        self.opcode, self.operation = lookup(instruction)
        self.modifiers = list(instruction.parts[self.opcode.count(".") + 1 :])
        self.following = following
        self.successors = successors or []

    def bind(self) -> Step:
        step = self.operation.bind(self)
        if self.modifiers:
            raise self.unknown(f"modifier .{self.modifiers[0]}")
        return step

    # -- modifiers -------------------------------------------------------------------------------

    def types(self, count: int) -> list[str]:
        """Remove and return the trailing types."""
        kinds = self.modifiers[len(self.modifiers) - count :]
        if len(kinds) < count or any(kind not in DTYPES for kind in kinds):
            raise self.unknown(f"type in {self.instruction.text!r}")
        del self.modifiers[len(self.modifiers) - count :]
        return kinds

    def take(self, *choices: str, default: Any = None) -> Any:
        """Remove and return the one modifier among `choices`, or `default`."""
        for choice in choices:
            if choice in self.modifiers:
                self.modifiers.remove(choice)
                return choice
        return default

    def flag(self, name: str) -> bool:
        """Whether the modifier is there; it is removed."""
        return self.take(name) is not None

    def unknown(self, what: str) -> UnknownInstructionError:
        return UnknownInstructionError(f"unknown {what}").at(self.instruction)

    def expect_type(self, kind: str, allowed: str) -> None:
        if kind not in allowed.split():
            raise self.unknown(f"type .{kind} for {self.opcode}")

    # -- operands --------------------------------------------------------------------------------

    def source(self, operand: object, kind: str) -> np.ndarray:
        """A view of an operand's lanes as type `kind`; an index means that operand."""
        operand = self.operands[operand] if isinstance(operand, int) else operand
        return self.machine.source(operand, kind, self.instruction)

    def target(self, operand: object, kind: str) -> np.ndarray:
        """The lanes of a destination, for values of type `kind`."""
        operand = self.operands[operand] if isinstance(operand, int) else operand
        return self.machine.target(operand, kind, self.instruction)

    def constant(self, index: int) -> int:
        """An operand that must be an integer constant."""
        operand = self.operands[index]
        if not isinstance(operand, Immediate):
            raise self.unknown(f"operand {index}: a constant is needed")
        return int(operand.value)

    def items(self, index: int) -> tuple:
        """The elements of a vector operand, or the operand alone."""
        operand = self.operands[index]
        return operand.items if isinstance(operand, Vector) else (operand,)

    # -- the usual shape of an instruction -------------------------------------------------------

    def elementwise(self, function: Callable, result: str, *kinds: str) -> Step:
        """Execute ``operands[0] = function(operands[1], ...)`` on each lane.

        `kinds` are the types of the sources. A NumPy ufunc writes to the register in place.
        """
        if len(self.operands) != len(kinds) + 1:
            raise self.unknown(f"number of operands of {self.opcode}")
        sources = [self.source(index + 1, kind) for index, kind in enumerate(kinds)]
        return assign(function, self.target(0, result), sources)


def assign(function: Callable, out: np.ndarray, sources: list[np.ndarray]) -> Step:
    """The step that writes ``function(*sources)`` to the active lanes of `out`."""
    if isinstance(function, np.ufunc):
        if len(sources) == 2:
            first, second = sources
            return lambda active: function(first, second, out=out, where=active.where)
        return lambda active: function(*sources, out=out, where=active.where)

    def step(active: Active) -> None:
        np.copyto(out, function(*sources), where=active.where, casting="unsafe")

    return step
