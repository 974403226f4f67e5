"""Which places of an axis the windows of a pool have: of regular windows, and of adaptive ones."""

import math
from typing import Any, NamedTuple

import numpy as np

from gpuconv.spec.axis import Axis, Pair
from gpuconv.spec.checks import axes_of

WINDOWS = REGULAR, ADAPTIVE = "regular", "adaptive"


class Windows(NamedTuple):
    """Tables of the windows along an axis.

    Attributes
    ----------
    first, last : array of int64
        The first place of the image that a window has, and one behind the last: none if they are equal, or
        if `first` is beyond. A dilated one has every so many of them.
    counted : array of int64
        By how many places its sum is divided: at least 1.
    """

    first: np.ndarray
    last: np.ndarray
    counted: np.ndarray

    @property
    def places(self) -> np.ndarray:
        """How many places each has, of windows that are not dilated."""
        return np.maximum(self.last - self.first, 0)


def shared_out(size: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """The windows of an adaptive pool: number p has the places from floor(p size / outputs) on.

    And those to before ceil((p + 1) size / outputs), as in PyTorch.

    Examples
    --------
    >>> first, last = shared_out(5, 3)
    >>> first.tolist(), last.tolist()
    ([0, 1, 3], [2, 4, 5])
    """
    number = np.arange(outputs)
    return number * size // max(outputs, 1), -(-(number + 1) * size // max(outputs, 1))


def largest(size: int, outputs: int) -> int:
    """The extent of the largest window that shares an axis out, without a table.

    Nothing has bounded `outputs` yet. A window is ceil((size + r) / outputs), where r = p size mod outputs
    is at most outputs - gcd(size, outputs).

    Examples
    --------
    >>> largest(5, 3), largest(2, 1 << 40), largest(4, 0)
    (3, 1, 0)
    """
    if 0 in (size, outputs):
        return 0
    return -(-(size + outputs - math.gcd(size, outputs)) // outputs)


def alike(size: Pair, outputs: Pair) -> Pair | None:
    """The extents of the windows that share an image out, if all are the same; else None.

    Examples
    --------
    >>> alike((6, 8), (3, 2)), alike((6, 8), (4, 2))
    ((2, 4), None)
    """
    if 0 in (*size, *outputs) or any(extent % count for extent, count in zip(size, outputs, strict=True)):
        return None
    return size[0] // outputs[0], size[1] // outputs[1]


def counted(axis: Axis, outputs: int, is_adaptive: bool, include_pad: bool) -> np.ndarray:
    """How many places of the axis each window is divided by: at least 1.

    Examples
    --------
    >>> counted(Axis(5, taps=3, pads=(1, 1), stride=2), 3, False, False).tolist()
    [2, 3, 2]
    """
    if is_adaptive:
        first, last = shared_out(axis.size, outputs)
        return last - first
    start = np.arange(outputs) * axis.stride - axis.pads[0]
    begin, end = (-axis.pads[0], axis.size + axis.pads[1]) if include_pad else (0, axis.size)
    return np.maximum(np.minimum(start + axis.taps, end) - np.maximum(start, begin), 1)


def windows_of(spec: Any) -> tuple[Windows, Windows]:
    """The windows of a pool along its rows and along its columns."""
    is_adaptive = spec.windows == ADAPTIVE
    rows, columns = (
        Windows(
            *_met(axis, outputs, is_adaptive), counted(axis, outputs, is_adaptive, spec.count_include_pad)
        )
        for axis, outputs in zip(axes_of(spec), (spec.P, spec.Q), strict=True)
    )
    return rows, columns


def _met(axis: Axis, outputs: int, is_adaptive: bool) -> tuple[np.ndarray, np.ndarray]:
    """The first place of the image that each window has, and one behind its last."""
    if is_adaptive:
        return shared_out(axis.size, outputs)
    start = np.arange(outputs) * axis.stride - axis.pads[0]
    missed = -(np.minimum(start, 0) // axis.dilation)  # taps before the image
    return start + missed * axis.dilation, np.minimum(start + axis.reach, axis.size)
