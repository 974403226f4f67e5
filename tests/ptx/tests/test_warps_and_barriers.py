"""Instructions of a warp and barriers of a block, in hand-written PTX."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import SHARED, STORE, run, stored


@pytest.mark.parametrize(
    ("mode", "operand", "clamp", "source"),
    [
        ("down", 3, 31, lambda lane: lane + 3 if lane + 3 < 32 else lane),
        ("up", 2, 0, lambda lane: lane - 2 if lane >= 2 else lane),
        ("bfly", 5, 31, lambda lane: lane ^ 5),
        ("idx", 9, 31, lambda lane: 9),
        ("down", 1, 0x181F, lambda lane: lane + 1 if lane % 8 < 7 else lane),
        ("up", 1, 0x1800, lambda lane: lane - 1 if lane % 8 else lane),
        ("idx", 2, 0x181F, lambda lane: lane // 8 * 8 + 2),
        ("bfly", 3, 0x1C03, lambda lane: lane ^ 3),
    ],
)
def test_shuffles(mode, operand, clamp, source):
    body = f"""
    mul.lo.u32 %r5, %r0, 7;
    shfl.sync.{mode}.b32 %r20|%p1, %r5, {operand}, {clamp}, -1;
    @!%p1 add.u32 %r20, %r20, 1000;
"""
    outside = [
        source(lane) == lane and (mode, operand) != ("idx", lane % 8 if clamp != 31 else lane)
        for lane in range(32)
    ]
    assert stored(body) == [7 * source(lane) + 1000 * outside[lane] for lane in range(32)]


def test_shuffle_from_a_thread_that_does_not_take_part():
    body = """
    mov.u32 %r20, 1;
    setp.lt.u32 %p1, %r0, 16;
    @%p1 shfl.sync.down.b32 %r20, %r0, 1, 31, 0xffff;
"""
    with pytest.raises(ptx.UninitialisedError) as fault:
        stored(body)
    assert fault.value.thread == (15, 0, 0)


def test_votes_and_reductions():
    start = "    setp.lt.u32 %p1, %r0, 40;\n    and.b32 %r5, %r0, 7;\n"
    for instruction, expected in {
        "vote.sync.ballot.b32 %r20, %p1, -1": [0xFFFFFFFF, 0xFF],
        "redux.sync.add.u32 %r20, %r0, -1": [sum(range(32)), sum(range(32, 64))],
        "redux.sync.max.s32 %r20, %r5, -1": [7, 7],
        "redux.sync.min.u32 %r20, %r0, -1": [0, 32],
        "redux.sync.xor.b32 %r20, %r0, -1": [0, 0],
        "redux.sync.or.b32 %r20, %r0, -1": [31, 63],
        "redux.sync.and.b32 %r20, %r0, -1": [0, 32],
    }.items():
        assert stored(f"{start}    {instruction};\n", block=64) == list(np.repeat(expected, 32)), instruction
    for mode, expected in {"all": [1, 0], "any": [1, 1], "uni": [1, 0]}.items():
        body = f"{start}    vote.sync.{mode}.pred %p2, %p1, -1;\n    selp.u32 %r20, 1, 0, %p2;\n"
        assert stored(body, block=64) == list(np.repeat(expected, 32))


def test_match():
    same = [sum(1 << k for k in range(32) if k % 8 == n % 8) for n in range(32)]
    assert stored("    and.b32 %r5, %r0, 7;\n    match.any.sync.b32 %r20, %r5, -1;\n") == same
    body = "    shr.u32 %r5, %r0, 5;\n    match.all.sync.b32 %r20|%p1, %r5, -1;\n"
    assert stored(body, block=64) == [0xFFFFFFFF] * 64
    assert stored("    match.all.sync.b32 %r20|%p1, %r0, -1;\n") == [0] * 32


def test_elect():
    body = "    elect.sync %r20|%p1, -1;\n    @%p1 add.u32 %r20, %r20, 50;\n"
    assert stored(body) == [50] + [0] * 31


def test_warp_instruction_waits_for_diverged_lanes():
    body = """
    setp.lt.u32 %p1, %r0, 4;
    mov.u32 %r5, 1;
    @%p1 bra SLOW;
    bra MEET;
MEET:
    redux.sync.add.u32 %r20, %r5, -1;
    bra DONE;
SLOW:
    mov.u32 %r5, 10;
    bra MEET;
DONE:
"""
    assert stored(body) == [28 + 40] * 32


def test_warp_instruction_that_some_lanes_never_reach():
    body = """
    mov.u32 %r20, 0;
    setp.lt.u32 %p1, %r0, 4;
    @%p1 bra SKIP;
    redux.sync.add.u32 %r20, %r0, -1;
    bar.sync 0;
    bra DONE;
SKIP:
    bar.sync 0;
