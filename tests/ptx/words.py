"""Functions of words: shifts, fields and permutations of their bits and bytes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .syntax import BITS, DTYPES


def funnel(direction: str, wrap: bool) -> Callable[..., np.ndarray]:
    """The function of words a and b and an amount: the upper word of b:a shifted left, or the lower right."""

    def function(a: np.ndarray, b: np.ndarray, amount: np.ndarray) -> np.ndarray:
        both = b.astype(np.uint64) << np.uint64(32) | a
        count = (amount & np.uint32(31) if wrap else np.minimum(amount, np.uint32(32))).astype(np.uint64)
        if direction == "l":
            high = np.where(count == 32, both << np.uint64(32), both << np.minimum(count, np.uint64(31)))
            return (high >> np.uint64(32)).astype(np.uint32)
        return (both >> count).astype(np.uint32)

    return function


def field(kind: str) -> Callable[..., np.ndarray]:
    """The function of a word, a position and a length: a field, its sign extended for signed types.

    Bits beyond the word are the sign.
    """
    width = 8 * DTYPES[kind].itemsize
    unsigned = BITS[DTYPES[kind].itemsize]

    def function(a: np.ndarray, position: np.ndarray, length: np.ndarray) -> np.ndarray:
        position, length = position & np.uint32(255), length & np.uint32(255)
        shifted = np.right_shift(a, np.minimum(position, np.uint32(width - 1)).astype(unsigned).view(a.dtype))
        if kind[0] == "u":
            shifted = np.where(position >= width, a.dtype.type(0), shifted)
        keep = np.minimum(length, np.uint32(width - 1)).astype(unsigned)
        mask = (unsigned(1) << keep) - unsigned(1)
        found = np.where(length >= width, shifted.view(unsigned), shifted.view(unsigned) & mask)
        if kind[0] == "s":
            top = np.minimum(position + length - np.uint32(1), np.uint32(width - 1)).astype(unsigned)
            negative = (a.view(unsigned) >> top & unsigned(1) != 0) & (length > 0) & (length < width)
            found = np.where(negative, found | ~mask, found)
        return found.view(a.dtype)

    return function


def inserted(kind: str) -> Callable[..., np.ndarray]:
    """The function that puts low bits of its first operand into a field of the second."""
    width, unsigned = 8 * DTYPES[kind].itemsize, BITS[DTYPES[kind].itemsize]

    def function(a: np.ndarray, b: np.ndarray, position: np.ndarray, length: np.ndarray) -> np.ndarray:
        position, length = position & np.uint32(255), length & np.uint32(255)
        short = np.minimum(length, np.uint32(width - 1)).astype(unsigned)
        ones = np.where(length >= width, ~unsigned(0), (unsigned(1) << short) - unsigned(1))
        place = np.minimum(position, np.uint32(width - 1)).astype(unsigned)
        mask = np.where(position >= width, unsigned(0), ones << place)
        return (b & ~mask) | (a << place & mask)

    return function


def reverse_bits(values: np.ndarray) -> np.ndarray:
    """Bits in opposite order."""
    octets = np.ascontiguousarray(values[:, None]).view(np.uint8)
    bits = np.unpackbits(octets, axis=1, bitorder="little")[:, ::-1]
    return np.packbits(np.ascontiguousarray(bits), axis=1, bitorder="little").view(values.dtype)[:, 0]


def leading_zeros(values: np.ndarray) -> np.ndarray:
    """Zero bits above the highest set bit."""
    width = 8 * values.itemsize
    count = np.full(values.shape, width, np.uint32)
    rest = values.copy()
    for step in (32, 16, 8, 4, 2, 1):
        if step < width:
            high = rest >> values.dtype.type(step)
            large = high != 0
            count = np.where(large, count - np.uint32(step), count)
            rest = np.where(large, high, rest)
    return np.where(values == 0, np.uint32(width), count - np.uint32(1))


# For each mode, the source byte of every result byte when the selector is 0, 1, 2, 3.
_PERMUTATIONS = {
    "f4e": ((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 6)),
    "b4e": ((0, 7, 6, 5), (1, 0, 7, 6), (2, 1, 0, 7), (3, 2, 1, 0)),
    "rc8": ((0, 0, 0, 0), (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3)),
    "ecl": ((0, 1, 2, 3), (1, 1, 2, 3), (2, 2, 2, 3), (3, 3, 3, 3)),
    "ecr": ((0, 0, 0, 0), (0, 1, 1, 1), (0, 1, 2, 2), (0, 1, 2, 3)),
    "rc16": ((0, 1, 0, 1), (2, 3, 2, 3), (0, 1, 0, 1), (2, 3, 2, 3)),
}


def permute_bytes(a: np.ndarray, b: np.ndarray, selector: np.ndarray, mode: str | None) -> np.ndarray:
    """Each byte of the result is one of the eight bytes of a (0 to 3) and b (4 to 7), or its sign."""
    both = a.astype(np.uint64) | b.astype(np.uint64) << np.uint64(32)
    result = np.zeros_like(a)
    for byte in range(4):
        if mode is None:
            control = selector >> np.uint32(4 * byte) & np.uint32(15)
        else:
            table = np.array([row[byte] for row in _PERMUTATIONS[mode]], np.uint32)
            control = table[selector & np.uint32(3)]
        value = (both >> (control & np.uint32(7)).astype(np.uint64) * np.uint64(8)).astype(
            np.uint32
        ) & np.uint32(255)
        sign = np.where(value & np.uint32(128), np.uint32(255), np.uint32(0))
        result |= np.where(control & np.uint32(8), sign, value) << np.uint32(8 * byte)
    return result
