"""How the elements of an array lie in memory, where a kernel takes whole vectors of them."""

import numpy as np


def in_rows(array: np.ndarray) -> bool:
    """The elements of a row lie side by side, and all strides are multiples of an element."""
    n, c, h, w = array.strides
    size = array.itemsize
    return w == size and h % size == 0 and c % size == 0 and n % size == 0


def in_planes(array: np.ndarray) -> bool:
    """The rows of a plane do so, too."""
    return in_rows(array) and array.strides[2] == array.shape[3] * array.itemsize


def contiguous(w: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K, C / groups, R, S) and biases (K,), zero if there are none, without gaps."""
    w = np.ascontiguousarray(w)
    return w, np.zeros(w.shape[0], w.dtype) if bias is None else np.ascontiguousarray(bias)


def with_plain_strides(array: np.ndarray) -> np.ndarray:
    """A C-contiguous array, of which also axes of one element have the strides that the shape implies."""
    return array.reshape(-1).reshape(array.shape)
