"""Fences, scopes and places: which release synchronises with which acquire; lock-free code that is right."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import SHARED, run

# Thread 0 of the grid stores data and sets a flag; thread `reader` waits for it, and reads the data. %rd0 are
# the results, %rd1 is the data, %rd2 two flags, %r5 what was stored.
MESSAGE = """
    setp.eq.u32 %p1, %r0, 0;
    setp.eq.u32 %p2, %r0, {reader};
    mov.u32 %r5, 9;
    @%p1 bra WRITER;
    @%p2 bra READER;
    bra DONE;
WRITER:
    {publish}
    bra DONE;
READER:
    {consume}
    setp.eq.u32 %p3, %r6, 0;
    @%p3 bra READER;
    {after}
    ld.global.u32 %r20, [%rd1];
    st.global.u32 [%rd0], %r20;
DONE:
"""
DATA = "st.global.u32 [%rd1], %r5;"
SAME, OTHER = 33, 64  # a thread of another warp of the block, and one of another block


def send(publish: str, consume: str, after: str = "", reader: int = OTHER) -> None:
    data, result = np.zeros(1, np.uint32), np.zeros(1, np.uint32)
    text = MESSAGE.format(publish=publish, consume=consume, after=after, reader=reader)
    run(text, result, data, np.zeros(2, np.uint32), block=64, grid=2)
    assert result[0] == 9


def is_a_race(*message: object, **options: object) -> None:
    with pytest.raises(ptx.RaceError):
        send(*message, **options)


def release(scope: str) -> str:
    return f"{DATA}\n    st.release.{scope}.global.u32 [%rd2], 1;"


def acquire(scope: str) -> str:
    return f"ld.acquire.{scope}.global.u32 %r6, [%rd2];"


def relaxed(scope: str, place: str = "%rd2") -> str:
    return f"ld.relaxed.{scope}.global.u32 %r6, [{place}];"


def fenced(scope: str, flag: str = "st.relaxed.gpu.global.u32 [%rd2], 1;") -> str:
    return f"{DATA}\n    fence.acq_rel.{scope};\n    {flag}"


WIDE = "gpu", "sys"


@pytest.mark.parametrize("reader", [SAME, OTHER])
@pytest.mark.parametrize("scopes", [("gpu", "gpu"), ("sys", "gpu"), ("gpu", "sys")])
def test_messages_beyond_the_block(scopes, reader):
    first, second = scopes
    send(release(first), acquire(second), reader=reader)
    send(fenced(first), relaxed("gpu"), f"fence.acq_rel.{second};", reader=reader)
    send(fenced(first, "st.volatile.global.u32 [%rd2], 1;"), acquire(second), reader=reader)
    send(release(first), relaxed("gpu"), f"fence.sc.{second};", reader=reader)
    send(fenced(first, "red.global.add.u32 [%rd2], 1;"), acquire(second), reader=reader)
    send(
        f"{DATA}\n    atom.release.{first}.global.exch.b32 %r6, [%rd2], 1;",
        f"atom.acquire.{second}.global.add.u32 %r6, [%rd2], 0;",
        reader=reader,
    )


@pytest.mark.parametrize(
    ("publish", "consume", "after"),
    [
        (release("cta"), acquire("cta"), ""),
        (release("cta"), acquire("gpu"), ""),
        (release("gpu"), acquire("cta"), ""),
        (fenced("cta"), acquire("gpu"), ""),
        (fenced("gpu"), relaxed("gpu"), "membar.cta;"),
        (fenced("gpu", "st.relaxed.cta.global.u32 [%rd2], 1;"), acquire("gpu"), ""),
        (fenced("gpu", "atom.cta.global.add.u32 %r6, [%rd2], 1;"), acquire("gpu"), ""),
        (fenced("gpu"), "atom.relaxed.cta.global.add.u32 %r6, [%rd2], 0;", "fence.acq_rel.gpu;"),
    ],
)
def test_a_scope_of_the_block_reaches_no_other_block(publish, consume, after):
    send(publish, consume, after, reader=SAME)
    is_a_race(publish, consume, after, reader=OTHER)


@pytest.mark.parametrize("reader", [SAME, OTHER])
@pytest.mark.parametrize(
    ("publish", "consume", "after"),
    [
        # a fence hands on what came before it, and nothing later
        (f"fence.acq_rel.gpu;\n    {DATA}\n    st.relaxed.gpu.global.u32 [%rd2], 1;", acquire("gpu"), ""),
        (f"membar.gl;\n    {DATA}\n    red.global.add.u32 [%rd2], 1;", acquire("gpu"), ""),
        (f"membar.gl;\n    {DATA}\n    atom.exch.global.b32 %r6, [%rd2], 1;", acquire("gpu"), ""),
        (f"st.release.gpu.global.u32 [%rd2], 1;\n    {DATA}", acquire("gpu"), ""),
        # a fence before the flag is read, or none, does not acquire
        (release("gpu"), f"fence.acq_rel.gpu;\n    {relaxed('gpu')}", ""),
        (release("gpu"), relaxed("gpu"), ""),
        (release("gpu"), "ld.volatile.global.u32 %r6, [%rd2];", ""),
        (f"{DATA}\n    st.relaxed.gpu.global.u32 [%rd2], 1;", relaxed("gpu"), "fence.acq_rel.gpu;"),
        # another place than the one that was released
        (
            f"st.relaxed.gpu.global.u32 [%rd2+4], 1;\n    {release('gpu')}",
            "ld.acquire.gpu.global.u32 %r6, [%rd2+4];",
            "",
        ),
        (
            f"st.relaxed.gpu.global.u32 [%rd2+4], 1;\n    {release('gpu')}",
            relaxed("gpu", "%rd2+4"),
            "fence.acq_rel.gpu;",
        ),
        # plain flags
        (f"{DATA}\n    membar.gl;\n    st.global.u32 [%rd2], 1;", relaxed("gpu"), "membar.gl;"),
        (release("gpu"), "ld.global.u32 %r6, [%rd2];", "membar.gl;"),
        # flags of another size
        (f"{DATA}\n    st.release.gpu.global.u64 [%rd2], 1;", acquire("gpu"), ""),
    ],
)
def test_messages_that_nothing_orders(publish, consume, after, reader):
    publish = publish.replace("u64 [%rd2], 1;", "u64 [%rd2], 1;")
    is_a_race(publish, consume, after, reader=reader)


def test_what_orders_is_handed_on_from_thread_to_thread():
    """Thread 0 tells thread 64, by the block's barrier all of block 1, and thread 70 tells block 2."""
    body = """
    mov.u32 %r5, 9;
    setp.eq.u32 %p1, %r0, 0;
    setp.eq.u32 %p2, %r0, 64;
    setp.eq.u32 %p3, %r0, 70;
    setp.eq.u32 %p4, %r0, 150;
    @%p4 bra LAST;
    @%p2 bra WAIT;
    @!%p1 bra MEET;
    st.global.u32 [%rd1], %r5;
    st.release.gpu.global.u32 [%rd2], 1;
    bra MEET;
WAIT:
    ld.acquire.gpu.global.u32 %r6, [%rd2];
    setp.eq.u32 %p5, %r6, 0;
    @%p5 bra WAIT;
MEET:
    setp.ge.u32 %p6, %r0, 128;
    @%p6 bra DONE;
    {barrier}
    @!%p3 bra DONE;
    st.release.gpu.global.u32 [%rd2+4], 1;
    bra DONE;
LAST:
    ld.acquire.gpu.global.u32 %r6, [%rd2+4];
    setp.eq.u32 %p5, %r6, 0;
    @%p5 bra LAST;
    ld.global.u32 %r20, [%rd1];
    st.global.u32 [%rd0], %r20;
DONE:
"""

    def launch(barrier):
        result = np.zeros(1, np.uint32)
        arrays = result, np.zeros(1, np.uint32), np.zeros(2, np.uint32)
        run(body.replace("{barrier}", barrier), *arrays, block=64, grid=3)
        return int(result[0])

    assert launch("bar.sync 0;") == launch("bar.warp.sync -1;") == launch("bar.sync 1, 64;") == 9
    with pytest.raises(ptx.RaceError):
        launch("")


