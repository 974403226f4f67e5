"""An undefined part of a register does not reach its neighbours, and is found where it does."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import SHARED, STORE, run, stored

# %r5 is 0x1234ABCD; undefined are the upper half of %r6, the lower one of %r7, byte 1 of %r8, the lower word
# of %rd9 and the upper one of %rd10.
PARTS = """
    mov.b32 %r5, 0x1234ABCD;
    mov.b16 %h1, 0x1234;
    mov.b32 %r6, {%h1, %h30};
    mov.b32 %r7, {%h30, %h1};
    mov.b32 %r9, {%h30, %h30};
    prmt.b32 %r8, %r5, %r9, 0x3240;
    mov.b64 %rd9, {%r40, %r5};
    mov.b64 %rd10, {%r5, %r40};
    setp.eq.u32 %p1, %r0, %r0;
"""


def result(body: str) -> int:
    return stored(PARTS + body, block=1)[0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("mov.b32 {%h2, %h3}, %r6; cvt.u32.u16 %r20, %h2;", 0x1234),
        ("mov.b32 {%h2, %h3}, %r7; cvt.u32.u16 %r20, %h3;", 0x1234),
        ("cvt.u16.u32 %h2, %r6; cvt.u32.u16 %r20, %h2;", 0x1234),
        ("cvt.u32.u16 %r20, %r6;", 0x1234),
        ("and.b32 %r20, %r6, 0xFFFF;", 0x1234),
        ("or.b32 %r20, %r6, 0xFFFF0000;", 0xFFFF1234),
        ("shr.u32 %r20, %r7, 16;", 0x1234),
        ("shl.b32 %r20, %r6, 16;", 0x12340000),
        ("prmt.b32 %r20, %r6, %r7, 0x7610;", 0x12341234),
        ("prmt.b32 %r20, %r6, 0, 0x4410;", 0x1234),
        ("bfe.u32 %r20, %r6, 4, 8;", 0x23),
        ("bfi.b32 %r20, %r5, %r6, 16, 16;", 0xABCD1234),
        ("lop3.b32 %r20, %r6, 0xFFFF, 0, 0xC0;", 0x1234),
        ("shf.l.wrap.b32 %r20, %r7, %r6, 16;", 0x12341234),
        ("mov.b64 {%r21, %r20}, %rd9;", 0x1234ABCD),
        ("mov.b64 {%r20, _}, %rd10;", 0x1234ABCD),
        ("cvt.u32.u64 %r20, %rd10;", 0x1234ABCD),
        ("shr.u64 %rd11, %rd9, 32; cvt.u32.u64 %r20, %rd11;", 0x1234ABCD),
        ("selp.u32 %r20, %r5, %r40, %p1;", 0x1234ABCD),
        ("slct.u32.s32 %r20, %r5, %r40, 1;", 0x1234ABCD),
        ("setp.eq.and.u32 %p2, %r40, 1, !%p1; selp.u32 %r20, 1, 2, %p2;", 2),
        ("setp.eq.or.u32 %p2, %r40, 1, %p1; selp.u32 %r20, 1, 2, %p2;", 1),
        ("setp.eq.u32 %p2, %r40, 1; not.pred %p3, %p1; and.pred %p2, %p2, %p3; selp.u32 %r20, 1, 2, %p2;", 2),
        ("add.rn.f16x2 %r21, %r6, %r6; and.b32 %r20, %r21, 0xFFFF; mov.b32 %r20, 5;", 5),
    ],
)
def test_defined_parts(body, expected):
    assert result(body.replace("; ", ";\n    ")) == expected


def test_bytes():
    """Byte 0 of %r8 is byte 0 of %r5, byte 1 undefined, byte 2 and 3 are bytes 2 and 3 of %r5."""
    assert result("prmt.b32 %r20, %r8, 0, 0x4320;\n") == 0x1234CD
    for selector in ("0x4310", "0x4441", "0x4494"):
        with pytest.raises(ptx.UninitialisedError):
            result(f"prmt.b32 %r20, %r8, 0, {selector};\n")


@pytest.mark.parametrize(
    "body",
    [
        "mov.b32 {%h2, %h3}, %r6; cvt.u32.u16 %r20, %h3;",
        "cvt.u32.u16 %r20, %r7;",
        "and.b32 %r20, %r6, 0x1FFFF;",
        "and.b32 %r20, %r6, %r5;",
        "or.b32 %r20, %r7, 0xFFF0;",
        "xor.b32 %r20, %r6, %r6;",
        "not.b32 %r20, %r6;",
        "shr.u32 %r20, %r7, 15;",
        "shr.s32 %r20, %r6, 16;",
        "shl.b32 %r20, %r6, 15;",
        "shl.b32 %r20, %r5, %r40;",
        "prmt.b32 %r20, %r6, %r7, 0x7612;",
        "prmt.b32 %r20, %r5, %r5, %r6;",
        "bfe.u32 %r20, %r6, 9, 8;",
        "bfi.b32 %r20, %r5, %r6, 17, 15;",
        "bfi.b32 %r20, %r6, %r5, 0, 17;",
        "lop3.b32 %r20, %r6, 0xFFFF, 0, 0xFC;",
        "add.u32 %r20, %r6, 1; shl.b32 %r20, %r20, 16;",
        "mul.lo.u32 %r20, %r6, 0;",
        "mov.b64 {%r20, %r21}, %rd9;",
        "cvt.u32.u64 %r20, %rd9;",
        "cvt.s32.s16 %r20, %h30; and.b32 %r20, %r20, 0xFF0000;",
        "selp.u32 %r20, %r40, %r5, %p1;",
        "selp.u32 %r20, %r5, %r5, %p9;",
        "slct.u32.s32 %r20, %r5, %r40, -1;",
        "slct.u32.s32 %r20, %r5, %r5, %r40;",
        "setp.eq.and.u32 %p2, %r40, 1, %p1; selp.u32 %r20, 1, 2, %p2;",
        "setp.eq.or.u32 %p2, %r40, 1, !%p1; selp.u32 %r20, 1, 2, %p2;",
        "add.rn.f16x2 %r21, %r6, %r6; shr.u32 %r20, %r21, 16;",
    ],
)
def test_undefined_parts(body):
    with pytest.raises(ptx.UninitialisedError):
        result(body.replace("; ", ";\n    "))


def test_pairs_in_memory():
    """A pair is loaded of which the second word is unwritten; half of it is spilled, and comes back."""
    body = """
    .local .align 8 .b8 own[8];
    mov.u64 %rd5, buffer;
    mov.u64 %rd6, own;
    st.shared.u32 [%rd5], 7;
    ld.shared.b64 %rd7, [%rd5];
    st.local.b64 [%rd6], %rd7;
    ld.local.b64 %rd8, [%rd6];
    mov.b64 {%r21, %r22}, %rd8;
    mov.b32 %r20, {word};
"""

    def word(name: str, text: str = body) -> int:
        return stored(text.replace("{word}", name), declarations=SHARED, block=1)[0]

    assert word("%r21") == 7
    with pytest.raises(ptx.UninitialisedError, match="%r20"):
        word("%r22")
    with pytest.raises(ptx.UninitialisedError, match="%rd7"):
        word("%r21", body.replace("st.local", "st.shared").replace("%rd6, own", "%rd6, buffer"))


def test_a_half_that_was_stored_narrowly():
    x, y = np.zeros(1, np.uint32), np.zeros(1, np.uint32)
    body = """
    mov.b16 %h1, 3;
    st.global.b16 [%rd1+2], %h1;
    ld.global.b32 %r5, [%rd1];
    {use}
"""
    run(body.format(use="shr.u32 %r20, %r5, 16;") + STORE, y, ptx.out(x), block=1)
    assert y[0] == 3
    with pytest.raises(ptx.UninitialisedError):
        run(body.format(use="and.b32 %r20, %r5, 255;") + STORE, y, ptx.out(x), block=1)
