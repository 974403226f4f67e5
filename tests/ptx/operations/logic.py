"""Bits: logic, shifts, fields, counts."""

from __future__ import annotations

import numpy as np

from ..registry import Binder, Step, assign, operation
from ..syntax import BITS, DTYPES, Immediate
from ..words import field, funnel, inserted, leading_zeros, reverse_bits


@operation("and", "or", "xor")
def logic(op: Binder) -> Step:
    (kind,) = op.types(1)
    function = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}[op.opcode]
    return op.elementwise(function, kind, kind, kind)


@operation("not")
def invert(op: Binder) -> Step:
    (kind,) = op.types(1)
    return op.elementwise(np.invert, kind, kind)


@operation("shl", "shr")
def shift(op: Binder) -> Step:
    """Shifts by the width or more give zero, or the sign."""
    (kind,) = op.types(1)
    dtype = DTYPES[kind]
    width = 8 * dtype.itemsize
    ufunc = np.left_shift if op.opcode == "shl" else np.right_shift
    unsigned = BITS[dtype.itemsize]
    if isinstance(op.operands[2], Immediate) and 0 <= op.operands[2].value < width:
        amount = op.machine.source(op.operands[2], kind, op.instruction)
        return assign(ufunc, op.target(0, kind), [op.source(1, kind), amount])

    def function(a: np.ndarray, amount: np.ndarray) -> np.ndarray:
        most = width - 1
        shifted = ufunc(a, np.minimum(amount, np.uint32(most)).astype(unsigned).view(dtype))
        if op.opcode == "shr" and dtype.kind == "i":
            return shifted
        return np.where(amount > most, dtype.type(0), shifted)

    return op.elementwise(function, kind, kind, "u32")


@operation("shf")
def funnel_shift(op: Binder) -> Step:
    op.types(1)
    direction, wrap = op.take("l", "r"), op.take("wrap", "clamp") == "wrap"
    return op.elementwise(funnel(direction, wrap), "b32", "b32", "b32", "u32")


@operation("lop3")
def lop3(op: Binder) -> Step:
    """Any function of three bits, from its table of eight values."""
    op.types(1)
    table = op.constant(4)
    sources = [op.source(index, "b32") for index in (1, 2, 3)]
    out = op.target(0, "b32")

    def step(active) -> None:
        a, b, c = sources
        result = np.zeros_like(a)
        for row in range(8):
            if table >> row & 1:
                result |= (a if row & 4 else ~a) & (b if row & 2 else ~b) & (c if row & 1 else ~c)
        np.copyto(out, result, where=active.where)

    return step


@operation("brev")
def brev(op: Binder) -> Step:
    (kind,) = op.types(1)
    return op.elementwise(reverse_bits, kind, kind)


@operation("popc")
def popc(op: Binder) -> Step:
    (kind,) = op.types(1)
    return op.elementwise(lambda a: np.bitwise_count(a).astype(np.uint32), "u32", kind)


@operation("clz")
def clz(op: Binder) -> Step:
    (kind,) = op.types(1)
    return op.elementwise(leading_zeros, "u32", kind)


@operation("bfind")
def bfind(op: Binder) -> Step:
    """The highest bit that differs from the sign; all ones if there is none."""
    (kind,) = op.types(1)
    amount = op.flag("shiftamt")
    width = 8 * DTYPES[kind].itemsize

    def function(a: np.ndarray) -> np.ndarray:
        bits = (np.where(a < 0, ~a, a) if kind[0] == "s" else a).view(BITS[a.itemsize])
        zeros = leading_zeros(bits)
        found = zeros if amount else np.uint32(width - 1) - zeros
        return np.where(bits == 0, np.uint32(0xFFFFFFFF), found)

    return op.elementwise(function, "u32", kind)


@operation("bfe")
def bfe(op: Binder) -> Step:
    (kind,) = op.types(1)
    return op.elementwise(field(kind), kind, kind, "u32", "u32")


@operation("bfi")
def bfi(op: Binder) -> Step:
    (kind,) = op.types(1)
    return op.elementwise(inserted(kind), kind, kind, kind, "u32", "u32")


@operation("bmsk")
def bmsk(op: Binder) -> Step:
    op.types(1)
    wrap = op.take("wrap", "clamp") == "wrap"

    def function(position: np.ndarray, length: np.ndarray) -> np.ndarray:
        limit = (lambda x: x & np.uint32(31)) if wrap else (lambda x: np.minimum(x, np.uint32(32)))
        start, count = limit(position).astype(np.uint64), limit(length).astype(np.uint64)
        return (((np.uint64(1) << count) - np.uint64(1)) << start).astype(np.uint32)

    return op.elementwise(function, "b32", "u32", "u32")


@operation("szext")
def szext(op: Binder) -> Step:
    """Low bits, zero or sign extended."""
    (kind,) = op.types(1)
    wrap = op.take("wrap", "clamp") == "wrap"

    def function(a: np.ndarray, length: np.ndarray) -> np.ndarray:
        bits = (length & np.uint32(31) if wrap else np.minimum(length, np.uint32(32))).astype(np.uint64)
        field = a.view(np.uint32).astype(np.uint64) & ((np.uint64(1) << bits) - np.uint64(1))
        if kind == "s32":
            sign = np.where(bits > 0, field >> np.maximum(bits, np.uint64(1)) - np.uint64(1), np.uint64(0))
            field = np.where(sign != 0, field | ~np.uint64(0) << bits, field)
        return field.astype(np.uint32).view(a.dtype)

    return op.elementwise(function, kind, kind, "u32")
