"""What a compiler made of PTX, read without a GPU: its registers and its main loop.

The linker's log gives registers and memory (`resources.py`), nvdisasm the instructions (`disassembly.py`),
their control flow the main loop (`loops.py`, for PTX too).
"""

from typing import Any, Protocol

from .disassembly import KINDS, Loop, analyse, disassemble, parse
from .loops import Step, main_loop, ptx_main_loop, step_of
from .resources import resources

__all__ = [
    "KINDS", "Loop", "Step", "analyse", "disassemble", "main_loop", "of", "parse", "ptx_main_loop",
    "resources", "step_of",
]  # fmt: skip


class Cubin(Protocol):
    """Machine code, the name of its kernel, and what the linker said."""

    code: bytes
    entry: str
    log: str


class Compiled(Protocol):
    """A kernel that compiles itself."""

    name: str
    threads: int

    def cubin(self, arch: str) -> Cubin:
        """Its machine code for an architecture such as "sm_90a"."""


def of(kernel: Compiled, arch: str) -> dict[str, Any]:
    """What the compiler and the disassembly say of a kernel, as a row of a table."""
    cubin = kernel.cubin(arch)
    loop = analyse(parse(disassemble(cubin.code), cubin.entry))
    return {
        "kernel": kernel.name, "arch": arch, "threads": kernel.threads, **resources(cubin.log),
        "loop_instructions": loop.instructions, "loop_math_pct": loop.math_pct, "loop_mix": loop.mix,
    }  # fmt: skip
