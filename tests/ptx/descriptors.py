"""Matrix descriptors of ``wgmma``: where the rows or columns of a matrix lie in shared memory.

A descriptor has 64 bits; addresses and offsets are in units of 16 bytes:

======  ==========================================================
bits    field
======  ==========================================================
0-13    start address
16-29   leading dimension byte offset
32-45   stride dimension byte offset
49-51   base offset: ``start >> 7 & 7`` of a pattern that is not aligned to its size
62-63   swizzle: 0 none, 1 of 128 bytes, 2 of 64 bytes, 3 of 32 bytes
======  ==========================================================

Memory is read in chunks of 16 bytes, neighbours along the major dimension (K, or M and N if the
matrix is transposed). With a swizzle of w bytes, a line of the matrix has w bytes, w / 16 chunks,
and eight lines make a pattern. Chunks of a line are permuted: bits 4 and up of an address are
combined by exclusive or with its bits 7 and up, counted from the start of the pattern.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .faults import MisalignedError

CHUNK = 16
WIDTHS = np.array([16, 128, 64, 32])  # bytes of a line, for each swizzle mode


class Descriptors(NamedTuple):
    """Fields of several descriptors, in bytes, each of shape (groups, 1)."""

    start: np.ndarray
    leading: np.ndarray
    stride: np.ndarray
    base: np.ndarray
    width: np.ndarray


def decode(values: np.ndarray) -> Descriptors:
    """Take descriptors, shape (groups,), apart."""
    values = values.astype(np.uint64)[:, None]

    def field(first: int, bits: int) -> np.ndarray:
        return (values >> np.uint64(first) & np.uint64((1 << bits) - 1)).astype(np.int64)

    return Descriptors(
        field(0, 14) * CHUNK,
        field(16, 14) * CHUNK,
        field(32, 14) * CHUNK,
        field(49, 3),
        WIDTHS[field(62, 2)],
    )


def check(given: Descriptors, transposed: bool) -> None:
    """Raise unless patterns begin where the descriptors say that they do.

    Raises
    ------
    MisalignedError
        Its lane is the number of the group.
    """
    lines = given.width // CHUNK - 1
    skewed = (given.start >> 7 & lines) != (given.base & lines)
    across = np.zeros_like(skewed)
    if not transposed:
        across = (given.width > CHUNK) & (given.start % given.width + 2 * CHUNK > given.width)
    for bad, what in (
        (skewed, "a matrix whose pattern of 8 lines is not aligned as its base offset says"),
        (across, "a matrix that begins in the last 16 bytes of a line"),
    ):
        if bad.any():
            group = int(np.flatnonzero(bad)[0])
            raise MisalignedError(what, lane=group, address=int(given.start[group, 0]), array="shared memory")


def chunk_addresses(given: Descriptors, extent: int, transposed: bool) -> np.ndarray:
    """Addresses of all chunks of a matrix whose K dimension is 32 bytes.

    Parameters
    ----------
    given : Descriptors
    extent : int
        M or N.
    transposed : bool
        Whether M or N is the major dimension. Elements then have 2 bytes and K is 16.

    Returns
    -------
    addresses : ndarray of int64, shape (groups, chunks)
        (row, half) if K is the major dimension, otherwise (k, eighth of M or N).
    """
    plain = given.width == CHUNK
    if transposed:
        line, chunk = (part.reshape(-1) for part in np.indices((16, extent // 8)))
        per_line = given.width // CHUNK
        next_lines, next_chunks = (
            np.where(plain, given.leading, given.stride),
            np.where(plain, given.stride, given.leading),
        )
        offsets = chunk % per_line * CHUNK + chunk // per_line * next_chunks
    else:
        line, chunk = (part.reshape(-1) for part in np.indices((extent, 2)))
        next_lines = given.stride
        offsets = chunk * np.where(plain, given.leading, CHUNK)
    addresses = given.start + offsets + line % 8 * given.width + line // 8 * next_lines
    turn = ((addresses >> 7) - given.base) & (given.width // CHUNK - 1)
    return addresses ^ turn * CHUNK
