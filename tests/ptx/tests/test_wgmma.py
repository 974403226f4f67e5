"""``wgmma`` in every type, layout and size, against layouts written out by hand and NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx
from tests.sampling import few

from .manual_fragments import wgmma_accumulator, wgmma_fragments_of_a, wgmma_fragments_of_d
from .matrix_values import DTYPES, SIZES, integers, stored
from .warpgroup_assemble import (
    COMMIT,
    FENCE,
    VISIBLE,
    WAIT,
    describe,
    descriptor,
    kernel_text,
    launch,
    place,
    product,
)

HALF = ("f16", "bf16")
WAIT_ALL = WAIT.format(pending=0)


class Layout:
    """How a matrix lies in shared memory: swizzle, major dimension, and where."""

    def __init__(self, swizzle=0, major="K", start=0, first_chunk=0, spacing=0):
        self.swizzle, self.major, self.first_chunk = swizzle, major, first_chunk
        self.start = start
        pattern = 8 * (swizzle or 16)
        if swizzle == 0:  # pairs of blocks of eight lines
            self.leading, self.stride = pattern + spacing, 2 * pattern + 3 * spacing
        elif major == "K":
            self.leading, self.stride = 16, pattern + spacing * pattern
        else:  # patterns side by side, then two of them on top of each other
            self.leading, self.stride = 2 * pattern + spacing * pattern, pattern

    def place(self, image, matrix):
        place(
            image,
            matrix,
            self.start,
            self.leading,
            self.stride,
            self.swizzle,
            major=self.major,
            first_chunk=self.first_chunk,
        )

    @property
    def descriptor(self):
        return descriptor(self.start + 16 * self.first_chunk, self.leading, self.stride, self.swizzle)


def multiply(to, a_kind, b_kind, a, b, d, *, a_layout=None, b_layout=None, keep=True, signs=(1, 1), flags=""):
    """D of one wgmma, from A (64, K), B (N, K), D (64, N); A is in registers if it has no layout."""
    b_layout = b_layout or Layout(start=32768)
    columns, depth = b.shape
    image = np.zeros(98304, np.uint8)
    tail = "" if to == "s32" else f", {signs[0]}, {signs[1]}"
    if a_layout is not None:
        a_layout.place(image, a)
    if a_kind in HALF:
        transposes = [b_layout] if a_layout is None else [a_layout, b_layout]
        tail += "".join(f", {int(layout.major != 'K')}" for layout in transposes)
    b_layout.place(image, b)
    count = columns * d.itemsize // 8
    a_count = 4 if a_layout is None else 0
    instruction = f"wgmma.mma_async.sync.aligned.m64n{columns}k{depth}{flags}.{to}.{a_kind}.{b_kind}"
    body = (
        describe(a_layout.descriptor if a_layout else None, b_layout.descriptor, keep)
        + VISIBLE
        + FENCE
        + product(instruction, count, a_count, tail)
        + COMMIT
        + WAIT_ALL
    )
    text = kernel_text(body, image.size, count, a_count)
    held, _ = launch(
        text, image, wgmma_fragments_of_d(d), wgmma_fragments_of_a(a) if a_layout is None else None
    )
    return wgmma_accumulator(held, columns, d.dtype)


def random_case(to, a_kind, b_kind, columns, seed=3):
    rng = np.random.default_rng(seed)
    depth = 32 // SIZES[a_kind]
    a, b = integers(rng, (64, depth), a_kind), integers(rng, (columns, depth), b_kind)
    d = rng.integers(-100, 100, (64, columns)).astype(DTYPES[to])
    return a, b, d, a @ b.T + d


TYPES = [
    ("f32", "f16", "f16"),
    ("f16", "f16", "f16"),
    ("f32", "bf16", "bf16"),
    ("f32", "tf32", "tf32"),
    ("s32", "s8", "s8"),
    ("s32", "u8", "u8"),
    ("s32", "s8", "u8"),
    ("s32", "u8", "s8"),
    ("f32", "e4m3", "e4m3"),
    ("f16", "e5m2", "e4m3"),
]


@pytest.mark.parametrize(("to", "a_kind", "b_kind"), TYPES)
@pytest.mark.parametrize("columns", few([64, 8, 128, 256], 1))
@pytest.mark.parametrize("source", ["shared", "registers"])
def test_types_and_sizes(to, a_kind, b_kind, columns, source):
    a, b, d, expected = random_case(to, a_kind, b_kind, columns)
    a_layout = Layout(spacing=16) if source == "shared" else None
    result = multiply(
        to,
        a_kind,
        b_kind,
        stored(a, a_kind),
        stored(b, b_kind),
        d,
        a_layout=a_layout,
        b_layout=Layout(128, start=32768),
    )
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("swizzle", [0, 32, 64, 128])
@pytest.mark.parametrize("majors", ["KK", "MK", "KN", "MN"])
@pytest.mark.parametrize("spacing", [0, 1])
def test_layouts_of_16_bit_matrices(swizzle, majors, spacing):
    a, b, d, expected = random_case("f32", "f16", "f16", 128)
    space = spacing if swizzle else 16 * spacing
    result = multiply(
        "f32",
        "f16",
        "f16",
        stored(a, "f16"),
        stored(b, "f16"),
        d,
        a_layout=Layout(swizzle, majors[0], spacing=space),
        b_layout=Layout(swizzle, majors[1], start=32768, spacing=space),
    )
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("kind", ["tf32", "s8"])
@pytest.mark.parametrize("swizzle", [0, 32, 64, 128])
def test_layouts_of_other_matrices(kind, swizzle):
    to = "s32" if kind == "s8" else "f32"
    a, b, d, expected = random_case(to, kind, kind, 24)
    layouts = {"a_layout": Layout(swizzle), "b_layout": Layout(swizzle, start=32768)}
    result = multiply(to, kind, kind, stored(a, kind), stored(b, kind), d, **layouts)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("first_chunk", [2, 4, 6])
def test_stepping_along_k_within_the_lines_of_a_swizzle(first_chunk):
    a, b, d, expected = random_case("f32", "tf32", "tf32", 16)
    layouts = {
        "a_layout": Layout(128, first_chunk=first_chunk),
        "b_layout": Layout(128, start=32768, first_chunk=first_chunk),
    }
    result = multiply("f32", "tf32", "tf32", stored(a, "tf32"), stored(b, "tf32"), d, **layouts)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("signs", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_scales_of_a_and_b(signs):
    a, b, d, _ = random_case("f32", "bf16", "bf16", 8)
    layout = Layout(64)
    result = multiply(
        "f32", "bf16", "bf16", stored(a, "bf16"), stored(b, "bf16"), d, a_layout=layout, signs=signs
    )
    np.testing.assert_array_equal(result, signs[0] * signs[1] * (a @ b.T) + d)


def test_without_the_accumulator():
    a, b, d, _ = random_case("f32", "tf32", "tf32", 8)
    d[...] = np.nan
    result = multiply("f32", "tf32", "tf32", stored(a, "tf32"), stored(b, "tf32"), d, keep=False)
    np.testing.assert_array_equal(result, a @ b.T)


def test_integers_saturate():
    a, b = np.full((64, 32), 127, np.int8), np.full((8, 32), 127, np.int8)
    d = np.full((64, 8), 2**31 - 1, np.int32)
    assert (multiply("s32", "s8", "s8", a, b, d, flags=".satfinite") == 2**31 - 1).all()
    assert (multiply("s32", "s8", "s8", a, b, d) == 32 * 127 * 127 + 2**31 - 1 - 2**32).all()


def test_pattern_that_is_not_aligned_to_its_size():
    """With the base offset in the descriptor, lines are counted from the start of the pattern."""
    a, b, d, expected = random_case("f32", "tf32", "tf32", 8)
    image = np.zeros(65536, np.uint8)
    place(image, stored(a, "tf32"), 384, 16, 1024, 128)
    place(image, stored(b, "tf32"), 32768, 16, 1024, 128)
    body = VISIBLE + FENCE + product(TF32_N8, 4, tail=", 1, 1") + COMMIT + WAIT_ALL
    right = descriptor(384, 16, 1024, 128, base=3), descriptor(32768, 16, 1024, 128)
    text = kernel_text(describe(*right) + body, image.size, 4)
    held, _ = launch(text, image, wgmma_fragments_of_d(d))
    np.testing.assert_array_equal(wgmma_accumulator(held, 8, d.dtype), expected)
    wrong = descriptor(384, 16, 1024, 128), right[1]
    with pytest.raises(ptx.MisalignedError, match="base offset"):
        launch(kernel_text(describe(*wrong) + body, image.size, 4), image, wgmma_fragments_of_d(d))


TF32_N8 = "wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32"


@pytest.mark.parametrize(
    ("instruction", "tail"),
    [
        ("m64n8k16.f32.tf32.tf32", ", 1, 1"),
        ("m64n12k8.f32.tf32.tf32", ", 1, 1"),
        ("m64n264k8.f32.tf32.tf32", ", 1, 1"),
        ("m64n8k8.f16.tf32.tf32", ", 1, 1"),
        ("m64n8k8.f32.tf32.tf32", ""),
        ("m64n8k8.f32.tf32.tf32", ", 1, 2"),
        ("m64n8k8.f32.tf32.tf32", ", 1, 1, 0, 0"),
        ("m64n8k16.f32.f16.f16", ", 1, 1"),
        ("m64n8k16.f32.f16.f16", ", 1, 1, 2, 0"),
        ("m64n40k32.s32.s8.s8", ""),
        ("m64n8k32.s32.s8.s8", ", 1, 1"),
        ("m64n8k8.xyz.f32.tf32.tf32", ", 1, 1"),
        ("m64n8k8.satfinite.f32.tf32.tf32", ", 1, 1"),
    ],
)
def test_what_is_no_wgmma(instruction, tail):
    columns = int(instruction[4:].split("k")[0])
    wgmma = product("wgmma.mma_async.sync.aligned." + instruction, columns // 2, tail=tail)
    text = kernel_text(describe(0, 0) + FENCE + wgmma, 1024, columns // 2)
    with pytest.raises(ptx.UnknownInstructionError):
        launch(text, np.zeros(1024, np.uint8), np.zeros((128, 2 * columns), np.uint8))


@pytest.mark.parametrize("count", [0, 16, 20, 264])
def test_setmaxnreg_with_a_number_that_is_not_allowed(count):
    text = kernel_text(f"    setmaxnreg.dec.sync.aligned.u32 {count};\n", 1024, 4)
    with pytest.raises(ptx.UnknownInstructionError, match="multiple of 8"):
        launch(text, np.zeros(1024, np.uint8), np.zeros((128, 16), np.uint8))


def test_setmaxnreg():
    held = np.random.default_rng(1).integers(0, 256, (128, 16), np.uint8)
    body = "    setmaxnreg.inc.sync.aligned.u32 240;\n    setmaxnreg.dec.sync.aligned.u32 24;\n"
    result, _ = launch(kernel_text(body, 1024, 4), np.zeros(1024, np.uint8), held)
    np.testing.assert_array_equal(result, held)
    some = "    setp.lt.u32 %p, %thread, 32;\n    @%p " + body.split("\n")[0].strip() + "\n"
    with pytest.raises(ptx.DivergenceError):
        launch(kernel_text(some, 1024, 4), np.zeros(1024, np.uint8), held)
