"""Floating-point opcodes against exact rational arithmetic, in every rounding mode."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from ..rounding import FORMATS
from .assemble import evaluate

DTYPE = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}
BITS = {"f16": np.uint16, "bf16": np.uint16, "f32": np.uint32, "f64": np.uint64}
MODES = ("rn", "rz", "rm", "rp")


def nearest(exact: Fraction, kind: str, mode: str) -> float:
    """An exact number rounded to a format by the definition of the mode; zero keeps no sign."""
    if exact == 0:
        return 0.0
    precision, least, greatest = FORMATS[kind]
    magnitude = abs(exact)
    exponent = max(_floor_log2(magnitude), least)
    unit = Fraction(2) ** (exponent - precision + 1)
    below, rest = divmod(magnitude, unit)
    up = {
        "rn": rest * 2 > unit or (rest * 2 == unit and below % 2),
        "rz": False,
        "rna": rest * 2 >= unit,
        "rm": rest and exact < 0,
        "rp": rest and exact > 0,
    }[mode]
    result = (below + bool(up)) * unit
    if result > Fraction(greatest):
        downwards = mode == "rz" or mode == ("rm" if exact > 0 else "rp")
        result = greatest if downwards else math.inf
    return math.copysign(float(result), -1 if exact < 0 else 1)


def _floor_log2(value: Fraction) -> int:
    guess = value.numerator.bit_length() - value.denominator.bit_length()
    return guess if Fraction(2) ** guess <= value else guess - 1


def numbers(kind: str, seed: int, count: int = 40) -> list[float]:
    """Numbers of a format: random ones of near and far exponents, half-way cases, extremes."""
    precision, least, greatest = FORMATS[kind]
    rng = np.random.default_rng(seed)
    reach = min(-least, 40)
    random = (
        rng.uniform(1, 2, count)
        * 2.0 ** rng.integers(-reach // 2, reach // 2, count)
        * rng.choice([-1, 1], count)
    )
    special = [
        1.0,
        1 + 2.0 ** (1 - precision),
        2.0**-precision,
        3.0,
        greatest,
        -greatest,
        2.0**least,
        2.0 ** (least - precision + 1),
        -(2.0 ** (least - 1)),
        1 - 2.0**-precision,
    ]
    values = np.array([*random, *special]).astype(DTYPE[kind])
    return [float(value) for value in values if np.isfinite(value)]


def stored(values: list[float], kind: str) -> np.ndarray:
    return np.array(values, DTYPE[kind]).view(BITS[kind]) if kind == "bf16" else np.array(values, DTYPE[kind])


def loaded(values: np.ndarray, kind: str) -> np.ndarray:
    return values.view(DTYPE[kind]).astype(np.float64)


def sample_pairs(kind: str) -> tuple[list[float], list[float]]:
    a, b = numbers(kind, 1), numbers(kind, 2)
    pairs = list(itertools.product(a[::3], b[::2])) + list(zip(a, b, strict=False))
    pairs = pairs[:900]
    return [x for x, _ in pairs], [y for _, y in pairs]


def check(found: np.ndarray, exact: list[Fraction], kind: str, mode: str) -> None:
    expected = [nearest(value, kind, mode) for value in exact]
    assert loaded(found, kind).tolist() == expected


@pytest.mark.parametrize(
    ("opcode", "kind", "mode"),
    [
        *itertools.product(("add", "sub", "mul", "div"), ("f32", "f64"), MODES),
        *itertools.product(("add", "sub", "mul"), ("f16", "bf16"), ("rn",)),
    ],
)
def test_rounded_arithmetic(opcode, kind, mode):
    a, b = sample_pairs(kind)
    if opcode == "div":
        b = [y or 1.0 for y in b]
    function = {
        "add": lambda x, y: x + y,
        "sub": lambda x, y: x - y,
        "mul": lambda x, y: x * y,
        "div": lambda x, y: x / y,
    }[opcode]
    found = evaluate(f"{opcode}.{mode}.{kind}", kind, (kind, stored(a, kind)), (kind, stored(b, kind)))
    check(found, [function(Fraction(x), Fraction(y)) for x, y in zip(a, b, strict=True)], kind, mode)


@pytest.mark.parametrize(
    ("kind", "mode"), [*itertools.product(("f32", "f64"), MODES), ("f16", "rn"), ("bf16", "rn")]
)
def test_fma_rounds_once(kind, mode):
    a, b = sample_pairs(kind)
    c = list(itertools.islice(itertools.cycle(numbers(kind, 3)), len(a)))
    found = evaluate(f"fma.{mode}.{kind}", kind, *[(kind, stored(values, kind)) for values in (a, b, c)])
    exact = [Fraction(x) * Fraction(y) + Fraction(z) for x, y, z in zip(a, b, c, strict=True)]
    check(found, exact, kind, mode)


def test_fma_where_two_roundings_differ():
    """a * b is just above half of c's last place: rounding to float64 first would lose that."""
    a, b, c = 1 + 2.0**-23, 2.0**-24 * (1 + 2.0**-22), 1.0
    assert evaluate("fma.rn.f32", "f32", ("f32", a), ("f32", b), ("f32", c))[0] == np.float32(1 + 2.0**-23)
    # The sum rounds to a half-way value of float64 although it lies just beside it.
    a, b = 1 + 2.0**-12, 1 - 2.0**-12
    found = evaluate("fma.rn.f32", "f32", ("f32", [a, -a]), ("f32", b), ("f32", [2.0**24, -(2.0**24)]))
    assert found.tolist() == [2.0**24, -(2.0**24)]


