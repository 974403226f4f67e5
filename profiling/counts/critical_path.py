"""How long one block takes by itself: the latencies along a warp's way through the program.

An instruction begins when the registers that it reads are there. Within a straight run of PTX the order
does not matter, because the compiler of machine code chooses it; a run begins when all instructions of the
one before have begun, and takes at least as long as its instructions take to issue. So a load whose value
is used in the same turn of a loop is waited for, and one that is used a turn later is not. Asynchronous
copies are waited for by group.

Loops are those of the PTX: where the compiler unrolls one more often, and issues the loads of several turns
together, the path is shorter than what is computed here.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from gpuconv.cuda.runtime.cost import busiest_scheduler
from profiling.counts.slots import slots_of
from profiling.counts.watching import Sample
from tests.ptx.program import Segment
from tests.ptx.registry import registers_read, registers_written
from tests.ptx.report import class_of
from tests.ptx.syntax import Instruction, Register

# Cycles. Shared memory: Luo et al., "Benchmarking and Dissecting the Nvidia Hopper GPU Architecture via
# Microbenchmarking", arXiv 2402.13499 (A100, H800 and RTX 4090 lie within 10 % of each other); arithmetic
# likewise. The others are of their size. Device memory is the GPU's own (`gpuconv.cuda.runtime.gpu`).
SHARED, CONSTANT = 30, 8
ARITHMETIC, SPECIAL, SHUFFLE, BARRIER = 4, 30, 25, 25
VISITS = 6  # of a segment that are followed; later ones take as long as the last of these


class Path:
    """The clock of one warp, and when registers and copies are there."""

    def __init__(self, warps: int, device: int) -> None:
        self.clock = 0.0
        self.device = device  # cycles until a load from device memory is there
        self.warps_of_scheduler = busiest_scheduler(warps)
        self.ready: defaultdict[Register, float] = defaultdict(float)
        self.copies = 0.0  # when those not yet in a group are there
        self.groups: list[float] = []

    def follow(self, segment: Segment) -> None:
        """Go through a straight run of instructions."""
        begin = end = self.clock
        slots = 0.0
        for instruction in segment.instructions:
            start = max([begin, *(self.ready[register] for register in registers_read(instruction))])
            if instruction.parts[0] == "cp":
                begin = max(begin, self._copy(instruction, start))
            there = start + latency(instruction, self.device)
            for register in registers_written(instruction):
                self.ready[register] = there
            barrier = BARRIER if instruction.parts[0] in ("bar", "barrier") else 0
            end = max(end, start + barrier, begin)
            slots += slots_of(instruction)
        self.clock = max(end, self.clock + slots * self.warps_of_scheduler)

    def _copy(self, instruction: Instruction, start: float) -> float:
        """Issue, group or wait for copies; when the next instruction may begin."""
        parts = instruction.parts
        if "commit_group" in parts:
            self.groups.append(self.copies)
        elif "wait_group" in parts or "wait_all" in parts:
            pending = int(instruction.operands[0].value) if "wait_group" in parts else 0
            done = self.groups[: len(self.groups) - pending]
            return max([start, *done])
        elif parts[:2] == ("cp", "async"):
            self.copies = max(self.copies, start + self.device)
        return start


def latency(instruction: Instruction, device: int) -> int:
    """Cycles from the begin of an instruction until its result can be read."""
    parts, kind = instruction.parts, class_of(instruction)
    if parts[0] in ("ld", "ldu"):
        return device if "global" in parts else SHARED if "shared" in parts[1] else CONSTANT
    if parts[0] in ("div", "rem") or kind == "special":
        return SPECIAL
    return SHUFFLE if kind == "warp" else ARITHMETIC


def critical_path(sample: Sample, device: int) -> float:
    """Cycles of one sampled block alone on a multiprocessor, `device` of them for each load from device
    memory."""
    return path_of(sample.trace, sample.program.segments, Path(sample.warps, device))


def path_of(trace: Sequence[int], segments: Sequence[Segment], path: Path) -> float:
    """Cycles of a warp that goes through these segments."""
    visits = Counter[int]()
    last: dict[int, float] = {}
    skipped = 0.0
    for index in trace:
        visits[index] += 1
        if visits[index] > VISITS:
            skipped += last[index]
            continue
        before = path.clock
        path.follow(segments[index])
        passed = path.clock - before
        last[index] = min(passed, last.get(index, passed)) if visits[index] > 2 else passed
    return path.clock + skipped
