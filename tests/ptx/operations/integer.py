"""Integer arithmetic: products and their halves, extended precision, division, dot products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..lanes import Active
from ..registry import Binder, Step, assign, operation
from ..syntax import BITS, DTYPES, Register

# The condition code register that .cc instructions write and addc, subc, madc read.
CARRY = Register("CC", "pred")


def pairs_of_16(op: Binder, function: Callable, kind: str) -> Step:
    """An operation on two 16-bit halves."""
    half = DTYPES[kind[:-2]]

    def halves(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = (np.ascontiguousarray(x).view(half) for x in (a, b))
        return function(a, b).view(np.uint32)

    return op.elementwise(halves, kind, kind, kind)


def saturated(op: Binder, function: Callable, kind: str) -> Step:
    """``add.sat.s32``: the sum clamped to the range of the type."""
    op.expect_type(kind, "s32")
    limits = np.iinfo(np.int32)
    return op.elementwise(
        lambda a, b: np.clip(function(a, b, dtype=np.int64), limits.min, limits.max), kind, kind, kind
    )


def extended_add(op: Binder, kind: str, carry_in: bool, carry_out: bool) -> Step:
    """``add.cc``, ``addc``, ``sub.cc``, ``subc``; a borrow is the carry of a subtraction."""
    bits = f"b{8 * DTYPES[kind].itemsize}"
    first, second, out = op.source(1, bits), op.source(2, bits), op.target(0, bits)
    carry = op.machine.register(CARRY)
    subtract = op.opcode.startswith("sub")

    def step(active: Active) -> None:
        extra = carry.astype(first.dtype) if carry_in else first.dtype.type(0)
        if subtract:
            partial = first - second
            result = partial - extra
            over = (first < second) | (partial < extra)
        else:
            partial = first + second
            result = partial + extra
            over = (partial < first) | (result < partial)
        np.copyto(out, result, where=active.where)
        if carry_out:
            np.copyto(carry, over, where=active.where)

    return step


def high_half(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The upper half of the product, in the operands' type."""
    bits = 8 * a.itemsize
    if bits < 64:
        wide = np.dtype(f"{a.dtype.kind}{2 * a.itemsize}")
        return (a.astype(wide) * b.astype(wide) >> wide.type(bits)).astype(a.dtype)
    x, y = a.view(np.uint64), b.view(np.uint64)
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    x0, x1, y0, y1 = x & low, x >> half, y & low, y >> half
    middle = x1 * y0 + (x0 * y0 >> half)
    high = x1 * y1 + (middle >> half) + ((middle & low) + x0 * y1 >> half)
    if a.dtype.kind == "i":
        high = high - np.where(a < 0, y, 0).astype(np.uint64) - np.where(b < 0, x, 0).astype(np.uint64)
    return high.view(a.dtype)


def _product(op: Binder, kind: str) -> tuple[Callable, str]:
    """The function for .lo, .hi or .wide, and the type of its result."""
    part = op.take("lo", "hi", "wide")
    if part == "hi":
        return high_half, kind
    if part == "lo":
        return np.multiply, kind
    if part is None:
        raise op.unknown("part of the product: .lo, .hi or .wide is needed")
    result = f"{kind[0]}{2 * int(kind[1:])}"
    wide = DTYPES[result]
    return (lambda a, b: np.multiply(a, b, dtype=wide)), result


def multiply(op: Binder, kind: str) -> Step:
    """``mul`` on integers."""
    function, result = _product(op, kind)
    return op.elementwise(function, result, kind, kind)


