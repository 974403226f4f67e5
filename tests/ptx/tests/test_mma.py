"""``mma.sync`` in every shape and type, against the manual's fragment tables and NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .manual_fragments import TABLES, collect, spread
from .matrix_assemble import execute, fragments_text
from .matrix_values import DTYPES, SIZES, integers, stored


def multiply(shape: str, to: str, a_kind: str, b_kind: str, a, b, c, *, flags: str = "") -> np.ndarray:
    """D of one mma.sync of a warp, from matrices stored in their types."""
    tables = TABLES[shape, SIZES[a_kind]]
    size = 8 if to == "f64" else 4
    held = [spread(matrix, table) for matrix, table in zip((a, b, c), tables, strict=True)]
    instruction = f"mma.sync.aligned.{shape}.row.col{flags}.{to}.{a_kind}.{b_kind}.{to}"
    result = execute(instruction, held, held[2].shape[1] // size, size)
    return collect(result, tables[2], c.shape, c.dtype)


def extents(shape: str) -> tuple[int, int, int]:
    m, rest = shape[1:].split("n")
    n, k = rest.split("k")
    return int(m), int(n), int(k)


CASES = [
    *[(shape, "f32", kind, kind) for kind in ("f16", "bf16") for shape in ("m16n8k8", "m16n8k16")],
    *[(shape, "f16", "f16", "f16") for shape in ("m16n8k8", "m16n8k16")],
    *[(shape, "f32", "tf32", "tf32") for shape in ("m16n8k4", "m16n8k8")],
    *[
        (shape, "s32", a, b)
        for shape in ("m8n8k16", "m16n8k16", "m16n8k32")
        for a, b in (("s8", "s8"), ("u8", "u8"), ("s8", "u8"), ("u8", "s8"))
    ],
    *[(shape, "f64", "f64", "f64") for shape in ("m8n8k4", "m16n8k4", "m16n8k8", "m16n8k16")],
    *[
        ("m16n8k32", to, a, b)
        for to in ("f32", "f16")
        for a, b in (("e4m3", "e4m3"), ("e5m2", "e5m2"), ("e4m3", "e5m2"))
    ],
    ("m16n8k16", "f32", "e5m2", "e4m3"),
]


@pytest.mark.parametrize(("shape", "to", "a_kind", "b_kind"), CASES)
def test_products(shape, to, a_kind, b_kind):
    rng = np.random.default_rng(7)
    m, n, k = extents(shape)
    a, b = integers(rng, (m, k), a_kind), integers(rng, (k, n), b_kind)
    c = rng.integers(-100, 100, (m, n)).astype(DTYPES[to])
    d = multiply(shape, to, a_kind, b_kind, stored(a, a_kind), stored(b, b_kind), c)
    np.testing.assert_array_equal(d, a @ b + c)


def test_two_warps_at_once():
    rng = np.random.default_rng(8)
    tables = TABLES["m16n8k16", 2]
    matrices = [
        [rng.integers(-8, 8, shape).astype(dtype) for _ in range(2)]
        for shape, dtype in (((16, 16), np.float16), ((16, 8), np.float16), ((16, 8), np.float32))
    ]
    held = [
        np.concatenate([spread(matrix, table) for matrix in pair])
        for pair, table in zip(matrices, tables, strict=True)
    ]
    result = execute("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", held, 4)
    for warp, (a, b, c) in enumerate(zip(*matrices, strict=True)):
        d = collect(result[32 * warp : 32 * warp + 32], tables[2], (16, 8), np.float32)
        np.testing.assert_array_equal(d, a.astype(np.float32) @ b + c)


@pytest.mark.parametrize(("a_kind", "value"), [("s8", -128), ("u8", 255)])
@pytest.mark.parametrize("start", [2**31 - 1, -(2**31)])
def test_integers_wrap_or_saturate(a_kind, value, start):
    a = np.full((16, 32), value, stored(np.zeros(1, int), a_kind).dtype)
    b, c = np.ones((32, 8), np.int8), np.full((16, 8), start, np.int32)
    exact = 32 * value + start
    wrapped = multiply("m16n8k32", "s32", a_kind, "s8", a, b, c)
    assert (wrapped == (exact + 2**31) % 2**32 - 2**31).all()
    saturated = multiply("m16n8k32", "s32", a_kind, "s8", a, b, c, flags=".satfinite")
    assert (saturated == np.clip(exact, -(2**31), 2**31 - 1)).all()


def test_tf32_ignores_the_lowest_13_bits():
    a = np.full((16, 8), 0x3F801FFF, np.uint32).view(np.float32)  # 1 + almost 2**-10
    b, c = np.eye(8, dtype=np.float32), np.zeros((16, 8), np.float32)
    assert (multiply("m16n8k8", "f32", "tf32", "tf32", a, b, c) == 1).all()
    a[...] = np.float32(1 + 2.0**-10)
    assert (multiply("m16n8k8", "f32", "tf32", "tf32", a, b, c) == 1 + 2.0**-10).all()


def test_products_are_exact_and_rounded_once():
    a = np.full((16, 16), 1 + 2.0**-10, np.float16)
    b = np.zeros((16, 8), np.float16)
    b[:2] = 1 + 2.0**-10
    c = np.full((16, 8), 2.0**-23, np.float32)
    assert (multiply("m16n8k16", "f32", "f16", "f16", a, b, c) == 2 * (1 + 2.0**-10) ** 2).all()
    narrow = multiply("m16n8k16", "f16", "f16", "f16", a, b, c.astype(np.float16))
    assert (narrow == np.float16(2 * (1 + 2.0**-10) ** 2)).all()


def test_infinities_and_nan():
    a = np.zeros((16, 8), np.float32)
    a[0, 0], a[1, 1], a[2, 2] = np.inf, np.nan, 3e38
    b, c = np.zeros((8, 8), np.float32), np.zeros((16, 8), np.float32)
    b[:, 0] = 4
    d = multiply("m16n8k8", "f32", "tf32", "tf32", a, b, c)
    assert d[0, 0] == np.inf and np.isnan(d[0, 1:]).all()
    assert (d[1].view(np.uint32) == 0x7FFFFFFF).all()
    assert d[2, 0] == np.inf and (d[2, 1:] == 0).all() and (d[3:] == 0).all()


def test_transposed_fragment_gives_another_result():
    rng = np.random.default_rng(9)
    a, b = rng.integers(-8, 8, (16, 8)), rng.integers(-8, 8, (8, 8))
    c = np.zeros((16, 8), np.float32)
    d = multiply("m16n8k8", "f32", "tf32", "tf32", stored(a, "tf32"), stored(b.T.copy(), "tf32"), c)
    np.testing.assert_array_equal(d, a @ b.T)
    assert (d != a @ b).any()


@pytest.mark.parametrize(
    "instruction",
    [
        "mma.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32",  # no such shape
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.bf16.f32",  # types that do not go together
        "mma.sync.aligned.m16n8k16.row.col.f16.bf16.bf16.f16",
        "mma.sync.aligned.m16n8k16.row.row.f32.f16.f16.f32",
        "mma.sync.aligned.m16n8k16.f32.f16.f16.f32",
        "mma.sync.m16n8k16.row.col.f32.f16.f16.f32",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f16",
        "mma.sync.aligned.m16n8k16.row.col.satfinite.f32.f16.f16.f32",
        "mma.sync.aligned.m16n8k16.row.col.xyz.f32.f16.f16.f32",
        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32",  # with too many registers
    ],
)
def test_what_is_no_matrix_product(instruction):
    text = fragments_text(instruction, (4, 4, 2, 4))
    line = next(number for number, row in enumerate(text.split("\n"), 1) if "mma" in row)
    with pytest.raises(ptx.UnknownInstructionError) as fault:
        held = [np.zeros((32, 4 * count), np.uint8) for count in (4, 2, 4, 4)]
        ptx.Kernel(text).launch(1, 32, *held)
    assert fault.value.line == line


PRODUCT = fragments_text("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", (4, 4, 2, 4))
SOME = ".reg .pred %p;\n    setp.{how}.u32 %p, %thread, {thread};\n    @%p "


def faulty(text: str, threads: int = 32) -> ptx.PtxError:
    """The fault of a product with a change in its text."""
    held = [np.zeros((32, 4 * count), np.uint8) for count in (4, 2, 4)]
    with pytest.raises((ptx.DivergenceError, ptx.UninitialisedError)) as fault:
        ptx.Kernel(text).launch(1, threads, *held, ptx.out(np.zeros((32, 16), np.uint8)))
    return fault.value


def test_guard_that_differs_within_the_warp():
    fault = faulty(PRODUCT.replace("mma.sync", SOME.format(how="lt", thread=30) + "mma.sync"))
    assert (
        isinstance(fault, ptx.DivergenceError) and fault.thread == (30, 0, 0) and "mma" in fault.instruction
    )


def test_warp_that_is_not_whole():
    exited = PRODUCT.replace("mma.sync", SOME.format(how="gt", thread=29) + "exit;\n    mma.sync")
    assert isinstance(faulty(exited), ptx.DivergenceError)
    assert isinstance(faulty(PRODUCT, threads=24), ptx.DivergenceError)


def test_undefined_elements_reach_only_what_depends_on_them():
    """Without a1 of thread 13, row 3 + 8 of A is undefined, and so d2 and d3 of threads 12 to 15."""
    load = "    ld.global.b32 %a1"
    fault = faulty(PRODUCT.replace(load, SOME.format(how="ne", thread=13) + load))
    assert isinstance(fault, ptx.UninitialisedError)
    assert fault.thread == (12, 0, 0) and fault.message.startswith("%d2,")
