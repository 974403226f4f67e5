"""``cp.async``: what is copied, when it may be looked at, and what goes wrong otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import kernel, run

SHARED = ".shared .align 16 .b8 buffer[4096];\n.shared .align 8 .b64 barrier;\n"
# Thread t's place in shared memory is %r11, in the source %rd11, in the result %rd12.
PLACES = """
    mul.lo.u32 %r10, %r3, {size};
    mov.u32 %r11, buffer;
    add.u32 %r11, %r11, %r10;
    cvt.u64.u32 %rd10, %r10;
    add.u64 %rd11, %rd0, %rd10;
    add.u64 %rd12, %rd1, %rd10;
"""
LOADS = {
    4: "    ld.shared.b32 %r20, [{at}];\n    st.global.b32 [%rd12], %r20;\n",
    8: "    ld.shared.b64 %rd20, [{at}];\n    st.global.b64 [%rd12], %rd20;\n",
    16: "    ld.shared.v2.b64 {{%rd20, %rd21}}, [{at}];\n    st.global.v2.b64 [%rd12], {{%rd20, %rd21}};\n",
}
SOURCE = np.random.default_rng(1).integers(1, 255, 64 * 16, dtype=np.uint8)


def copied(
    copy: str, size: int = 4, *, before: str = "", after: str = "cp.async.wait_all;", block: int = 32
) -> np.ndarray:
    """Bytes, shape (threads, size), that threads find in shared memory after a copy."""
    source, result = SOURCE[: block * size].copy(), np.zeros(block * size, np.uint8)
    body = f"{PLACES.format(size=size)}{before}\n    {copy}\n    {after}\n{LOADS[size].format(at='%r11')}"
    run(body, source, ptx.out(result), declarations=SHARED, block=block)
    return result.reshape(block, size)


def fault(error: type[ptx.PtxError], match: str | None = None, **options) -> ptx.PtxError:
    """The fault of a copy, whose text is `copy` unless it is in the options."""
    with pytest.raises(error, match=match) as caught:
        copied(**options)
    return caught.value


@pytest.mark.parametrize(
    ("form", "size", "policy"),
    [
        ("ca.shared.global", 4, False),
        ("ca.shared.global", 8, False),
        ("ca.shared::cta.global", 16, False),
        ("cg.shared.global", 16, False),
        ("cg.shared.global.L2::128B", 16, False),
        ("ca.shared.global.L2::64B", 4, False),
        ("cg.shared.global.L2::256B", 16, False),
        ("cg.shared.global.L2::cache_hint", 16, True),
        ("ca.shared.global.L2::cache_hint.L2::128B", 4, True),
    ],
)
def test_forms(form, size, policy):
    before = "    createpolicy.fractional.L2::evict_last.b64 %rd15, 1.0;\n" if policy else ""
    tail = f"{size}{', %rd15' if policy else ''}"
    result = copied(f"cp.async.{form} [%r11], [%rd11], {tail};", size, before=before)
    assert np.array_equal(result, SOURCE[: 32 * size].reshape(32, size))


@pytest.mark.parametrize("size", [4, 8, 16])
@pytest.mark.parametrize("policy", [False, True])
def test_bytes_beyond_the_source_size_are_zero(size, policy):
    """The thread's number, modulo the size and one, is how many bytes come from the source."""
    before = f"    rem.u32 %r15, %r3, {size + 1};\n    mov.u64 %rd15, 0;\n"
    form = "cp.async.ca.shared.global" + (".L2::cache_hint" if policy else "")
    tail = ", %rd15" if policy else ""
    result = copied(f"{form} [%r11], [%rd11], {size}, %r15{tail};", size, before=before)
    expected = SOURCE[: 32 * size].reshape(32, size).copy()
    for thread in range(32):
        expected[thread, thread % (size + 1) :] = 0
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("negated", [False, True])
def test_source_that_is_ignored(negated):
    before = "    setp.lt.u32 %p1, %r3, 20;\n"
    result = copied(
        f"cp.async.cg.shared.global [%r11], [%rd11], 16, {'!' if negated else ''}%p1;", 16, before=before
    )
    ignored = (np.arange(32) < 20) != negated
    assert np.array_equal(result, np.where(ignored[:, None], 0, SOURCE[:512].reshape(32, 16)))


