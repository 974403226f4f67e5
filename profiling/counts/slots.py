"""From PTX that was executed to instructions of machine code, by the unit that carries them out.

The main loop counts as the disassembly has it: its instructions by opcode, as often as the executed PTX
says that it ran. What lies outside of it counts by its PTX, an instruction of which takes as many of
machine code as `SLOTS` says, one where it says nothing; where that makes the code longer than it is, each
counts for less. A kernel whose loops are all unrolled is all main loop.
"""

import functools
from dataclasses import dataclass

from gpuconv.cuda.runtime.compiled import Kernel
from profiling.counts.block_sample import executable
from profiling.counts.watching import Sample
from tests.ptx.machine_code import KINDS, Loop, analyse, disassemble, parse, ptx_main_loop, step_of
from tests.ptx.report import class_of
from tests.ptx.syntax import Instruction

# Machine instructions of one of PTX, by its first word and the bits of its last: moves and conversions of
# addresses are renamings, predicates are combined by the comparisons, 64 bits take two of 32.
SLOTS = {
    "mov": 0, "cvta": 0, "neg f32": 0, "abs f32": 0, "and pred": 0, "or pred": 0, "not pred": 0,
    "cvt u64": 0, "cvt u32": 0, "cvt s64": 1, "div 32": 18, "rem 32": 18, "div 64": 80, "rem 64": 80,
    "div f32": 8, "div f64": 30,
    "add 64": 2, "sub 64": 2, "setp 64": 2, "selp 64": 2, "and 64": 2, "or 64": 2, "min 64": 4, "max 64": 4,
    "mul.lo 64": 4, "mad.lo 64": 4, "mul.hi 64": 6,
}  # fmt: skip

FP32 = {"FFMA", "FADD", "FMUL", "FFMA2", "FADD2", "FMUL2", "IMAD", "HFMA2", "HADD2", "HMUL2"}  # multiply-adds
TENSOR = {"HMMA"}  # products of 16 x 8 x 8 tf32: no kernel has others
SPECIAL = {"MUFU", "I2F", "F2I", "F2F", "POPC", "FLO", "BREV"}
NO_UNIT = {
    opcode
    for kind in ("shared", "global", "local", "constant", "control", "synchronisation", "matrix")
    for opcode in KINDS[kind].split()
}


@dataclass(frozen=True, slots=True)
class Work:
    """Instructions of warps: all that are issued, and those of each unit."""

    issued: float = 0.0
    fp32: float = 0.0
    fp64: float = 0.0
    integer: float = 0.0
    special: float = 0.0
    tensor: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def __mul__(self, times: float) -> "Work":
        return Work(*(getattr(self, name) * times for name in self.__slots__))


def work(sample: Sample, kernel: Kernel, arch: str) -> Work:
    """Of one block, on the average of those sampled."""
    loop, machine = ptx_loop(kernel, arch), machine_code(kernel, arch)[0]
    outside = [
        of_instruction(instruction) * warps
        for instruction, warps in sample.executions.items()
        if instruction not in loop
    ]
    inside = of_mix(machine.mix) * repeats(sample, loop, machine)
    return (sum(outside, Work()) * length_outside(kernel, arch) + inside) * (1 / sample.blocks)


def repeats(sample: Sample, loop: frozenset[Instruction], machine: Loop) -> float:
    """How often warps went through the machine code's main loop, which may hold several turns of the
    PTX's."""
    math = [instruction for instruction in loop if is_math(instruction)]
    members = math or list(loop)
    if not members:
        return 0.0
    there = machine.kinds.get("math", 0) + machine.kinds.get("matrix", 0) if math else machine.instructions
    turns = sum(sample.executions[instruction] for instruction in members) / len(members)
    return turns / max(1, round(there / len(members)))


@functools.cache
def ptx_loop(kernel: Kernel, arch: str) -> frozenset[Instruction]:
    """The main loop's instructions, or all of a kernel that computes without one."""
    instructions = executable(kernel, arch).program.entry.instructions
    return frozenset(ptx_main_loop(instructions)) or frozenset(instructions)


@functools.cache
def machine_code(kernel: Kernel, arch: str) -> tuple[Loop, int]:
    """The main loop of the machine code, and the instructions outside of it; padding left out."""
    cubin = kernel.measured(arch)
    instructions = parse(disassemble(cubin.code), cubin.entry)
    loop = analyse(instructions)
    mix = {name: count for name, count in loop.mix.items() if name != "NOP"}
    length = sum(instruction.root != "NOP" for instruction in instructions)
    inside = sum(mix.values())
    return Loop(inside, loop.math_pct, loop.kinds, mix), length - inside


@functools.cache
def length_outside(kernel: Kernel, arch: str) -> float:
    """Machine instructions outside of the main loop over the slots of the PTX there, at most 1."""
    instructions = executable(kernel, arch).program.entry.instructions
    slots = sum(slots_of(each) for each in instructions if each not in ptx_loop(kernel, arch))
    return min(1.0, machine_code(kernel, arch)[1] / slots) if slots else 1.0


def of_mix(mix: dict[str, int]) -> Work:
    """Machine instructions by opcode."""
    return sum((_work(unit_of(name.split(".")[0])) * count for name, count in mix.items()), Work())


def unit_of(opcode: str) -> str:
    """The field of `Work` for an opcode of machine code; "" for what no unit for arithmetic carries out."""
    if opcode in TENSOR:
        return "tensor"
    if opcode in NO_UNIT or opcode.startswith("U"):
        return ""
    if opcode in FP32:
        return "fp32"
    if opcode in SPECIAL:
        return "special"
    return "fp64" if opcode.startswith("D") else "integer"


def of_instruction(instruction: Instruction) -> Work:
    """What one warp's execution of an instruction of PTX takes."""
    slots, parts, kind = slots_of(instruction), instruction.parts, class_of(instruction)
    if kind in ("memory", "control", "synchronisation", "warp"):
        unit = ""
    elif kind == "special" or (kind == "conversion" and {"f32", "f64"} & set(parts)):
        unit = "special"
    elif kind == "math" and parts[0] in ("fma", "add", "sub", "mul"):
        unit = "fp64" if parts[-1] == "f64" else "fp32"
    else:
        unit = "fp32" if parts[0] in ("mul", "mad") else "integer"
    return _work(unit) * slots


def slots_of(instruction: Instruction) -> float:
    """Machine instructions that an instruction of PTX takes."""
    first, last = instruction.parts[0], instruction.parts[-1]
    if first == "cvt" and {"f16", "bf16", "f32", "f64"} & set(instruction.parts):
        return 1.0
    keys = [first, f"{first} {last}"]
    if not last.startswith("f"):
        bits = last.lstrip("usb")
        keys += [f"{'.'.join(instruction.parts[:2])} {bits}", f"{first} {bits}"]
    return next((SLOTS[key] for key in keys if key in SLOTS), 1.0)


def is_math(instruction: Instruction) -> bool:
    """Whether machine code has a floating-point or matrix instruction for it."""
    if slots_of(instruction) == 0:
        return False
    return step_of(instruction).kind in ("math", "matrix")


def _work(unit: str) -> Work:
    return Work(issued=1.0, **({unit: 1.0} if unit else {}))
