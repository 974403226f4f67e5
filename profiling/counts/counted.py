"""What the launches of an algorithm consist of, counted without a GPU: all that a prediction is made from."""

import functools
from dataclasses import dataclass

from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.spec import Spec
from profiling.counts.block_sample import executable
from profiling.counts.captured import SCRATCH, Captured, launches, selected
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
        Passes through the banks of shared memory, of 128 bytes, for one block.
    accesses : tuple of pairs
        Of one block, for each instruction that asks for global memory: requests of a warp, and sectors.
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
    accesses: tuple[tuple[float, float], ...]
    l2_bytes: float
    path_cycles: float
    array_bytes: int
    scratch_bytes: int


@functools.lru_cache(maxsize=4096)
def counted(spec: Spec, algorithm: str, gpu: Gpu) -> tuple[Counted, ...]:
    """The launches of one of the engine's algorithms, by name, as it plans them for a GPU.

    Two GPUs that get the same launches of the same machine code share their counts.
    """
    planned = launches(spec, selected(spec, gpu, algorithm), gpu)
    return tuple(_counted(each, gpu.arch) for each in planned)


_known: dict[tuple, Counted] = {}


def _counted(captured: Captured, arch: str) -> Counted:
    launch = captured.launch
    shapes = tuple(operand and (operand.shape, operand.dtype) for operand in captured.operands)
    key = launch.kernel, arch, launch.blocks, launch.shared_bytes, launch.values, shapes
    if key not in _known:
        _known[key] = _count(captured, arch)
    return _known[key]


def _count(captured: Captured, arch: str) -> Counted:
    launch, kernel = captured.launch, captured.launch.kernel
    blocks = min(MOST, max(FEWEST, LANES // kernel.threads))
    sample = executable(kernel, arch).sample(launch, captured.operands, blocks)
    shared_cycles, accesses, l2_bytes = _traffic(sample)
    fixed = resources(kernel.measured(arch).log)
    operands = [operand for operand in captured.operands if operand is not None]
    scratch = max((operand.nbytes for operand in operands if operand.name == SCRATCH), default=0)
    return Counted(
        kernel.name, launch.blocks, kernel.threads, fixed["registers"],
        fixed["static_shared_bytes"] + launch.shared_bytes, work(sample, kernel, arch),
        shared_cycles, accesses, l2_bytes, critical_path(sample),
        sum(operand.nbytes for operand in operands if operand.name != SCRATCH), scratch,
    )  # fmt: skip


def _traffic(sample: Sample) -> tuple[float, tuple[tuple[float, float], ...], float]:
    """(Passes through shared memory, accesses, bytes of the second-level cache) of one block."""
    passes = sectors = 0.0
    accesses = []
    for (instruction, space), traffic in sample.traffic.items():
        if space == "shared":
            passes += traffic.wavefronts
        elif space == "global":
            loads = instruction.parts[0] in ("ld", "ldu", "cp")
            sectors += traffic.sectors / (sample.reuse if loads else 1)
            accesses.append((traffic.requests / sample.blocks, traffic.sectors / sample.blocks))
    return passes / sample.blocks, tuple(accesses), SECTOR * sectors / sample.blocks