def test_an_atomic_hands_on_what_it_finds_and_a_store_does_not():
    """Thread 0 releases 1; thread 64 makes 2 of it; thread 128 waits for 2."""
    body = """
    mov.u32 %r5, 9;
    setp.eq.u32 %p1, %r0, 0;
    setp.eq.u32 %p2, %r0, 64;
    setp.eq.u32 %p3, %r0, 128;
    @%p1 bra FIRST;
    @%p2 bra SECOND;
    @%p3 bra THIRD;
    bra DONE;
FIRST:
    st.global.u32 [%rd1], %r5;
    st.release.gpu.global.u32 [%rd2], 1;
    bra DONE;
SECOND:
    ld.relaxed.gpu.global.u32 %r6, [%rd2];
    setp.ne.u32 %p4, %r6, 1;
    @%p4 bra SECOND;
    {pass}
    bra DONE;
THIRD:
    ld.acquire.gpu.global.u32 %r6, [%rd2];
    setp.ne.u32 %p4, %r6, 2;
    @%p4 bra THIRD;
    ld.global.u32 %r20, [%rd1];
    st.global.u32 [%rd0], %r20;
DONE:
"""

    def launch(how):
        result = np.zeros(1, np.uint32)
        arrays = result, np.zeros(1, np.uint32), np.zeros(1, np.uint32)
        run(body.replace("{pass}", how), *arrays, block=64, grid=3)
        return int(result[0])

    assert launch("atom.relaxed.gpu.global.add.u32 %r6, [%rd2], 1;") == 9
    assert launch("red.relaxed.gpu.global.add.u32 [%rd2], 1;") == 9
    assert launch("fence.acq_rel.gpu;\n    st.relaxed.gpu.global.u32 [%rd2], 2;") == 9
    with pytest.raises(ptx.RaceError):
        launch("st.relaxed.gpu.global.u32 [%rd2], 2;")


