"""The front door: `Kernel` and its launch."""

from __future__ import annotations

import operator
from typing import Any

from . import operations  # noqa: F401  (importing it registers every instruction)
from .arguments import Arguments
from .counts import Counts
from .faults import LaunchError
from .limits import check_launch
from .machine import Machine
from .memory import GlobalSpace, compare
from .numba_types import check_arrays
from .operations.external import GRID_BARRIER
from .ordering import may_wait_for_blocks, needs_thread_clocks
from .parse import parse
from .program import Program
from .region import Region
from .report import Report
from .scheduler import Scheduler
from .syntax import Variable

# Lanes of one vector. NumPy's cost for each call outweighs that for each element up to here;
# vector clocks grow with the square of a block's threads and have to stay in the cache.
LANES = 8192
LANES_WITH_CLOCKS = 1024


class Kernel:
    """A kernel in PTX text, ready to be launched on NumPy arrays.

    Parameters
    ----------
    text : str
        PTX, as a compiler wrote it or as written by hand.
    entry : str, optional
        Name of the entry function; needed only if the text has several.

    Raises
    ------
    ParseError, UnknownInstructionError
        Naming the line.
    LaunchError
        If there is no such entry.
    """

    def __init__(self, text: str, entry: str | None = None) -> None:
        self.module = parse(text)
        self.program = Program(self.module, entry)

    @property
    def name(self) -> str:
        """Name of the entry function."""
        return self.program.entry.name

    @property
    def lines(self) -> dict[int, str]:
        """The text of each instruction by its line."""
        return {each.line: each.text for each in self.program.instructions() if each.line}

    def launch(
        self,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        *arguments: Any,
        shared_bytes: int = 0,
        count_memory: bool = False,
        exited_threads_arrive: bool = False,
        limit: int = 1_000_000,
        reverse: bool = False,
        both_orders: bool = False,
        only: range | None = None,
    ) -> Report:
        """Execute the kernel for a whole grid.

        Parameters
        ----------
        grid, block : int or tuple of up to three ints
            Number of blocks, and of threads in a block, along x, y, z.
        *arguments
            One for each parameter: NumPy arrays, `pointer` or `out` for pointers, numbers for
            scalars, bytes or a `tensor_map` for structures. Lists of arguments, such as
            `numba_array` gives, are taken apart. Arrays receive the results in place; an array that
            is not writeable must not be written to.
        shared_bytes : int
            Dynamic shared memory for each block.
        count_memory : bool
            Whether to work out sectors and bank conflicts of every access for the report.
        exited_threads_arrive : bool
            Whether a barrier of the whole block counts threads that have exited as arrived, as
            current hardware does, instead of reporting that they never come.
        limit : int
            Steps of the scheduler after which the kernel is taken to run for ever.
        reverse : bool
            Whether the last block, and the last warp of each block, come first.
        both_orders : bool
            Whether to execute the kernel twice, in either order, and compare the results bit by bit.
        only : range, optional
            Of a grid that is too large to execute, the numbers of the blocks that are: consecutive ones, in
            this order.

        Returns
        -------
        Report

        Raises
        ------
        PtxError
            One of its subclasses for any fault; the arrays are then as they were before.
        """
        grid, block = _dimensions(grid, "grid"), _dimensions(block, "block")
        check_launch(self.program, grid, block, shared_bytes)
        check_arrays(self.name, arguments)
        if only is not None and (reverse or both_orders):
            raise LaunchError("some blocks of a grid are executed in their order")
        runs = []
        for backwards in (not reverse, reverse) if both_orders else (reverse,):
            counts, space = Counts(), GlobalSpace(self.program.granule)
            given = Arguments(self.program.entry.parameters, arguments, space)
            variables = {
                variable: space.add(variable.name, variable.size)
                for variable in self.module.variables.values()
                if variable.space == "global" and variable.size
            }
            blocks = range(grid[0] * grid[1] * grid[2]) if only is None else only
            at_once = self._blocks_at_once(len(blocks), block)
            machine = Machine(self.program, grid, block, at_once, shared_bytes, space, counts, backwards)
            if count_memory:
                machine.memory.observer = counts.observe
            self._initialise(machine, given, variables)
            self._run(Scheduler(machine, limit, exited_threads_arrive), machine, blocks, at_once)
            runs.append(space)
        if both_orders:
            compare(*runs, self.name)
        given.copy_back()
        return Report.of(self.name, grid, block, counts)

    def _blocks_at_once(self, total: int, block: tuple[int, ...]) -> int:
        width = self.program.width(block[0] * block[1] * block[2])
        lanes = LANES_WITH_CLOCKS if needs_thread_clocks(self.program) else LANES
        if any(instruction.callee == GRID_BARRIER for instruction in self.program.instructions()):
            return total
        if total * width <= LANES and may_wait_for_blocks(self.program):
            return total
        rounds = -(-total // max(1, lanes // width))
        return -(-total // rounds)

    def _run(self, scheduler: Scheduler, machine: Machine, blocks: range, at_once: int) -> None:
        for first in blocks[::at_once]:
            count = min(at_once, blocks.stop - first)
            machine.begin(first, count)
            scheduler.run(count)
        for segment in scheduler.segments:
            machine.counts.executed(segment.instructions, segment.warps, segment.threads)

    def _initialise(self, machine: Machine, given: Arguments, variables: dict[Variable, Region]) -> None:
        """Fill parameters, constants and global variables."""
        parameters = machine.memory.spaces["param"].region
        for parameter, data in zip(self.program.entry.parameters, given.bytes, strict=True):
            parameters.fill(self.program.offsets[parameter], data)
        for variable, region in variables.items():
            machine.global_addresses[variable] = region.base
        constants = machine.memory.spaces["const"].region
        for variable in self.module.variables.values():
            if variable in variables:
                variables[variable].fill(0, self._value(machine, variable))
            elif variable.space == "const":
                constants.fill(
                    self.program.offsets[variable] - constants.lead, self._value(machine, variable)
                )

    def _value(self, machine: Machine, variable: Variable) -> bytes:
        """The initial value of a variable, with pointers to other variables in place."""
        value = bytearray(variable.initial.ljust(variable.size, b"\0"))
        for offset, name in variable.references:
            address = machine.variable_address(self.module.variables[name])
            value[offset : offset + 8] = address.to_bytes(8, "little")
        return bytes(value)


def _dimensions(value: int | tuple[int, ...], name: str) -> tuple[int, int, int]:
    try:
        values = tuple(map(operator.index, value if isinstance(value, (tuple, list)) else (value,)))
    except TypeError:
        values = ()
    if not 1 <= len(values) <= 3 or min(values) < 1:
        raise LaunchError(f"{name} {value!r}: one to three positive integers are needed")
    return values + (1,) * (3 - len(values))
