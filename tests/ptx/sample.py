"""How a kernel in PTX is described that a GPU and the executor run alike, and how such are made.

The list of them is in `tests.ptx.samples`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arguments import out
from .syntax import DTYPES

HEADER = ".version 8.0\n.target sm_80\n.address_size 64\n"
COUNT = 4096  # elements of an elementwise sample
BLOCK = 128
FORMATS = {"f16": (5, 10), "bf16": (8, 7), "f32": (8, 23), "f64": (11, 52)}  # bits of exponent and fraction

MakeArguments = Callable[[np.random.Generator], list[Any]]
MakeValues = Callable[[np.random.Generator, str], np.ndarray]


@dataclass(frozen=True)
class Sample:
    """A kernel, its launch, and how closely a device must agree with the executor.

    Attributes
    ----------
    name : str
        Unique; the instruction that it is about.
    text : str
        PTX with one entry.
    make_arguments : callable
        From a random generator to the arguments, as `Kernel.launch` takes them: contiguous arrays, `pointer`
        and `out` of such, NumPy scalars of the parameter's type, bytes.
    grid, block : int or tuple of int
    shared_bytes : int
        Dynamic shared memory of a block.
    ulps : int
        By how many units in the last place floating-point results may differ, as the PTX ISA bounds the error
        of approximate instructions. 0 demands every bit, but any NaN of a floating-point array equals any
        other.
    """

    name: str
    text: str
    make_arguments: MakeArguments
    grid: int | tuple[int, ...] = 1
    block: int | tuple[int, ...] = 32
    shared_bytes: int = 0
    ulps: int = 0

    @property
    def target(self) -> str:
        """The architecture that the text is written for, such as "sm_90a"."""
        return re.findall(r"^\s*\.target\s+(\w+)", self.text, re.MULTILINE)[0]


def elementwise(
    instruction: str, result: str, *kinds: str, ulps: int = 0, make: MakeValues | None = None
) -> Sample:
    """One instruction on each element of arrays: ``instruction d, a, b, c``, constants given after a comma.

    `result` and `kinds` are the types of d and of the sources, `make` makes a source (random bits with the
    special values among them, unless given).
    """
    opcode, *constants = instruction.split(", ")
    operands = ["%d", *("%a", "%b", "%c")[: len(kinds)], *constants]
    return kernel(instruction, [f"{opcode} {', '.join(operands)};"], result, *kinds, ulps=ulps, make=make)


def kernel(
    name: str, body: list[str], result: str, *kinds: str, ulps: int = 0, make: MakeValues | None = None
) -> Sample:
    """`body` computes ``%d`` of type `result` from the sources ``%a``, ``%b``, ``%c``, one element a thread.

    It may use ``%i``, the element's index, ``%x`` and ``%y``, two 32-bit registers, and ``%q``, a predicate.
    """
    sources = dict(zip(("%a", "%b", "%c"), kinds, strict=False))
    registers = {**sources, "%d": result}
    lines = [f".reg .{_register(kind)} {variable};" for variable, kind in registers.items()]
    lines += [".reg .b32 %i, %t, %n, %x, %y;", ".reg .b64 %p, %o;", ".reg .pred %q;"]
    lines += ["mov.u32 %i, %ctaid.x;", "mov.u32 %n, %ntid.x;", "mov.u32 %t, %tid.x;"]
    lines += ["mad.lo.u32 %i, %i, %n, %t;"]
    for index, (variable, kind) in enumerate(sources.items()):
        lines += [*element_address(index, kind), f"ld.global.{_memory(kind)} {variable}, [%p];"]
    lines += [*body, *element_address(len(kinds), result), f"st.global.{_memory(result)} [%p], %d;", "ret;"]
    parameters = ", ".join(f".param .u64 p{index}" for index in range(len(kinds) + 1))
    text = f"{HEADER}.visible .entry sample({parameters})\n{{\n" + "\n".join(lines) + "\n}\n"

    def make_arguments(rng: np.random.Generator) -> list[Any]:
        arrays = [(make or any_values)(rng, kind) for kind in kinds]
        return [*arrays, out(np.empty(COUNT, DTYPES[result]))]

    return Sample(name, text, make_arguments, COUNT // BLOCK, BLOCK, ulps=ulps)


def element_address(parameter: int, kind: str) -> list[str]:
    """Instructions that leave the address of element ``%i`` of a parameter in ``%p``."""
    size = DTYPES[kind].itemsize
    return [f"ld.param.u64 %p, [p{parameter}];", f"mul.wide.u32 %o, %i, {size};", "add.u64 %p, %p, %o;"]


def _register(kind: str) -> str:
    return kind if kind in ("f32", "f64") else f"b{8 * max(DTYPES[kind].itemsize, 2)}"


def _memory(kind: str) -> str:
    return kind if kind in ("f32", "f64") else f"b{8 * DTYPES[kind].itemsize}"


def between(low: float, high: float) -> MakeValues:
    """Sources that are uniform in an interval."""
    return lambda rng, kind: rng.uniform(low, high, COUNT).astype(DTYPES[kind])


def any_values(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Random bits; of floating-point types most exponents near 1, and each special value several times."""
    if kind.endswith("x2"):
        low, high = (any_values(rng, kind.removesuffix("x2")).view(np.uint16) for _ in range(2))
        return low.astype(np.uint32) | high.astype(np.uint32) << np.uint32(16)
    dtype = DTYPES[kind]
    unsigned = np.dtype(f"u{dtype.itemsize}")
    bits = rng.integers(0, 256, COUNT * dtype.itemsize, np.uint8).view(unsigned).astype(np.uint64)
    if kind in FORMATS:
        exponent, fraction = FORMATS[kind]
        near = rng.integers(-12, 13, COUNT) + (1 << (exponent - 1)) - 1
        field = ((1 << exponent) - 1) << fraction
        bits[COUNT // 4 :] &= np.uint64(~field & (1 << 64) - 1)
        bits[COUNT // 4 :] |= near[COUNT // 4 :].astype(np.uint64) << np.uint64(fraction)
    special = np.array(special_bits(kind), np.uint64)
    bits[rng.choice(COUNT, 8 * special.size, replace=False)] = np.tile(special, 8)
    return bits.astype(unsigned).view(dtype)


def special_bits(kind: str) -> list[int]:
    """Bits of the values at which instructions go wrong: of both signs, the least and the greatest."""
    width = 8 * DTYPES[kind].itemsize
    sign = 1 << (width - 1)
    if kind not in FORMATS:
        return [0, 1, sign - 1, sign, 2 * sign - 1]
    exponent, fraction = FORMATS[kind]
    infinity = ((1 << exponent) - 1) << fraction
    one, half = ((1 << (exponent - 1)) - 1) << fraction, 1 << (fraction - 1)
    least_normal = 1 << fraction
    positive = [0, 1, least_normal - 1, least_normal, one, one + 1, one + half, infinity - 1, infinity]
    return [*positive, *(sign | bits for bits in positive), infinity | half]
