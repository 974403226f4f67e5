"""``cvt``: between integers and floating-point formats, every rounding mode, saturation, packing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..registry import Binder, Step, assign, operation
from ..rounding import FORMATS, flush, narrow, odd, round_to, two_sum, widen
from ..syntax import DTYPES
from .floating import finish

_TO_INTEGER = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
_ROUNDINGS = ("rn", "rz", "rm", "rp", "rna")


@operation("cvt")
def cvt(op: Binder) -> Step:
    to, origin = op.types(2)
    if to.endswith("x2") or origin.endswith("x2"):
        return _packed(op, to, origin)
    integral = op.take(*_TO_INTEGER)
    mode = op.take(*_ROUNDINGS, default="rn")
    options = {word: op.flag(word) for word in ("ftz", "sat", "relu", "satfinite")}
    if origin in FORMATS and to in FORMATS:
        function = _float_to_float(origin, to, mode, integral, options)
    elif origin in FORMATS:
        function = _float_to_integer(origin, to, integral or "rzi", options["ftz"])
    elif to in FORMATS:
        function = _integer_to_float(to, mode, options["sat"])
    else:
        function = _integer_to_integer(origin, to, options["sat"])
    return op.elementwise(function, to, origin)


def _float_to_float(
    origin: str, to: str, mode: str, integral: str | None, options: dict[str, bool]
) -> Callable:
    plain = not any(options.values()) and integral is None
    if plain and {origin, to} <= {"f16", "f32", "f64"} and (mode == "rn" or _widens(origin, to)):
        return lambda values: values.astype(DTYPES[to])

    def function(values: np.ndarray) -> np.ndarray:
        wide = widen(values, origin)
        if options["ftz"] and origin == "f32":
            wide = flush(wide, origin)
        if integral is not None:
            wide = np.copysign(_TO_INTEGER[integral](wide), wide)
        if not _widens(origin, to):
            wide = round_to(wide, to, mode, options["satfinite"])
        wide = finish(wide, to, options["ftz"] and to == "f32", options["sat"], options["relu"])
        return _canonical(narrow(wide, to), wide, to)

    return function


def _widens(origin: str, to: str) -> bool:
    a, b = FORMATS[origin], FORMATS[to]
    return a.precision <= b.precision and a.least_exponent >= b.least_exponent


def _canonical(values: np.ndarray, wide: np.ndarray, kind: str) -> np.ndarray:
    """NaN of the narrow formats as the manual gives it: all bits but the sign set."""
    if kind in ("f16", "bf16", "tf32"):
        nan = np.uint32(0x7FFFFFFF) if kind == "tf32" else np.uint16(0x7FFF)
        return np.where(np.isnan(wide), nan.view(values.dtype), values)
    return values


def _float_to_integer(origin: str, to: str, integral: str, ftz: bool) -> Callable:
    """Rounded, then clamped to the range of the type; NaN gives zero."""
    dtype = DTYPES[to]
    limits = np.iinfo(dtype)
    # The least float above the range: the limit itself need not be a float64.
    above = 2.0 ** (8 * dtype.itemsize - (dtype.kind == "i"))

    def function(values: np.ndarray) -> np.ndarray:
        wide = widen(values, origin)
        wide = _TO_INTEGER[integral](flush(wide, origin) if ftz else wide)
        inside = (wide >= limits.min) & (wide < above)
        result = np.where(inside, wide, 0.0).astype(dtype)
        result = np.where(wide >= above, dtype.type(limits.max), result)
        return np.where(wide < limits.min, dtype.type(limits.min), result)

    return function


def _integer_to_float(to: str, mode: str, sat: bool) -> Callable:
    def function(values: np.ndarray) -> np.ndarray:
        if mode == "rn" and to in ("f32", "f64") and not sat:
            return values.astype(DTYPES[to])
        values = values.astype(np.int64 if values.dtype.kind == "i" else np.uint64)
        low = (values & values.dtype.type(0xFFFFFFFF)).astype(np.float64)
        high = (values >> values.dtype.type(32)).astype(np.float64) * 4294967296.0
        total, error = two_sum(high, low)
        wide = total if to == "f64" and mode == "rn" else round_to(odd(total, error), to, mode)
        if to == "f64" and mode != "rn":
            from ..rounding import directed

            wide = directed(total, error, mode)
        return narrow(finish(wide, to, False, sat, False), to)

    return function


def _integer_to_integer(origin: str, to: str, sat: bool) -> Callable:
    dtype = DTYPES[to]
    if not sat:
        return lambda values: values.astype(dtype)
    a, b = np.iinfo(DTYPES[origin]), np.iinfo(dtype)
    least = DTYPES[origin].type(max(a.min, b.min))
    most = DTYPES[origin].type(min(a.max, b.max))
    return lambda values: np.clip(values, least, most).astype(dtype)


def _packed(op: Binder, to: str, origin: str) -> Step:
    """``cvt.rn.bf16x2.f32 d, a, b``: a becomes the upper half of d, b the lower."""
    single = to[:-2]
    mode = op.take("rn", "rz", default="rn")
    relu, saturate = op.flag("relu"), op.flag("satfinite")
    if origin != "f32" or single not in ("f16", "bf16") or len(op.operands) != 3:
        raise op.unknown(f"conversion from .{origin} to .{to}")

    def half(values: np.ndarray) -> np.ndarray:
        wide = finish(round_to(widen(values, origin), single, mode, saturate), single, False, False, relu)
        return _canonical(narrow(wide, single), wide, single).view(np.uint16).astype(np.uint32)

    return assign(
        lambda a, b: half(a) << np.uint32(16) | half(b),
        op.target(0, to),
        [op.source(1, origin), op.source(2, origin)],
    )
