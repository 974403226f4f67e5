"""Floating-point arithmetic in f16, bf16, f32 and f64 and their packed pairs, in every rounding mode."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from ..fma import exact_fma, fma32, fma64
from ..registry import Binder, Step
from ..rounding import (
    CANONICAL_NAN,
    directed,
    flush,
    narrow,
    odd,
    rational,
    round_to,
    two_product,
    two_sum,
    widen,
)
from ..syntax import DTYPES

Exact = Callable[..., tuple[np.ndarray, np.ndarray]]
FLOATING = ("f16", "bf16", "f32", "f64", "f16x2", "bf16x2")


def is_floating(kind: str) -> bool:
    return kind in FLOATING


def packed(function: Callable, kind: str) -> Callable:
    """A function of single numbers made one of packed pairs."""
    half = DTYPES[kind[:-2]]

    def pairs(*sources: np.ndarray) -> np.ndarray:
        halves = [np.ascontiguousarray(values).view(half) for values in sources]
        return np.ascontiguousarray(function(*halves).astype(half)).view(np.uint32)

    return pairs


def _add(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return two_sum(a, b)


def _sub(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return two_sum(a, -b)


def _div(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    quotient = a / b
    product, error = two_product(quotient, b)
    rest = (a - product) - error
    return quotient, np.where(np.isfinite(quotient) & np.isfinite(rest), rest * np.sign(b), 0.0)


def _sqrt(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Without scaling the square of a small root would lose bits to underflow.
    small = np.abs(a) < 1e-200
    a = np.where(small, a * 2.0**200, a)
    root = np.sqrt(a)
    square, error = two_product(root, root)
    rest = (a - square) - error
    return np.where(small, root * 2.0**-100, root), np.where(np.isfinite(root) & np.isfinite(rest), rest, 0.0)


def _rcp(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _div(np.ones_like(a), a)


NEAREST = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "sqrt": np.sqrt}
EXACT: dict[str, Exact] = {
    "add": _add,
    "sub": _sub,
    "mul": two_product,
    "div": _div,
    "sqrt": _sqrt,
    "rcp": _rcp,
    "fma": exact_fma,
}


FRACTIONS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "rcp": lambda a: 1 / a,
}
# Sums whose exact value is zero are -0 when rounding down, unless both addends are +0.
_ADDENDS = {"add": lambda a, b: (a, b), "sub": lambda a, b: (a, -b), "fma": lambda a, b, c: (a * b, c)}


def _directed(name: str, sources: list[np.ndarray], mode: str) -> np.ndarray:
    """A float64 operation in a mode, with exact fractions where the error is out of float64's range."""
    high, error = EXACT[name](*sources)
    result = directed(high, error, mode)
    if name in FRACTIONS and mode != "rn":
        sizes = [np.abs(values) for values in (high, *sources)]
        extreme = np.any([((size < 1e-270) & (size > 0)) | (size > 1e290) for size in sizes], axis=0)
        for lane in np.flatnonzero(extreme & np.all(np.isfinite(sources), axis=0)):
            operands = [Fraction(float(values[lane])) for values in sources]
            if name not in ("div", "rcp") or operands[-1]:
                exact = FRACTIONS[name](*operands)
                result[lane] = rational(exact, mode) if exact else high[lane]
    return result


def rounded(
    name: str, kind: str, mode: str, *, ftz: bool = False, sat: bool = False, relu: bool = False
) -> Callable:
    """The function for an operation on numbers of a format: a ufunc where NumPy does the same."""
    if not (ftz or sat or relu) and mode == "rn":
        if name in NEAREST and kind in ("f16", "f32", "f64"):
            return NEAREST[name]
        if name == "fma" and kind == "f32":
            return fma32

    def function(*sources: np.ndarray) -> np.ndarray:
        wide = [widen(flush(values, kind) if ftz else values, kind) for values in sources]
        if kind == "f64" and name == "fma":
            result = fma64(*wide, mode)
        elif kind == "f64":
            result = _directed(name, wide, mode)
        else:
            result = round_to(odd(*EXACT[name](*wide)), kind, mode)
        if mode == "rm" and name in _ADDENDS:
            x, y = _ADDENDS[name](*wide)
            result = np.where((result == 0) & (np.signbit(x) != np.signbit(y)), -0.0, result)
        return narrow(finish(result, kind, ftz, sat, relu), kind)

    return function


