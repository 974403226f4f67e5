"""Memory that kernels work in: taken for a call, on its stream, and handed on when its kernels are through.

It comes from the library of the arrays where that hands out memory in the order of the same stream. Elsewhere
it is CUDA that allocates and frees it in that order (CUDA C++ Programming Guide, "Stream Ordered Memory
Allocator"), and the host does not wait. So it does while a CUDA graph is captured: what the kernels of a
graph write to must belong to the graph, since it runs long after the call; allocation and release become its
nodes, and nobody else is given that address ("Graph Memory Nodes"). A device that cannot do that, as some
that are shared, keeps the scratch of a graph for good.
"""

from typing import Any

from gpuconv.cuda.runtime.driver import allocate, current, free, has_pools, is_capturing

ELEMENT_BYTES = 4  # float32

_kept_for_good: list[Any] = []


class Scratch:
    """So many numbers of float32 for the kernels that are queued within the `with`, which gets their address.

    Parameters
    ----------
    library : gpuconv.arrays.Library
        That of the result, whose memory is taken where it can be.
    elements, ordinal, stream : int
    """

    __slots__ = ("_allocated", "_elements", "_library", "_ordinal", "_owner", "_stream")

    def __init__(self, library: Any, elements: int, ordinal: int, stream: int) -> None:
        self._library, self._elements, self._ordinal, self._stream = library, elements, ordinal, stream
        self._allocated, self._owner = 0, None

    def __enter__(self) -> int:
        ordinal, stream = self._ordinal, self._stream
        with current(ordinal):
            is_captured = is_capturing(stream)
            if (is_captured or not self._library.orders(ordinal, stream)) and has_pools(ordinal):
                self._allocated = allocate(ELEMENT_BYTES * self._elements, stream)
                return self._allocated
            address, self._owner = self._library.scratch(self._elements, ordinal)
        if is_captured:
            _kept_for_good.append(self._owner)
        return address

    def __exit__(self, *error: object) -> None:
        self._owner = None  # whoever gets that memory next uses it on the same stream, behind the kernels
        if self._allocated:
            with current(self._ordinal):
                free(self._allocated, self._stream)