DONE:
"""
    with pytest.raises((ptx.DivergenceError, ptx.BarrierError)):
        stored(body)


def test_thread_outside_of_its_member_mask():
    with pytest.raises(ptx.DivergenceError, match="member mask"):
        stored("    redux.sync.add.u32 %r20, %r0, 0xff;\n")


EXCHANGE = """
    mov.u64 %rd5, buffer;
    add.u64 %rd6, %rd5, %rd31;
    xor.b32 %r7, %r3, {partner};
    mul.wide.u32 %rd7, %r7, 4;
    add.u64 %rd7, %rd5, %rd7;
    st.shared.u32 [%rd6], %r3;
    {barrier}
    ld.shared.u32 %r20, [%rd7];
"""


@pytest.mark.parametrize(
    ("partner", "barrier"),
    [
        (1, "bar.warp.sync -1;"),
        (31, "bar.warp.sync 0xffffffff;"),
        (33, "bar.sync 0;"),
        (64, "barrier.sync 1;"),
        (33, "bar.sync %r9, 64;"),
        (33, "barrier.sync.aligned %r9, 64;"),
    ],
)
def test_barriers_order_shared_memory(partner, barrier):
    body = "    shr.u32 %r9, %r3, 6;\n" + EXCHANGE.format(partner=partner, barrier=barrier)
    assert stored(body, block=128, declarations=SHARED) == [t ^ partner for t in range(128)]


@pytest.mark.parametrize(
    ("partner", "barrier"),
    [
        (1, ""),
        (32, "bar.warp.sync -1;"),
        (64, "bar.sync %r9, 64;"),
        (1, "membar.cta;"),
    ],
)
def test_barriers_that_order_too_little(partner, barrier):
    body = "    shr.u32 %r9, %r3, 6;\n" + EXCHANGE.format(partner=partner, barrier=barrier)
    with pytest.raises(ptx.RaceError) as fault:
        stored(body, block=128, declarations=SHARED)
    assert fault.value.array == "shared memory" and fault.value.other is not None


PRODUCER_CONSUMER = """
    mov.u64 %rd5, buffer;
    mov.u32 %r20, 0;
    and.b32 %r7, %r3, 31;
    mul.wide.u32 %rd7, %r7, 4;
    add.u64 %rd7, %rd5, %rd7;
    setp.ge.u32 %p1, %r3, 32;
    @%p1 bra CONSUMER;
    st.shared.u32 [%rd7], %r3;
    bar.arrive 1, 64;
    bra DONE;
CONSUMER:
    {wait}
    ld.shared.u32 %r20, [%rd7];
DONE:
"""


def test_arrive_does_not_wait():
    body = PRODUCER_CONSUMER.format(wait="bar.sync 1, 64;")
    assert stored(body, block=64, declarations=SHARED) == [0] * 32 + list(range(32))
    with pytest.raises((ptx.RaceError, ptx.UninitialisedError, ptx.BarrierError)):
        stored(PRODUCER_CONSUMER.format(wait=""), block=64, declarations=SHARED)


def test_barrier_reductions():
    for instruction, expected in {
        "bar.red.popc.u32 %r20, 0, %p1": 20,
        "bar.red.popc.u32 %r20, 0, !%p1": 44,
    }.items():
        assert stored(f"    setp.lt.u32 %p1, %r0, 20;\n    {instruction};\n", block=64) == [expected] * 64
    for how, expected in {"and": 0, "or": 1}.items():
        body = f"""
    setp.lt.u32 %p1, %r0, 20;
    bar.red.{how}.pred %p2, 0, %p1;
    selp.u32 %r20, 1, 0, %p2;
"""
        assert stored(body, block=64) == [expected] * 64


@pytest.mark.parametrize(
    ("barrier", "message"),
    [
        ("bar.sync 16;", "no barrier 16"),
        ("bar.sync 1, 33;", "multiple of 32"),
        ("bar.sync 1, 32;", "which is for 32"),
        ("@%p1 bar.sync 0;", "32 threads but only|64 threads but only"),
    ],
)
def test_wrong_barriers(barrier, message):
    with pytest.raises(ptx.BarrierError, match=message):
        stored(f"    setp.lt.u32 %p1, %r0, 32;\n    {barrier}\n    mov.u32 %r20, 0;\n", block=64)


def test_barrier_inside_a_diverged_warp():
    body = """
    setp.lt.u32 %p1, %r0, 16;
    @%p1 bra OTHER;
    bar.sync 0;
    bra DONE;
OTHER:
    bar.sync 0;
DONE:
    mov.u32 %r20, 0;
"""
    with pytest.raises(ptx.DivergenceError):
        stored(body)


def test_exited_threads_at_a_barrier():
    body = "    setp.lt.u32 %p1, %r0, 32;\n    @%p1 exit;\n    bar.sync 0;\n    mov.u32 %r20, 1;\n"
    with pytest.raises(ptx.BarrierError, match="32 have exited"):
        stored(body, block=64)
    result = np.zeros(64, np.uint32)
    run(body + STORE, result, block=64, exited_threads_arrive=True)
    assert result.tolist() == [0] * 32 + [1] * 32
