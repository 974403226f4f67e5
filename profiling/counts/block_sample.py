"""A few blocks of a launch at full size, executed to be counted: on arrays that are not there.

The PTX executor of `tests.ptx` carries them out with three liberties, for none of which it counts otherwise:

- arrays read as zeros, and what is written to them is lost, so that a gigabyte takes no memory; bounds and
  alignment are checked all the same
- what no address, branch or barrier depends on is counted and not computed: the arithmetic. Which registers
  matter is found backwards from those
- of an instruction that loads, stores or copies data, the first executions and then one in several are
  looked at for sectors and banks, and stand for the rest

So control flow must not depend on the elements of arrays.
"""

import functools
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.launch import Launch
from profiling.counts.captured import Operand
from profiling.counts.program_slice import registers_needed
from profiling.counts.watching import Sample, Watch
from tests import ptx
from tests.ptx.async_copies import AsyncCopies
from tests.ptx.asynchronous import Holds
from tests.ptx.counts import Counts
from tests.ptx.machine import Machine
from tests.ptx.memory import GLOBAL_BASE, GLOBAL_SPACING_BITS, GlobalSpace
from tests.ptx.races import Tracker
from tests.ptx.region import CHUNKS, Region
from tests.ptx.scheduler import Scheduler
from tests.ptx.syntax import DTYPES, Register

STEPS = 500_000  # of the scheduler, after which a kernel is taken to run for ever


@functools.cache
def executable(kernel: Kernel, arch: str) -> "SampledKernel":
    return SampledKernel(kernel.ptx(arch))


class SampledKernel(ptx.Kernel):
    """A kernel that executes some of a launch's blocks."""

    @functools.cached_property
    def needed(self) -> set[Register]:
        return registers_needed(self.program)

    def sample(self, launch: Launch, operands: Sequence[Operand | None], count: int) -> Sample:
        """Execute at most `count` blocks, one at random in each of so many stretches of the grid."""
        chosen, counts = spread(launch.blocks, count), Counts()
        machine = self._machine(launch, operands, chosen.size, counts)
        scheduler, watch = Scheduler(machine, STEPS), Watch(counts)
        machine.memory.observer = watch.observe
        sample = Sample(self.program, chosen.size, machine.width // 32)
        watch.install(machine, scheduler, self.needed, sample)
        machine.begin(0, chosen.size)
        machine.special["%ctaid.x"][...] = chosen[machine.block_of_lane]
        machine.states.undefined.clear()  # what is not computed counts as known
        machine.memory.spaces["shared"].region.all_valid = True
        scheduler.run(chosen.size)
        watch.finish(scheduler, sample)
        return sample

    def _machine(
        self, launch: Launch, operands: Sequence[Operand | None], blocks: int, counts: Counts
    ) -> Machine:
        """So many blocks of a launch, with its arguments in place."""
        space, threads = UnbackedSpace(self.program.granule), launch.kernel.threads
        addresses = [space.place_array(operand) for operand in operands]
        variables = {
            variable: space.add(variable.name, variable.size)
            for variable in self.module.variables.values()
            if variable.space == "global" and variable.size
        }
        grid, block = (launch.blocks, 1, 1), (threads, 1, 1)
        machine = Machine(self.program, grid, block, blocks, launch.shared_bytes, space, counts)
        values = zip(self.program.entry.parameters, (*addresses, *launch.values), strict=True)
        given = [np.asarray(value).astype(DTYPES[parameter.type]).tobytes() for parameter, value in values]
        self._initialise(machine, SimpleNamespace(bytes=given), variables)
        _forget_races(machine)
        return machine


def spread(blocks: int, count: int) -> np.ndarray:
    """Block numbers: all of them if there are no more than `count`, else one at random in each stretch.

    Examples
    --------
    >>> spread(3, 8)
    array([0, 1, 2])
    """
    if blocks <= count:
        return np.arange(blocks)
    edges = np.linspace(0, blocks, count + 1).astype(np.int64)
    return np.random.default_rng(0).integers(edges[:-1], edges[1:])


class Unbacked(Region):
    """An array of which only the bounds are there."""

    def __init__(self, operand: Operand, granule: int, base: int) -> None:
        name, writeable = f"{operand.name} {operand.shape}", not operand.is_input
        super().__init__(name, "global", 0, granule, base=base, writeable=writeable)
        self.size = operand.nbytes
        self.all_valid = True

    def read(self, positions: np.ndarray, size: int) -> np.ndarray:
        return np.zeros(positions.size, CHUNKS[size])

    def write(self, positions: np.ndarray, size: int, chunks: np.ndarray) -> None:
        """What is written matters to nothing that is counted."""


class UnbackedSpace(GlobalSpace):
    """Global memory whose arrays are not there."""

    def place_array(self, operand: Operand | None) -> int:
        """The address that stands for a contiguous array, or a null pointer."""
        if operand is None:
            return 0
        base = GLOBAL_BASE + (len(self.regions) << GLOBAL_SPACING_BITS) + (1 << (GLOBAL_SPACING_BITS - 1))
        self.regions.append(Unbacked(operand, self.granule, base))
        return base + operand.begin


class Unlogged(Tracker):
    """Remembers no access: races are for the tests to find."""

    def log(self, *access: object) -> None:
        pass


class Unheld(Holds):
    """Notes of no copy that it is under way."""

    def hold(self, region: Region, record: str, granules: np.ndarray) -> None:
        pass

    def release(self, region: Region, record: str, granules: np.ndarray) -> None:
        pass


def _forget_races(machine: Machine) -> None:
    machine.races.global_regions = []
    shared = machine.races.shared
    shared.tracker = Unlogged(shared.name, shared.granule, shared.valid.size, shared.address)
    for region in machine.memory.spaces["global"].regions:
        region.tracker = region.constant_loads = None
    machine.extension(AsyncCopies).holds = Unheld(machine)