def test_zero_from_cancellation_is_negative_only_when_rounding_down():
    for mode in MODES:
        found = evaluate(f"add.{mode}.f32", "f32", ("f32", [1.5, 0.0, 0.0]), ("f32", [-1.5, -0.0, 0.0]))
        assert found.tolist() == [0, 0, 0]
        assert np.signbit(found).tolist() == [mode == "rm", mode == "rm", False]


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("mode", MODES)
def test_roots_and_reciprocals(kind, mode):
    values = [abs(value) for value in numbers(kind, 4) if value]
    found = evaluate(f"rcp.{mode}.{kind}", kind, (kind, values))
    check(found, [1 / Fraction(value) for value in values], kind, mode)
    found = loaded(evaluate(f"sqrt.{mode}.{kind}", kind, (kind, values)), kind)
    step = DTYPE[kind]
    for value, root in zip(values, found, strict=True):
        above, below = (float(np.nextafter(step(root), step(way))) for way in (np.inf, 0))
        square, exact = Fraction(root) ** 2, Fraction(value)
        if mode == "rn":
            middle = [(Fraction(root) + Fraction(other)) / 2 for other in (below, above)]
            assert middle[0] ** 2 <= exact <= middle[1] ** 2
        elif mode == "rp":
            assert square >= exact > Fraction(below) ** 2
        else:
            assert square <= exact < Fraction(above) ** 2


def test_division_by_zero_and_infinities():
    found = evaluate("div.rn.f32", "f32", ("f32", [1.0, -1.0, 0.0, np.inf]), ("f32", [0.0, 0.0, 0.0, np.inf]))
    assert found[:2].tolist() == [np.inf, -np.inf] and np.isnan(found[2:]).all()
    assert evaluate("rcp.rn.f32", "f32", ("f32", [-0.0, np.inf])).tolist() == [-np.inf, 0.0]
    assert np.isnan(evaluate("sqrt.rn.f32", "f32", ("f32", -1.0)))[0]


