"""Floating-point formats and correct rounding to them, in every mode of PTX.

Operations are computed in float64 as ``high + error`` without any loss, where `high` is the
rounded result and `error` what rounding lost. `odd` folds the error into the last bit of `high`
(rounding to odd), after which rounding to any format of at most 51 bits is correct in every mode:
the folded bit tells that the exact value lies to one side. For float64 itself the sign of the
error decides (`directed`).
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .syntax import DTYPES


class Format(NamedTuple):
    """Significant bits, exponent of the least normal number, greatest finite number."""

    precision: int
    least_exponent: int
    greatest: float


FORMATS = {
    "f16": Format(11, -14, 65504.0),
    "bf16": Format(8, -126, float.fromhex("0x1.fep127")),
    "tf32": Format(11, -126, float.fromhex("0x1.ffcp127")),
    "f32": Format(24, -126, float.fromhex("0x1.fffffep127")),
    "f64": Format(53, -1022, float.fromhex("0x1.fffffffffffffp1023")),
    "e4m3": Format(4, -6, 448.0),
    "e5m2": Format(3, -14, 57344.0),
}
_ROUND = {
    "rn": np.rint,
    "rz": np.trunc,
    "rm": np.floor,
    "rp": np.ceil,
    "rna": lambda x: np.trunc(x + np.copysign(0.5, x)),
}
CANONICAL_NAN = {
    "f16": 0x7FFF,
    "bf16": 0x7FFF,
    "f32": 0x7FFFFFFF,
    "f64": 0x7FF8000000000000,
    "tf32": 0x7FFFFFFF,
}


def widen(values: np.ndarray, kind: str) -> np.ndarray:
    """Values of a format as float64, exactly."""
    if kind == "bf16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    if kind == "tf32":
        return (values & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)
    return values.astype(np.float64)


def narrow(values: np.ndarray, kind: str) -> np.ndarray:
    """float64 values that the format can represent, in the format's storage."""
    if kind == "bf16":
        return (values.astype(np.float32).view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    if kind == "tf32":
        return values.astype(np.float32).view(np.uint32)
    return values.astype(DTYPES[kind])


def round_to(values: np.ndarray, kind: str, mode: str, saturate: bool = False) -> np.ndarray:
    """float64 values rounded to a format, still as float64.

    Overflow gives infinity or the greatest finite number as the mode demands; `saturate` always
    gives the latter.
    """
    precision, least, greatest = FORMATS[kind]
    _, exponent = np.frexp(values)
    last_bit = np.maximum(exponent - 1, least) - (precision - 1)
    rounded = np.ldexp(_ROUND[mode](np.ldexp(values, -last_bit)), last_bit)
    rounded = np.where(np.isfinite(values), rounded, values)
    over = np.abs(rounded) > greatest
    if over.any():
        if saturate:
            stays = over
        else:
            downwards = {"rz": True, "rm": values > 0, "rp": values < 0}.get(mode, False)
            stays = over & downwards & np.isfinite(values)
        limit = np.copysign(np.where(stays, greatest, np.inf), values)
        rounded = np.where(over, limit, rounded)
    return np.copysign(rounded, values)


def two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rounded sum and its error (Knuth)."""
    total = a + b
    part = total - a
    return total, np.where(np.isfinite(total), (a - (total - part)) + (b - part), 0.0)


def _split(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scaled = a * 134217729.0  # 2**27 + 1
    high = scaled - (scaled - a)
    return high, a - high


def two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rounded product and its error (Dekker), unless a term leaves the range of float64."""
    product = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    error = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
    return product, np.where(np.isfinite(product) & np.isfinite(error), error, 0.0)


def odd(high: np.ndarray, error: np.ndarray) -> np.ndarray:
    """``high + error`` rounded to odd."""
    bits = high.view(np.int64)
    nudge = np.where((error > 0) == (high > 0), 1, -1)
    return np.where((error != 0) & (bits & 1 == 0) & np.isfinite(high), bits + nudge, bits).view(np.float64)


def directed(high: np.ndarray, error: np.ndarray, mode: str) -> np.ndarray:
    """``high + error``, where `high` is the nearest float64, rounded to float64 in a mode."""
    if mode == "rn":
        return high
    down = (error < 0) & ((mode == "rm") | ((mode == "rz") & (high > 0)))
    up = (error > 0) & ((mode == "rp") | ((mode == "rz") & (high < 0)))
    return np.where(down, np.nextafter(high, -np.inf), np.where(up, np.nextafter(high, np.inf), high))


def rational(exact: Fraction, mode: str) -> float:
    """A non-zero fraction rounded to float64 in a mode."""
    try:
        nearest = float(exact)
    except OverflowError:
        nearest = float("inf") if exact > 0 else float("-inf")
    if np.isinf(nearest):
        toward_zero = mode == "rz" or mode == ("rm" if exact > 0 else "rp")
        return float(np.copysign(np.finfo(float).max, nearest)) if toward_zero else nearest
    error = exact - Fraction(nearest)
    sign = np.array([float((error > 0) - (error < 0))])
    return float(directed(np.array([nearest if nearest else (0.0 if exact > 0 else -0.0)]), sign, mode)[0])


def flush(values: np.ndarray, kind: str) -> np.ndarray:
    """Subnormal numbers replaced by zeros of their sign (``.ftz``)."""
    least = 2.0 ** FORMATS[kind].least_exponent
    return np.where(np.abs(values) < least, np.copysign(0.0, values), values).astype(values.dtype)
