"""What runs where the chunks are: pieces cut out of them, put together, and computed with."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuconv.call import make_of
from gpuconv.operators import OPERATORS
from gpuconv.spec.crops import Part

WORTH_A_COPY = 4  # a piece that is at most one of so many parts of a chunk does not hold all of that


@dataclass(frozen=True)
class Block:
    """What a task computes, of arrays that are there: one block of a result.

    Attributes
    ----------
    operator : str
        Its name.
    parts : tuple of Part
        The problems, which together give the block.
    size : (int, int)
        Its rows and columns.
    orders : (array or None, array or None)
        In which order the rows and the columns that were read are seen, if not in this.
    first, width : (int, int), int
        Where the input of the block lies in its plane, and how many columns that has, for indices.
    algorithm : str or None
        That the user names.
    """

    operator: str
    parts: tuple[Part, ...]
    size: tuple[int, int]
    orders: tuple[Any, Any]
    first: tuple[int, int]
    width: int
    algorithm: str | None


def cut_out(chunk: Any, window: tuple[slice, ...]) -> Any:
    """A piece of a chunk; a small one does not keep the memory of the chunk."""
    piece = chunk[window]
    return piece.copy() if WORTH_A_COPY * piece.size <= chunk.size else piece


def put_together(pieces: Any) -> Any:
    """One array of nested lists of pieces, a level for each axis, or of one piece."""
    lengths, axis, first = [], 0, pieces
    while isinstance(first, list):
        lengths.append([_corner(each).shape[axis] for each in first])
        first, axis = first[0], axis + 1
    if math.prod(map(len, lengths)) == 1:
        return first
    whole = np.empty_like(first, shape=tuple(map(sum, lengths)))
    _fill(whole, pieces, lengths, ())
    return whole


def _corner(pieces: Any) -> Any:
    while isinstance(pieces, list):
        pieces = pieces[0]
    return pieces


def _fill(whole: Any, pieces: Any, lengths: list[list[int]], window: tuple[slice, ...]) -> None:
    if not isinstance(pieces, list):
        whole[window] = pieces
        return
    end = 0
    for piece, length in zip(pieces, lengths[len(window)], strict=True):
        begin, end = end, end + length
        _fill(whole, piece, lengths, (*window, slice(begin, end)))


def compute(block: Block, pieces: Any, *others: Any) -> Any:
    """A block of the result, or of (values, indices), of the pieces of the input and of the other arrays."""
    x = put_together(pieces)
    for axis, order in zip((-2, -1), block.orders, strict=True):
        if order is not None:
            x = x.take(order, axis)
    beside = [None if each is None else put_together(each) for each in others]
    if len(block.parts) == 1:
        return _computed(block, block.parts[0], x, beside)
    results: list[Any] = []
    for part in block.parts:
        parts = _computed(block, part, x[(..., *part.inputs)], beside)
        parts = parts if isinstance(parts, tuple) else (parts,)
        results = results or [np.empty_like(each, shape=(*x.shape[:-2], *block.size)) for each in parts]
        for result, each in zip(results, parts, strict=True):
            result[(..., *part.outputs)] = each
    return results[0] if len(results) == 1 else tuple(results)


def _computed(block: Block, part: Part, x: Any, beside: list[Any]) -> Any:
    result = make_of(OPERATORS[block.operator], (x, *beside, None), part.spec, block.algorithm)
    if not isinstance(result, tuple):
        return result
    values, indices = result
    first = tuple(each + (within.start or 0) for each, within in zip(block.first, part.inputs, strict=True))
    return values, _of_plane(indices, x.shape[-1], first, block.width)


def _of_plane(indices: Any, columns: int, first: tuple[int, ...], width: int) -> Any:
    """Flat indices of a whole plane, of those of a part of so many columns; -1 stays."""
    place = first[0] * width + first[1]
    if columns == width and not place:
        return indices
    moved = indices + (indices // max(columns, 1) * (width - columns) + place)
    return np.where(indices < 0, indices, moved)
