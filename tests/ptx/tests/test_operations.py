"""Each opcode against values worked out from its definition in the PTX ISA."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import pytest

from tests import ptx

from .assemble import evaluate

INTEGERS = {
    "u8": (8, False),
    "s8": (8, True),
    "u16": (16, False),
    "s16": (16, True),
    "u32": (32, False),
    "s32": (32, True),
    "u64": (64, False),
    "s64": (64, True),
}
INTERESTING = [0, 1, 2, 3, 5, 31, 32, 33, 100, -1, -2, -7, -100]


def wrap(value: int, kind: str) -> int:
    """`value` modulo the range of an integer type."""
    bits, signed = INTEGERS[kind]
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def samples(kind: str) -> list[int]:
    bits, _ = INTEGERS[kind]
    edges = [(1 << (bits - 1)) - 1, 1 << (bits - 1), (1 << bits) - 1, 0x5A5A5A5A5A5A5A5A, 0x0123456789ABCDEF]
    return sorted({wrap(value, kind) for value in INTERESTING + edges})


def grid(*lists: list) -> list[list]:
    """All combinations, as one list for each operand."""
    return [list(column) for column in zip(*itertools.product(*lists), strict=True)]


def quotient(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


BINARY = {
    "add": lambda a, b, kind: a + b,
    "sub": lambda a, b, kind: a - b,
    "mul.lo": lambda a, b, kind: a * b,
    "mul.hi": lambda a, b, kind: a * b >> INTEGERS[kind][0],
    "min": lambda a, b, kind: min(a, b),
    "max": lambda a, b, kind: max(a, b),
}


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("opcode", BINARY)
def test_integer_arithmetic(opcode, kind):
    a, b = grid(samples(kind), samples(kind))
    found = evaluate(f"{opcode}.{kind}", kind, (kind, a), (kind, b))
    assert found.tolist() == [wrap(BINARY[opcode](x, y, kind), kind) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
def test_division_truncates(kind):
    a, b = grid(samples(kind), [value for value in samples(kind) if value])
    pairs = list(zip(a, b, strict=True))
    found = evaluate(f"div.{kind}", kind, (kind, a), (kind, b))
    assert found.tolist() == [wrap(quotient(x, y), kind) for x, y in pairs]
    found = evaluate(f"rem.{kind}", kind, (kind, a), (kind, b))
    assert found.tolist() == [wrap(x - y * quotient(x, y), kind) for x, y in pairs]


@pytest.mark.parametrize(("kind", "wide"), [("u16", "u32"), ("s16", "s32"), ("u32", "u64"), ("s32", "s64")])
def test_wide_products(kind, wide):
    a, b = grid(samples(kind), samples(kind))
    found = evaluate(f"mul.wide.{kind}", wide, (kind, a), (kind, b))
    assert found.tolist() == [x * y for x, y in zip(a, b, strict=True)]
    found = evaluate(f"mad.wide.{kind}", wide, (kind, a), (kind, b), (wide, 77))
    assert found.tolist() == [wrap(x * y + 77, wide) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_mad(kind):
    a, b = grid(samples(kind), samples(kind))
    pairs = list(zip(a, b, strict=True))
    found = evaluate(f"mad.lo.{kind}", kind, (kind, a), (kind, b), (kind, 9))
    assert found.tolist() == [wrap(x * y + 9, kind) for x, y in pairs]
    found = evaluate(f"mad.hi.{kind}", kind, (kind, a), (kind, b), (kind, 9))
    assert found.tolist() == [wrap((x * y >> INTEGERS[kind][0]) + 9, kind) for x, y in pairs]


@pytest.mark.parametrize(
    ("opcode", "kind", "a", "b", "expected"),
    [
        ("add.sat.s32", "s32", [2**31 - 1, -(2**31), 5], [1, -1, 6], [2**31 - 1, -(2**31), 11]),
        ("sub.sat.s32", "s32", [-(2**31), 2**31 - 1, 5], [1, -1, 6], [-(2**31), 2**31 - 1, -1]),
        ("add.u16x2", "u16x2", [0xFFFF0001], [0x00010002], [0x00000003]),
        ("min.s16x2", "s16x2", [0xFFFF0001], [0x00010002], [0xFFFF0001]),
        ("max.u16x2", "u16x2", [0xFFFF0001], [0x00010002], [0xFFFF0002]),
        ("and.b32", "b32", [0xF0F0], [0xFF00], [0xF000]),
        ("or.b64", "b64", [1 << 63], [1], [(1 << 63) + 1]),
        ("xor.b16", "b16", [0xFFFF], [0x0F0F], [0xF0F0]),
        ("mul24.lo.s32", "s32", [0x00FFFFFF, 3], [2, 5], [-2, 15]),
        ("mul24.hi.u32", "u32", [0xFFFFFF], [0xFFFFFF], [(0xFFFFFF * 0xFFFFFF >> 16) & 0xFFFFFFFF]),
    ],
)
def test_two_operands(opcode, kind, a, b, expected):
    assert evaluate(opcode, kind, (kind, a), (kind, b)).tolist() == expected


@pytest.mark.parametrize(
    ("opcode", "kind", "values", "expected"),
    [
        ("neg.s32", "s32", [5, -5, -(2**31)], [-5, 5, -(2**31)]),
        ("abs.s16", "s16", [5, -5, -(2**15)], [5, 5, -(2**15)]),
        ("not.b32", "b32", [0, 0xF0], [0xFFFFFFFF, 0xFFFFFF0F]),
        ("not.b64", "b64", [0], [2**64 - 1]),
        ("cnot.b32", "b32", [0, 7], [1, 0]),
        ("brev.b32", "b32", [1, 0x80000001, 0x3], [0x80000000, 0x80000001, 0xC0000000]),
        ("brev.b64", "b64", [1, 6], [1 << 63, 3 << 61]),
    ],
)
def test_one_operand(opcode, kind, values, expected):
    assert evaluate(opcode, kind, (kind, values)).tolist() == expected


@pytest.mark.parametrize(
    ("opcode", "kind", "values", "expected"),
    [
        ("popc.b32", "b32", [0, 0xFFFFFFFF, 0x10010], [0, 32, 2]),
        ("popc.b64", "b64", [2**64 - 1, 1 << 40], [64, 1]),
        ("clz.b32", "b32", [0, 1, 0x80000000, 0xFFFF, 0x10000], [32, 31, 0, 16, 15]),
        ("clz.b64", "b64", [0, 1, 1 << 40], [64, 63, 23]),
        ("bfind.u32", "u32", [0, 1, 0x80000000, 9], [0xFFFFFFFF, 0, 31, 3]),
        ("bfind.s32", "s32", [0, -1, -2, 9, -(2**31)], [0xFFFFFFFF, 0xFFFFFFFF, 0, 3, 30]),
        ("bfind.shiftamt.u32", "u32", [1, 0x80000000], [31, 0]),
        ("bfind.u64", "u64", [1 << 40], [40]),
    ],
)
def test_counting_bits(opcode, kind, values, expected):
    assert evaluate(opcode, "u32", (kind, values)).tolist() == expected


@pytest.mark.parametrize("kind", ["b16", "b32", "b64"])
def test_shift_left_clamps(kind):
    bits = int(kind[1:])
    a, amount = grid([1, 0xA5A5, (1 << bits) - 1], [0, 1, 7, bits - 1, bits, bits + 1, 0xFFFFFFFF])
    found = evaluate(f"shl.{kind}", kind, (kind, a), ("u32", amount))
    expected = [(x << n) & ((1 << bits) - 1) if n < bits else 0 for x, n in zip(a, amount, strict=True)]
    assert found.tolist() == expected


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
def test_shift_right_clamps(kind):
    bits = INTEGERS[kind][0]
    a, amount = grid(samples(kind), [0, 1, 7, bits - 1, bits, bits + 1, 0xFFFFFFFF])
    found = evaluate(f"shr.{kind}", kind, (kind, a), ("u32", amount))
    assert found.tolist() == [x >> min(n, 100) for x, n in zip(a, amount, strict=True)]


def test_funnel_shifts():
    low, high, amount = grid([0x12345678, 0xFFFFFFFF], [0x9ABCDEF0, 1], [0, 1, 8, 31, 32, 40])
    for direction, mode in itertools.product("lr", ("wrap", "clamp")):
        expected = []
        for a, b, n in zip(low, high, amount, strict=True):
            n = n & 31 if mode == "wrap" else min(n, 32)
            both = b << 32 | a
            expected.append((both << n >> 32 if direction == "l" else both >> n) & 0xFFFFFFFF)
        found = evaluate(f"shf.{direction}.{mode}.b32", "b32", ("b32", low), ("b32", high), ("u32", amount))
        assert found.tolist() == expected


@pytest.mark.parametrize("table", [0x80, 0xFE, 0x96, 0xE8, 0xCA, 0x1, 0x55])
def test_lop3(table):
    a, b, c = 0xF0F0F0F0, 0xCCCCCCCC, 0xAAAAAAAA
    found = evaluate(f"lop3.b32, {table}", "b32", ("b32", [a]), ("b32", [b]), ("b32", [c]))
    assert found[0] == table * 0x01010101


def field(value: int, position: int, length: int, kind: str) -> int:
    """bfe as the manual's pseudocode has it, bit by bit."""
    bits, signed = INTEGERS[kind]
    position, length, raw = position & 255, length & 255, value & ((1 << bits) - 1)
    sign = raw >> min(position + length - 1, bits - 1) & 1 if signed and length else 0
    result = 0
    for i in range(bits):
        inside = i < length and position + i < bits
        result |= (raw >> (position + i) & 1 if inside else sign) << i
    return wrap(result, kind)


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_bit_field_extract(kind):
    a, position, length = grid(samples(kind)[::3], [0, 1, 8, 31, 32, 63, 200], [0, 1, 8, 31, 32, 64, 255])
    found = evaluate(f"bfe.{kind}", kind, (kind, a), ("u32", position), ("u32", length))
    assert found.tolist() == [field(*given, kind) for given in zip(a, position, length, strict=True)]


