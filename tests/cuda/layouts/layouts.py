"""How an array of a problem may lie in device memory: one condition broken at a time, or parts far apart.

`vector` is how many elements 16 bytes have. What the layouts have in common: the first element lies on 16
bytes, and so do rows, channels and images, but for what their name says. Between what belongs to an array
lies what a kernel neither reads without harm nor overwrites unseen (`poisoned`).
"""

import numpy as np

from tests import ptx
from tests.cuda.execution import poisoned
from tests.ptx.apart import Apart

ALIGNED = 16  # bytes
Strides = tuple[int, ...]  # in elements


def placed(array: np.ndarray, steps: Strides, lead: int = 0) -> np.ndarray:
    """The values, from the element `lead` of memory on, with strides of so many elements."""
    last = sum((extent - 1) * step for extent, step in zip(array.shape, steps, strict=True))
    memory = poisoned((lead + max(last, 0) + 1 + ALIGNED,), array.dtype)
    assert memory.ctypes.data % ALIGNED == 0
    strides = [step * array.itemsize for step in steps]
    view = np.ndarray(array.shape, array.dtype, memory, lead * array.itemsize, strides)
    view[...] = array
    return view


def is_intact(view: np.ndarray) -> bool:
    """Whether what lies around an array is as it was; the array itself is then overwritten."""
    view[...] = poisoned(view.shape, view.dtype)
    memory = view
    while isinstance(memory.base, np.ndarray):
        memory = memory.base
    untouched = poisoned((1,), view.dtype).tobytes()
    return isinstance(view, Apart) or memory.tobytes() == untouched * (memory.nbytes // view.itemsize)


def _steps(shape: tuple[int, ...], vector: int, row: int, channel: int = 0, image: int = 0) -> Strides:
    """Rows so many elements apart; so many more than whole vectors between channels, and images."""
    _, C, H, _ = shape
    channels = _up(H * row, vector) + channel
    return _up(C * channels, vector) + image, channels, row, 1


def _up(count: int, vector: int) -> int:
    return -(-count // vector) * vector


def aligned(shape: tuple[int, ...], vector: int) -> dict[str, Strides]:
    """Everything lies on 16 bytes: what an extent that is no multiple does is left to see."""
    W = shape[3]
    return {
        "rows on 16 bytes": _steps(shape, vector, _up(W, vector) + vector),
        "rows on 8 bytes": _steps(shape, vector, _up(W, vector) + vector // 2),
        "rows side by side, channels on 16 bytes": _steps(shape, vector, W, vector, vector),
    }


def unaligned(shape: tuple[int, ...], vector: int) -> dict[str, Strides]:
    """One of the distances is no multiple of 16 bytes, or of 8."""
    _, C, H, W = shape
    half, columns = vector // 2, _up(2 * W, vector)
    return {
        "rows an odd number apart": _steps(shape, vector, _up(W, vector) + 1),
        "channels on 8 bytes": _steps(shape, vector, W, half),
        "channels an odd number apart": _steps(shape, vector, W, 1),
        "images on 8 bytes": _steps(shape, vector, W, 0, half),
        "images an odd number apart": _steps(shape, vector, W, 0, 1),
        "columns apart": (C * H * columns, H * columns, columns, 2),
        "channels last": (H * W * C, 1, W * C, C),
    }


def begins(vector: int) -> dict[str, int]:
    """Where the first element lies, in elements; the rest is contiguous."""
    return {"begins on 8 bytes": vector // 2, "begins one element on": 1}


def contiguous(array: np.ndarray) -> np.ndarray:
    steps = [step // array.itemsize for step in np.empty(array.shape, array.dtype).strides]
    return placed(array, tuple(steps))


def laid(array: np.ndarray, name: str) -> np.ndarray:
    """The values in the layout of this name."""
    vector = max(2, ALIGNED // array.itemsize)
    if name in FAR_AXES:
        return _far(array, name)
    if lead := begins(vector).get(name, 0):
        return placed(array, _steps(array.shape, 1, array.shape[3]), lead)
    return placed(array, (aligned(array.shape, vector) | unaligned(array.shape, vector))[name])


BEYOND = 2**32 + 64  # elements between parts: 32 bits do not count them
FAR_AXES = {
    "images beyond 2^32 elements": 0,
    "channels beyond 2^32 elements": 1,
    "rows beyond 2^32 elements": 2,
    "channels within 2^31 elements": 1,
    "rows within 2^31 elements": 2,
}  # all of the last two lie so: 32 bits count elements, but not bytes


def _far(array: np.ndarray, name: str) -> np.ndarray:
    """An array whose parts lie far apart: what is between them exists for kernels alone."""
    axis = FAR_AXES[name]
    count = array.shape[axis]
    step = BEYOND if "beyond" in name else 2**31 // (count + 1) // 64 * 64
    return ptx.apart(array, axis, step * array.itemsize) if count > 1 else contiguous(array)


ALIGNED_NAMES = tuple(aligned((1, 1, 1, 1), 4))
FAR = tuple(FAR_AXES)
NAMES = (*ALIGNED_NAMES, *unaligned((1, 1, 1, 1), 4), *begins(4))
