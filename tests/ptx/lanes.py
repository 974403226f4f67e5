"""Sets of lanes. A lane is one thread of one of the blocks that execute in one vector."""

from __future__ import annotations

import numpy as np


class Active:
    """The lanes that execute an instruction.

    Attributes
    ----------
    mask : ndarray of bool, shape (lanes,)
    where : True or ndarray
        For register writes: True when every lane that is still alive is active, since then the
        registers of the others matter to nobody; otherwise `mask`.
    count : int
        Number of active lanes.
    """

    __slots__ = ("_indices", "_warps", "count", "mask", "where")

    def __init__(self, mask: np.ndarray, count: int, everyone: bool = False) -> None:
        self.mask = mask
        self.count = count
        self.where = True if everyone else mask
        self._indices: np.ndarray | None = None
        self._warps: int | None = None

    @property
    def indices(self) -> np.ndarray:
        """The active lanes in ascending order."""
        if self._indices is None:
            self._indices = np.flatnonzero(self.mask)
        return self._indices

    @property
    def full(self) -> bool:
        """Whether every lane of the vector is active."""
        return self.count == self.mask.size

    @property
    def warps(self) -> int:
        """Number of warps with at least one active lane."""
        if self._warps is None:
            self._warps = int(np.count_nonzero(self.mask.reshape(-1, 32).any(axis=1)))
        return self._warps

    def gather(self, values: np.ndarray) -> np.ndarray:
        """The values of the active lanes, densely packed."""
        return values if self.full else values[self.indices]

    def scatter(self, out: np.ndarray, values: np.ndarray) -> None:
        """Write densely packed values to the active lanes of `out`."""
        if self.full:
            out[...] = values
        else:
            out[self.indices] = values

    def narrow(self, mask: np.ndarray, count: int) -> Active:
        """The subset `mask` of this set, which has `count` lanes."""
        return self if count == self.count else Active(mask, count)

    def groups(self, size: int) -> np.ndarray:
        """Indices of the groups of `size` consecutive lanes whose first lane is active."""
        return np.flatnonzero(self.mask[::size])
