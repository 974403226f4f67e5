"""Comparisons: ``setp``, ``set``, ``testp``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..lanes import Active
from ..registry import Binder, Step, operation
from ..rounding import FORMATS, flush, widen
from ..syntax import DTYPES, Pair
from .floating import is_floating

_COMPARE = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
}
_COMBINE = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


def _unordered(function: np.ufunc) -> Callable:
    return lambda a, b: function(a, b) | np.isnan(a) | np.isnan(b)


def _ordered_not_equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a != b) & ~(np.isnan(a) | np.isnan(b))


def _comparison(op: Binder, kind: str) -> Callable:
    """The function for the comparison among the modifiers; NaN makes the ordered ones false."""
    if not is_floating(kind):
        return _COMPARE[op.take(*_COMPARE)]
    ordered = {**{name: _COMPARE[name] for name in ("eq", "lt", "le", "gt", "ge")}, "ne": _ordered_not_equal}
    table = {
        **ordered,
        **{name + "u": _unordered(_COMPARE[name]) for name in ordered},
        "num": lambda a, b: ~(np.isnan(a) | np.isnan(b)),
        "nan": lambda a, b: np.isnan(a) | np.isnan(b),
    }
    return table[op.take(*table)]


def _prepared(op: Binder, kind: str) -> Callable:
    """The comparison with what .ftz and formats foreign to NumPy need before it."""
    ftz, function = op.flag("ftz"), _comparison(op, kind)
    if not ftz and kind not in ("bf16", "bf16x2"):
        return function
    single = kind[:-2] if kind.endswith("x2") else kind

    def compare(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = widen(a, single), widen(b, single)
        return function(flush(a, single), flush(b, single)) if ftz else function(a, b)

    return compare


@operation("setp")
def setp(op: Binder) -> Step:
    (kind,) = op.types(1)
    combine = op.take(*_COMBINE) if len(op.operands) == 4 else None
    compare = _prepared(op, kind)
    first, second = op.source(1, kind), op.source(2, kind)
    target = op.operands[0]
    if kind.endswith("x2"):
        return _pairs(op, compare, kind, first, second)
    if combine is None and not isinstance(target, Pair):
        return op.elementwise(compare, "pred", kind, kind)
    outs = [
        op.target(item, "pred")
        for item in ((target.first, target.second) if isinstance(target, Pair) else (target,))
    ]
    condition, negated = (
        (None, False) if combine is None else op.machine.predicate(op.operands[3], op.instruction)
    )

    def step(active: Active) -> None:
        true = compare(first, second)
        results = [true, ~true]
        if combine is not None:
            results = [_COMBINE[combine](result, condition != negated) for result in results]
        for out, result in zip(outs, results, strict=False):
            np.copyto(out, result, where=active.where)

    return step


def _pairs(op: Binder, compare: Callable, kind: str, first: np.ndarray, second: np.ndarray) -> Step:
    """Compare packed halves: one predicate for the lower half, one for the upper."""
    half = DTYPES[kind[:-2]]
    outs = [op.target(item, "pred") for item in (op.operands[0].first, op.operands[0].second)]

    def step(active: Active) -> None:
        a, b = (np.ascontiguousarray(x).view(half).reshape(-1, 2) for x in (first, second))
        for column, out in enumerate(outs):
            np.copyto(out, compare(a[:, column], b[:, column]), where=active.where)

    return step


@operation("set")
def set_value(op: Binder) -> Step:
    """All ones, or 1.0, where the comparison holds."""
    result, kind = op.types(2)
    combine = op.take(*_COMBINE) if len(op.operands) == 4 else None
    compare = _prepared(op, kind)
    sources = [op.source(1, kind), op.source(2, kind)]
    out = op.target(0, result)
    yes = DTYPES[result].type(1) if is_floating(result) else np.array(-1).astype(DTYPES[result])
    condition, negated = (
        (None, False) if combine is None else op.machine.predicate(op.operands[3], op.instruction)
    )

    def step(active: Active) -> None:
        true = compare(*sources)
        if combine is not None:
            true = _COMBINE[combine](true, condition != negated)
        np.copyto(out, np.where(true, yes, DTYPES[result].type(0)), where=active.where)

    return step


@operation("testp")
def testp(op: Binder) -> Step:
    (kind,) = op.types(1)
    least = 2.0 ** FORMATS[kind].least_exponent
    tests = {
        "finite": np.isfinite,
        "infinite": np.isinf,
        "number": lambda a: ~np.isnan(a),
        "notanumber": np.isnan,
        "normal": lambda a: np.isfinite(a) & (np.abs(a) >= least),
        "subnormal": lambda a: (np.abs(a) < least) & (a != 0),
    }
    return op.elementwise(tests[op.take(*tests)], "pred", kind)
