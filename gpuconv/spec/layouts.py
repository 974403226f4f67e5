"""How the arrays of a call lie in memory: all that a selection and a plan know of them, beside the spec."""

from typing import NamedTuple

import numpy as np

ALIGNED = 16  # bytes: where arrays begin within so many is all that a kernel may depend on


def contiguous_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The strides, in bytes, of an array without gaps, the last axis fastest.

    Examples
    --------
    >>> contiguous_strides((2, 3, 4), 8)
    (96, 32, 8)
    """
    strides = [itemsize]
    for extent in reversed(shape[1:]):
        strides.append(strides[-1] * extent)
    return tuple(reversed(strides))


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
    def is_packed(self) -> bool:
        """The elements lie side by side, the last axis fastest."""
        packed = contiguous_strides(self.shape, self.dtype.itemsize)
        return 0 in self.shape or all(
            step == wanted or extent == 1
            for step, wanted, extent in zip(self.strides, packed, self.shape, strict=True)
        )

    @property
    def elements(self) -> tuple[int, ...]:
        """The strides in elements."""
        itemsize = self.dtype.itemsize
        return tuple(step // itemsize for step in self.strides)


def packed(shape: tuple[int, ...], dtype: np.dtype) -> Layout:
    """How an array without gaps lies, from an aligned address on."""
    return Layout(shape, contiguous_strides(shape, dtype.itemsize), dtype)


def channels_last(shape: tuple[int, ...], dtype: np.dtype) -> Layout:
    """How an array (N, C, H, W) without gaps lies whose channels vary fastest.

    Examples
    --------
    >>> channels_last((2, 3, 4, 5), np.dtype("float32")).elements
    (60, 1, 15, 3)
    """
    N, C, H, W = shape
    n, h, w, c = contiguous_strides((N, H, W, C), dtype.itemsize)
    return Layout(shape, (n, c, h, w), dtype)


class ConvLayouts(NamedTuple):
    """x (N, C, H, W), w (K, C / groups, R, S), a bias (K,) or None, y (N, K, P, Q)."""

    x: Layout
    w: Layout
    bias: Layout | None
    y: Layout


class ResidualLayouts(NamedTuple):
    """The same with a residual (N, K, P, Q), which is added to the sums."""

    x: Layout
    w: Layout
    bias: Layout | None
    residual: Layout
    y: Layout


def conv_layouts(
    x: Layout, w: Layout, bias: Layout | None, residual: Layout | None, y: Layout
) -> ConvLayouts | ResidualLayouts:
    """Those of a convolution: of a residual that is left out nobody needs to know."""
    return ConvLayouts(x, w, bias, y) if residual is None else ResidualLayouts(x, w, bias, residual, y)


class DeformedLayouts(NamedTuple):
    """The arrays of a deformable convolution.

    x (N, C, H, W), offset (N, 2 groups R S, P, Q), w, a bias or None, mask (N, groups R S, P, Q) or None, and
    y (N, K, P, Q).
    """

    x: Layout
    offset: Layout  # type: ignore[assignment]
    w: Layout
    bias: Layout | None
    mask: Layout | None
    y: Layout


class PoolLayouts(NamedTuple):
    """x (N, C, H, W), y (N, C, P, Q), and the places of the maxima, int64, or None."""

    x: Layout
    y: Layout
    indices: Layout | None = None


class WeightGradientLayouts(NamedTuple):
    """x (N, C, H, W), dy (N, K, P, Q), and y (K, C / groups, R, S), the gradient by the weight."""

    x: Layout
    dy: Layout
    y: Layout


class ScatterLayouts(NamedTuple):
    """x (N, C, P, Q), the place of each of its elements, likewise, and y (N, C, H, W)."""

    x: Layout
    places: Layout
    y: Layout


class NormGradientLayouts(NamedTuple):
    """x (N, C, P, Q), the image (N, C, H, W), its norms (N, C, P, Q), and y (N, C, H, W)."""

    x: Layout
    image: Layout
    result: Layout
    y: Layout


class PlainLayouts(NamedTuple):
    """x and y, each of images or of what is made of images."""

    x: Layout
    y: Layout


Layouts = (
    ConvLayouts
    | ResidualLayouts
    | DeformedLayouts
    | PoolLayouts
    | WeightGradientLayouts
    | ScatterLayouts
    | NormGradientLayouts
    | PlainLayouts
)