def test_saturation_and_flushing():
    assert evaluate("add.sat.f32", "f32", ("f32", [0.75, -1.0, np.nan]), ("f32", 0.5)).tolist() == [
        1.0,
        0.0,
        0.0,
    ]
    tiny = np.float32(1e-40)
    assert evaluate("add.f32", "f32", ("f32", tiny), ("f32", 0.0))[0] == tiny
    flushed = evaluate("add.ftz.f32", "f32", ("f32", [tiny, -tiny]), ("f32", [0.0, -0.0]))
    assert flushed.tolist() == [0.0, 0.0] and np.signbit(flushed).tolist() == [False, True]
    product = evaluate("mul.ftz.f32", "f32", ("f32", 2.0**-100), ("f32", 2.0**-40))
    assert product[0] == 0
    found = evaluate("fma.rn.relu.f16", "f16", ("f16", [1.0, 1.0]), ("f16", [-2.0, 2.0]), ("f16", [0.5, 0.5]))
    assert found.tolist() == [0.0, 2.5]


@pytest.mark.parametrize("kind", ["f16", "f32", "f64"])
def test_extremes(kind):
    a, b = [1.0, np.nan, 2.0, np.nan, -0.0, 0.0], [np.nan, 1.0, -3.0, np.nan, 0.0, -0.0]
    least = evaluate(f"min.{kind}", kind, (kind, a), (kind, b))
    most = evaluate(f"max.{kind}", kind, (kind, a), (kind, b))
    assert least[:3].tolist() == [1.0, 1.0, -3.0] and most[:3].tolist() == [1.0, 1.0, 2.0]
    assert np.isnan(least[3]) and np.isnan(most[3])
    assert np.signbit(least[4:]).all() and not np.signbit(most[4:]).any()


def test_extremes_that_propagate_nan():
    found = evaluate("max.NaN.f32", "f32", ("f32", [1.0, np.nan, 3.0]), ("f32", [np.nan, 1.0, 2.0]))
    assert found.view(np.uint32).tolist() == [0x7FFFFFFF, 0x7FFFFFFF, np.float32(3).view(np.uint32)]
    found = evaluate("min.xorsign.abs.f32", "f32", ("f32", [-3.0, 3.0]), ("f32", [2.0, 5.0]))
    assert found.tolist() == [-2.0, 3.0]


def test_packed_halves():
    a = np.array([[1.5, -2.0], [3.0, 65504.0]], np.float16).view(np.uint32).ravel()
    b = np.array([[0.25, 2.0], [-1.0, 65504.0]], np.float16).view(np.uint32).ravel()
    found = evaluate("add.f16x2", "f16x2", ("f16x2", a), ("f16x2", b)).view(np.float16)
    assert found.tolist() == [1.75, 0.0, 2.0, np.inf]
    a = np.array([[1.5, -2.0]], ml_dtypes.bfloat16).view(np.uint32).ravel()
    b = np.array([[3.0, 0.5]], ml_dtypes.bfloat16).view(np.uint32).ravel()
    found = evaluate("fma.rn.bf16x2", "bf16x2", ("bf16x2", a), ("bf16x2", b), ("bf16x2", b))
    assert found.view(ml_dtypes.bfloat16).astype(float).tolist() == [7.5, -0.5]
    found = evaluate("max.bf16x2", "bf16x2", ("bf16x2", a), ("bf16x2", b))
    assert found.view(ml_dtypes.bfloat16).astype(float).tolist() == [3.0, 0.5]
    found = evaluate("neg.bf16x2", "bf16x2", ("bf16x2", a))
    assert found.view(ml_dtypes.bfloat16).astype(float).tolist() == [-1.5, 2.0]


def test_signs():
    values = np.array([1.0, -0.0, -np.inf, np.nan], np.float32)
    assert np.signbit(evaluate("neg.f32", "f32", ("f32", values))).tolist() == [True, False, False, True]
    assert not np.signbit(evaluate("abs.f32", "f32", ("f32", -values))).any()
    assert evaluate("copysign.f64", "f64", ("f64", [-1.0, 1.0]), ("f64", [3.0, -4.0])).tolist() == [-3.0, 4.0]