@pytest.mark.parametrize("scope", ["cta", "cluster", "gpu", "sys", ""])
@pytest.mark.parametrize("space", ["global", "shared"])
def test_atomics_of_the_block_race_with_those_of_others(space, scope):
    suffix = f".{scope}" * bool(scope)
    body = f"    mov.u64 %rd5, buffer;\n    red{suffix}.global.add.u32 [%rd0], 1;\n"
    if space == "shared":
        body = f"""
    mov.u64 %rd5, buffer;
    setp.eq.u32 %p1, %r3, 0;
    @%p1 st.shared.u32 [%rd5], 0;
    bar.sync 0;
    atom{suffix}.shared.add.u32 %r7, [%rd5], 1;
"""
    x = np.zeros(1, np.uint32)
    run(body, x, block=64, declarations=SHARED)
    if space == "shared" or scope not in ("cta", "cluster"):
        run(body, x, block=64, grid=3, declarations=SHARED)
    else:
        with pytest.raises(ptx.RaceError):
            run(body, x, block=64, grid=3, declarations=SHARED)


def test_strong_accesses_of_two_sizes_race():
    body = """
    setp.eq.u32 %p1, %r0, 0;
    mov.u64 %rd5, 1;
    @%p1 atom.global.add.u64 %rd6, [%rd0], %rd5;
    @!%p1 {other}
"""
    run(body.format(other="red.global.add.u64 [%rd0], 2;"), np.zeros(2, np.uint32), block=2)
    run(body.format(other="red.global.add.u32 [%rd0+8], 2;"), np.zeros(4, np.uint32), block=2)
    with pytest.raises(ptx.RaceError):
        run(body.format(other="red.global.add.u32 [%rd0+4], 2;"), np.zeros(2, np.uint32), block=2)


