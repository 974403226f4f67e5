"""Dask arrays as this room reads them: checked, and cut into pieces of their chunks."""

import math
from bisect import bisect_left, bisect_right
from functools import cache
from itertools import accumulate
from typing import Any

import dask.array
from dask.array.core import Array
from dask.array.utils import meta_from_array

from gpuconv.arrays import library_of
from gpuconv.blocks.tasks import cut_out
from gpuconv.spec.crops import Intervals
from gpuconv.spec.layouts import contiguous_strides

CHUNKS = "NumPy", "CuPy"  # of which chunks may be

Piece = tuple[int, slice]  # of an axis: the number of a chunk, and what of it


def signature_of(array: Any, name: str) -> tuple[Any, ...] | None:
    """What is known of an array of a call, as `gpuconv.arrays` says it; of a dask array as if it were whole.

    Raises
    ------
    TypeError
        Of chunks that are not arrays of NumPy or CuPy.
    ValueError
        Of chunks of unknown size.
    """
    if array is None:
        return None
    is_chunked = isinstance(array, Array)
    if not is_chunked and isinstance(array, dask.array.Array):
        raise TypeError(
            f"{name} is a dask array of query planning, which has no graph of chunks: call "
            'dask.config.set({"array.query-planning": False}) before dask.array is imported'
        )
    library = library_of(array._meta if is_chunked else array, name)
    if is_chunked and library.name not in CHUNKS:
        raise TypeError(f"{name} must have chunks of {' or '.join(CHUNKS)}, got those of {library.name}")
    for axis, length in enumerate(array.shape):
        if math.isnan(length):
            raise ValueError(
                f"{name} has chunks of unknown size along axis {axis}, shape {array.shape}: call "
                f"{name}.compute_chunk_sizes() first"
            )
    shape = tuple(map(int, array.shape))
    return library, shape, contiguous_strides(shape, array.dtype.itemsize), array.dtype


def as_dask(array: Any) -> Any:
    """An array of a call as a dask array, of one chunk if it is none."""
    if array is None or isinstance(array, Array):
        return array
    return dask.array.from_array(array, chunks=-1, asarray=False)


def bounds_of(array: Any, axis: int) -> list[int]:
    """Where an axis is cut, from 0 to its end; chunks of no extent cut nothing."""
    return sorted({0, *accumulate(array.chunks[axis])})


def like(array: Any, axes: int, dtype: Any) -> Any:
    """What stands for a result of so many axes: an empty array of the same kind."""
    return meta_from_array(array._meta, ndim=axes, dtype=dtype)


class Pieces:
    """The pieces of a dask array that tasks need: keys of chunks, or of tasks in `graph` that cut them."""

    def __init__(self, array: Any, name: str) -> None:
        self.array, self.name = array, name
        self.graph: dict[tuple, tuple] = {}
        self._along = cache(self._pieces_along)

    def __call__(self, *axes: Intervals) -> Any:
        """Nested lists of keys, a level for each axis, of what these intervals of each axis are."""
        return self._nested((), *(self._along(axis, each) for axis, each in enumerate(axes)))

    def _nested(self, chosen: tuple[Piece, ...], *rest: tuple[Piece, ...]) -> Any:
        if not rest:
            return self._key(chosen)
        return [self._nested((*chosen, piece), *rest[1:]) for piece in rest[0]]

    def _key(self, pieces: tuple[Piece, ...]) -> tuple:
        numbers, window = (tuple(each) for each in zip(*pieces, strict=True))
        chunk = (self.array.name, *numbers)
        chunks = self.array.chunks
        if all(cut == slice(0, chunks[axis][number]) for axis, (number, cut) in enumerate(pieces)):
            return chunk
        key = (self.name, *numbers, *(place for cut in window for place in (cut.start, cut.stop)))
        self.graph[key] = (cut_out, chunk, window)
        return key

    def _pieces_along(self, axis: int, intervals: Intervals) -> tuple[Piece, ...]:
        ends = [*accumulate(self.array.chunks[axis])]
        found = []
        for first, last in intervals:
            for number in range(bisect_right(ends, first), min(bisect_left(ends, last) + 1, len(ends))):
                begin = ends[number] - self.array.chunks[axis][number]
                low, high = max(first, begin) - begin, min(last, ends[number]) - begin
                if low < high:
                    found.append((number, slice(low, high)))
        return tuple(found) or ((0, slice(0, 0)),)
