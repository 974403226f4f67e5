"""What elements of arrays are in memory, and what kernels compute with: 16 bits are stored, and widened.

float16 and bfloat16 lie in memory and come into registers as integers of 16 bits, or two of them as one of
32; where they are used they become float32, exactly, and a result is rounded once when it is stored. So
a kernel is written once, for an `Element`, and for float32 and float64 nothing is converted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuconv.cuda.language import cuda, float32, int32, types, uint16, uint32
from gpuconv.cuda.ptx.arithmetic import (
    pair_bfloat16,
    pair_float16,
    unpair_bfloat16,
    unpair_float16,
    words_at,
)
from gpuconv.cuda.ptx.memory import load2_if, load4_if, load_if, store2, store4
from gpuconv.spec.dtypes import (
    BFLOAT16,
    COMPLEX,
    COMPLEX64,
    COMPLEX128,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    FLOATS,
    INT8,
    INT32,
    INT64,
    INTEGERS,
    UINT8,
    UINT32,
    UINT64,
    Dtype,
)

Function = Callable[..., Any]
# Numba's types of what is computed with
SCALARS: dict[str, Any] = {
    dtype: getattr(types, dtype) for dtype in (*FLOATS, *COMPLEX, INT32, UINT32, INT64, UINT64)
}


def inlined(function: Function) -> Function:
    """A function for kernels to call, inlined where it is called."""
    return cuda.jit(device=True, inline="always")(function)


@inlined
def add(a, b):
    return a + b


@inlined
def same(value):
    return value


@inlined
def widen_float16(bits):
    return unpair_float16(uint32(bits))[0]


@inlined
def narrow_float16(value):
    return uint16(pair_float16(value, float32(0)))


@inlined
def widen_bfloat16(bits):
    return unpair_bfloat16(uint32(bits))[0]


@inlined
def narrow_bfloat16(value):
    return uint16(pair_bfloat16(value, float32(0)))


@inlined
def widen_integer(value):
    return int32(value)


@inlined
def conjugate(value):
    return value.conjugate()


@dataclass(frozen=True, slots=True)
class Element:
    """An element of an array; `pair` and `unpair` are those of two in a word, if it has 16 bits."""

    dtype: Dtype
    widen: Function = same
    narrow: Function = same
    pair: Function | None = None
    unpair: Function | None = None

    @property
    def stored(self) -> Any:
        """Numba's type of what lies in memory."""
        return getattr(types, self.dtype.stored)

    @property
    def scalar(self) -> Any:
        """Numba's type of what kernels compute with."""
        return getattr(types, self.dtype.computed)

    @property
    def arithmetic(self) -> Dtype:
        """The dtype that kernels compute with."""
        return self.dtype.arithmetic

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self.dtype.itemsize

    def bits(self, value: float) -> float:
        """What lies in memory for a value that it represents exactly: itself, or the number of its bits."""
        if self.pair is None:
            return value
        if self.pair is pair_float16:
            return int(np.float16(value).view(np.uint16))
        return int(np.float32(value).view(np.uint32)) >> 16


ELEMENTS: dict[str, Element] = {
    FLOAT32: Element(FLOAT32),
    FLOAT64: Element(FLOAT64),
    FLOAT16: Element(FLOAT16, widen_float16, narrow_float16, pair_float16, unpair_float16),
    BFLOAT16: Element(BFLOAT16, widen_bfloat16, narrow_bfloat16, pair_bfloat16, unpair_bfloat16),
}
INDEX = Element(INT64)
# What convolutions multiply and make, beside those
OPERANDS: dict[str, Element] = {
    **ELEMENTS,
    INT8: Element(INT8, widen_integer),
    UINT8: Element(UINT8, widen_integer),
    INT32: Element(INT32),
    COMPLEX64: Element(COMPLEX64),
    COMPLEX128: Element(COMPLEX128),
}
# What is compared, beside floats
COMPARED: dict[str, Element] = {
    **ELEMENTS,
    **{dtype: Element(dtype, widen_integer if dtype.is_narrow else same) for dtype in INTEGERS},
}
CONJUGATES: dict[str, Element] = {dtype: Element(dtype, conjugate) for dtype in COMPLEX}


def make_loader(element: Element, columns: int, otherwise: float) -> Function:
    """load(values, at, condition, x, place): values[at + j] = x[place + j] for j < columns.

    With one access of `columns` elements, of which the first must lie on a multiple of their size. Where the
    condition is false, all are `otherwise`.
    """
    if element.pair is not None and columns > 1:
        return _make_pairs_loader(element, columns, otherwise)
    outside, stored, widen = element.bits(otherwise), element.stored, element.widen

    def one(values, at, condition, x, place):
        values[at] = widen(load_if(condition, x, place, stored(outside)))

    def two(values, at, condition, x, place):
        values[at], values[at + 1] = load2_if(condition, x, place, stored(outside))

    def four(values, at, condition, x, place):
        a, b, c, d = load4_if(condition, x, place, stored(outside))
        values[at], values[at + 1], values[at + 2], values[at + 3] = a, b, c, d

    return inlined({1: one, 2: two, 4: four}[columns])


def _make_pairs_loader(element: Element, columns: int, otherwise: float) -> Function:
    """The same for 2, 4 or 8 elements of 16 bits."""
    outside, unpair = int(element.bits(otherwise)) * 0x10001, element.unpair

    def two(values, at, condition, x, place):
        word = load_if(condition, words_at(x, place), 0, uint32(outside))
        values[at], values[at + 1] = unpair(word)

    def four(values, at, condition, x, place):
        a, b = load2_if(condition, words_at(x, place), 0, uint32(outside))
        values[at], values[at + 1] = unpair(a)
        values[at + 2], values[at + 3] = unpair(b)

    def eight(values, at, condition, x, place):
        a, b, c, d = load4_if(condition, words_at(x, place), 0, uint32(outside))
        values[at], values[at + 1] = unpair(a)
        values[at + 2], values[at + 3] = unpair(b)
        values[at + 4], values[at + 5] = unpair(c)
        values[at + 6], values[at + 7] = unpair(d)

    return inlined({2: two, 4: four, 8: eight}[columns])


def make_storer(element: Element, columns: int) -> Function:
    """store(target, place, row): target[place + j] = row[j] for j < columns, with one access."""
    narrow, pair = element.narrow, element.pair

    def one(target, place, row):
        target[place] = narrow(row[0])

    def two(target, place, row):
        store2(target, place, row[0], row[1])

    def four(target, place, row):
        store4(target, place, row[0], row[1], row[2], row[3])

    def one_word(target, place, row):
        words_at(target, place)[0] = pair(row[0], row[1])

    def two_words(target, place, row):
        store2(words_at(target, place), 0, pair(row[0], row[1]), pair(row[2], row[3]))

    words = {1: one, 2: one_word, 4: two_words}
    return inlined(({1: one, 2: two, 4: four} if pair is None else words)[columns])
