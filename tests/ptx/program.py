"""A module made ready to execute: layout of variables, control flow, registers read unset.

The instructions of the entry and of every function that it calls are cut into segments: straight
runs of instructions that end where control may change or where a branch leads. Callees come before
their callers, so that always executing the lowest segment first brings diverged lanes together.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

from .faults import LaunchError, ParseError
from .layout import Layout
from .registry import lookup, registers_read, registers_written
from .syntax import DTYPES, Function, Instruction, Module, Register, Variable
from .targets import check_target


@dataclass(eq=False, slots=True)
class Segment:
    """Instructions that follow one another; the last may be a `control` instruction.

    `touched` has the registers that each instruction reads or writes.
    """

    index: int
    function: Function
    instructions: list[Instruction]
    control: Instruction | None = None
    successors: list[int] = field(default_factory=list)
    touched: list[frozenset[Register]] = field(default_factory=list)


class Program:
    """Everything about a kernel that does not depend on the launch.

    Attributes
    ----------
    entry : Function
    segments : list of Segment
    starts : dict of str to int
        First segment of each function.
    offsets : dict of Variable to int
        Place of each variable in its own state space.
    sizes : dict of str to int
        Bytes used in "param" and "frame", the latter being parameters that calls pass, per lane.
    layouts : dict of str to Layout
        How the variables of "shared", "local" and "const" lie; dynamic shared memory is not among them.
    dynamic_alignment : int
        That of dynamic shared memory.
    uncertain : list of Register
        Registers that some path reads before it writes them.
    granule : int
        Size in bytes of the narrowest memory access: what memory is tracked by.
    group : int
        Lanes that have to be executed together: 32, a warp, or 128 with instructions for warpgroups.
    """

    def __init__(self, module: Module, entry: str | None = None) -> None:
        self.module = module
        self.entry = self._choose(entry)
        self.functions = self._reachable()
        self.segments: list[Segment] = []
        self.starts: dict[str, int] = {}
        for function in self.functions:
            self._cut(function)
        self.offsets: dict[Variable, int] = {}
        self.sizes: dict[str, int] = {}
        self.layouts = {space: Layout() for space in ("shared", "local", "const")}
        self.dynamic: list[Variable] = []
        self._place_variables()
        self.uncertain = [register for function in self.functions for register in self._uncertain(function)]
        self.granule = self._granule()
        self.group = max([32] + [lookup(instruction)[1].group for instruction in self.instructions()])

    def width(self, threads: int) -> int:
        """Lanes of a block of so many threads: whole warps or warpgroups."""
        return -(-threads // self.group) * self.group

    def instructions(self) -> Iterator[Instruction]:
        """All instructions of the entry and of what it calls."""
        for segment in self.segments:
            yield from segment.instructions

    def _choose(self, name: str | None) -> Function:
        entries = self.module.entries
        if name is None and len(entries) != 1:
            raise LaunchError(f"the text has {len(entries)} entries, name one of them: {entries}")
        name = entries[0] if name is None else name
        if name not in entries:
            raise LaunchError(f"no entry {name!r}; there are {entries}")
        return self.module.functions[name]

    def _reachable(self) -> list[Function]:
        """The entry and its callees, callees first."""
        order: list[Function] = []
        open_calls: list[str] = []

        def visit(function: Function) -> None:
            if function.name in open_calls:
                raise ParseError(f"recursion through {function.name!r} is not supported")
            if function in order:
                return
            open_calls.append(function.name)
            for instruction in function.instructions:
                callee = self.module.functions.get(instruction.callee)
                if callee is not None and callee.defined:
                    visit(callee)
            open_calls.pop()
            order.append(function)

        visit(self.entry)
        return order

    def _cut(self, function: Function) -> None:
        first = self.starts[function.name] = len(self.segments)
        place: dict[int, int] = {}
        current: Segment | None = None
        for index, instruction in enumerate(function.instructions):
            _, found = lookup(instruction)
            check_target(instruction, self.module.target)
            if current is None or index in function.labels or (found.group and current.instructions):
                current = Segment(len(self.segments), function, [])
                self.segments.append(current)
                place[index] = current.index
            current.instructions.append(instruction)
            if found.control or found.group:
                if found.control:
                    current.control = instruction
                current = None
        end = Segment(len(self.segments), function, [])
        self.segments.append(end)
        place[len(function.instructions)] = end.index
        end.control = Instruction(0, "end of the function", None, False, ("ret",), ())
        end.instructions.append(end.control)
        for segment in self.segments[first:]:
            segment.touched = [
                frozenset(registers_read(instruction) + registers_written(instruction))
                for instruction in segment.instructions
            ]
            control = segment.control
            if control is not None and control.parts[0] in ("bra", "brx"):
                segment.successors = [place[target] for target in control.targets]
                if control.guard is None:
                    continue
            elif (
                control is not None and control.parts[0] in ("ret", "exit", "trap") and control.guard is None
            ):
                continue
            segment.successors.append(segment.index + 1)

    def _place_variables(self) -> None:
        for space in ("frame", "param"):
            self.sizes[space] = 0
        for variable in self.module.variables.values():
            if variable.space == "shared" and variable.size is None:
                self.dynamic.append(variable)
            elif variable.space in ("shared", "const"):
                self._place(variable, variable.space)
        for function in self.functions:
            for variable in function.variables:
                self._place(variable, "frame" if variable.space == "param" else variable.space)
            for variable in function.parameters + function.returns:
                self._place(variable, "param" if function is self.entry else "frame")
        self.dynamic_alignment = max([1] + [variable.alignment for variable in self.dynamic])

    def _place(self, variable: Variable, space: str) -> None:
        if space in self.layouts:
            self.offsets[variable] = self.layouts[space].place(variable)
            return
        offset = -(-self.sizes[space] // variable.alignment) * variable.alignment
        self.offsets[variable] = offset
        self.sizes[space] = offset + variable.size

    def shared_layout(self, dynamic_bytes: int) -> Layout:
        """That of shared memory, with so many bytes that the launch asks for at its end."""
        layout = copy.deepcopy(self.layouts["shared"])
        place = layout.place_dynamic(dynamic_bytes, self.dynamic_alignment)
        self.offsets.update(dict.fromkeys(self.dynamic, place))
        return layout

    def _uncertain(self, function: Function) -> list[Register]:
        """Forward data flow: the registers that are not surely written on every path to a read."""
        known: dict[int, frozenset[Register]] = {self.starts[function.name]: frozenset()}
        work = [self.starts[function.name]]
        while work:
            segment = self.segments[work.pop()]
            after = known[segment.index].union(
                *(
                    registers_written(instruction)
                    for instruction in segment.instructions
                    if instruction.guard is None
                )
            )
            for index in segment.successors:
                merged = after & known.get(index, after)
                if merged != known.get(index):
                    known[index] = merged
                    work.append(index)
        return list(
            dict.fromkeys(
                register
                for index, written in known.items()
                for register in self._unset_reads(self.segments[index], written)
            )
        )

    @staticmethod
    def _unset_reads(segment: Segment, known: frozenset[Register]) -> list[Register]:
        written, unset = set(known), []
        for instruction in segment.instructions:
            unset += [register for register in registers_read(instruction) if register not in written]
            if instruction.guard is None:
                written.update(registers_written(instruction))
        return unset

    def _granule(self) -> int:
        narrowest = 16
        for instruction in self.instructions():
            parts = instruction.parts
            if parts[0] in ("ld", "st", "atom", "red", "ldu") and not {"local", "param"} & set(parts):
                narrowest = min(narrowest, DTYPES[parts[-1]].itemsize if parts[-1] in DTYPES else 1)
            elif parts[0] == "cp":
                narrowest = min(narrowest, 4)
        return narrowest
