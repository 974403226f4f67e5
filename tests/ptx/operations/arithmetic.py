"""Opcodes that integers and floating-point numbers share: ``add sub mul mad fma div min max neg abs``."""

from __future__ import annotations

import numpy as np

from ..registry import Binder, Step, operation
from .floating import arithmetic, extremum, is_floating, signs
from .integer import (
    divide,
    extended_add,
    multiply,
    multiply_add,
    pairs_of_16,
    remainder,
    saturated,
)


@operation("add", "sub")
def add(op: Binder) -> Step:
    (kind,) = op.types(1)
    if is_floating(kind):
        return arithmetic(op, op.opcode, kind, 2)
    function = {"add": np.add, "sub": np.subtract}[op.opcode]
    if kind in ("u16x2", "s16x2"):
        return pairs_of_16(op, function, kind)
    if op.flag("sat"):
        return saturated(op, function, kind)
    if op.flag("cc"):
        return extended_add(op, kind, carry_in=False, carry_out=True)
    return op.elementwise(function, kind, kind, kind)


@operation("addc", "subc")
def addc(op: Binder) -> Step:
    (kind,) = op.types(1)
    return extended_add(op, kind, carry_in=True, carry_out=op.flag("cc"))


@operation("mul")
def mul(op: Binder) -> Step:
    (kind,) = op.types(1)
    if is_floating(kind):
        return arithmetic(op, "mul", kind, 2)
    return multiply(op, kind)


@operation("mad", "madc")
def mad(op: Binder) -> Step:
    (kind,) = op.types(1)
    if is_floating(kind):
        return arithmetic(op, "fma", kind, 3)
    return multiply_add(op, kind)


@operation("fma")
def fma(op: Binder) -> Step:
    (kind,) = op.types(1)
    op.expect_type(kind, "f16 bf16 f32 f64 f16x2 bf16x2")
    return arithmetic(op, "fma", kind, 3)


@operation("div")
def div(op: Binder) -> Step:
    (kind,) = op.types(1)
    if is_floating(kind):
        op.take("approx", "full")
        return arithmetic(op, "div", kind, 2)
    return op.elementwise(divide, kind, kind, kind)


@operation("rem")
def rem(op: Binder) -> Step:
    (kind,) = op.types(1)
    return op.elementwise(remainder, kind, kind, kind)


@operation("min", "max")
def extremes(op: Binder) -> Step:
    (kind,) = op.types(1)
    if is_floating(kind):
        return extremum(op, op.opcode, kind)
    function = {"min": np.minimum, "max": np.maximum}[op.opcode]
    if kind in ("u16x2", "s16x2"):
        return pairs_of_16(op, function, kind)
    if op.flag("relu"):
        return op.elementwise(lambda a, b: np.maximum(function(a, b), 0), kind, kind, kind)
    return op.elementwise(function, kind, kind, kind)


@operation("neg", "abs")
def neg(op: Binder) -> Step:
    (kind,) = op.types(1)
    if is_floating(kind):
        return signs(op, op.opcode, kind)
    return op.elementwise({"neg": np.negative, "abs": np.absolute}[op.opcode], kind, kind)
