"""Which thread holds which element of a matrix: the fragment layouts of all matrix instructions.

Each layout is a function from (lane, element) to (row, column), on integers or NumPy arrays, where
`lane` counts within the warp (or, for wgmma, the warpgroup of 128 lanes) and `element` the elements
that one thread holds, in the order of its registers, lower halves or bytes first. `packed` is the
number of elements in a register: 1 for tf32, f32 and f64, 2 for f16 and bf16, 4 for 8-bit types.

The PTX ISA manual has a table for every shape. They are all cut from one pattern: lane ``4 g + t``
holds `packed` neighbours, the t-th of four such runs in row g of an 8-row block, and further
registers repeat this in further blocks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def block8x8(lane, element):
    """``ldmatrix``, ``stmatrix`` and ``movmatrix``: 8 x 8 elements of 16 bits, two to a thread."""
    return lane // 4, 2 * (lane % 4) + element


def mma_a8(lane, element, packed):
    """A of an ``m8`` shape: one 8-row block."""
    return lane // 4, packed * (lane % 4) + element


def mma_a16(lane, element, packed):
    """A of an ``m16`` shape: registers go down to rows 8 to 15 first, then to the next columns."""
    register, place = element // packed, element % packed
    row = lane // 4 + 8 * (register % 2)
    return row, packed * (lane % 4) + place + 4 * packed * (register // 2)


def mma_b(lane, element, packed):
    """B, as K x N: the pattern runs down the columns."""
    register, place = element // packed, element % packed
    return packed * (lane % 4) + place + 4 * packed * register, lane // 4


def mma_c(lane, element):
    """C and D, two neighbours of a row at a time."""
    return lane // 4 + 8 * (element // 2), 2 * (lane % 4) + element % 2


def wgmma_a(lane, element, packed):
    """A of ``wgmma`` in registers: each warp holds 16 of the 64 rows as ``mma`` does."""
    row, column = mma_a16(lane % 32, element, packed)
    return row + 16 * (lane // 32), column


def wgmma_d(lane, element):
    """D of ``wgmma``: 16 rows for each warp, 8 columns for each four elements."""
    row, column = mma_c(lane % 32, element % 4)
    return row + 16 * (lane // 32), column + 8 * (element // 4)


class Fragment:
    """A matrix spread over the lanes of a warp or warpgroup by a layout.

    Parameters
    ----------
    layout : callable
        (lane, element) to (row, column).
    lanes : int
        32 or 128.
    shape : tuple of int
        Rows and columns.
    """

    def __init__(self, layout: Callable, lanes: int, shape: tuple[int, int]) -> None:
        self.lanes = lanes
        self.shape = shape
        self.elements = shape[0] * shape[1] // lanes
        row, column = layout(np.arange(lanes)[:, None], np.arange(self.elements))
        self.places = (row * shape[1] + column).reshape(-1)
        self._order = np.argsort(self.places)

    def matrices(self, held: np.ndarray) -> np.ndarray:
        """From what lanes hold, shape (groups * lanes, elements), to matrices (groups, rows, columns)."""
        return held.reshape(-1, self.places.size)[:, self._order].reshape(-1, *self.shape)

    def held(self, matrices: np.ndarray) -> np.ndarray:
        """From matrices (groups, rows, columns) to what lanes hold, (groups * lanes, elements)."""
        flat = matrices.reshape(-1, self.places.size)
        return flat[:, self.places].reshape(-1, self.elements)