@pytest.mark.parametrize(
    ("opcode", "function"),
    [
        ("ex2.approx.f32", np.exp2),
        ("sin.approx.f32", np.sin),
        ("cos.approx.f32", np.cos),
        ("tanh.approx.f32", np.tanh),
        ("rcp.approx.f32", lambda x: 1 / x),
        ("sqrt.approx.f32", lambda x: np.sqrt(x)),
    ],
)
def test_approximate_functions_are_rounded_results(opcode, function):
    values = np.linspace(-3, 3, 60).astype(np.float32)
    found = evaluate(opcode, "f32", ("f32", values))
    with np.errstate(invalid="ignore"):
        expected = function(values.astype(np.float64)).astype(np.float32)
    assert np.array_equal(found, expected, equal_nan=True)


def test_logarithm_and_reciprocal_root():
    values = np.array([0.5, 1.0, 2.0, 10.0, 0.0, -1.0], np.float32)
    found = evaluate("lg2.approx.f32", "f32", ("f32", values))
    assert found[:3].tolist() == [-1, 0, 1] and found[4] == -np.inf and np.isnan(found[5])
    found = evaluate("rsqrt.approx.f32", "f32", ("f32", [4.0, 0.0, -0.0, -1.0]))
    assert found[:3].tolist() == [0.5, np.inf, -np.inf] and np.isnan(found[3])
    found = evaluate("rcp.approx.ftz.f64", "f64", ("f64", [3.0]))
    assert abs(found[0] * 3 - 1) < 2.0**-19 and found.view(np.uint64)[0] & 0xFFFFFFFF == 0


# -- conversions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "to", "modes"),
    [
        ("f32", "f16", MODES),
        ("f64", "f16", MODES),
        ("f64", "f32", MODES),
        ("f32", "bf16", ("rn", "rz")),
    ],
)
def test_narrowing(origin, to, modes):
    values = numbers(origin, 5)
    values += [1 + 2.0**-11, 1 + 3 * 2.0**-11, 65519.0, 65520.0, 2.0**-25, 2.0**-24]
    values += [1 + 2.0**-8, 1 + 3 * 2.0**-8, -(1 + 2.0**-8 + 2.0**-23)]
    for mode in modes:
        found = evaluate(f"cvt.{mode}.{to}.{origin}", to, (origin, stored(values, origin)))
        check(found, [Fraction(value) for value in stored(values, origin).tolist()], to, mode)


def test_tf32_rounds_half_away_from_zero():
    values = np.array([*numbers("f32", 6), 1 + 2.0**-11, -(1 + 2.0**-11), 1 + 2.0**-12], np.float32)
    found = evaluate("cvt.rna.tf32.f32", "b32", ("f32", values))
    assert not (found & 0x1FFF).any()
    expected = [nearest(Fraction(value), "tf32", "rna") for value in values.tolist()]
    assert found.view(np.float32).tolist() == expected


@pytest.mark.parametrize(("origin", "to"), [("f16", "f32"), ("f16", "f64"), ("f32", "f64"), ("bf16", "f32")])
def test_widening_is_exact(origin, to):
    values = numbers(origin, 7)
    found = evaluate(f"cvt.{to}.{origin}", to, (origin, stored(values, origin)))
    assert found.astype(np.float64).tolist() == values