@pytest.mark.parametrize("bits", [32, 64])
def test_bit_field_insert(bits):
    a, position, length = grid([0x5A5A5A5A, 1], [0, 4, 31, 32, 63, 255], [0, 1, 8, 32, 64, 255])
    b = (1 << bits) - 2
    found = evaluate(
        f"bfi.b{bits}", f"b{bits}", (f"b{bits}", a), (f"b{bits}", b), ("u32", position), ("u32", length)
    )
    expected = []
    for x, start, count in zip(a, position, length, strict=True):
        result = b
        for i in range(count):
            if start + i < bits:
                result = result & ~(1 << (start + i)) | (x >> i & 1) << (start + i)
        expected.append(result)
    assert found.tolist() == expected


def test_masks_and_extension():
    position, length = grid([0, 4, 31, 40], [0, 1, 5, 32])
    found = evaluate("bmsk.clamp.b32", "b32", ("u32", position), ("u32", length))
    assert found.tolist() == [
        ((1 << min(n, 32)) - 1 << min(p, 32)) & 0xFFFFFFFF for p, n in zip(position, length, strict=True)
    ]
    assert evaluate("szext.wrap.s32", "s32", ("s32", [0xF, 0x7, 0xF]), ("u32", [4, 4, 36])).tolist() == [
        -1,
        7,
        -1,
    ]
    assert evaluate("szext.clamp.u32", "u32", ("u32", [0xFFFF]), ("u32", [40])).tolist() == [0xFFFF]


