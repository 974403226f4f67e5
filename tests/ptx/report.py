"""The report of a launch, to read and to assert on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .counts import Counts, Traffic
from .registry import lookup
from .syntax import Instruction

_CLASSES = {
    "matrix": "mma wmma wgmma ldmatrix stmatrix movmatrix",
    "memory": "ld st ldu atom red cp prefetch prefetchu",
    "control": "bra brx call ret exit trap",
    "synchronisation": "bar barrier membar fence mbarrier nanosleep griddepcontrol",
    "warp": "shfl vote match redux activemask elect",
    "conversion": "cvt cvta",
    "move": "mov selp slct prmt mapa isspacep setmaxnreg",
    "compare": "setp set testp",
    "special": "rcp sqrt rsqrt ex2 lg2 sin cos tanh div",
}
_CLASS_OF = {opcode: name for name, opcodes in _CLASSES.items() for opcode in opcodes.split()}
_FLOATS = {"f16", "bf16", "f32", "f64", "f16x2", "bf16x2"}


def class_of(instruction: Instruction) -> str:
    """The class an instruction is counted under: "math" is floating point, "integer" the rest."""
    parts = instruction.parts
    if parts[0] == "wgmma" and parts[1] != "mma_async":
        return "synchronisation"
    if parts[0] == "div" and parts[-1] not in _FLOATS:
        return "integer"
    return _CLASS_OF.get(parts[0], "math" if parts[-1] in _FLOATS else "integer")


def is_float_atomic(opcode: str) -> bool:
    """Whether an opcode such as "red.global.add.f32" updates floating-point numbers in memory.

    Examples
    --------
    >>> is_float_atomic("atom.global.add.noftz.f16x2"), is_float_atomic("red.global.add.u32")
    (True, False)
    """
    parts = opcode.split(".")
    return (parts[0] in ("atom", "red") or parts[:2] == ["cp", "reduce"]) and parts[-1] in _FLOATS


@dataclass(frozen=True)
class Line:
    """One instruction of the text and what it did.

    A copy from global to shared memory has a second line for what it does in shared memory, which
    has no warps and threads, since they are counted in the first.
    """

    line: int
    opcode: str
    text: str
    warps: int
    threads: int
    traffic: Traffic | None


@dataclass(frozen=True, repr=False)
class Report:
    """What a launch did.

    Attributes
    ----------
    kernel : str
    grid, block : tuple of int
    lines : list of Line
        The instructions that were executed, in the order of the text.
    instructions : dict of str to int
        Instructions executed, counted once for each warp, by class.
    opcodes : dict of str to int
        The same by opcode.
    barriers : int
        Warps that arrived at barriers of their block.
    divergent_branches : int
        How often the threads of a warp took both ways of a branch.
    executed : frozenset of int
        The lines that a thread has executed: those with a guard that was never true are not among them.
    float_atomics : int
        Atomics and reductions on floating-point numbers, counted once for each warp: sums of them differ
        from run to run.
    """

    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    lines: list[Line]
    instructions: dict[str, int]
    opcodes: dict[str, int]
    barriers: int
    divergent_branches: int
    executed: frozenset[int]
    float_atomics: int = 0

    @classmethod
    def of(cls, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], counts: Counts) -> Report:
        lines, classes, opcodes = [], Counter(), Counter()
        for instruction in sorted(counts.executions, key=lambda instruction: instruction.line):
            warps = counts.executions[instruction]
            if not instruction.line:
                continue
            opcode = ".".join(instruction.parts)
            threads = counts.thread_executions[instruction]
            found = sorted(counts.traffic.get(instruction, {}).values(), key=lambda part: part.space)
            executed = warps, threads
            for part in found or [None]:
                lines.append(Line(instruction.line, opcode, instruction.text, *executed, part))
                executed = 0, 0
            classes[class_of(instruction)] += warps
            opcodes[opcode] += warps
        return cls(
            kernel,
            grid,
            block,
            lines,
            dict(classes),
            dict(opcodes),
            counts.barriers,
            counts.divergent_branches,
            frozenset(
                each.line
                for each in counts.executions
                if each.guard is None or each in counts.obeyed or lookup(each)[1].control
            ),
            sum(warps for opcode, warps in opcodes.items() if is_float_atomic(opcode)),
        )

    def traffic(self, space: str, opcode: str = "") -> Traffic:
        """Accesses to a state space added up, of opcodes that begin with `opcode` ("ld", "st.global")."""
        total = Traffic(space)
        for line in self.lines:
            part = line.traffic
            if part is not None and part.space == space and line.opcode.startswith(opcode):
                total.requests += part.requests
                total.bytes += part.bytes
                total.sectors += part.sectors
                total.wavefronts += part.wavefronts
                total.phases += part.phases
        return total

    @property
    def sectors_per_request(self) -> float:
        """Sectors of global memory for each request of a warp: 4 if 32 threads read 4 bytes each in a row."""
        total = self.traffic("global")
        return total.sectors / total.requests if total.requests else 0.0

    @property
    def bank_conflict_degree(self) -> float:
        """Passes through the banks of shared memory over the least possible: 1 means no conflicts."""
        total = self.traffic("shared")
        return total.wavefronts / total.phases if total.phases else 0.0

    def __repr__(self) -> str:
        total = sum(self.instructions.values())
        return (
            f"<Report of {self.kernel[:40]}: grid {self.grid}, block {self.block}, {total} warp instructions "
            f"in {len(self.lines)} lines>"
        )

    def __str__(self) -> str:
        total = sum(self.instructions.values())
        rows = [f"{self.kernel}: grid {self.grid}, block {self.block}, {total} warp instructions"]
        rows += [
            f"  {name:16} {count:10} {100 * count / total:5.1f} %"
            for name, count in sorted(self.instructions.items(), key=lambda item: -item[1])
        ]
        rows.append(f"  barriers {self.barriers}, divergent branches {self.divergent_branches}")
        for line in self.lines:
            part = line.traffic
            if part is not None:
                detail = (
                    f"{part.wavefronts / part.phases:.2f} passes per phase"
                    if part.phases
                    else f"{part.sectors / part.requests:.2f} sectors per request"
                )
                rows.append(
                    f"  line {line.line}: {part.requests} requests, {part.bytes} bytes, {detail}: {line.text}"
                )
        return "\n".join(rows)
