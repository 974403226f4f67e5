"""The state of several blocks that execute in one vector: registers, memory, undefined values.

A lane is a thread; the lanes of a block are consecutive and padded to whole warps. A register is
one NumPy array over all lanes that stays where it is, so an instruction binds views of it once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .access import Memory
from .counts import Counts
from .faults import UnknownInstructionError
from .memory import WINDOW_BITS, WINDOWS, GlobalSpace, Space
from .ordering import Races
from .program import Program
from .region import Region
from .register_states import RegisterStates
from .special import special_registers
from .syntax import (
    BITS,
    DTYPES,
    SIGNED,
    Address,
    Immediate,
    Instruction,
    Negated,
    Register,
    Sink,
    Special,
    Symbol,
    Variable,
)

if TYPE_CHECKING:
    from .scheduler import Scheduler

Extension = TypeVar("Extension")


class Machine:
    """Blocks of one kernel in execution.

    Attributes
    ----------
    blocks, threads : int
        How many blocks execute at once, and threads in each.
    reverse : bool
        Whether blocks and warps are in the opposite of their usual order.
    number_of_lane : ndarray
        The number of each lane's block in the grid.
    width : int
        Lanes of a block: `threads` rounded up to whole warps, or warpgroups if the kernel uses them.
    lanes : int
        ``blocks * width``.
    memory : Memory
    states : RegisterStates
        Which registers are undefined or in use asynchronously.
    races : Races
    counts : Counts
    """

    def __init__(
        self,
        program: Program,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        blocks: int,
        shared_bytes: int,
        global_space: GlobalSpace,
        counts: Counts,
        reverse: bool = False,
    ) -> None:
        self.program = program
        self.grid, self.block = grid, block
        self.blocks = blocks
        self.threads = block[0] * block[1] * block[2]
        self.width = program.width(self.threads)
        self.lanes = blocks * self.width
        self.lane = np.arange(self.lanes)
        self.block_of_lane = self.lane // self.width
        self.number_of_lane = np.zeros(self.lanes, np.int64)
        self.thread_of_lane = self.lane % self.width
        self.reverse = reverse
        if reverse:  # the last warp, or warpgroup, first
            self.thread_of_lane = self.thread_of_lane.reshape(-1, self.width // program.group, program.group)
            self.thread_of_lane = np.ascontiguousarray(self.thread_of_lane[:, ::-1]).reshape(-1)
        self.shared_bytes = shared_bytes
        self.counts = counts
        self.states = RegisterStates(self)
        self.global_addresses: dict[Variable, int] = {}
        self.special = special_registers(self)
        self.scheduler: Scheduler | None = None
        self._registers: dict[Register, np.ndarray] = {}
        self._constants: dict[tuple, np.ndarray] = {}
        self._extensions: dict[type, Any] = {}
        self.memory = self._memory(global_space)
        self.races = Races(self)

    def _memory(self, global_space: GlobalSpace) -> Memory:
        sizes, granule, layouts = self.program.sizes, self.program.granule, self.program.layouts
        shared = self.program.shared_layout(self.shared_bytes)
        self.static_bytes = layouts["shared"].bytes
        of_blocks = {"stretch": self.block_of_lane, "stretches": self.blocks}
        of_lanes = {"stretch": self.lane, "stretches": self.lanes}
        regions = [
            Region.of_layout("shared memory", "shared", shared, granule, **of_blocks),
            Region.of_layout("local memory", "local", layouts["local"], 1, **of_lanes),
            Region("call parameters", "frame", sizes["frame"], 1, stretch=self.lane, stretches=self.lanes),
            Region("kernel parameters", "param", sizes["param"], 1, writeable=False),
            Region.of_layout("constant memory", "const", layouts["const"], 1, writeable=False),
        ]
        spaces: dict[str, Space | GlobalSpace] = {region.space: Space(region) for region in regions}
        spaces["global"] = global_space
        return Memory(spaces)

    def begin(self, first: int, count: int) -> None:
        """Start `count` blocks of the grid from number `first` on: forget all that is per block."""
        number = first + self.block_of_lane
        if self.reverse:
            number = self.grid[0] * self.grid[1] * self.grid[2] - 1 - number
        self.number_of_lane[:] = number
        for axis, name in enumerate("xyz"):
            self.special[f"%ctaid.{name}"][...] = number % self.grid[axis]
            number = number // self.grid[axis]
        for name in ("shared", "local", "frame"):
            self.memory.spaces[name].region.clear()
        self.states.begin()
        self.races.begin()
        for extension in self._extensions.values():
            extension.begin()

    def end(self) -> None:
        """All threads of the blocks have exited."""
        for extension in self._extensions.values():
            if hasattr(extension, "end"):
                extension.end()
        self.races.end()

    def extension(self, kind: type[Extension]) -> Extension:
        """The one instance of `kind` of this machine: where operations keep state of their own.

        It is made as ``kind(machine)``. Its ``begin()`` is called before blocks start, and its
        ``end()``, if it has one, when all their threads have exited.
        """
        found = self._extensions.get(kind)
        if found is None:
            found = self._extensions[kind] = kind(self)
        return found

    # -- operands --------------------------------------------------------------------------------

    def register(self, register: Register) -> np.ndarray:
        """The lanes of a register, as unsigned bits."""
        found = self._registers.get(register)
        if found is None:
            dtype = DTYPES[register.type]
            storage = dtype if register.type == "pred" else BITS[dtype.itemsize]
            found = self._registers[register] = np.zeros(self.lanes, storage)
        return found

    def source(self, operand: object, kind: str, instruction: Instruction) -> np.ndarray:
        """A read-only view of an operand as type `kind`."""
        dtype = DTYPES[kind]
        if isinstance(operand, Register):
            return self._register_view(operand, kind, instruction)
        if isinstance(operand, Immediate):
            return self._constant(operand.as_dtype(dtype))
        if isinstance(operand, Special):
            return self._special_view(operand, dtype, instruction)
        if isinstance(operand, Symbol) and operand.variable is not None:
            return self._constant(BITS[dtype.itemsize](self.symbol_address(operand)).view(dtype))
        raise UnknownInstructionError(f"cannot read operand {operand!r} as .{kind}").at(instruction)

    def _register_view(self, register: Register, kind: str, instruction: Instruction) -> np.ndarray:
        values, dtype = self.register(register), DTYPES[kind]
        if (register.type == "pred") != (kind == "pred") or values.itemsize < dtype.itemsize:
            raise UnknownInstructionError(f"register {register} of type .{register.type} used as .{kind}").at(
                instruction
            )
        ratio = values.itemsize // dtype.itemsize
        return values.view(dtype) if ratio == 1 else values.view(dtype)[::ratio]

    def _special_view(self, operand: Special, dtype: np.dtype, instruction: Instruction) -> np.ndarray:
        values = self.special.get(operand.name)
        if values is None:
            raise UnknownInstructionError(f"unknown special register {operand.name}").at(instruction)
        if values.itemsize == dtype.itemsize:
            return values.view(dtype)
        if operand.name.startswith("%ctaid"):
            raise UnknownInstructionError(f"{operand.name} read with {dtype.itemsize} bytes").at(instruction)
        return values.astype(BITS[dtype.itemsize]).view(dtype)

    def _constant(self, value: np.generic) -> np.ndarray:
        key = (value.dtype, value.tobytes())
        if key not in self._constants:
            constant = np.full(self.lanes, value)
            constant.setflags(write=False)
            self._constants[key] = constant
        return self._constants[key]

    def target(self, operand: object, kind: str, instruction: Instruction) -> np.ndarray:
        """A view of a destination that takes values of type `kind`; wider registers extend them."""
        if isinstance(operand, Sink):
            return np.empty(self.lanes, DTYPES[kind])
        if not isinstance(operand, Register):
            raise UnknownInstructionError(f"cannot write to {operand!r}").at(instruction)
        values, dtype = self.register(operand), DTYPES[kind]
        if values.itemsize == dtype.itemsize:
            if (operand.type == "pred") != (kind == "pred"):
                raise UnknownInstructionError(f"register {operand} used as .{kind}").at(instruction)
            return values.view(dtype)
        if values.itemsize < dtype.itemsize or dtype.kind in "fb":
            raise UnknownInstructionError(
                f"register {operand} of type .{operand.type} cannot take .{kind}"
            ).at(instruction)
        return values.view(SIGNED[values.itemsize]) if dtype.kind == "i" else values

    def predicate(self, operand: object, instruction: Instruction) -> tuple[np.ndarray, bool]:
        """The lanes of a predicate operand and whether it is negated."""
        if isinstance(operand, Negated):
            return self.source(operand.register, "pred", instruction), True
        return self.source(operand, "pred", instruction), False

    # -- addresses -------------------------------------------------------------------------------

    def symbol_address(self, symbol: Symbol) -> int:
        """What ``mov`` gives for a variable: its address within its own state space."""
        return self.variable_address(symbol.variable) + symbol.offset

    def variable_address(self, variable: Variable) -> int:
        """Address of a variable within its state space; of a parameter, its generic address."""
        if variable.space == "global":
            return self.global_addresses[variable]
        offset = self.program.offsets[variable]
        if variable.space == "param":
            return offset + (WINDOWS[self.space_of(variable)] << WINDOW_BITS)
        return offset

    def space_of(self, variable: Variable) -> str:
        """The space that a variable is in; parameters of calls are apart from the kernel's."""
        if variable.space != "param":
            return variable.space
        entry = self.program.entry
        return "param" if variable in entry.parameters else "frame"

    def addresses(self, operand: Address, instruction: Instruction) -> np.ndarray | tuple[np.ndarray, int]:
        """(Lanes of the base, constant offset) of an address operand."""
        base = operand.base
        if isinstance(base, Symbol):
            if base.variable is None:
                raise UnknownInstructionError(f"unknown variable {base.name!r}").at(instruction)
            return self._constant(np.int64(self.symbol_address(base))), operand.offset
        if isinstance(base, Immediate):
            return self._constant(np.int64(base.value)), operand.offset
        size = DTYPES[base.type].itemsize
        if size < 4 or base.type == "pred":
            raise UnknownInstructionError(f"an address in register {base} of {size} bytes").at(instruction)
        return self.source(base, "s64" if size == 8 else "u32", instruction), operand.offset

    def position(self, lane: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Index of the block and of the thread of a lane."""
        thread = int(self.thread_of_lane[lane])
        x, y = self.block[0], self.block[1]
        block = tuple(int(self.special[f"%ctaid.{name}"][lane]) for name in "xyz")
        return block, (thread % x, thread // x % y, thread // (x * y))