def test_nothing_is_read_beyond_the_source_size():
    """The array ends in the middle of the last thread's copy; a copy of nothing may point anywhere."""
    body = (
        PLACES.format(size=16)
        + (
            "    mov.u32 %r15, 16;\n    setp.eq.u32 %p1, %r3, 30;\n    @%p1 mov.u32 %r15, 7;\n"
            "    setp.eq.u32 %p1, %r3, 31;\n    @%p1 mov.u32 %r15, 0;\n    @%p1 mov.u64 %rd11, 160;\n"
            "    cp.async.cg.shared.global [%r11], [%rd11], 16, %r15;\n    cp.async.wait_all;\n"
        )
        + LOADS[16].replace("{at}", "%r11")
    )
    source, result = SOURCE[: 30 * 16 + 7].copy(), np.zeros(512, np.uint8)
    body = body.replace("{{", "{").replace("}}", "}")
    run(body, source, result, declarations=SHARED)
    assert np.array_equal(result, np.pad(source, (0, 512 - source.size)))
    with pytest.raises(ptx.OutOfBoundsError, match="array 0"):
        run(body.replace("%r15, 7", "%r15, 8"), source, result, declarations=SHARED)


@pytest.mark.parametrize(
    ("copy", "error", "match"),
    [
        ("cp.async.ca.shared.global [%r11+2], [%rd11], 4;", ptx.MisalignedError, "aligned to 4"),
        ("cp.async.ca.shared.global [%r11], [%rd11+1], 4;", ptx.MisalignedError, "source"),
        ("cp.async.ca.shared.global [%r11], [%rd11+1], 4, 0;", ptx.MisalignedError, "source"),
        ("cp.async.ca.shared.global [%r11+4096], [%rd11], 4;", ptx.OutOfBoundsError, "shared memory"),
        ("cp.async.ca.shared.global [%r11], [%rd11+4], 4;", ptx.OutOfBoundsError, "array 0"),
        ("cp.async.ca.shared.global [%r11], [%rd11], 4, 5;", ptx.OutOfBoundsError, "5 bytes of source"),
        ("cp.async.ca.shared.global [%r11], [%rd11], 4, %r30;", ptx.UninitialisedError, "%r30"),
        ("cp.async.ca.shared.global [%r11], [%rd11], 4, %p9;", ptx.UninitialisedError, "%p9"),
        ("cp.async.ca.shared.global [%r31], [%rd11], 4;", ptx.UninitialisedError, "address"),
    ],
)
def test_faults_of_a_copy(copy, error, match):
    found = fault(error, match, copy=copy)
    assert found.instruction == copy and found.thread is not None


@pytest.mark.parametrize(
    "copy",
    [
        "cp.async.cg.shared.global [%r11], [%rd11], 8;",
        "cp.async.ca.shared.global [%r11], [%rd11], 12;",
        "cp.async.ca.shared.global [%r11], [%rd11];",
        "cp.async.ca.shared.global [%r11], [%rd11], 4, 4, 4;",
        "cp.async.ca.shared.global.L2::cache_hint [%r11], [%rd11], 4;",
        "cp.async.ca.global.shared [%r11], [%rd11], 4, 4, 4;",
        "cp.async.cv.shared.global [%r11], [%rd11], 4;",
        "cp.async.ca.shared.global.nonsense [%r11], [%rd11], 4;",
    ],
)
def test_what_is_no_copy(copy):
    with pytest.raises(ptx.UnknownInstructionError):
        copied(copy)


