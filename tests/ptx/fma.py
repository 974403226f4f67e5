"""Fused multiply-add: ``a * b + c`` with one rounding."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from .rounding import directed, odd, rational, two_product, two_sum

# The bits that float32 drops of a float64, and their pattern for a value half-way between two.
_DROPPED, _HALFWAY = np.uint64(0x1FFFFFFF), np.uint64(0x10000000)
_LEAST_NORMAL = 2.0**-126


def fma32(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """float32 to nearest even.

    The product is exact in float64. Rounding the sum to float64 first, then to float32, only goes
    wrong where the float64 sum lies half-way between two floats (or the result is subnormal), and
    such lanes are done again with the error of the sum.
    """
    product = np.multiply(a, b, dtype=np.float64)
    total = product + c
    result = total.astype(np.float32)
    doubtful = (total.view(np.uint64) & _DROPPED) == _HALFWAY
    tiny = np.abs(total) < _LEAST_NORMAL
    if np.count_nonzero(tiny):
        doubtful |= tiny & (total != 0)
    if np.count_nonzero(doubtful):
        exact = odd(*two_sum(product[doubtful], c[doubtful].astype(np.float64)))
        result[doubtful] = exact.astype(np.float32)
    return result


def exact_fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 (high, error) of formats whose products are exact in float64."""
    return two_sum(a * b, c)


def fma64(a: np.ndarray, b: np.ndarray, c: np.ndarray, mode: str = "rn") -> np.ndarray:
    """float64 in a rounding mode (Boldo and Melquiond), with exact fractions near the limits of the range."""
    product, product_error = two_product(a, b)
    low, low_error = two_sum(c, product_error)
    high, high_error = two_sum(product, low)
    rest = odd(*two_sum(high_error, low_error))
    result, error = two_sum(high, rest)
    if mode != "rn":
        result = directed(result, error, mode)
    scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), np.maximum(np.abs(c), np.abs(product)))
    small = np.where(product == 0, 1.0, np.abs(product))
    doubtful = (scale > 1e290) | (small < 1e-270) | ~np.isfinite(scale)
    doubtful |= (product == 0) & (a != 0) & (b != 0)
    for lane in np.flatnonzero(doubtful):
        result[lane] = _slow(float(a[lane]), float(b[lane]), float(c[lane]), mode)
    return np.where((result == 0) & (product == 0), product + c, result)


def _slow(a: float, b: float, c: float, mode: str) -> float:
    if not np.isfinite([a, b, c]).all():
        return float(np.float64(a) * np.float64(b) + np.float64(c))
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    return rational(exact, mode) if exact else float(np.float64(a) * np.float64(b) + np.float64(c))
