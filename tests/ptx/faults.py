"""What can be wrong with a kernel: one exception class per kind of fault."""

from __future__ import annotations

from typing import Any


class PtxError(Exception):
    """A fault in PTX text, in a launch, or found while a kernel executes.

    Attributes
    ----------
    message : str
        What is wrong, without the place.
    kernel : str or None
        Name of the entry function.
    line : int or None
        Line of the PTX text, counted from 1.
    instruction : str or None
        Text of the instruction on that line.
    source : str or None
        File and line of the source, of text compiled with line information (Numba's ``lineinfo=True``).
    block, thread : tuple of int or None
        Index (x, y, z) of the first block and thread at fault.
    address : int or None
        The address in question, in the state space that the message names.
    array : str or None
        Name of the array or variable that the address belongs to, or is nearest to.
    other : str or None
        The other party of a race: its line, instruction and thread.
    """

    def __init__(
        self,
        message: str,
        *,
        lane: int | None = None,
        address: int | None = None,
        array: str | None = None,
        other: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.lane = lane
        self.address = address
        self.array = array
        self.other = other
        self.kernel: str | None = None
        self.line: int | None = None
        self.instruction: str | None = None
        self.source: str | None = None
        self.block: tuple[int, ...] | None = None
        self.thread: tuple[int, ...] | None = None

    def at(self, instruction: Any) -> PtxError:
        """Note the instruction at fault, unless one is noted already."""
        if self.line is None:
            self.line, self.instruction = instruction.line, instruction.text
            self.source = instruction.source
        return self

    def __str__(self) -> str:
        parts = [self.message]
        if self.address is not None:
            parts.append(f"address {self.address:#x}" + (f" in {self.array}" if self.array else ""))
        if self.other is not None:
            parts.append(f"the other access: {self.other}")
        if self.block is not None:
            parts.append(f"block {self.block}, thread {self.thread}")
        if self.line is not None:
            parts.append(f"line {self.line}: {self.instruction}")
        if self.source is not None:
            parts.append(f"compiled from {self.source}")
        if self.kernel is not None:
            parts.append(f"kernel {self.kernel}")
        return "\n  ".join(parts)


class ParseError(PtxError):
    """The text is not PTX as this tool knows it."""


class UnknownInstructionError(PtxError):
    """An opcode, a modifier or a special register that this tool does not execute."""


class LaunchError(PtxError):
    """The arguments or the shape of a launch do not fit the kernel."""


class RaceError(PtxError):
    """Two threads access one place, one of them writing, with nothing that orders them."""


class OutOfBoundsError(PtxError):
    """An access outside every array, or to a variable beyond its end."""


class MisalignedError(PtxError):
    """An address that is not a multiple of the size of the access."""


class UninitialisedError(PtxError):
    """A value that nothing wrote reaches a store, an address or a branch."""


class ReadOnlyError(PtxError):
    """A store to constant memory, to a parameter or to an array that is not writeable."""


class AsynchronousError(PtxError):
    """Memory or a register is touched while an asynchronous operation on it is pending."""


class BarrierError(PtxError):
    """Threads wait at a barrier, or for their warp, that other threads never reach."""


class DivergenceError(PtxError):
    """An instruction for a whole warp or warpgroup is executed by a part of it."""


class OrderError(PtxError):
    """A result depends on the order in which blocks and warps run."""


class TrapError(PtxError):
    """The kernel executed ``trap``."""


class StepLimitError(PtxError):
    """The kernel did not end within the limit of steps: most likely it waits for ever."""
