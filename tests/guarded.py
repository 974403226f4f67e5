"""Arrays whose memory ends, or begins, at a page that may not be touched: a stray access ends the process."""

import ctypes
import mmap

import numpy as np

PAGE = mmap.PAGESIZE


def _mapping(size: int) -> np.ndarray:
    """So many bytes, whole pages, between two guard pages."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    nothing, both = 0, mmap.PROT_READ | mmap.PROT_WRITE
    start = libc.mmap(None, size + 2 * PAGE, nothing, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if libc.mprotect(start + PAGE, size, both) != 0:  # the mapping stays until the process ends
        raise OSError(ctypes.get_errno(), "mprotect")
    return np.frombuffer((ctypes.c_char * size).from_address(start + PAGE), np.uint8)


def before_guard(array: np.ndarray) -> np.ndarray:
    """A copy whose last byte is the last before a guard page."""
    memory = _mapping(-(-max(array.nbytes, 1) // PAGE) * PAGE)
    copy = memory[memory.size - array.nbytes :].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def after_guard(array: np.ndarray) -> np.ndarray:
    """A copy whose first byte is the first after a guard page."""
    memory = _mapping(-(-max(array.nbytes, 1) // PAGE) * PAGE)
    copy = memory[: array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
