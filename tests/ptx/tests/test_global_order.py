"""What orders accesses to global memory, thread by thread; barriers that some arrive at early."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import SHARED, run

# Every thread writes its element; then, after what `between` says, the next one reads it.
HANDED_ON = """
    add.u64 %rd5, %rd0, %rd31;
    st.global.u32 [%rd5], %r0;
    {between}
    xor.b32 %r6, %r0, {partner};
    mul.wide.u32 %rd6, %r6, 4;
    add.u64 %rd6, %rd0, %rd6;
    ld.global.u32 %r7, [%rd6];
    add.u64 %rd7, %rd1, %rd31;
    st.global.u32 [%rd7], %r7;
"""


def hand_on(between: str, partner: int, block: int = 64, grid: int = 2) -> list[int]:
    x, y = np.zeros(block * grid, np.uint32), np.zeros(block * grid, np.uint32)
    text = HANDED_ON.format(between=between, partner=partner)
    run(text, x, y, block=block, grid=grid, declarations=SHARED)
    return y.tolist()


@pytest.mark.parametrize(
    ("between", "partner"),
    [
        ("bar.sync 0;", 33),
        ("bar.warp.sync -1;", 1),
        ("bar.sync 3, 64;", 33),
        ("shr.u32 %r8, %r3, 5;\n    bar.sync %r8, 32;", 7),
        ("barrier.sync 1, 64;\n    bar.warp.sync -1;", 40),
    ],
)
def test_what_orders_global_memory_within_a_block(between, partner):
    assert hand_on(between, partner) == [n ^ partner for n in range(128)]


@pytest.mark.parametrize(
    ("between", "partner"),
    [
        ("", 1),
        ("bar.warp.sync -1;", 32),
        ("bar.sync 0;", 64),  # of another block
        ("fence.acq_rel.cta;", 1),
        ("membar.gl;", 33),
        ("bar.warp.sync -1;\n    membar.cta;\n    bar.warp.sync -1;", 33),
        ("shr.u32 %r8, %r3, 5;\n    bar.sync %r8, 32;", 32),
        ("mov.u32 %r8, 1;\n    shfl.sync.bfly.b32 %r8, %r8, 1, 31, -1;", 1),
        ("setp.lt.u32 %p1, %r3, 32;\n    @%p1 bar.sync 2, 32;\n    bar.warp.sync -1;", 32),
        ("and.b32 %r8, %r3, 2;\n    shl.b32 %r9, 0x33333333, %r8;\n    bar.warp.sync %r9;", 2),
    ],
)
def test_what_does_not_order_global_memory_within_a_block(between, partner):
    with pytest.raises(ptx.RaceError):
        hand_on(between, partner)


def test_every_reader_of_many_counts():
    """All threads of a warp read a word; after its barrier one of the same or of another warp writes it."""
    body = """
    mov.u64 %rd5, buffer;
    setp.eq.u32 %p1, %r3, 40;
    @%p1 st.shared.u32 [%rd5], 7;
    bar.sync 0;
    setp.lt.u32 %p2, %r3, 32;
    @%p2 {load}
    bar.warp.sync -1;
    setp.eq.u32 %p4, %r3, {writer};
    @%p4 {store}
"""
    for load, store in (
        ("ld.shared.u32 %r7, [%rd5];", "st.shared.u32 [%rd5], 8;"),
        ("ld.global.u32 %r7, [%rd0];", "st.global.u32 [%rd0], 8;"),
    ):
        for writer in (3, 35):
            text = body.format(load=load, store=store, writer=writer)
            if writer == 3:
                run(text, np.zeros(1, np.uint32), block=64, declarations=SHARED)
                continue
            with pytest.raises(ptx.RaceError):
                run(text, np.zeros(1, np.uint32), block=64, declarations=SHARED)


def test_a_reader_between_others_is_remembered():
    """Threads 0, 5 and 31 read; 0, 31 and 9 meet; 9 writes, which 5 may still be reading."""
    body = """
    mov.u32 %r5, 1;
    shl.b32 %r6, %r5, %r3;
    and.b32 %r6, %r6, 0x80000021;
    setp.ne.u32 %p1, %r6, 0;
    @%p1 ld.global.u32 %r7, [%rd0];
    mov.u32 %r8, {mask};
    shr.u32 %r9, %r8, %r3;
    and.b32 %r9, %r9, 1;
    setp.ne.u32 %p2, %r9, 0;
    @%p2 bar.warp.sync {mask};
    setp.eq.u32 %p3, %r3, 9;
    @%p3 st.global.u32 [%rd0], %r3;
"""
    run(body.format(mask="0x80000221"), np.zeros(1, np.uint32))
    with pytest.raises(ptx.RaceError):
        run(body.format(mask="0x80000201"), np.zeros(1, np.uint32))


# Warp 0 fills a buffer and arrives without waiting; warp 1 waits for it, and reads.
PRODUCED = """
    mov.u64 %rd5, buffer;
    and.b32 %r7, %r3, 31;
    mul.wide.u32 %rd7, %r7, 4;
    add.u64 %rd8, %rd5, %rd7;
    add.u64 %rd9, %rd0, %rd7;
    setp.ge.u32 %p1, %r3, 32;
    @%p1 bra CONSUMER;
    {early}
    bar.arrive 1, 64;
    {late}
    bra DONE;
CONSUMER:
    {delay}
    bar.sync 1, 64;
    ld.shared.u32 %r20, [%rd8];
    ld.global.u32 %r21, [%rd9];
DONE:
"""
FILL = "st.shared.u32 [%rd8], %r3;", "st.global.u32 [%rd9], %r3;"
DELAY = "bar.warp.sync -1;\n    bar.sync 2, 32;"


@pytest.mark.parametrize("delay", ["", DELAY])
def test_an_early_arrival_hands_on_what_came_before_it(delay):
    def produce(early, late):
        text = PRODUCED.format(early="\n    ".join(early), late="\n    ".join(late), delay=delay)
        run(text, np.zeros(32, np.uint32), block=64, declarations=SHARED)

    produce(FILL, ())
    for space in (0, 1):
        with pytest.raises(ptx.PtxError) as fault:
            produce((FILL[1 - space],), (FILL[space],))
        assert isinstance(fault.value, (ptx.RaceError, ptx.UninitialisedError))
        with pytest.raises(ptx.RaceError):
            produce(FILL, (FILL[space],))


def test_a_later_interval_of_the_same_block_is_compared_too():
    """No barrier lies between a write of warp 0 and a read of warp 1, but barriers of others do."""
    body = """
    setp.ge.u32 %p1, %r3, 32;
    @%p1 bra SECOND;
    add.u64 %rd5, %rd0, %rd31;
    st.global.u32 [%rd5], %r0;
    bar.sync 0;
    bra DONE;
SECOND:
    {first}
    sub.u64 %rd5, %rd31, 128;
    add.u64 %rd5, %rd0, %rd5;
    ld.global.u32 %r7, [%rd5];
    {second}
DONE:
"""
    run(body.format(first="bar.sync 0;", second=""), np.zeros(192, np.uint32), block=64, grid=3)
    with pytest.raises(ptx.RaceError):
        run(body.format(first="", second="bar.sync 0;"), np.zeros(192, np.uint32), block=64, grid=3)