@pytest.mark.parametrize(
    ("mode", "function"), [("rni", round), ("rzi", math.trunc), ("rmi", math.floor), ("rpi", math.ceil)]
)
@pytest.mark.parametrize("to", ["s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64"])
@pytest.mark.parametrize("origin", ["f16", "f32", "f64"])
def test_float_to_integer_rounds_and_clamps(origin, to, mode, function):
    values = np.array([0.5, 1.5, -0.5, -1.5, 2.5, 1e3, -1e3, 3e4, 0.0, 255.5, 127.5, -128.5], DTYPE[origin])
    if origin != "f16":
        values = np.concatenate([values, np.array([3e9, -3e9, 1e19, 2e19, -1e19], DTYPE[origin])])
    limits = np.iinfo(to.replace("s", "int") if to[0] == "s" else to.replace("u", "uint"))
    wide = "b16" if to in ("s8", "u8") else to
    found = evaluate(f"cvt.{mode}.{to}.{origin}", wide, (origin, values))
    expected = [min(max(function(float(value)), limits.min), limits.max) for value in values]
    assert found.tolist() == [value & 0xFFFF if wide == "b16" else value for value in expected]
    special = evaluate(f"cvt.{mode}.{to}.{origin}", wide, (origin, [np.nan, np.inf, -np.inf]))
    expected = [0, limits.max, limits.min]
    assert special.tolist() == [value & 0xFFFF if wide == "b16" else value for value in expected]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("origin", "to"),
    [
        ("s32", "f32"),
        ("u32", "f32"),
        ("s64", "f32"),
        ("u64", "f64"),
        ("s64", "f64"),
        ("s16", "f16"),
        ("u64", "f32"),
        ("s32", "f16"),
    ],
)
def test_integer_to_float(origin, to, mode):
    bits, signed = int(origin[1:]), origin[0] == "s"
    raw = [0, 1, 2**24 + 1, 2**24 + 3, 2**53 + 1, 2**62 + 12345, 2**63 + 1025, 2**64 - 1, 12345, 65519, 2049]
    values = [value & ((1 << bits) - 1) for value in raw]
    values = [value - (1 << bits) if signed and value >> (bits - 1) else value for value in values]
    found = evaluate(f"cvt.{mode}.{to}.{origin}", to, (origin, values))
    check(found, [Fraction(value) for value in values], to, mode)


def test_integer_rounding_keeps_the_format():
    values = [0.5, 1.5, -0.5, 2.7, -2.7, np.inf]
    for mode, expected in {
        "rni": [0, 2, -0.0, 3, -3, np.inf],
        "rzi": [0, 1, -0.0, 2, -2, np.inf],
        "rmi": [0, 1, -1, 2, -3, np.inf],
        "rpi": [1, 2, -0.0, 3, -2, np.inf],
    }.items():
        found = evaluate(f"cvt.{mode}.f32.f32", "f32", ("f32", values))
        assert found.tolist() == expected and np.signbit(found).tolist() == np.signbit(expected).tolist()


@pytest.mark.parametrize(
    ("instruction", "result", "origin", "values", "expected"),
    [
        ("cvt.s32.s8", "s32", "s16", [127, -1, 200], [127, -1, -56]),
        ("cvt.u32.u8", "u32", "u16", [255, 256], [255, 0]),
        ("cvt.u16.u32", "u16", "u32", [0x12345], [0x2345]),
        ("cvt.s64.s32", "s64", "s32", [-5], [-5]),
        ("cvt.u64.u32", "u64", "u32", [0xFFFFFFFF], [0xFFFFFFFF]),
        ("cvt.sat.s16.s32", "s16", "s32", [40000, -40000, 7], [32767, -32768, 7]),
        ("cvt.sat.u32.s64", "u32", "s64", [-1, 1 << 40, 9], [0, 0xFFFFFFFF, 9]),
        ("cvt.sat.f32.f32", "f32", "f32", [2.0, -1.0, 0.25], [1.0, 0.0, 0.25]),
    ],
)
def test_other_conversions(instruction, result, origin, values, expected):
    assert evaluate(instruction, result, (origin, values)).tolist() == expected


def test_packing_conversions():
    upper, lower = np.float32([1.0 + 2.0**-8, -3.0]), np.float32([1.0 + 3 * 2.0**-8, np.inf])
    found = evaluate("cvt.rn.bf16x2.f32", "b32", ("f32", upper), ("f32", lower))
    pairs = found.view(ml_dtypes.bfloat16).astype(float).reshape(-1, 2)
    assert pairs.tolist() == [[1.015625, 1.0], [np.inf, -3.0]]
    found = evaluate("cvt.rn.relu.f16x2.f32", "b32", ("f32", upper), ("f32", lower))
    assert found.view(np.float16).reshape(-1, 2)[1].tolist() == [np.inf, 0.0]
    found = evaluate("cvt.rn.satfinite.f16x2.f32", "b32", ("f32", [1e9]), ("f32", [-1e9]))
    assert found.view(np.float16).tolist() == [-65504.0, 65504.0]