COPY = "cp.async.ca.shared.global [%r11], [%rd11], 4;"
GROUP = "    cp.async.commit_group;\n"


@pytest.mark.parametrize(
    "after",
    [
        "",
        "cp.async.commit_group;",
        "cp.async.wait_group 0;",
        "cp.async.commit_group;\n    cp.async.wait_group 1;",
        "cp.async.commit_group;\n    cp.async.commit_group;\n    cp.async.wait_group 2;",
        "bar.sync 0;",
    ],
)
def test_wait_that_is_missing_or_too_weak(after):
    found = fault(ptx.AsynchronousError, "read of memory still being written", copy=COPY, after=after)
    assert found.instruction.startswith("ld.shared")


@pytest.mark.parametrize(
    "after",
    [
        "cp.async.wait_all;",
        "cp.async.commit_group;\n    cp.async.wait_group 0;",
        "cp.async.commit_group;\n    cp.async.commit_group;\n    cp.async.wait_group 1;",
        "cp.async.commit_group;\n    cp.async.wait_all;",
    ],
)
def test_wait_that_is_enough(after):
    assert np.array_equal(copied(COPY, after=after), SOURCE[:128].reshape(32, 4))


def test_groups_of_threads_are_their_own():
    """Odd threads commit one more empty group, so waiting for all but one covers their copies only."""
    odd = "    and.b32 %r15, %r3, 1;\n    setp.eq.u32 %p1, %r15, {which};\n"
    after = GROUP + odd.format(which=1) + "    @%p1 cp.async.commit_group;\n    cp.async.wait_group 1;\n"
    found = fault(ptx.AsynchronousError, copy=COPY, after=after)
    assert found.thread == (0, 0, 0)
    only_odd = after + odd.format(which=0) + "    @%p1 cp.async.wait_all;\n"
    assert np.array_equal(copied(COPY, after=only_odd), SOURCE[:128].reshape(32, 4))


@pytest.mark.parametrize(
    ("between", "match"),
    [
        ("st.shared.b32 [%r11], %r3;", "store to memory still being written"),
        (COPY, "store to memory still being written"),
        ("atom.shared.add.u32 %r15, [%r11], 1;", "still being written"),
        ("st.global.b32 [%rd11], %r3;", "store to memory still being read"),
    ],
)
def test_memory_in_use_by_a_copy(between, match):
    found = fault(ptx.AsynchronousError, match, copy=COPY, after=f"{between}\n    cp.async.wait_all;")
    assert found.instruction == between


def test_source_may_change_after_the_wait():
    after = "cp.async.wait_all;\n    st.global.b32 [%rd11], %r3;"
    assert np.array_equal(copied(COPY, after=after), SOURCE[:128].reshape(32, 4))


def test_two_threads_copy_to_one_place():
    with pytest.raises(ptx.RaceError, match="write"):
        copied(COPY, before="    mov.u32 %r11, buffer;\n")


def test_source_that_nothing_has_written():
    """The copy itself is no fault; the value is when it reaches a store."""
    body = PLACES.format(size=4) + f"    {COPY}\n    cp.async.wait_all;\n    ld.shared.b32 %r20, [%r11];\n"
    run(body, ptx.out(np.zeros(32, np.uint32)), np.zeros(32, np.uint32), declarations=SHARED)
    with pytest.raises(ptx.UninitialisedError, match="%r20"):
        run(
            body + "    st.global.b32 [%rd12], %r20;\n",
            ptx.out(np.zeros(32, np.uint32)),
            np.zeros(32, np.uint32),
            declarations=SHARED,
        )


def test_copies_that_nobody_waits_for():
    """They are dropped at the end, also for the blocks that run after these."""
    body = PLACES.format(size=4) + f"    {COPY}\n    st.global.b32 [%rd12], %r3;\n"
    result = np.zeros(32, np.uint32)
    launched = kernel(body, 2, SHARED)
    launched.launch(1, 32, SOURCE[:128].copy(), result)
    assert result.tolist() == list(range(32))
    with pytest.raises(ptx.RaceError, match="array 1"):
        launched.launch(600, 32, SOURCE[:128].copy(), result)


