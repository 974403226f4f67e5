"""The same values in every memory layout that NumPy offers, to be read from and to be written to."""

import numpy as np


def _strided(array):
    """Every second element along each axis of a larger array, of which the others are NaN (or 99)."""
    filler = np.nan if array.dtype.kind == "f" else 99
    larger = np.full([2 * extent + 1 for extent in array.shape], filler, array.dtype)
    view = larger[tuple(slice(1, 2 * extent + 1, 2) for extent in array.shape)]
    view[...] = array
    return view


def _reversed(array):
    backwards = (slice(None, None, -1),) * array.ndim
    return np.ascontiguousarray(array[backwards])[backwards]


def _channels_last(array):
    if array.ndim < 3:
        return array.copy()
    return np.ascontiguousarray(np.moveaxis(array, -3, -1)).swapaxes(-1, -2).swapaxes(-2, -3)


def _unaligned(array):
    storage = np.zeros(array.nbytes + 1, np.uint8)
    view = storage[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def _byte_swapped(array):
    return array.astype(array.dtype.newbyteorder())


def _read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


class OwnArray(np.ndarray):
    """A subclass that changes nothing."""


WRITABLE = {
    "contiguous": np.copy,
    "Fortran order": np.asfortranarray,
    "channels last": _channels_last,
    "strided": _strided,
    "reversed": _reversed,
    "unaligned": _unaligned,
    "byte-swapped": _byte_swapped,
    "subclass": lambda array: array.copy().view(OwnArray),
}
READABLE = {**WRITABLE, "read-only": _read_only}