def finish(values: np.ndarray, kind: str, ftz: bool, sat: bool, relu: bool) -> np.ndarray:
    """``.ftz``, ``.sat`` (to [0, 1], NaN to 0) and ``.relu`` (NaN stays) on float64 values."""
    if ftz:
        values = flush(values, kind)
    if sat:
        values = np.where(np.isnan(values), 0.0, np.clip(values, 0.0, 1.0)) + 0.0
    if relu:
        values = np.where(np.isnan(values), values, np.maximum(values, 0.0)) + 0.0
    return values


def arithmetic(op: Binder, name: str, kind: str, operands: int) -> Step:
    """Bind an operation with the modifiers that floating-point arithmetic has."""
    mode = op.take("rn", "rz", "rm", "rp", default="rn")
    options = {word: op.flag(word) for word in ("ftz", "sat", "relu")}
    single = kind[:-2] if kind.endswith("x2") else kind
    function = rounded(name, single, mode, **options)
    if kind.endswith("x2"):
        function = packed(function, kind)
    return op.elementwise(function, kind, *[kind] * operands)


def extremum(op: Binder, name: str, kind: str) -> Step:
    """``min`` and ``max``: a NaN loses against a number unless ``.NaN`` says otherwise; -0 < +0."""
    ftz, propagate = op.flag("ftz"), op.flag("NaN")
    xorsign = op.flag("xorsign")
    if op.flag("abs") != xorsign:
        raise op.unknown("modifier: .xorsign and .abs go together")
    single = kind[:-2] if kind.endswith("x2") else kind
    choose = {"min": np.fmin, "max": np.fmax}[name]
    signs = {"min": np.bitwise_or, "max": np.bitwise_and}[name]

    def function(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        bits = f"b{8 * a.itemsize}"
        if ftz:
            a, b = (narrow(flush(widen(x, single), single), single) for x in (a, b))
        x, y = widen(a, single), widen(b, single)
        negative = np.signbit(x) ^ np.signbit(y)
        if xorsign:
            x, y = np.abs(x), np.abs(y)
        result = choose(x, y)
        equal = signs(x.view(np.int64), y.view(np.int64)).view(np.float64)
        result = np.where(x == y, equal, result)
        if xorsign:
            result = np.copysign(result, np.where(negative, -1.0, 1.0))
        nan = (np.isnan(x) | np.isnan(y)) if propagate else (np.isnan(x) & np.isnan(y))
        out = narrow(np.where(nan, 0.0, result), single)
        canonical = DTYPES[bits].type(CANONICAL_NAN[single]).view(out.dtype)
        return np.where(nan, canonical, out)

    return op.elementwise(packed(function, kind) if kind.endswith("x2") else function, kind, kind, kind)


def signs(op: Binder, name: str, kind: str) -> Step:
    """``neg`` and ``abs`` on the sign bit, NaN included."""
    ftz = op.flag("ftz")
    bits = DTYPES[f"b{8 * DTYPES[kind].itemsize}"].type
    width = 16 if kind.endswith("x2") else 8 * DTYPES[kind].itemsize
    sign = 1 << (width - 1)
    sign = bits(sign | sign << 16 if kind.endswith("x2") else sign)
    change = {"neg": lambda x: x ^ sign, "abs": lambda x: x & ~sign}[name]

    def function(values: np.ndarray) -> np.ndarray:
        values = flush(values, kind) if ftz else values
        return change(values.view(bits)).view(values.dtype)

    return op.elementwise(function, kind, kind)