# Thread t reads what its neighbour in the block copied.
NEIGHBOUR = (
    PLACES.format(size=4)
    + """
    {copy}
    {wait}
    {barrier}
    xor.b32 %r13, %r10, {distance};
    mov.u32 %r14, buffer;
    add.u32 %r13, %r13, %r14;
    ld.shared.b32 %r20, [%r13];
    st.global.b32 [%rd12], %r20;
"""
)


def neighbour(barrier="bar.sync 0;", wait="cp.async.wait_all;", distance=4, **options):
    result = np.zeros(64, np.uint32)
    body = NEIGHBOUR.format(copy=COPY, barrier=barrier, wait=wait, distance=distance)
    run(body, SOURCE[:256].copy(), ptx.out(result), declarations=SHARED, block=64, **options)
    assert result.tolist() == SOURCE[:256].view(np.uint32)[np.arange(64) ^ (distance // 4)].tolist()


def test_data_of_another_thread():
    neighbour()
    neighbour(barrier="bar.warp.sync -1;")
    neighbour(distance=128)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"barrier": ""}, ptx.RaceError),
        ({"barrier": "bar.warp.sync -1;", "distance": 128}, ptx.RaceError),
        ({"barrier": "cp.async.wait_all;", "wait": "bar.sync 0;"}, ptx.RaceError),
        ({"wait": ""}, ptx.AsynchronousError),
        ({"wait": "cp.async.commit_group;\n    cp.async.wait_group 1;"}, ptx.AsynchronousError),
    ],
)
def test_data_of_another_thread_too_early(changes, error):
    with pytest.raises(error):
        neighbour(**changes)


def test_slot_refilled_while_another_thread_reads_it():
    """The neighbour's read and the next copy: a barrier must come before the copy, not before its wait."""
    again = "    {first}\n" + COPY + "\n    {second}\n    cp.async.wait_all;\n"
    body = NEIGHBOUR.format(copy=COPY, barrier="bar.sync 0;", wait="cp.async.wait_all;", distance=4) + again
    arrays = SOURCE[:256].copy(), ptx.out(np.zeros(64, np.uint32))
    run(body.format(first="bar.sync 0;", second=""), *arrays, declarations=SHARED, block=64)
    for second in ("", "bar.sync 0;"):
        with pytest.raises(ptx.RaceError):
            run(body.format(first="", second=second), *arrays, declarations=SHARED, block=64)


# Thread 0 of each block initialises an mbarrier for all threads; everybody's copies complete on it.
TRACKED = (
    PLACES.format(size=4)
    + """
    mov.u32 %r16, barrier;
    setp.eq.u32 %p1, %r3, 0;
    @%p1 mbarrier.init.shared.b64 [%r16], {expected};
    bar.sync 0;
    {before}
    cp.async.ca.shared.global [%r11], [%rd11], 4;
    {between}
    cp.async.mbarrier.arrive{form}.b64 [%r16];
    {after}
WAIT:
    mbarrier.test_wait.parity.shared.b64 %p2, [%r16], 0;
    @!%p2 bra WAIT;
    xor.b32 %r13, %r10, 128;
    mov.u32 %r14, buffer;
    add.u32 %r13, %r13, %r14;
    ld.shared.b32 %r20, [%r13];
    st.global.b32 [%rd12], %r20;
"""
)


def tracked(form=".noinc.shared", expected=64, between="", after="", before="", drop=""):
    result = np.zeros(64, np.uint32)
    body = TRACKED.format(form=form, expected=expected, between=between, after=after, before=before)
    body = body.replace(drop, "", 1) if drop else body
    run(body, SOURCE[:256].copy(), ptx.out(result), declarations=SHARED, block=64)
    assert result.tolist() == SOURCE[:256].view(np.uint32)[np.arange(64) ^ 32].tolist()


