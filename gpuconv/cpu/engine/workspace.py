"""Memory for kernels to work in: panels, tiles, rows; a buffer per thread and purpose, used again and again.

Fresh memory costs a page fault every 4 KiB, which is more than many a kernel takes. So each thread keeps the
buffer of each slot (a name that says what it is for) until it needs a larger one. Nothing here is shared:
another thread has buffers of its own, and a forked child has a copy.
"""

import threading
from collections.abc import Callable

import numpy as np

from gpuconv import workspace as allowed
from gpuconv.workspace import when_limit_changes

ALIGNMENT = 64  # bytes: a cache line, and the widest vector

Arrays = tuple[np.ndarray, ...]
Wanted = tuple[tuple[str, int], ...]
Compute = Callable[..., None]


class _Kept(threading.local):
    """What one thread keeps by slot: a buffer, no larger than `limit`, and the arrays last cut from it."""

    def __init__(self) -> None:
        self.buffers: dict[str, np.ndarray] = {}
        self.calls = 0  # of the engine that this thread is in
        self.trim()

    def trim(self) -> None:
        """Drop what the limit of today does not allow."""
        self.limit = allowed.limit
        self.buffers = {slot: buffer for slot, buffer in self.buffers.items() if buffer.size <= self.limit}
        self.last: dict[str, tuple[tuple, int, Arrays]] = {}  # by slot: wanted, under which limit

    def buffer(self, slot: str, size: int) -> np.ndarray:
        """The buffer of the slot, made anew if it has fewer bytes, and kept if the limit allows it."""
        buffer = self.buffers.get(slot)
        if buffer is None or buffer.size < size:
            self.buffers.pop(slot, None)  # before its successor is made, so that there are never two
            self.last.pop(slot, None)
            buffer = _aligned(size)
            if size <= self.limit:
                self.buffers[slot] = buffer
        return buffer


_kept = _Kept()
when_limit_changes(_kept.trim)


def enclosed(compute: Compute) -> Compute:
    """`compute` as a call of the engine: one within another, as from a signal handler, gets other memory.

    For what keeps something in a workspace from one launch to another: within a launch nothing else begins.
    """

    def call(*arrays: np.ndarray) -> None:
        kept = _kept
        kept.calls += 1
        outer = kept.last
        if kept.calls > 1:
            kept.last = {}
        try:
            compute(*arrays)
        finally:
            kept.calls -= 1
            if kept.calls:
                kept.last = outer

    return call


def reserve(slot: str, dtype: str, *sizes: int) -> Arrays:
    """One-dimensional arrays of so many elements, aligned to cache lines, for the calling thread alone.

    What the slot held before is lost: the thread's next call with the same slot gives the same memory, so a
    kernel that runs inside of another needs a slot of its own. What the arrays hold is arbitrary.

    Parameters
    ----------
    slot : str
        What the memory is for: the algorithm, and what it keeps there.
    dtype : str
        Of every element.
    *sizes : int
        Elements of each array.

    Examples
    --------
    >>> panels, tile = reserve("example", "float32", 100, 48)
    >>> panels.shape, tile.shape, tile.ctypes.data % ALIGNMENT
    ((100,), (48,), 0)
    """
    return reserve_each(slot, tuple((dtype, size) for size in sizes))


def reserve_each(slot: str, wanted: Wanted) -> Arrays:
    """The same for arrays of dtypes of their own: (dtype, elements) of each."""
    if not wanted:
        return ()
    known = _kept.last.get(slot)
    if known is not None and (known[0] is wanted or known[0] == wanted) and known[1] == allowed.limit:
        return _hand_out(known[2])
    return _hand_out(_cut(slot, wanted))


def _cut(slot: str, wanted: Wanted) -> Arrays:
    """Arrays from the slot's buffer, each from a multiple of ALIGNMENT on."""
    kept = _kept
    if kept.limit != allowed.limit:  # another thread has changed it
        kept.trim()
    own = f"{slot}, call {kept.calls}" if kept.calls > 1 else slot
    starts, end = [], 0
    for dtype, size in wanted:
        starts.append(end)
        end += -(-size * np.dtype(dtype).itemsize // ALIGNMENT) * ALIGNMENT
    buffer = kept.buffer(own, end)
    arrays = tuple(
        np.ndarray(size, dtype, buffer, start) for (dtype, size), start in zip(wanted, starts, strict=True)
    )
    if own in kept.buffers:
        kept.last[slot] = wanted, kept.limit, arrays
    return arrays


def _hand_out(arrays: Arrays) -> Arrays:
    """The arrays as they are; tests put poison into them here."""
    return arrays


def _aligned(size: int) -> np.ndarray:
    """Bytes from a multiple of ALIGNMENT on; zero, because what lies about can be numbers that slow a CPU."""
    storage = np.zeros(size + ALIGNMENT, np.uint8)
    start = -storage.ctypes.data % ALIGNMENT
    return storage[start : start + size]
