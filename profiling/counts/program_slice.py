"""Which of a kernel's instructions decide what it accesses and where it goes; the rest only computes data."""

from tests.ptx.program import Program
from tests.ptx.registry import lookup, registers_addressing, registers_read, registers_written
from tests.ptx.report import class_of
from tests.ptx.syntax import Instruction, Register, registers_of

DATA = ("ld", "ldu", "st", "cp")


def registers_needed(program: Program) -> set[Register]:
    """Registers that decide where an access goes, which branch is taken or who meets at a barrier."""
    instructions = list(program.instructions())
    needed: set[Register] = set()
    shared_matters = False
    for instruction in instructions:
        members = lookup(instruction)[1].members
        if members is not None:
            needed.update(registers_of(instruction.operands[members]))
    while True:
        before = len(needed), shared_matters
        for instruction in instructions:
            if is_executed(instruction, needed):
                needed.update(_reads(instruction, shared_matters))
            loads = instruction.parts[0] in ("ld", "ldu") and "shared" in instruction.parts[1]
            shared_matters |= loads and not needed.isdisjoint(registers_written(instruction))
        if (len(needed), shared_matters) == before:
            return needed


def is_executed(instruction: Instruction, needed: set[Register]) -> bool:
    """Whether an instruction must be carried out and not only counted."""
    _, found = lookup(instruction)
    always = found.control or instruction.parts[0] in DATA or class_of(instruction) == "synchronisation"
    return always or instruction.parts[0] == "call" or not needed.isdisjoint(registers_written(instruction))


def only_moves_data(instruction: Instruction, needed: set[Register]) -> bool:
    """Whether it is a load, store or asynchronous copy of what nothing depends on."""
    root = instruction.parts[0]
    if root == "cp":
        return instruction.parts[1:3] in (("async", "ca"), ("async", "cg"))
    if root == "st":
        return "global" in instruction.parts
    return root in ("ld", "ldu") and needed.isdisjoint(registers_written(instruction))


def _reads(instruction: Instruction, shared_matters: bool) -> list[Register]:
    """The registers that an instruction needs to be carried out; data only where something depends on
    them."""
    is_store = instruction.parts[0] == "st"
    if is_store and ("global" in instruction.parts or ("shared" in instruction.parts and not shared_matters)):
        guard = [instruction.guard] if instruction.guard is not None else []
        return [*registers_addressing(instruction), *guard]
    return registers_read(instruction)
