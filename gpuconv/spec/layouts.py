"""How the arrays of a call lie in memory: all that a selection and a plan may know of them, beside the spec."""

from typing import NamedTuple

import numpy as np

ALIGNED = 16  # bytes: where arrays begin within so many is all that a kernel may depend on


class Layout(NamedTuple):
    """One array of four axes (a bias of one): strides in bytes, and where its first element lies.

    `offset` is the address of the first element modulo `ALIGNED`; it is always 0 on the CPU, where kernels
    take any.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    offset: int = 0

    @property
    def elements(self) -> tuple[int, ...]:
        """The strides in elements."""
        itemsize = self.dtype.itemsize
        return tuple(step // itemsize for step in self.strides)


class ConvLayouts(NamedTuple):
    """x (N, C, H, W), w (K, C / groups, R, S), a bias (K,) or None, y (N, K, P, Q)."""

    x: Layout
    w: Layout
    bias: Layout | None
    y: Layout


class PoolLayouts(NamedTuple):
    """x (N, C, H, W), y (N, C, P, Q), and the places of the maxima, int64, or None."""

    x: Layout
    y: Layout
    indices: Layout | None = None


Layouts = ConvLayouts | PoolLayouts
