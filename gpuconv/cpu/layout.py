"""How the elements of an array lie in memory, where a kernel takes whole vectors of them."""

import numpy as np


def in_rows(array: np.ndarray) -> bool:
    """The elements of a row lie side by side, and all strides are multiples of an element."""
    return array.strides[3] == array.itemsize and not any(step % array.itemsize for step in array.strides)


def in_planes(array: np.ndarray) -> bool:
    """The rows of a plane do so, too."""
    return in_rows(array) and array.strides[2] == array.shape[3] * array.itemsize


def with_plain_strides(array: np.ndarray) -> np.ndarray:
    """A C-contiguous array, of which also axes of one element have the strides that the shape implies."""
    return array.reshape(-1).reshape(array.shape)
