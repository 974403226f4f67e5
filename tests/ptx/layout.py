"""Where the variables of a state space lie: as far from each other, and as badly aligned, as is allowed.

Neighbours are kept apart by gaps that nothing may touch, so that an index beyond the end of a variable does
not fall into another one. A variable lies at an odd multiple of its alignment: nothing may take it to be
aligned to more, whatever a compiler or a driver happens to do. Only the first static one lies at zero.
"""

from __future__ import annotations

from .faults import ParseError
from .syntax import Variable

LEAST_GAP, LARGEST_GAP = 256, 8192
LARGEST_ALIGNMENT = 1024  # that any instruction asks for


class Layout:
    """The variables of one state space.

    Attributes
    ----------
    first, end : int
        Where the first variable begins, and the last one ends.
    gaps : list of (int, int)
        First byte of each gap, and the byte behind it.
    bytes : int
        What the variables take if they lie side by side.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.end = 0
        self.gaps: list[tuple[int, int]] = []
        self.bytes = 0
        self.latest = 0

    def place(self, variable: Variable) -> int:
        """The offset of the next variable."""
        if variable.size is None:
            raise ParseError(f"variable {variable.name!r} has no size")
        return self.reserve(variable.size, variable.alignment, first=0)

    def place_dynamic(self, size: int, alignment: int) -> int:
        """The offset of memory whose size only the launch tells."""
        if size == 0:
            return self.end
        return self.reserve(size, alignment, first=alignment if alignment < LARGEST_ALIGNMENT else 0)

    def reserve(self, size: int, alignment: int, first: int) -> int:
        """The offset of so many bytes; it is `first` if there are none before them."""
        offset = first
        if self.first is None:
            self.first = first
        else:
            gap = min(max(LEAST_GAP, size, self.latest), LARGEST_GAP)
            offset = -(-(self.end + gap) // alignment) * alignment
            offset += alignment * (offset // alignment % 2 == 0)
            self.gaps.append((self.end, offset))
        self.end, self.latest = offset + size, size
        self.bytes = -(-self.bytes // alignment) * alignment + size
        return offset