# The last block to come adds up what all have left, and sets the counter back: `threadFenceReduction`.
LAST_BLOCK = """
    mul.wide.u32 %rd5, %r1, 4;
    add.u64 %rd6, %rd1, %rd5;
    mov.u64 %rd7, buffer;
    setp.eq.u32 %p1, %r3, 0;
    @%p1 st.global.u32 [%rd6], %r1;
    {fence}
    mov.u32 %r9, %nctaid.x;
    sub.u32 %r9, %r9, 1;
    @%p1 {count}
    @%p1 st.shared.u32 [%rd7], %r10;
    bar.sync 0;
    ld.shared.u32 %r11, [%rd7];
    setp.ne.u32 %p2, %r11, %r9;
    @%p2 bra DONE;
    {after}
    mov.u32 %r12, 0;
    mov.u32 %r13, 0;
SUM:
    mul.wide.u32 %rd5, %r13, 4;
    add.u64 %rd6, %rd1, %rd5;
    ld.global.u32 %r14, [%rd6];
    add.u32 %r12, %r12, %r14;
    add.u32 %r13, %r13, 1;
    setp.le.u32 %p3, %r13, %r9;
    @%p3 bra SUM;
    @%p1 st.global.u32 [%rd0], %r12;
    @%p1 st.global.u32 [%rd2], 0;
DONE:
"""
COUNT = "atom.global.add.u32 %r10, [%rd2], 1;"


def sum_in_the_last_block(fence: str, count: str, after: str, grid: int = 40) -> int:
    result, parts, counter = np.zeros(1, np.uint32), np.zeros(grid, np.uint32), np.zeros(1, np.uint32)
    text = LAST_BLOCK.format(fence=fence, count=count, after=after)
    run(text, result, parts, counter, block=64, grid=grid, declarations=SHARED)
    assert counter[0] == 0
    return int(result[0])


def test_the_last_block_adds_up():
    whole = sum(range(40))
    for fence, count, after in (
        ("membar.gl;", COUNT, "membar.gl;"),
        ("fence.acq_rel.gpu;", COUNT, "fence.acq_rel.gpu;"),
        ("", "atom.acq_rel.gpu.global.add.u32 %r10, [%rd2], 1;", ""),
        ("", "atom.acq_rel.gpu.global.inc.u32 %r10, [%rd2], 1000;", ""),
        ("@%p1 fence.acq_rel.gpu;", f"{COUNT}\n    @%p1 fence.acq_rel.gpu;", ""),
    ):
        assert sum_in_the_last_block(fence, count, after) == whole
    for fence, count, after in (
        ("", COUNT, ""),
        ("", COUNT, "membar.gl;"),
        ("membar.gl;", COUNT, ""),
        ("membar.cta;", COUNT, "membar.gl;"),
        ("membar.gl;", COUNT, "membar.cta;"),
        ("", "atom.acquire.gpu.global.add.u32 %r10, [%rd2], 1;", ""),
        ("", "atom.release.gpu.global.add.u32 %r10, [%rd2], 1;", ""),
        ("", "atom.acq_rel.cta.global.add.u32 %r10, [%rd2], 1;", ""),
    ):
        with pytest.raises(ptx.RaceError):
            sum_in_the_last_block(fence, count, after)


def test_the_last_to_count_may_set_the_counter_back_without_a_fence():
    """Atomics at one place are in an order that whoever meets them knows; other memory has none by it."""
    body = """
    atom.relaxed.gpu.global.add.u32 %r5, [%rd0], 1;
    setp.eq.u32 %p1, %r5, {last};
    @%p1 {back}
"""
    x = np.zeros(1, np.uint32)
    run(body.format(last=127, back="st.global.u32 [%rd0], 0;"), x, block=64, grid=2)
    assert x[0] == 0
    for last in (0, 63, 126):  # others may still come
        with pytest.raises(ptx.RaceError):
            run(body.format(last=last, back="st.global.u32 [%rd0], 0;"), x, block=64, grid=2)


