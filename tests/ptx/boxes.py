"""Which elements a tensor copy moves: boxes of tiles, pixels of im2col, and the swizzle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .faults import OutOfBoundsError
from .tensor_maps import Layout


@dataclass(frozen=True)
class Box:
    """The elements of one copy, in the order of shared memory without a swizzle.

    Attributes
    ----------
    addresses : ndarray of int64, shape (rows, elements of a row)
        Where each element is in global memory.
    inside : ndarray of bool, same shape
        Whether the element belongs to the tensor.
    """

    addresses: np.ndarray
    inside: np.ndarray


def tile(layout: Layout, coordinates: list[int]) -> Box:
    """The box of a tiled copy that begins at coordinates, innermost first."""
    addresses, inside = np.full(1, layout.address, np.int64), np.ones(1, bool)
    for axis in reversed(range(layout.rank)):
        step = layout.steps[axis]
        index = coordinates[axis] + step * np.arange(-(-layout.box[axis] // step))
        addresses = (addresses[:, None] + index * layout.strides[axis]).reshape(-1)
        inside = (inside[:, None] & (index >= 0) & (index < layout.sizes[axis])).reshape(-1)
    row = layout.box[0]
    return Box(addresses.reshape(-1, row), inside.reshape(-1, row))


def im2col(layout: Layout, coordinates: list[int], offsets: list[int]) -> Box:
    """The pixels of an im2col copy: base pixels in the order of the images, moved by offsets.

    Parameters
    ----------
    coordinates : list of int
        Channel, then the first base pixel, innermost first, then the image.
    offsets : list of int
        For each spatial dimension, innermost first.
    """
    channel, *base, image = coordinates
    last = [size - 1 + high for size, high in zip(layout.sizes[1:-1], layout.upper, strict=True)]
    for position, low, high in zip(base, layout.lower, last, strict=True):
        if not low <= position <= high:
            raise OutOfBoundsError(f"base pixel {tuple(base)} outside of the bounding box of im2col")
    pixels = np.empty((layout.pixels, layout.rank - 1), np.int64)
    for number in range(layout.pixels):
        pixels[number] = *(position + offset for position, offset in zip(base, offsets, strict=True)), image
        for axis, step in enumerate(layout.steps[1:-1]):
            base[axis] += step
            if base[axis] <= last[axis]:
                break
            base[axis] = layout.lower[axis]
        else:
            image += 1
    channels = channel + np.arange(layout.box[0])
    addresses = layout.address + pixels @ np.array(layout.strides[1:], np.int64)
    inside = ((pixels >= 0) & (pixels < np.array(layout.sizes[1:]))).all(axis=1)
    return Box(
        addresses[:, None] + channels * layout.itemsize,
        inside[:, None] & (channels >= 0) & (channels < layout.sizes[0]),
    )


def swizzled(addresses: np.ndarray, width: int) -> np.ndarray:
    """Addresses in shared memory after the swizzle: the bits above a row flip those of its chunks.

    A chunk has 16 bytes. With a width of 128, bits 7 to 9 of the address flip bits 4 to 6.
    """
    return addresses ^ (addresses >> 3 & (width - 16)) if width else addresses


def nan_bytes(itemsize: int) -> np.ndarray:
    """A NaN of 2 (both formats), 4 or 8 bytes."""
    value = (1 << (8 * itemsize - 1)) - 1
    return np.frombuffer(value.to_bytes(itemsize, "little"), np.uint8)