def test_permute():
    a, b = 0x33221100, 0x776655F4
    selectors = [0x3210, 0x7654, 0x0123, 0x4444, 0xC321, 0x8888]
    expected = [0x33221100, 0x776655F4, 0x00112233, 0xF4F4F4F4, 0xFF332211, 0]
    assert evaluate("prmt.b32", "b32", ("b32", a), ("b32", b), ("b32", selectors)).tolist() == expected
    for mode, expected in {
        "f4e": [0x33221100, 0xF4332211, 0x55F43322, 0x6655F433],
        "rc8": [0, 0x11111111],
        "b4e": [0x5566_7700, 0x66770011],
        "rc16": [0x11001100, 0x33223322],
    }.items():
        found = evaluate(f"prmt.b32.{mode}", "b32", ("b32", a), ("b32", b), ("b32", range(len(expected))))
        assert found.tolist() == expected


def test_dot_products():
    a, b = 0x01FF7F80, 0x02FE0301
    bytes_of = [[0x80, 0x7F, 0xFF, 1], [1, 3, 0xFE, 2]]
    signed = [[value - 256 if value > 127 else value for value in row] for row in bytes_of]
    products = {
        "u32.u32": zip(*bytes_of, strict=True),
        "s32.s32": zip(*signed, strict=True),
        "s32.u32": zip(signed[0], bytes_of[1], strict=True),
    }
    for kinds, pairs in products.items():
        first, second = kinds.split(".")
        found = evaluate(
            f"dp4a.{kinds}", "s32", (first, np.uint32(a)), (second, np.uint32(b)), ("s32", [100])
        )
        assert found[0] == 100 + sum(x * y for x, y in pairs)
    halves = np.array([0x00050007], np.uint32)
    found = evaluate("dp2a.lo.u32.u32", "u32", ("u32", halves), ("u32", [0x04030201]), ("u32", [1]))
    assert found[0] == 1 + 7 * 1 + 5 * 2
    found = evaluate("dp2a.hi.u32.u32", "u32", ("u32", halves), ("u32", [0x04030201]), ("u32", [1]))
    assert found[0] == 1 + 7 * 3 + 5 * 4


def test_sad():
    assert evaluate("sad.s32", "s32", ("s32", [3, -3]), ("s32", [10, 4]), ("s32", 1)).tolist() == [8, 8]


