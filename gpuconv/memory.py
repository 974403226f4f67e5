"""Where the elements of an array lie: whether two share memory, as `out` and an input must not."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gpuconv.arrays import DeviceArray, View

MAX_OVERLAP_WORK: Any = 10_000  # steps of numpy.shares_memory, after which two arrays count as overlapping


class Extent(NamedTuple):
    """What shape and strides say of all arrays that have them."""

    first: int  # bytes from the pointer to the lowest element: 0, or less where a stride is negative
    end: int  # and to the end of the highest
    is_injective: bool  # no two elements share memory: each axis steps over all of the faster ones
    steps_whole: bool  # every stride that is used is a multiple of an element


def extent_of(view: View) -> Extent:
    return _extent(view.shape, view.strides, view.dtype.itemsize)


@lru_cache(maxsize=1024)
def _extent(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Extent:
    if 0 in shape:
        return Extent(0, 0, True, True)
    used = [(step, extent) for step, extent in zip(strides, shape, strict=True) if extent > 1]
    first = sum(min(step * (extent - 1), 0) for step, extent in used)
    end = itemsize + sum(max(step * (extent - 1), 0) for step, extent in used)
    reach, is_injective = itemsize, True
    for step, extent in sorted((abs(step), extent) for step, extent in used):
        is_injective = is_injective and step >= reach
        reach += step * (extent - 1)
    return Extent(first, end, is_injective, not any(step % itemsize for step, _ in used))


def is_aligned(array: DeviceArray) -> bool:
    """Every element lies on a multiple of its size."""
    return array.pointer % array.dtype.itemsize == 0 and extent_of(array).steps_whole


def overlap(first: View, second: View) -> bool:
    """Two arrays share memory, or to find that out would take too long."""
    if isinstance(first, DeviceArray) and isinstance(second, DeviceArray) and _are_apart(first, second):
        return False
    try:
        return np.shares_memory(_addresses(first), _addresses(second), max_work=MAX_OVERLAP_WORK)
    except np.exceptions.TooHardError:
        return True


def _are_apart(first: DeviceArray, second: DeviceArray) -> bool:
    """One ends before the other begins."""
    one, other = extent_of(first), extent_of(second)
    return (
        first.pointer + one.end <= second.pointer + other.first
        or second.pointer + other.end <= first.pointer + one.first
    )


def _addresses(view: View) -> np.ndarray:
    """An array that only stands for the addresses of `view`; on a GPU it must not be read."""
    if isinstance(view, np.ndarray):
        return view
    holder = type("Addresses", (), {})()
    holder.__array_interface__ = {
        "shape": view.shape,
        "typestr": view.dtype.str,
        "data": (view.pointer, True),
        "strides": view.strides,
        "version": 3,
    }
    return np.asarray(holder)
