"""The ways in which memory is accessed, and which of them race with each other.

Accesses that PTX calls strong (atomics, ``.volatile``, ``.relaxed`` and stronger) do not race with each other
if the scope of each includes the other's thread and both are of the same size: they are *morally strong*.
Vectors and packed types are as many accesses of their elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

# Whom an access races with: any other thread, or threads of other blocks alone.
THREADS, BLOCKS = "threads", "blocks"


@dataclass(frozen=True)
class Access:
    """How memory is accessed.

    Attributes
    ----------
    writes, strong : bool
    wide : bool
        Of a strong access, whether its scope reaches beyond the block.
    size : int
        Of a strong access, bytes of an element.
    constant : bool
        Whether the bytes must not be written as long as the kernel runs (``ld.global.nc``).
    """

    writes: bool
    strong: bool = False
    wide: bool = True
    size: int = 0
    constant: bool = False

    READ: ClassVar[Access]
    WRITE: ClassVar[Access]
    CONSTANT: ClassVar[Access]

    @property
    def value(self) -> str:
        """A description."""
        if self.strong:
            scope = "" if self.wide else " (.cta)"
            return ("strong write or atomic" if self.writes else "strong read") + scope
        return "write" if self.writes else "read"


Access.READ, Access.WRITE, Access.CONSTANT = Access(False), Access(True), Access(False, constant=True)


def conflict(first: Access, second: Access) -> str | None:
    """Whom the two race with when they meet at one place, unordered: `THREADS`, `BLOCKS` or None, nobody.

    Examples
    --------
    >>> conflict(Access.READ, Access.READ), conflict(Access.READ, Access.WRITE)
    (None, 'threads')
    >>> write, read = Access(True, strong=True, wide=False, size=4), Access(False, strong=True, size=4)
    >>> conflict(write, read), conflict(write, Access(False, strong=True, size=8))
    ('blocks', 'threads')
    """
    if not (first.writes or second.writes):
        return None
    if not (first.strong and second.strong) or first.size != second.size:
        return THREADS
    return None if first.wide and second.wide else BLOCKS
