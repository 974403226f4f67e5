"""Where the elements of an array lie: whether two share memory, as `out` and an input must not."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gpuconv.arrays.views import Signature

MAX_OVERLAP_WORK: Any = 10_000  # steps of numpy.shares_memory, after which two arrays count as overlapping


Place = np.ndarray | int  # the array, or its address on a GPU


class Extent(NamedTuple):
    """What shape and strides say of all arrays that have them."""

    first: int  # bytes from the pointer to the lowest element: 0, or less where a stride is negative
    end: int  # and to the end of the highest
    is_injective: bool  # no two elements share memory: each axis steps over all of the faster ones
    are_whole: bool  # every stride that is used is a multiple of an element


@lru_cache(maxsize=1024)
def extent(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Extent:
    if 0 in shape:
        return Extent(0, 0, True, True)
    used = [(step, count) for step, count in zip(strides, shape, strict=True) if count > 1]
    first = sum(min(step * (count - 1), 0) for step, count in used)
    end = itemsize + sum(max(step * (count - 1), 0) for step, count in used)
    reach, is_injective = itemsize, True
    for step, count in sorted((abs(step), count) for step, count in used):
        is_injective = is_injective and step >= reach
        reach += step * (count - 1)
    return Extent(first, end, is_injective, not any(step % itemsize for step, _ in used))


def overlap(first: Place, second: Place, one: Signature, other: Signature) -> bool:
    """Two arrays share memory, or to find that out would take too long."""
    try:
        return np.shares_memory(_addresses(first, one), _addresses(second, other), max_work=MAX_OVERLAP_WORK)
    except np.exceptions.TooHardError:
        return True


def _addresses(view: Place, signature: Signature) -> np.ndarray:
    """An array that only stands for the addresses of `view`; on a GPU it must not be read."""
    if isinstance(view, np.ndarray):
        return view
    holder = type("Addresses", (), {})()
    holder.__array_interface__ = {
        "shape": signature.shape,
        "typestr": signature.dtype.str,
        "data": (view, True),
        "strides": signature.strides,
        "version": 3,
    }
    return np.asarray(holder)


def is_channels_last(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether channels vary fastest, as torch tells it, by the order of the strides.

    It need not be without gaps. Of axes of one element the strides count too, but where they leave it open.
    """
    if len(shape) != 4 or 0 in shape or strides[1] == 0:
        return False
    least = 0
    for axis in (1, 3, 2, 0):
        if strides[axis] < least or (axis == 0 and least == strides[1]):
            return False
        least = strides[axis] * shape[axis]
    return True
