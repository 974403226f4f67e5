"""Roots, reciprocals and elementary functions, and ``copysign``.

PTX only bounds the error of ``.approx``; here the results are those of float64, rounded.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..registry import Binder, Step, operation
from ..rounding import flush, narrow, round_to, widen
from ..syntax import DTYPES
from .floating import arithmetic, packed


@operation("rcp", "sqrt")
def rcp(op: Binder) -> Step:
    (kind,) = op.types(1)
    if op.flag("approx"):
        if kind == "f64":
            return _approximate(op, {"rcp": _coarse_reciprocal}[op.opcode], kind)
        return _approximate(op, {"rcp": np.reciprocal, "sqrt": np.sqrt}[op.opcode], kind)
    return arithmetic(op, op.opcode, kind, 1)


@operation("rsqrt", "ex2", "lg2", "sin", "cos", "tanh")
def function(op: Binder) -> Step:
    (kind,) = op.types(1)
    op.flag("approx")
    table: dict[str, Callable] = {
        "rsqrt": lambda x: 1.0 / np.sqrt(x),
        "ex2": np.exp2,
        "lg2": np.log2,
        "sin": np.sin,
        "cos": np.cos,
        "tanh": np.tanh,
    }
    return _approximate(op, table[op.opcode], kind)


def _coarse_reciprocal(x: np.ndarray) -> np.ndarray:
    """``rcp.approx.ftz.f64``: only the upper 32 bits of argument and result count."""
    upper = np.uint64(0xFFFFFFFF00000000)
    result = 1.0 / (x.view(np.uint64) & upper).view(np.float64)
    return (result.view(np.uint64) & upper).view(np.float64)


def _approximate(op: Binder, compute: Callable, kind: str) -> Step:
    ftz = op.flag("ftz")
    single = kind[:-2] if kind.endswith("x2") else kind

    def apply(values: np.ndarray) -> np.ndarray:
        wide = widen(values, single)
        result = compute(flush(wide, single) if ftz else wide)
        if single != "f64":
            result = round_to(result, single, "rn")
        return narrow(flush(result, single) if ftz else result, single)

    return op.elementwise(packed(apply, kind) if kind.endswith("x2") else apply, kind, kind)


@operation("copysign")
def copysign(op: Binder) -> Step:
    """The second operand with the sign of the first."""
    (kind,) = op.types(1)
    bits = DTYPES[f"b{8 * DTYPES[kind].itemsize}"].type
    sign = bits(1 << (8 * DTYPES[kind].itemsize - 1))
    return op.elementwise(
        lambda a, b: (a.view(bits) & sign | b.view(bits) & ~sign).view(a.dtype), kind, kind, kind
    )
