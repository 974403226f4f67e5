"""Matrix instructions in small kernels whose arguments are what each thread holds."""

from __future__ import annotations

import numpy as np

from ..arguments import out
from ..kernel import Kernel

HEADER = ".version 8.7\n.target {target}\n.address_size 64\n"


def words(letter: str, count: int) -> str:
    """``{%a0, %a1, ...}``"""
    return "{" + ", ".join(f"%{letter}{index}" for index in range(count)) + "}"


def address(register: str, parameter: int, size: int) -> str:
    """PTX for the address of `size` bytes for each thread of the block, in an array."""
    return (
        f"    ld.param.u64 {register}, [p{parameter}];\n    mul.wide.u32 %offset, %thread, {size};\n"
        f"    add.u64 {register}, {register}, %offset;\n"
    )


def move(load: bool, letter: str, count: int, size: int, register: str) -> str:
    """PTX that loads or stores `count` registers of `size` bytes."""
    bits = f"b{8 * size}"
    lines = []
    for index in range(count):
        place, name = f"[{register} + {size * index}]", f"%{letter}{index}"
        lines.append(
            f"    ld.global.{bits} {name}, {place};\n" if load else f"    st.global.{bits} {place}, {name};\n"
        )
    return "".join(lines)


def fragments_text(instruction: str, counts: tuple[int, ...], size: int = 4, target: str = "sm_90a") -> str:
    """A kernel for ``instruction d, a, b, ...`` with so many registers of `size` bytes for each.

    Its parameters are the sources and then the destination, one row of registers for each thread.
    """
    letters = "dabc"[: len(counts)]
    bits = f"b{8 * size}"
    text = [f"    .reg .{bits} %{letter}<{count}>;\n" for letter, count in zip(letters, counts, strict=True)]
    text.append("    .reg .b32 %thread;\n    .reg .b64 %offset, %at;\n    mov.u32 %thread, %tid.x;\n")
    for index, (letter, count) in enumerate(zip(letters[1:], counts[1:], strict=True)):
        text += [address("%at", index, size * count), move(True, letter, count, size, "%at")]
    operands = ", ".join(words(letter, count) for letter, count in zip(letters, counts, strict=True))
    text.append(f"    {instruction} {operands};\n")
    text += [address("%at", len(counts) - 1, size * counts[0]), move(False, "d", counts[0], size, "%at")]
    parameters = ", ".join(f".param .u64 p{index}" for index in range(len(counts)))
    head = HEADER.format(target=target)
    return f"{head}.visible .entry test({parameters})\n{{\n{''.join(text)}    ret;\n}}\n"


def execute(instruction: str, sources: list[np.ndarray], registers: int, size: int = 4) -> np.ndarray:
    """Run such a kernel on what threads hold, arrays of bytes; returns what they then hold."""
    counts = (registers, *(source.shape[1] // size for source in sources))
    threads = sources[0].shape[0]
    result = np.zeros((threads, registers * size), np.uint8)
    Kernel(fragments_text(instruction, counts, size)).launch(1, threads, *sources, out(result))
    return result
