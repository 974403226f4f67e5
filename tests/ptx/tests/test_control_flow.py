"""Branches, loops, calls, special registers, in hand-written PTX."""

from __future__ import annotations

import pytest

from tests import ptx

from .assemble import SHARED, stored


def test_loop_with_a_trip_count_for_each_thread():
    body = """
    mov.u32 %r20, 0;
    mov.u32 %r21, %r0;
LOOP:
    add.u32 %r20, %r20, %r21;
    sub.u32 %r21, %r21, 1;
    setp.gt.s32 %p1, %r21, 0;
    @%p1 bra LOOP;
"""
    assert stored(body, block=64) == [n * (n + 1) // 2 if n else 0 for n in range(64)]


def test_diverged_lanes_meet_again():
    body = """
    setp.lt.u32 %p1, %r0, 7;
    @%p1 bra THEN;
    mov.u32 %r20, 1;
    bra.uni JOIN;
THEN:
    mov.u32 %r20, 2;
JOIN:
    activemask.b32 %r21;
    popc.b32 %r21, %r21;
    mad.lo.u32 %r20, %r21, 10, %r20;
"""
    assert stored(body) == [322] * 7 + [321] * 25


def test_predication_leaves_other_lanes_alone():
    body = """
    mov.u32 %r20, 5;
    setp.eq.u32 %p1, %r0, 3;
    @%p1 mov.u32 %r20, 6;
    @!%p1 add.u32 %r20, %r20, %r0;
"""
    assert stored(body) == [6 if n == 3 else 5 + n for n in range(32)]


def test_indexed_branch():
    body = """
    and.b32 %r21, %r0, 3;
TABLE: .branchtargets A, B, C, A;
    brx.idx %r21, TABLE;
A:  mov.u32 %r20, 10;
    bra DONE;
B:  mov.u32 %r20, 11;
    bra DONE;
C:  mov.u32 %r20, 12;
DONE:
"""
    assert stored(body) == [[10, 11, 12, 10][n % 4] for n in range(32)]


CALLEE = """
.func (.param .b32 result) triple(.param .b32 x)
{
    .reg .b32 %a<3>;
    .reg .pred %q;
    ld.param.b32 %a0, [x];
    setp.gt.u32 %q, %a0, 20;
    @%q bra LARGE;
    mul.lo.u32 %a1, %a0, 3;
    st.param.b32 [result], %a1;
    ret;
LARGE:
    st.param.b32 [result+0], 1000;
    ret;
}
"""


def test_calls_from_two_places():
    body = """
    setp.lt.u32 %p1, %r0, 8;
    @%p1 bra SECOND;
    { .param .b32 a; .param .b32 b;
      st.param.b32 [a+0], %r0;
      call.uni (b), triple, (a);
      ld.param.b32 %r20, [b+0]; }
    bra DONE;
SECOND:
    { .param .b32 a; .param .b32 b;
      add.u32 %r5, %r0, 100;
      st.param.b32 [a+0], %r5;
      call (b), triple, (a);
      ld.param.b32 %r20, [b+0]; }
    add.u32 %r20, %r20, 1;
DONE:
"""
    expected = [1001 if n < 8 else 3 * n if n <= 20 else 1000 for n in range(32)]
    assert stored(body, declarations=CALLEE) == expected


def test_scoped_registers_and_labels_may_repeat():
    scope = (
        "{ .reg .b32 t; mov.u32 t, 1; AGAIN: add.u32 t, t, t; setp.lt.u32 %p1, t, %r5; @%p1 bra AGAIN;"
        " add.u32 %r20, %r20, t; }\n"
    )
    assert stored("    mov.u32 %r20, 0; mov.u32 %r5, 9;\n" + scope + scope)[0] == 32


def test_special_registers():
    names = {
        "%tid.x": lambda t, b: t,
        "%ctaid.x": lambda t, b: b,
        "%ntid.x": lambda t, b: 96,
        "%nctaid.x": lambda t, b: 3,
        "%laneid": lambda t, b: t % 32,
        "%warpid": lambda t, b: t // 32,
        "%lanemask_lt": lambda t, b: (1 << t % 32) - 1,
        "%lanemask_ge": lambda t, b: -(1 << t % 32) & 0xFFFFFFFF,
        "%lanemask_gt": lambda t, b: -(2 << t % 32) & 0xFFFFFFFF,
        "%dynamic_smem_size": lambda t, b: 48,
    }
    for name, expected in names.items():
        found = stored(f"    mov.u32 %r20, {name};\n", block=96, grid=3, shared_bytes=48)
        assert found == [expected(t, b) for b in range(3) for t in range(96)], name


def test_unknown_special_register():
    with pytest.raises(ptx.UnknownInstructionError, match="%nonsense"):
        stored("    mov.u32 %r20, %nonsense;\n")


def test_trap_and_step_limit():
    with pytest.raises(ptx.TrapError) as fault:
        stored("    setp.eq.u32 %p1, %r0, 5;\n    @%p1 trap;\n    mov.u32 %r20, 0;\n")
    assert fault.value.thread == (5, 0, 0)
    with pytest.raises(ptx.StepLimitError):
        stored("FOREVER:\n    bra FOREVER;\n    mov.u32 %r20, 0;\n", limit=5000)


def test_thread_that_waits_for_a_later_one():
    """Warp 0 spins at a lower address than the store that releases it."""
    body = """
    setp.ge.u32 %p1, %r0, 32;
    mov.u64 %rd5, buffer;
    @%p1 bra PRODUCER;
SPIN:
    ld.volatile.shared.u32 %r20, [%rd5];
    setp.eq.u32 %p2, %r20, 0;
    @%p2 bra SPIN;
    bra DONE;
PRODUCER:
    mov.u32 %r20, 7;
    st.volatile.shared.u32 [%rd5], %r20;
DONE:
"""
    start = (
        "    mov.u64 %rd5, buffer;\n    mov.u32 %r6, 0;\n    setp.eq.u32 %p1, %r0, 0;\n"
        "    @%p1 st.shared.u32 [%rd5], %r6;\n    bar.sync 0;\n"
    )
    assert stored(start + body, block=64, declarations=SHARED) == [7] * 64