ARRIVE = "mbarrier.arrive.shared.b64 %rd20, [%r16];"


def test_copies_that_complete_on_an_mbarrier():
    tracked()
    tracked(form=".noinc.shared::cta")
    tracked(form=".shared", after=ARRIVE)
    tracked(between="cp.async.commit_group;")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"drop": "    cp.async.mbarrier.arrive.noinc.shared.b64 [%r16];"}, ptx.BarrierError),
        ({"expected": 65}, ptx.BarrierError),
        ({"expected": 63}, ptx.BarrierError),
        ({"form": ".shared"}, ptx.BarrierError),
        ({"drop": "    @!%p2 bra WAIT;"}, ptx.AsynchronousError),
        (
            {
                "after": ARRIVE.replace("%rd20", "_"),
                "drop": "cp.async.mbarrier.arrive.noinc.shared.b64 [%r16];",
            },
            ptx.AsynchronousError,
        ),
        ({"drop": "bar.sync 0;"}, ptx.RaceError),
        (
            {"before": ARRIVE, "drop": "cp.async.mbarrier.arrive.noinc.shared.b64 [%r16];"},
            ptx.AsynchronousError,
        ),
    ],
)
def test_mbarrier_that_does_not_fit_the_copies(changes, error):
    with pytest.raises(error):
        tracked(**changes)


def test_mbarrier_tracks_copies_and_not_stores():
    """What a thread stored itself is not handed on by the arrival of its copies."""
    with pytest.raises(ptx.RaceError):
        tracked(drop="cp.async.ca.shared.global [%r11], [%rd11], 4;", before="st.shared.b32 [%r11], %r3;")


def test_read_without_waiting_for_the_mbarrier():
    """Half of the threads do not wait; the other half's wait is not theirs."""
    body = TRACKED.format(
        form=".noinc.shared",
        expected=64,
        between="",
        before="",
        after="setp.lt.u32 %p3, %r3, 32;\n    @%p3 bra READ;",
    )
    early = body.replace("    xor.b32 %r13, %r10, 128;", "READ:\n    xor.b32 %r13, %r10, 128;")
    with pytest.raises(ptx.AsynchronousError):
        run(early, SOURCE[:256].copy(), np.zeros(64, np.uint32), declarations=SHARED, block=64)
    sleep = "".join(f"    nanosleep.u32 20;\n    bra LATER{n};\nLATER{n}:\n" for n in range(4))
    read = body[body.index("    xor.b32 %r13") :]
    late = early.replace("@%p3 bra READ;", "@%p3 bra LATER;")
    late += f"    bra DONE;\nLATER:\n{sleep}{read}DONE:\n"
    with pytest.raises(ptx.RaceError, match="by an asynchronous copy"):
        run(late, SOURCE[:256].copy(), np.zeros(64, np.uint32), declarations=SHARED, block=64)


def test_traffic():
    """Global memory is read in sectors, shared memory written in passes; zero fill reads nothing."""
    body = PLACES.format(size=16) + "    setp.ge.u32 %p1, %r3, 16;\n"
    body += "    cp.async.cg.shared.global [%r11], [%rd11], 16, %p1;\n    cp.async.wait_all;\n"
    report = run(body, SOURCE[:512].copy(), np.zeros(1), declarations=SHARED, count_memory=True)
    read, written = report.traffic("global", "cp.async"), report.traffic("shared", "cp.async")
    assert (read.requests, read.bytes, read.sectors) == (1, 256, 8)
    assert (written.requests, written.bytes, written.wavefronts, written.phases) == (1, 512, 4, 4)
    assert [line.warps for line in report.lines if line.opcode.startswith("cp.async.cg")] == [1, 0]
    assert report.opcodes["cp.async.cg.shared.global"] == 1
