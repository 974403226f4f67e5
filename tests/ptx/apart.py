"""Arrays whose parts are said to lie far apart, more than any memory holds: accesses are folded back."""

from __future__ import annotations

from typing import Any

import numpy as np


class Apart(np.ndarray):
    """An array whose parts along one axis lie `step` bytes apart for a kernel, and side by side here.

    What lies between the parts is out of bounds. It is made by `apart`.

    Attributes
    ----------
    step : int
        Bytes from a part to the next, as a kernel sees it.
    pitch, part : int
        Bytes from a part to the next in this memory, and those of a part.
    device_strides : tuple of int
        The strides that a kernel has to be told.
    """

    step: int
    pitch: int
    part: int
    device_strides: tuple[int, ...]

    def fold(self) -> tuple[int, int, int]:
        """(step, pitch, part): what a region needs to know."""
        return self.step, self.pitch, self.part


def apart(array: np.ndarray, axis: int, step: int) -> Apart:
    """A copy of `array` whose parts along an axis are said to lie `step` bytes apart.

    Examples
    --------
    >>> import numpy as np
    >>> far = apart(np.arange(6).reshape(2, 3), 0, 2**40)
    >>> far.device_strides, far.tolist()
    ((1099511627776, 8), [[0, 1, 2], [3, 4, 5]])
    """
    parts = np.ascontiguousarray(np.moveaxis(array, axis, 0))
    part = parts.nbytes // max(1, len(parts))
    if step < part:
        raise ValueError(f"parts of {part} bytes cannot lie {step} bytes apart")
    pitch = part + (step - part) % 16  # vectors lie as they do on the device
    memory = np.zeros(len(parts) * pitch, np.uint8)
    rows = np.ndarray(parts.shape, parts.dtype, memory, strides=(pitch, *parts.strides[1:]))
    rows[...] = parts
    found: Any = np.moveaxis(rows, 0, axis).view(Apart)
    found.step, found.pitch, found.part = step, pitch, part
    strides = [*found.strides]
    strides[axis] = step
    found.device_strides = tuple(strides)
    return found
