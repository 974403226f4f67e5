"""What the launches of an algorithm consist of, counted without a GPU: all that a prediction is made from."""

import functools
from dataclasses import dataclass

import numpy as np

from gpuconv.cuda.device.limits import SCHEDULERS
from gpuconv.cuda.runtime.cost import busiest_scheduler
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.spec import Spec
from profiling.counts.block_sample import executable
from profiling.counts.captured import SCRATCH, Captured, launches, selected
from profiling.counts.critical_path import critical_path
from profiling.counts.slots import Work, slots_of, work
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
        Passes through the banks of shared memory, of 128 bytes, and shuffles, for one block.
    accesses : tuple of pairs
        Of one block, for each instruction that asks for global memory: requests of a warp, and sectors.
    l2_bytes : float
        That one block exchanges with the second-level cache, where the first-level cache keeps what it has.
    path_cycles : float
        That one block takes alone.
    imbalance : float
        What the scheduler with the most instructions of a block issues, over what the one with the most warps
        would if all warps had as many.
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
    imbalance: float = 1.0


@functools.lru_cache(maxsize=4096)
def counted(spec: Spec, algorithm: str, gpu: Gpu) -> tuple[Counted, ...]:
    """The launches of one of the engine's algorithms, by name, as it plans them for a GPU.

    Two GPUs that get the same launches of the same machine code, and wait as long for device memory, share
    their counts.
    """
    planned = launches(spec, selected(spec, gpu, algorithm), gpu)
    return tuple(_counted(each, gpu.arch, gpu.measured.device_latency) for each in planned)


_known: dict[tuple, Counted] = {}


def _counted(captured: Captured, arch: str, latency: int) -> Counted:
    launch = captured.launch
    shapes = tuple(operand and (operand.shape, operand.dtype) for operand in captured.operands)
    key = launch.kernel, arch, latency, launch.blocks, launch.shared_bytes, launch.values, shapes
    if key not in _known:
        _known[key] = _count(captured, arch, latency)
    return _known[key]


def _count(captured: Captured, arch: str, latency: int) -> Counted:
    launch, kernel = captured.launch, captured.launch.kernel
    blocks = min(MOST, max(FEWEST, LANES // kernel.threads))
    sample = executable(kernel, arch).sample(launch, captured.operands, blocks)
    shared_cycles, accesses, l2_bytes = traffic(sample)
    fixed = resources(kernel.measured(arch).log)
    operands = [operand for operand in captured.operands if operand is not None]
    scratch = max((operand.nbytes for operand in operands if operand.name == SCRATCH), default=0)
    return Counted(
        kernel.name, launch.blocks, kernel.threads, fixed["registers"],
        fixed["static_shared_bytes"] + launch.shared_bytes, work(sample, kernel, arch),
        shared_cycles, accesses, l2_bytes, critical_path(sample, latency),
        sum(operand.nbytes for operand in operands if operand.name != SCRATCH), scratch, imbalance(sample),
    )  # fmt: skip


def imbalance(sample: Sample) -> float:
    """The instructions of the scheduler with the most, of one block, over those that it would have if all
    warps had as many; each fourth warp is the same scheduler's."""
    warps = np.zeros(sample.warps)
    for segment in sample.program.segments:
        slots = sum(slots_of(each) for each in segment.instructions)
        warps += slots * sample.visits.get(segment.index, 0)
    even = warps.mean() * busiest_scheduler(sample.warps)
    return max(float(warps[first::SCHEDULERS].sum()) for first in range(SCHEDULERS)) / even


def traffic(sample: Sample) -> tuple[float, tuple[tuple[float, float], ...], float]:
    """(Passes through shared memory, accesses, bytes of the second-level cache) of one block.

    A shuffle takes as long as a pass, on the same path: measured on an H100 by QuACK,
    https://github.com/Dao-AILab/quack at c8ec317, AI/gpu_pipe_microbench_notes.md.
    """
    passes = sum(warps for each, warps in sample.executions.items() if each.parts[0] == "shfl")
    sectors = 0.0
    accesses = []
    for (instruction, space), traffic in sample.traffic.items():
        if space == "shared":
            passes += traffic.wavefronts
        elif space == "global":
            loads = instruction.parts[0] in ("ld", "ldu", "cp")
            sectors += traffic.sectors / (sample.reuse if loads else 1)
            accesses.append((traffic.requests / sample.blocks, traffic.sectors / sample.blocks))
    return passes / sample.blocks, tuple(accesses), SECTOR * sectors / sample.blocks
