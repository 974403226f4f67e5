"""Races, the orderings that prevent them, and atomics, in hand-written PTX."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .. import races
from .assemble import STORE, run


def test_two_threads_store_the_same_value():
    with pytest.raises(ptx.RaceError, match="write by block"):
        run("    mov.u32 %r5, 1;\n    st.global.u32 [%rd0], %r5;\n", np.zeros(1, np.uint32))


def test_bytes_side_by_side_do_not_race():
    x = np.zeros(64, np.uint8)
    body = """
    cvt.u64.u32 %rd5, %r0;
    add.u64 %rd5, %rd0, %rd5;
    mov.b16 %h1, 3;
    st.global.u8 [%rd5], %h1;
"""
    run(body, x, grid=2)
    assert (x == 3).all()


def test_wide_store_over_a_narrow_one():
    body = """
    setp.eq.u32 %p1, %r0, 0;
    mov.u64 %rd6, 5;
    mul.wide.u32 %rd5, %r0, 4;
    add.u64 %rd5, %rd0, %rd5;
    @%p1 st.global.u64 [%rd0], %rd6;
    @!%p1 st.global.u32 [%rd5], %r0;
"""
    with pytest.raises(ptx.RaceError):
        run(body, np.zeros(32, np.uint32))


def test_atomics_do_not_race_with_each_other_but_with_plain_accesses():
    x = np.zeros(1, np.uint32)
    run("    atom.global.add.u32 %r5, [%rd0], 1;\n", x, grid=3)
    assert x[0] == 96
    run("    red.global.max.u32 [%rd0], %r0;\n", x, grid=4)
    assert x[0] == 127
    for plain in ("st.global.u32 [%rd0], %r0;", "ld.global.u32 %r6, [%rd0];"):
        with pytest.raises(ptx.RaceError):
            run(
                f"    red.global.add.u32 [%rd0], 1;\n    setp.eq.u32 %p1, %r0, 0;\n    @%p1 {plain}\n",
                x,
                block=2,
            )


def test_write_after_the_read_of_another_block():
    body = """
    setp.eq.u32 %p1, %r0, 0;
    @%p1 ld.global.u32 %r5, [%rd0];
    setp.eq.u32 %p1, %r0, {writer};
    @%p1 st.global.u32 [%rd0], %r0;
"""
    with pytest.raises(ptx.RaceError):
        run(body.format(writer=900 * 32), np.zeros(1, np.uint32), grid=1000)
    run(body.format(writer=0), np.zeros(1, np.uint32), grid=1000)


@pytest.mark.parametrize("limit", ["LOG_LIMIT", "DELAYED_LIMIT"])
def test_long_logs_are_examined_early(monkeypatch, limit):
    monkeypatch.setattr(races, limit, 100)
    body = """
    mov.u32 %r6, 20;
AGAIN:
    ld.global.u32 %r5, [%rd0+{read}];
    sub.u32 %r6, %r6, 1;
    setp.ne.u32 %p1, %r6, 0;
    @%p1 bra AGAIN;
    setp.eq.u32 %p1, %r0, 100;
    @%p1 st.global.u32 [%rd0], %r0;
"""
    run(body.format(read=4), np.zeros(2, np.uint32), grid=4)
    with pytest.raises(ptx.RaceError):
        run(body.format(read=0), np.zeros(2, np.uint32), grid=4)


GRID_BARRIER = """
.extern .func (.param .b64 r) cudaCGGetIntrinsicHandle(.param .b32 a);
.extern .func (.param .b32 r) cudaCGSynchronize(.param .b64 a, .param .b32 b);
"""


@pytest.mark.parametrize("barriers", [0, 1])
def test_barrier_of_the_grid(barriers):
    synchronise = """
    { .param .b32 a; .param .b64 r; .param .b32 f; .param .b32 s;
      st.param.b32 [a], 1;
      call.uni (r), cudaCGGetIntrinsicHandle, (a);
      st.param.b32 [f], 0;
      call.uni (s), cudaCGSynchronize, (r, f); }