# A lock around an addition that is no atomic.
LOCKED = """
    setp.ne.u32 %p1, %r3, 0;
    @%p1 exit;
TRY:
    {lock}
    setp.ne.u32 %p2, %r5, 0;
    @%p2 bra TRY;
    {enter}
    ld.global.u32 %r6, [%rd1];
    add.u32 %r6, %r6, 1;
    st.global.u32 [%rd1], %r6;
    {leave}
"""


def count_with_a_lock(lock: str, enter: str, leave: str, grid: int = 20) -> int:
    total = np.zeros(1, np.uint32)
    text = LOCKED.format(lock=lock, enter=enter, leave=leave)
    run(text, np.zeros(1, np.uint32), total, grid=grid)
    return int(total[0])


def test_spin_locks():
    plain, fence = "atom.global.cas.b32 %r5, [%rd0], 0, 1;", "membar.gl;"
    free = "atom.global.exch.b32 %r7, [%rd0], 0;"
    acquiring, releasing = plain.replace("atom", "atom.acquire.gpu"), "st.release.gpu.global.u32 [%rd0], 0;"
    for parts in (
        (plain, fence, f"{fence}\n    {free}"),
        (acquiring, "", releasing),
        (acquiring, "", f"{fence}\n    st.volatile.global.u32 [%rd0], 0;"),
        (plain.replace("atom", "atom.acq_rel.gpu"), "", free.replace("atom", "atom.release.gpu")),
    ):
        assert count_with_a_lock(*parts) == 20
    for parts in (
        (plain, "", free),
        (plain, fence, free),
        (plain, "", f"{fence}\n    {free}"),
        (acquiring.replace("gpu", "cta"), "", releasing),
        (acquiring, "", releasing.replace("gpu", "cta")),
        (acquiring, "", "st.global.u32 [%rd0], 0;"),
        (plain, "membar.cta;", f"{fence}\n    {free}"),
    ):
        with pytest.raises(ptx.RaceError):
            count_with_a_lock(*parts)


def test_a_barrier_of_the_grid_made_of_atomics():
    """All blocks of a grid that fits the machine: each counts itself, and waits until all have come."""
    body = """
    add.u64 %rd5, %rd0, %rd31;
    st.global.u32 [%rd5], %r0;
    bar.sync 0;
    setp.ne.u32 %p1, %r3, 0;
    @%p1 bra MEET;
    {arrive}
WAIT:
    {wait}
    setp.lt.u32 %p2, %r6, {blocks};
    @%p2 bra WAIT;
    {after}
MEET:
    bar.sync 0;
    xor.b32 %r6, %r0, 64;
    mul.wide.u32 %rd6, %r6, 4;
    add.u64 %rd6, %rd0, %rd6;
    ld.global.u32 %r7, [%rd6];
    add.u64 %rd7, %rd1, %rd31;
    st.global.u32 [%rd7], %r7;
"""

    def launch(arrive, wait, after, blocks=40):
        x, y = np.zeros(64 * blocks, np.uint32), np.zeros(64 * blocks, np.uint32)
        text = body.format(arrive=arrive, wait=wait, after=after, blocks=blocks)
        run(text, x, y, np.zeros(1, np.uint32), block=64, grid=blocks)
        assert y.tolist() == [n ^ 64 for n in range(64 * blocks)]

    count, look = "red.global.add.u32 [%rd2], 1;", "ld.volatile.global.u32 %r6, [%rd2];"
    launch(f"membar.gl;\n    {count}", look, "membar.gl;")
    launch(count.replace("red", "red.release.gpu"), acquire("gpu"), "")
    for parts in (
        (count, look, "membar.gl;"),
        (f"membar.gl;\n    {count}", look, ""),
        (f"membar.cta;\n    {count}", acquire("gpu"), ""),
        (count.replace("red", "red.release.cta"), acquire("gpu"), ""),
    ):
        with pytest.raises(ptx.RaceError):
            launch(*parts, blocks=4)