# -- comparison and selection --------------------------------------------------------------------

ORDERED = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


@pytest.mark.parametrize("kind", ["s16", "u32", "s64"])
@pytest.mark.parametrize("name", ORDERED)
def test_integer_comparison(name, kind):
    a, b = grid(samples(kind), samples(kind))
    found = evaluate(f"setp.{name}.{kind}", "pred", (kind, a), (kind, b))
    assert found.tolist() == [ORDERED[name](x, y) for x, y in zip(a, b, strict=True)]
    all_ones = evaluate(f"set.{name}.u32.{kind}", "u32", (kind, a), (kind, b))
    assert (all_ones == np.where(found, 0xFFFFFFFF, 0)).all()


@pytest.mark.parametrize(("name", "same"), [("lo", "lt"), ("ls", "le"), ("hi", "gt"), ("hs", "ge")])
def test_unsigned_comparison_names(name, same):
    a, b = grid(samples("u32"), samples("u32"))
    found = evaluate(f"setp.{name}.u32", "pred", ("u32", a), ("u32", b))
    assert found.tolist() == [ORDERED[same](x, y) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("kind", ["f16", "f32", "f64"])
@pytest.mark.parametrize("name", ORDERED)
def test_float_comparison_with_nan(name, kind):
    a, b = grid([0.0, -0.0, 1.0, np.inf, np.nan], [0.0, -1.0, np.inf, np.nan])
    nan = [np.isnan(x) or np.isnan(y) for x, y in zip(a, b, strict=True)]
    plain = [ORDERED[name](x, y) for x, y in zip(a, b, strict=True)]
    found = evaluate(f"setp.{name}.{kind}", "pred", (kind, a), (kind, b))
    assert found.tolist() == [value and not bad for value, bad in zip(plain, nan, strict=True)]
    found = evaluate(f"setp.{name}u.{kind}", "pred", (kind, a), (kind, b))
    assert found.tolist() == [value or bad for value, bad in zip(plain, nan, strict=True)]
    assert evaluate(f"setp.nan.{kind}", "pred", (kind, a), (kind, b)).tolist() == nan
    assert evaluate(f"setp.num.{kind}", "pred", (kind, a), (kind, b)).tolist() == [not bad for bad in nan]


def test_comparison_combined_with_a_predicate():
    a, b, c = grid([1, 2], [1, 2], [False, True])
    for name, combine in {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}.items():
        found = evaluate(f"setp.eq.{name}.s32", "pred", ("s32", a), ("s32", b), ("pred", c))
        assert found.tolist() == combine(np.equal(a, b), c).tolist()


def test_bf16_comparison():
    a = np.array([1.0, -2.0, np.nan], ml_dtypes.bfloat16).view(np.uint16)
    b = np.array([1.5, -2.0, 1.0], ml_dtypes.bfloat16).view(np.uint16)
    assert evaluate("setp.lt.bf16", "pred", ("b16", a), ("b16", b)).tolist() == [True, False, False]


def test_selection():
    assert evaluate(
        "selp.b32", "b32", ("b32", [1, 1]), ("b32", [2, 2]), ("pred", [True, False])
    ).tolist() == [1, 2]
    found = evaluate("slct.s32.f32", "s32", ("s32", 1), ("s32", 2), ("f32", [1.0, -0.0, -1.0, np.nan]))
    assert found.tolist() == [1, 1, 2, 2]


def test_testp():
    values = [0.0, 1.0, -np.inf, np.nan, 1e-40]
    expected = {
        "finite": [1, 1, 0, 0, 1],
        "infinite": [0, 0, 1, 0, 0],
        "number": [1, 1, 1, 0, 1],
        "notanumber": [0, 0, 0, 1, 0],
        "normal": [0, 1, 0, 0, 0],
        "subnormal": [0, 0, 0, 0, 1],
    }
    for name, result in expected.items():
        found = evaluate(f"testp.{name}.f32", "pred", ("f32", values))
        assert found.tolist() == [bool(value) for value in result]


# -- unknown instructions ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "instruction",
    [
        "frobnicate.b32",
        "add.rn.s32",
        "add.b32.b32.weird",
        "mul.s32",
        "cvt.rn.q8",
        "add.rn.ftz.strange.f32",
        "mad.lo.f32.f32x",
        "ld.global.b32.x",
    ],
)
def test_unknown_instructions_name_the_line(instruction):
    with pytest.raises((ptx.UnknownInstructionError, ptx.ParseError)) as fault:
        evaluate(instruction, "b32", ("b32", 1), ("b32", 2))
    assert fault.value.line is not None and fault.value.line > 10
