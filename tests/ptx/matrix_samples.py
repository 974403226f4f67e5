"""Samples of every matrix instruction, for `tests.ptx.samples`: a GPU must agree with the executor on each.

All values are small integers, so sums are exact in any order and every bit must agree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arguments import out
from .sample import HEADER, Sample
from .tests.manual_fragments import TABLES
from .tests.matrix_assemble import fragments_text
from .tests.matrix_values import DTYPES, SIZES, integers, stored
from .tests.warpgroup_assemble import COMMIT, FENCE, VISIBLE, WAIT, describe, descriptor, kernel_text, product

BITS_OF = {"f16": 2, "f32": 4, "f64": 8, "s32": 4}
TARGETS = {"e4m3": "sm_89", "e5m2": "sm_89"}

# -- mma.sync -------------------------------------------------------------------------------------


def _values(rng: np.random.Generator, threads: int, count: int, kind: str) -> np.ndarray:
    """What each thread holds of a factor: `count` elements."""
    return stored(integers(rng, (threads, count), kind), kind)


def _sums(rng: np.random.Generator, threads: int, count: int, kind: str) -> np.ndarray:
    return rng.integers(-100, 100, (threads, count)).astype(DTYPES[kind])


def mma(shape: str, to: str, a_kind: str, b_kind: str, flags: str = "") -> Sample:
    """One ``mma.sync`` by one warp, on random fragments."""
    elements = [count for _, count in TABLES[shape, SIZES[a_kind]]]
    size = 8 if to == "f64" else 4
    sizes = SIZES[a_kind], SIZES[b_kind], BITS_OF[to]
    counts = [count * each // size for count, each in zip(elements, sizes, strict=True)]
    instruction = f"mma.sync.aligned.{shape}.row.col{flags}.{to}.{a_kind}.{b_kind}.{to}"
    target = "sm_90" if to == "f64" and shape != "m8n8k4" else TARGETS.get(a_kind, "sm_80")
    text = fragments_text(instruction, (counts[2], *counts), size, target)

    def make_arguments(rng: np.random.Generator) -> list:
        c = _sums(rng, 32, elements[2], to)
        factors = [_values(rng, 32, elements[i], kind) for i, kind in enumerate((a_kind, b_kind))]
        return [*factors, c, out(np.zeros_like(c))]

    return Sample(instruction, text, make_arguments)


def truncation() -> Sample:
    """tf32 elements with all 23 bits of fraction, times one: what is left of them."""
    instruction = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"

    def make_arguments(rng: np.random.Generator) -> list:
        lane = np.arange(32)
        b = np.zeros((32, 2), np.float32)
        b[lane % 4 == lane // 4 % 4, 0] = 1  # one element of each column
        c = np.zeros((32, 4), np.float32)
        return [rng.random((32, 4), np.float32) + 1, b, c, out(np.zeros_like(c))]

    return Sample("mma tf32 truncation", fragments_text(instruction, (4, 4, 2, 4)), make_arguments)


# -- ldmatrix, stmatrix, movmatrix ----------------------------------------------------------------

MOVE = """.extern .shared .align 16 .b8 buffer[];
.visible .entry sample(.param .u64 x, .param .u64 y)
{{
.reg .b32 %r<8>, %thread, %row; .reg .b64 %x, %y, %at;
ld.param.u64 %x, [x];
ld.param.u64 %y, [y];
mov.u32 %thread, %tid.x;
mul.wide.u32 %at, %thread, 16;
add.u64 %x, %x, %at;
add.u64 %y, %y, %at;
mov.u32 %row, buffer;
mad.lo.u32 %row, %thread, 16, %row;
ld.global.v4.b32 {{%r0, %r1, %r2, %r3}}, [%x];
{body}
st.global.v4.b32 [%y], {{%r0, %r1, %r2, %r3}};
ret;
}}
"""
STORE = "st.shared.v4.b32 [%row], {%r0, %r1, %r2, %r3};\nbar.sync 0;\n"
LOAD = "bar.sync 0;\nld.shared.v4.b32 {%r0, %r1, %r2, %r3}, [%row];"


def move(name: str, body: str, target: str) -> Sample:
    """`body` works on ``%r0`` to ``%r3``, random bits, and on the row of shared memory at ``%row``."""
    header = HEADER.replace("sm_80", target)

    def make_arguments(rng: np.random.Generator) -> list:
        x = rng.integers(0, 2**32, 128, np.uint32)
        return [x, out(np.zeros_like(x))]

    return Sample(name, header + MOVE.format(body=body), make_arguments, shared_bytes=512)


def load_matrices(count: int, trans: str) -> Sample:
    registers = ", ".join(f"%r{number}" for number in range(count))
    name = f"ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16"
    return move(name, f"{STORE}{name} {{{registers}}}, [%row];", "sm_80")


def store_matrices(count: int, trans: str) -> Sample:
    registers = ", ".join(f"%r{number}" for number in range(count))
    name = f"stmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16"
    return move(name, f"{STORE}{name} [%row], {{{registers}}};\n{LOAD}", "sm_90")


# -- wgmma ----------------------------------------------------------------------------------------

IMAGE = 40960  # bytes of shared memory: A in the first 8192, or 16384 with gaps, B beyond
GAPS = {0: (144, 304), 32: (512, 256), 64: (1024, 512), 128: (2048, 1024)}  # bytes, for each swizzle


def wgmma(
    to: str,
    a_kind: str,
    b_kind: str,
    columns: int,
    *,
    swizzle: int = 128,
    majors: str = "KK",
    registers: bool = False,
    keep: bool = True,
    signs: str = ", 1, 1",
    flags: str = "",
    start: int = 0,
    base: int = 0,
    b_start: int = 16384,
) -> Sample:
    """One ``wgmma`` by one warpgroup: shared memory is full of random elements."""
    depth = 32 // SIZES[a_kind]
    instruction = f"wgmma.mma_async.sync.aligned.m64n{columns}k{depth}{flags}.{to}.{a_kind}.{b_kind}"
    operands = []
    for major, begin, offset in ((majors[0], start, base), (majors[1], b_start, 0)):
        leading, stride = GAPS[swizzle]
        if swizzle and major == "K":
            leading, stride = 16, 8 * swizzle
        operands.append(descriptor(begin, leading, stride, swizzle, offset))
    tail = "" if to == "s32" else signs
    if a_kind in ("f16", "bf16"):
        tail += "".join(f", {int(major != 'K')}" for major in majors[registers:])
    count = columns * BITS_OF[to] // 8
    a_count = 4 if registers else 0
    steps = VISIBLE + FENCE + product(instruction, count, a_count, tail) + COMMIT + WAIT.format(pending=0)
    text = kernel_text(
        describe(None if registers else operands[0], operands[1], keep) + steps, IMAGE, count, a_count
    )

    def make_arguments(rng: np.random.Generator) -> list:
        image = _values(rng, 1, IMAGE // SIZES[b_kind], b_kind).reshape(-1)
        if a_kind != b_kind and not registers:
            half = _values(rng, 1, IMAGE // 2, a_kind).reshape(-1)
            image[: b_start // SIZES[b_kind]] = half[: b_start // SIZES[a_kind]].view(image.dtype)
        d = _sums(rng, 128, columns // 2, to)
        a = [_values(rng, 128, 16 // SIZES[a_kind], a_kind)] if registers else []
        return [image, d, out(np.zeros_like(d)), *a]

    source = "registers" if registers else "shared"
    name = f"{instruction} {source} {majors} swizzle {swizzle} scales {keep}{signs} base {base} at {start}"
    return Sample(name, text, make_arguments, block=128, shared_bytes=IMAGE)


def _each(make: Callable[..., Sample], *choices: tuple) -> tuple[Sample, ...]:
    return tuple(make(*choice) for choice in choices)


BYTES = (("s8", "s8"), ("u8", "u8"), ("s8", "u8"), ("u8", "s8"))
PRODUCTS = (
    *_each(mma, *[(f"m16n8k{k}", "f32", kind, kind) for k in (8, 16) for kind in ("f16", "bf16")]),
    *_each(mma, *[(f"m16n8k{k}", "f16", "f16", "f16") for k in (8, 16)]),
    *_each(mma, *[(f"m16n8k{k}", "f32", "tf32", "tf32") for k in (4, 8)]),
    *_each(
        mma, *[(shape, "s32", *kinds) for shape in ("m8n8k16", "m16n8k16", "m16n8k32") for kinds in BYTES]
    ),
    mma("m16n8k32", "s32", "s8", "s8", ".satfinite"),
    *_each(mma, *[(shape, "f64", "f64", "f64") for shape in ("m8n8k4", "m16n8k4", "m16n8k8", "m16n8k16")]),
    *_each(mma, ("m16n8k32", "f32", "e4m3", "e4m3"), ("m16n8k32", "f32", "e5m2", "e4m3")),
    truncation(),
)
MOVES = (
    *_each(load_matrices, *[(count, trans) for count in (1, 2, 4) for trans in ("", ".trans")]),
    *_each(store_matrices, *[(count, trans) for count in (1, 2, 4) for trans in ("", ".trans")]),
    move("movmatrix", "movmatrix.sync.aligned.m8n8.trans.b16 %r0, %r1;", "sm_80"),
)
WARPGROUP_TYPES = (
    ("f32", "f16", "f16"),
    ("f16", "f16", "f16"),
    ("f32", "bf16", "bf16"),
    ("f32", "tf32", "tf32"),
    ("s32", "s8", "u8"),
    ("s32", "u8", "s8"),
    ("f32", "e4m3", "e5m2"),
)
WARPGROUPS = (
    *(wgmma(*kinds, 16, registers=held) for kinds in WARPGROUP_TYPES for held in (False, True)),
    *(
        wgmma("f32", "f16", "f16", 64, swizzle=s, majors=m)
        for s in (0, 32, 64, 128)
        for m in ("KK", "MN", "MK", "KN")
    ),
    *(wgmma("f32", "tf32", "tf32", 24, swizzle=s, start=32 * (s == 128)) for s in (0, 32, 64, 128)),
    *(wgmma("f32", "bf16", "bf16", columns, b_start=8192) for columns in (8, 128, 256)),
    *(wgmma("f32", "f16", "f16", 8, signs=signs) for signs in (", -1, 1", ", 1, -1", ", -1, -1")),
    wgmma("f32", "tf32", "tf32", 8, keep=False),
    wgmma("s32", "s8", "s8", 8, flags=".satfinite"),
    wgmma("f32", "tf32", "tf32", 8, start=384, base=3),
)

MATRICES: tuple[Sample, ...] = (*PRODUCTS, *MOVES, *WARPGROUPS)