def multiply_add(op: Binder, kind: str) -> Step:
    """``mad`` and ``madc`` on integers, with and without carry."""
    function, result = _product(op, kind)
    if op.flag("sat"):
        limits = np.iinfo(np.int32)
        return op.elementwise(
            lambda a, b, c: np.clip(function(a, b).astype(np.int64) + c, limits.min, limits.max),
            result,
            kind,
            kind,
            result,
        )
    carry_in, carry_out = op.opcode == "madc", op.flag("cc")
    if not (carry_in or carry_out):
        return op.elementwise(lambda a, b, c: function(a, b) + c, result, kind, kind, result)
    sources = [op.source(1, kind), op.source(2, kind), op.source(3, result)]
    out, carry = op.target(0, result), op.machine.register(CARRY)
    unsigned = BITS[DTYPES[result].itemsize]

    def step(active: Active) -> None:
        product, addend = function(sources[0], sources[1]).view(unsigned), sources[2].view(unsigned)
        partial = product + addend
        total = partial + carry if carry_in else partial
        over = (partial < product) | (total < partial)
        np.copyto(out, total.astype(unsigned).view(out.dtype), where=active.where)
        if carry_out:
            np.copyto(carry, over, where=active.where)

    return step


def remainder(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The remainder with the sign of the dividend; by zero: the dividend."""
    return np.where(b == 0, a, np.fmod(a, np.where(b == 0, a.dtype.type(1), b)))


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The quotient rounded towards zero; by zero, where PTX leaves the value open: all bits set."""
    divisor = np.where(b == 0, a.dtype.type(1), b)
    quotient = np.floor_divide(a - np.fmod(a, divisor), divisor)
    return np.where(b == 0, np.array(-1).astype(a.dtype), quotient)


@operation("sad")
def sad(op: Binder) -> Step:
    (kind,) = op.types(1)
    return op.elementwise(lambda a, b, c: c + np.where(a < b, b - a, a - b), kind, kind, kind, kind)


@operation("mul24", "mad24")
def mul24(op: Binder) -> Step:
    (kind,) = op.types(1)
    shift = {"lo": 0, "hi": 16}[op.take("lo", "hi")]
    wide = np.int64

    def low(values: np.ndarray) -> np.ndarray:
        values = values.astype(wide) & 0xFFFFFF
        return values - ((values & 0x800000) << 1) if kind == "s32" else values

    if op.opcode == "mul24":
        return op.elementwise(lambda a, b: low(a) * low(b) >> shift, kind, kind, kind)
    return op.elementwise(lambda a, b, c: (low(a) * low(b) >> shift) + c, kind, kind, kind, kind)


@operation("dp4a")
def dp4a(op: Binder) -> Step:
    """Sum of four products of bytes, each operand signed or not."""
    a_kind, b_kind = op.types(2)
    result = "s32" if "s32" in (a_kind, b_kind) else "u32"

    def function(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        x, y = (
            np.ascontiguousarray(values).view(np.int8 if kind == "s32" else np.uint8).reshape(-1, 4)
            for values, kind in ((a, a_kind), (b, b_kind))
        )
        return c + np.einsum("ij,ij->i", x.astype(np.int64), y.astype(np.int64))

    return op.elementwise(function, result, a_kind, b_kind, result)


@operation("dp2a")
def dp2a(op: Binder) -> Step:
    """Sum of two products of a 16-bit half and a byte from the lower or upper half."""
    a_kind, b_kind = op.types(2)
    start = {"lo": 0, "hi": 2}[op.take("lo", "hi")]
    result = "s32" if "s32" in (a_kind, b_kind) else "u32"

    def function(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(a).view(np.int16 if a_kind == "s32" else np.uint16).reshape(-1, 2)
        y = np.ascontiguousarray(b).view(np.int8 if b_kind == "s32" else np.uint8).reshape(-1, 4)
        return c + np.einsum("ij,ij->i", x.astype(np.int64), y[:, start : start + 2].astype(np.int64))

    return op.elementwise(function, result, a_kind, b_kind, result)


@operation("cnot")
def cnot(op: Binder) -> Step:
    (kind,) = op.types(1)
    return assign(lambda a: (a == 0).astype(a.dtype), op.target(0, kind), [op.source(1, kind)])
