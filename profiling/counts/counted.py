"""What the launches of an algorithm consist of, counted without a GPU: all that a prediction is made from."""

import functools
import math
from dataclasses import dataclass

from gpuconv import cuda as engine
from gpuconv.algorithm import Algorithm, select
from gpuconv.cuda.runtime.gpu import H200, Chip
from gpuconv.spec import ConvSpec, Spec
from profiling.counts.block_sample import executable
from profiling.counts.captured import Captured, launches
from profiling.counts.critical_path import critical_path
from profiling.counts.slots import Work, work
from profiling.counts.watching import Sample
from tests.ptx.counts import SECTOR
from tests.ptx.machine_code import resources

LANES = 1024  # threads that are executed at once; NumPy's cost for each call outweighs that for each element
FEWEST, MOST = 4, 12  # blocks


@dataclass(frozen=True, slots=True)
class Counted:
    """A launch.

    Attributes
    ----------
    registers, shared_bytes : int
        Of a thread; of a block, static and dynamic.
    work : Work
        Instructions of one block's warps.
    shared_cycles : float
        Of the path to shared memory and the first-level cache, for one block: passes through the banks, and
        128 bytes each of what is asked of global memory.
    l2_bytes : float
        That one block exchanges with the second-level cache, where the first-level cache keeps what it has.
    path_cycles : float
        That one block takes alone.
    array_bytes, scratch_bytes : int
        Of the arrays that the launch is given: those of the caller, and memory between two launches.
    """

    kernel: str
    blocks: int
    threads: int
    registers: int
    shared_bytes: int
    work: Work
    shared_cycles: float
    l2_bytes: float
    path_cycles: float
    array_bytes: int
    scratch_bytes: int


@functools.lru_cache(maxsize=4096)
def counted(spec: Spec, algorithm: str, arch: str, chip: Chip = H200) -> tuple[Counted, ...]:
    """The launches of one of the engine's algorithms, by name, as it plans them for a GPU.

    Two GPUs that get the same launches of the same machine code share their counts.
    """
    return tuple(_counted(each, arch) for each in launches(spec, algorithm_of(spec, algorithm), chip))


_known: dict[tuple, Counted] = {}


def _counted(captured: Captured, arch: str) -> Counted:
    launch = captured.launch
    shapes = tuple(None if array is None else (array.shape, array.dtype) for array in captured.arrays)
    key = launch.kernel, arch, launch.blocks, launch.shared_bytes, launch.scalars, shapes
    if key not in _known:
        _known[key] = _count(captured, arch)
    return _known[key]


def algorithm_of(spec: Spec, name: str) -> Algorithm:
    """The engine's algorithm of that name; ValueError if it has none that can run the problem."""
    return select(engine.CONVOLUTIONS if isinstance(spec, ConvSpec) else engine.POOLS, spec, name)


def _count(captured: Captured, arch: str) -> Counted:
    launch, kernel = captured.launch, captured.launch.kernel
    blocks = min(MOST, max(FEWEST, LANES // kernel.threads))
    sample = executable(kernel, arch).sample(launch, captured.arrays, blocks)
    shared_cycles, l2_bytes = _traffic(sample)
    fixed = resources(kernel.cubin(arch).log)
    arrays = [array for array in captured.arrays if array is not None]
    sizes = [math.prod(array.shape) * array.dtype.itemsize for array in arrays]
    return Counted(
        kernel.name, launch.blocks, kernel.threads, fixed["registers"],
        fixed["static_shared_bytes"] + launch.shared_bytes, work(sample, kernel, arch),
        shared_cycles, l2_bytes, critical_path(sample),
        sum(size for array, size in zip(arrays, sizes, strict=True) if len(array.shape) == 4),
        sum(size for array, size in zip(arrays, sizes, strict=True) if len(array.shape) != 4),
    )  # fmt: skip


def _traffic(sample: Sample) -> tuple[float, float]:
    """(Cycles of the path to shared memory, bytes of the second-level cache) of one block."""
    cycles = sectors = 0.0
    for (instruction, space), traffic in sample.traffic.items():
        if space == "shared":
            cycles += traffic.wavefronts
        elif space == "global":
            loads = instruction.parts[0] in ("ld", "ldu", "cp")
            sectors += traffic.sectors / (sample.reuse if loads else 1)
            cycles += max(traffic.requests, traffic.sectors * SECTOR / 128)
    return cycles / sample.blocks, SECTOR * sectors / sample.blocks
