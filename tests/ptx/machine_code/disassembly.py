"""Machine code as text: nvdisasm, its output parsed, and what a kernel's main loop consists of."""

import functools
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cuda.pathfinder import find_nvidia_binary_utility

from .loops import Step, main_loop

HINT = "nvdisasm is not installed: pip install nvidia-cuda-nvdisasm==13.5.37"

# By the opcode without its modifiers; what is not listed is counted as integer arithmetic.
KINDS = {
    "matrix": "HMMA IMMA DMMA BMMA QMMA OMMA HGMMA IGMMA QGMMA BGMMA UTCHMMA UTCIMMA UTCQMMA UTCOMMA",
    "math": "FFMA FADD FMUL FMNMX FSET FSETP FFMA2 FADD2 FMUL2 FMNMX3 DFMA DADD DMUL DMNMX DSETP DSET "
    "HFMA2 HADD2 HMUL2 HMNMX2 HSET2 HSETP2 IDP",
    "special": "MUFU",
    "shared": "LDS STS LDSM STSM ATOMS",
    "global": "LD ST LDG STG ATOM ATOMG RED REDG LDGSTS UBLKCP UBLKRED UTMALDG UTMASTG UTMAREDG UTMACCTL",
    "local": "LDL STL",
    "constant": "LDC LDCU ULDC",
    "control": "BRA BRX JMP JMX EXIT RET CALL BSSY BSYNC BREAK BMOV KILL WARPSYNC YIELD NOP NANOSLEEP",
    "synchronisation": "BAR B2R DEPBAR LDGDEPBAR LDGMC MEMBAR FENCE ERRBAR SYNCS WARPGROUP WARPGROUPSET CCTL "
    "ARRIVES UTMACMDFLUSH UCGABAR_ARV UCGABAR_WAIT ACQBULK",
    "move": "MOV UMOV MOV32I SEL FSEL USEL S2R S2UR CS2R R2UR PRMT UPRMT MOVM SHFL R2P P2R PLOP3 UPLOP3",
}
_KIND_OF = {opcode: kind for kind, opcodes in KINDS.items() for opcode in opcodes.split()}
_ENDS = {"EXIT", "RET", "BRA", "BRX", "JMP", "JMX", "KILL"}
_WIDTHS = {"8", "U8", "S8", "16", "U16", "S16", "64", "128", "256"}

_SECTION = re.compile(r"\s*\.section\s+\.text\.([^,\s]+)")
_LABEL = re.compile(r"([.$\w]+):")
_INSTRUCTION = re.compile(
    r"\s*/\*(?P<offset>[0-9a-f]+)\*/\s+(?:@(?P<guard>!?U?P\w+)\s+)?(?P<opcode>[A-Z][\w.]*)\s*(?P<operands>.*?)\s*;"
)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of machine code: ``@guard OPCODE.MODIFIERS operands ;``, `targets` being indices."""

    offset: int
    guard: str | None
    opcode: str
    operands: str
    targets: tuple[int, ...] = ()

    @property
    def root(self) -> str:
        """The opcode without its modifiers."""
        return self.opcode.split(".")[0]

    @property
    def kind(self) -> str:
        """A key of KINDS, or "integer".

        A multiplication by zero is how the compiler moves a constant through an idle unit.
        """
        if self.root in ("IMAD", "UIMAD", "HFMA2") and re.search(r"RZ, U?RZ,", self.operands):
            return "move"
        return _KIND_OF.get(self.root, "integer")

    @property
    def name(self) -> str:
        """The opcode, with the width of a memory access where it is not 4 bytes: "LDS.128"."""
        width = [part for part in self.opcode.split(".")[1:] if part in _WIDTHS]
        if self.kind in ("shared", "global", "local") and width:
            return f"{self.root}.{width[-1]}"
        return self.root

    @property
    def step(self) -> Step:
        """Its place in the control flow. A branch with an operand before its label depends on it."""
        depends = self.guard is not None or (self.root == "BRA" and not self.operands.startswith("`"))
        return Step(self.targets, depends or self.root not in _ENDS, self.kind)


def disassemble(cubin: bytes) -> str:
    """The code sections of a cubin as text; FileNotFoundError with the pip command if nvdisasm is missing."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(cubin)
        command = [nvdisasm(), "--print-code", file.name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@functools.cache
def nvdisasm() -> str:
    """The path of nvdisasm: from its wheel, a conda environment or a toolkit."""
    path = find_nvidia_binary_utility("nvdisasm")
    if path is None:
        raise FileNotFoundError(HINT)
    return path


def parse(text: str, entry: str) -> list[Instruction]:
    """The instructions of one function, without the subroutines that are linked to it.

    Raises
    ------
    ValueError
        If the text has no code for `entry`.
    """
    found: list[re.Match] = []
    labels: dict[str, int] = {}
    section = None
    for line in text.splitlines():
        if match := _SECTION.match(line):
            section = match[1]
        elif section == entry:
            if match := _LABEL.match(line):
                labels[match[1]] = len(found)
            elif match := _INSTRUCTION.match(line):
                found.append(match)
    if not found:
        raise ValueError(f"no code of {entry} in the disassembly")
    return [_instruction(match, labels) for match in found]


def _instruction(match: re.Match, labels: dict[str, int]) -> Instruction:
    opcode, operands = match["opcode"], match["operands"]
    jumps = opcode.split(".")[0] in ("BRA", "BRX", "JMP", "JMX")
    names = re.findall(r"[.$][\w$.]+", operands) if jumps else []
    targets = tuple(labels[name] for name in names if name in labels)
    return Instruction(int(match["offset"], 16), match["guard"], opcode, operands, targets)


@dataclass(frozen=True, slots=True)
class Loop:
    """A kernel's main loop, or all of a kernel that computes without one.

    Attributes
    ----------
    instructions : int
        How many there are, loops within it left out; 0 if no loop computes.
    math_pct : float
        Share of matrix instructions and floating-point arithmetic and comparisons, in percent.
    kinds, mix : dict of str to int
        Instructions by kind, and by opcode, the most frequent first.
    """

    instructions: int
    math_pct: float
    kinds: dict[str, int]
    mix: dict[str, int]


def analyse(instructions: Sequence[Instruction]) -> Loop:
    """What the main loop consists of; where all loops are unrolled, what the kernel consists of."""
    loop = [instructions[index] for index in main_loop([each.step for each in instructions])]
    members = loop or instructions
    kinds = Counter(each.kind for each in members)
    math = kinds["matrix"] + kinds["math"]
    share = round(100 * math / len(members), 1) if members else 0.0
    mix = Counter(each.name for each in members)
    return Loop(len(members), share, dict(kinds.most_common()), dict(mix.most_common()))