"""
    body = """
    add.u64 %rd5, %rd1, %rd31;
    st.global.u32 [%rd5], %r0;
    {barrier}
    xor.b32 %r6, %r0, 33;
    mul.wide.u32 %rd5, %r6, 4;
    add.u64 %rd5, %rd1, %rd5;
    ld.global.u32 %r20, [%rd5];
"""
    x, y = np.zeros(64, np.uint32), np.zeros(64, np.uint32)
    text = body.replace("{barrier}", synchronise * barriers) + STORE
    if not barriers:
        with pytest.raises((ptx.RaceError, ptx.UninitialisedError)):
            run(text, x, ptx.out(y), grid=2)
        return
    run(text, x, ptx.out(y), grid=2, declarations=GRID_BARRIER)
    assert x.tolist() == [n ^ 33 for n in range(64)]


def test_release_and_acquire_between_blocks():
    body = """
    setp.ne.u32 %p1, %r3, 0;
    @%p1 exit;
    mov.u32 %r20, 0;
    setp.eq.u32 %p2, %r1, 0;
    @!%p2 bra READER;
    mov.u32 %r5, 9;
    st.global.u32 [%rd1], %r5;
    {publish}
    bra DONE;
READER:
    {consume}
    setp.eq.u32 %p3, %r6, 0;
    @%p3 bra READER;
    ld.global.u32 %r20, [%rd1];
DONE:
    st.global.u32 [%rd0], %r20;
    exit;
"""

    def launch(publish, consume):
        flags, data, result = np.zeros(1, np.uint32), np.zeros(1, np.uint32), np.zeros(2, np.uint32)
        text = body.format(publish=publish, consume=consume).replace("[%rd0]", "[%rd8]")
        prefix = "    mul.wide.u32 %rd7, %r1, 4;\n    add.u64 %rd8, %rd0, %rd7;\n"
        run(prefix + text, result, data, flags, grid=2)
        return result.tolist()

    acquire, relaxed = "ld.acquire.gpu.global.u32 %r6, [%rd2];", "ld.relaxed.gpu.global.u32 %r6, [%rd2];"
    release, plain = "st.release.gpu.global.u32 [%rd2], 1;", "st.relaxed.gpu.global.u32 [%rd2], 1;"
    assert launch(release, acquire) == [0, 9]
    assert launch("fence.acq_rel.gpu;\n" + plain, relaxed + "\n    fence.acq_rel.gpu;") == [0, 9]
    for publish, consume in ((plain, acquire), (release, relaxed), (plain, relaxed)):
        with pytest.raises(ptx.RaceError):
            launch(publish, consume)


@pytest.mark.parametrize(
    ("operation", "start", "expected"),
    [
        ("add.u32 %r20, [%rd1], 2", 5, 5 + 64),
        ("min.s32 %r20, [%rd1], %r0", 7, 0),
        ("max.u32 %r20, [%rd1], %r0", 7, 31),
        ("and.b32 %r20, [%rd1], %r0", 63, 0),
        ("or.b32 %r20, [%rd1], %r0", 0, 31),
        ("xor.b32 %r20, [%rd1], 5", 1, 1),
        ("inc.u32 %r20, [%rd1], 9", 0, 2),
        ("dec.u32 %r20, [%rd1], 9", 0, 8),
        ("exch.b32 %r20, [%rd1], %r0", 9, 31),
        ("cas.b32 %r20, [%rd1], 3, 8", 3, 8),
    ],
)
def test_atomic_operations(operation, start, expected):
    place, old = np.array([start], np.uint32), np.zeros(32, np.uint32)
    run(f"    atom.global.{operation};\n" + STORE, ptx.out(old), place)
    assert place[0] == expected and old[0] == start


def test_atomic_floats_and_halves():
    x = np.zeros(2, np.float32)
    run("    cvt.rn.f32.u32 %f1, %r0;\n    red.global.add.f32 [%rd0], %f1;\n", x)
    assert x[0] == 496
    h = np.zeros(2, np.float16)
    run("    mov.b32 %r5, 0x3C004000;\n    red.global.add.noftz.f16x2 [%rd0], %r5;\n", h)
    assert h.tolist() == [64.0, 32.0]
