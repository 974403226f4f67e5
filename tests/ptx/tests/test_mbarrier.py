"""Mbarriers: counts, phases and bytes, what they order, and how they are misused."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import run, stored

SHARED = ".shared .align 16 .b8 buffer[1024];\n.shared .align 8 .b64 barrier[4];\n"
# %r10 is the address of the mbarrier; %p1 holds for thread 0, which initialises it.
INIT = """
    mov.u32 %r10, barrier;
    setp.eq.u32 %p1, %r3, 0;
    @%p1 mbarrier.init.shared.b64 [%r10], {count};
    bar.sync 0;
"""
SPIN = """
WAIT{name}:
    mbarrier.{wait}.parity.shared.b64 %p2, [%r10], {parity};
    @!%p2 bra WAIT{name};
"""


def wait(parity: int = 0, name: object = "", wait: str = "try_wait") -> str:
    return SPIN.format(parity=parity, name=name, wait=wait)


def results(body: str, count: int = 32, block: int = 32, **options) -> list[int]:
    """What each thread leaves in %r20 after an mbarrier for `count` arrivals is initialised."""
    return stored(INIT.format(count=count) + body, declarations=SHARED, block=block, **options)


def fails(error: type[ptx.PtxError], match: str | None, body: str, count: int = 32, **options) -> None:
    with pytest.raises(error, match=match) as caught:
        results(body + "    mov.u32 %r20, 0;\n", count, **options)
    assert caught.value.line is not None


# -- counting --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        "arrive.shared.b64 %rd20, [%r10]",
        "arrive.shared::cta.b64 _, [%r10]",
        "arrive.shared::cluster.b64 _, [%r10]",
        "arrive.release.cta.shared::cta.b64 %rd20, [%r10], 1",
        "arrive.release.cluster.shared::cluster.b64 _, [%r10]",
        "arrive.relaxed.cta.shared::cta.b64 %rd20, [%r10]",
        "arrive.expect_tx.shared::cta.b64 _, [%r10], 0",
    ],
)
@pytest.mark.parametrize("waits", ["test_wait", "try_wait"])
def test_arrivals_complete_a_phase(form, waits):
    body = f"    mbarrier.{form};\n{wait(wait=waits)}    mov.u32 %r20, 5;\n"
    assert results(body) == [5] * 32


def test_generic_address():
    body = """
    mov.u64 %rd10, barrier;
    cvta.shared.u64 %rd10, %rd10;
    mbarrier.arrive.b64 %rd20, [%rd10];
GENERIC:
    mbarrier.test_wait.b64 %p2, [%rd10], %rd20;
    @!%p2 bra GENERIC;
    mov.u32 %r20, 1;
"""
    assert results(body) == [1] * 32
    on_global = "    mbarrier.arrive.b64 %rd20, [%rd0];\n"
    with pytest.raises(ptx.OutOfBoundsError, match="outside of shared memory"):
        run(INIT.format(count=32) + on_global, np.zeros(4, np.uint64), declarations=SHARED)


def test_phases_alternate_in_parity():
    """Before the first phase is complete, the one before it counts as such."""
    body = "    mov.u32 %r20, 0;\n" + wait(1, "early")
    for phase in range(5):
        body += "    mbarrier.arrive.shared.b64 _, [%r10];\n" + wait(phase % 2, phase)
        body += "    add.u32 %r20, %r20, 1;\n"
    assert results(body) == [5] * 32


def test_pending_counts():
    """The state that an arrival returns is that before it."""
    body = """
    mbarrier.arrive.noComplete.release.cta.shared.b64 %rd20, [%r10], 2;
    mbarrier.pending_count.b64 %r20, %rd20;
"""
    assert sorted(results(body, count=100)) == list(range(100 - 2 * 31, 101, 2))


def test_count_of_an_arrival():
    body = f"""
    add.u32 %r11, %r3, 1;
    mbarrier.arrive.shared.b64 %rd20, [%r10], %r11;
{wait()}    mov.u32 %r20, 1;
"""
    assert results(body, count=32 * 33 // 2) == [1] * 32
    fails(ptx.BarrierError, "never comes", body, count=32 * 33 // 2 + 1)
    fails(ptx.BarrierError, "arrivals at the mbarrier", body, count=32 * 33 // 2 - 1)


def test_dropping_out():
    """16 threads drop out of the first phase, so the second expects only the others."""
    body = f"""
    setp.lt.u32 %p3, %r3, 16;
    @%p3 mbarrier.arrive_drop.shared.b64 %rd20, [%r10];
    @!%p3 mbarrier.arrive.shared.b64 %rd20, [%r10];
{wait(0, 0)}
    @%p3 bra DONE;
    mbarrier.arrive.shared.b64 %rd20, [%r10];
{wait(1, 1)}
DONE:
    mov.u32 %r20, 1;
"""
    assert results(body) == [1] * 32
    fails(ptx.BarrierError, "never comes", body.replace("arrive_drop", "arrive"))
    everybody = "    mbarrier.arrive_drop.shared.b64 %rd20, [%r10];\n"
    fails(ptx.BarrierError, "leaves no arrivals", everybody)


def test_bytes_hold_up_a_phase():
    body = f"""
    setp.ne.u32 %p3, %r3, 5;
    @%p3 mbarrier.arrive.shared.b64 _, [%r10];
    @!%p3 mbarrier.arrive.expect_tx.shared.b64 _, [%r10], 64;
    @%p1 mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r10], 16;
    mbarrier.complete_tx.shared::cta.b64 [%r10], 2;
    @%p1 mbarrier.complete_tx.relaxed.cluster.shared::cluster.b64 [%r10], 16;
{wait()}    mov.u32 %r20, 1;
"""
    # Thread 0 may expect its 16 bytes only while the phase is incomplete: the arrival of thread 5
    # comes first, but 64 bytes are missing then.
    assert results(body) == [1] * 32
    fails(ptx.BarrierError, "lacks 0 of 32 arrivals and 1 bytes", body.replace("], 64", "], 65"))
    fails(ptx.BarrierError, "and -1 bytes", body.replace("], 64", "], 63"))


def test_state_of_a_phase():
    """Waiting with a state: the phase of the arrival and, until the next completes, still that one."""
    body = """
    mbarrier.arrive.shared.b64 %rd20, [%r10];
FIRST:
    mbarrier.try_wait.shared.b64 %p2, [%r10], %rd20, 1000;
    @!%p2 bra FIRST;
    mbarrier.arrive.shared.b64 %rd21, [%r10];
SECOND:
    mbarrier.test_wait.acquire.cta.shared::cta.b64 %p2, [%r10], %rd21;
    @!%p2 bra SECOND;
    mov.u32 %r20, 1;
"""
    assert results(body) == [1] * 32
    again = "    mbarrier.test_wait.shared.b64 %p2, [%r10], %rd20;\n"
    fails(ptx.BarrierError, "a wait for phase 0 of an mbarrier whose phase 2 is current", body + again)


def test_test_fails_until_the_phase_is_complete():
    body = """
    setp.lt.u32 %p3, %r3, {some};
    @%p3 mbarrier.arrive.shared.b64 _, [%r10];
    bar.sync 0;
    mbarrier.test_wait.parity.shared.b64 %p2, [%r10], 0;
    selp.u32 %r20, 1, 0, %p2;
"""
    assert results(body.format(some=31)) == [0] * 32
    assert results(body.format(some=32)) == [1] * 32


def test_mbarrier_can_be_initialised_again_after_inval():
    again = "    bar.sync 0;\n    @%p1 mbarrier.init.shared.b64 [%r10], 2;\n"
    inval = "    bar.sync 0;\n    @%p1 mbarrier.inval.shared.b64 [%r10];\n"
    assert results(inval + again + "    mov.u32 %r20, 3;\n") == [3] * 32
    fails(ptx.BarrierError, "again without mbarrier.inval", again)


# -- what it orders --------------------------------------------------------------------------------

# Thread 0 writes, the others read after the mbarrier.
MESSAGE = """
    @%p1 st.shared.u32 [buffer], 77;
    mbarrier.arrive{order}.shared.b64 _, [%r10];
WAIT:
    mbarrier.try_wait.parity{acquire}.shared.b64 %p2, [%r10], 0;
    @!%p2 bra WAIT;
    ld.shared.u32 %r20, [buffer];
"""


def test_arrival_and_wait_order_memory():
    assert results(MESSAGE.format(order="", acquire="")) == [77] * 32
    explicit = MESSAGE.format(order=".release.cta", acquire=".acquire.cta")
    assert results(explicit, block=128, count=128, grid=3) == [77] * 384


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("arrive{order}", "arrive.relaxed.cta", ptx.RaceError),
        ("parity{acquire}", "parity.relaxed.cta", ptx.RaceError),
        ("[%r10], 0", "[%r10], 1", ptx.BarrierError),
        ("@!%p2 bra WAIT", "// ", ptx.RaceError),
    ],
)
def test_message_without_its_order(old, new, error):
    assert old in MESSAGE
    fails(error, None, MESSAGE.replace(old, new).format(order="", acquire=""))


def test_message_by_another_mbarrier():
    """Two mbarriers: the reader waits for the one at which nobody arrives after writing."""
    body = """
    add.u32 %r11, %r10, 8;
    @%p1 mbarrier.init.shared.b64 [%r11], 32;
    bar.sync 0;
    mbarrier.arrive.shared.b64 _, [{first}];
    @%p1 st.shared.u32 [buffer], 77;
    mbarrier.arrive.shared.b64 _, [{second}];
WAIT:
    mbarrier.try_wait.parity.shared.b64 %p2, [%r10], 0;
    @!%p2 bra WAIT;
    ld.shared.u32 %r20, [buffer];
"""
    assert results(body.format(first="%r11", second="%r10")) == [77] * 32
    fails(ptx.RaceError, None, body.format(first="%r10", second="%r11"))


# One producer and one consumer warp, with a slot that is full or empty.
PIPELINE = """
    add.u32 %r11, %r10, 8;
    @%p1 mbarrier.init.shared.b64 [%r11], 32;
    bar.sync 0;
    mov.u32 %r12, 0;
    mov.u32 %r20, 0;
    and.b32 %r13, %r3, 31;
    mul.lo.u32 %r13, %r13, 4;
    mov.u32 %r14, buffer;
    add.u32 %r13, %r13, %r14;
    setp.ge.u32 %p3, %r3, 32;
    @%p3 bra CONSUME;
PRODUCE:
    and.b32 %r15, %r12, 1;
    xor.b32 %r16, %r15, 1;
EMPTY:
    mbarrier.try_wait.parity.shared.b64 %p2, [%r11], %r16;
    @!%p2 bra EMPTY;
    add.u32 %r17, %r12, 1;
    st.shared.u32 [%r13], %r17;
    mbarrier.arrive.shared.b64 _, [%r10];
    add.u32 %r12, %r12, 1;
    setp.lt.u32 %p4, %r12, 6;
    @%p4 bra PRODUCE;
    bra DONE;
CONSUME:
    and.b32 %r15, %r12, 1;
FULL:
    mbarrier.try_wait.parity.shared.b64 %p2, [%r10], %r15;
    @!%p2 bra FULL;
    xor.b32 %r18, %r13, 4;
    ld.shared.u32 %r17, [%r18];
    mad.lo.u32 %r20, %r20, 10, %r17;
    mbarrier.arrive.shared.b64 _, [%r11];
    add.u32 %r12, %r12, 1;
    setp.lt.u32 %p4, %r12, 6;
    @%p4 bra CONSUME;
DONE:
"""


def test_producer_and_consumer():
    assert results(PIPELINE, block=64) == [0] * 32 + [123456] * 32


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("@!%p2 bra EMPTY", "// ", ptx.BarrierError),
        ("@!%p2 bra FULL", "// ", ptx.RaceError),
        ("xor.b32 %r16, %r15, 1", "mov.b32 %r16, %r15", ptx.BarrierError),
        ("[%r10], %r15", "[%r10], 1", ptx.BarrierError),
        ("[%r11], 32", "[%r11], 33", ptx.BarrierError),
        ("[%r11], 32", "[%r11], 31", ptx.BarrierError),
        ("mbarrier.arrive.shared.b64 _, [%r10]", "mbarrier.arrive.shared.b64 _, [%r11]", ptx.BarrierError),
        (
            "st.shared.u32 [%r13], %r17;\n    mbarrier.arrive.shared.b64 _, [%r10];",
            "mbarrier.arrive.shared.b64 _, [%r10];\n    st.shared.u32 [%r13], %r17;",
            ptx.RaceError,
        ),
        (
            "ld.shared.u32 %r17, [%r18];\n    mad.lo.u32 %r20, %r20, 10, %r17;\n"
            "    mbarrier.arrive.shared.b64 _, [%r11];",
            "mbarrier.arrive.shared.b64 _, [%r11];\n    ld.shared.u32 %r17, [%r18];\n"
            "    mad.lo.u32 %r20, %r20, 10, %r17;",
            ptx.RaceError,
        ),
        ("and.b32 %r15, %r12, 1;\nFULL", "mov.b32 %r15, %r12;\nFULL", ptx.BarrierError),
    ],
)
def test_faults_of_a_pipeline(old, new, error):
    assert PIPELINE.count(old) == 1
    with pytest.raises(error):
        results(PIPELINE.replace(old, new), block=64)


# -- misuse ----------------------------------------------------------------------------------------


def test_thread_that_uses_it_before_it_is_initialised():
    for missing, error in (
        ("    bar.sync 0;\n", ptx.RaceError),
        ("@%p1 mbarrier.init", ptx.UninitialisedError),
    ):
        text = INIT.format(count=32).replace(missing, "// " if "init" in missing else "")
        with pytest.raises(error):
            stored(
                text + "    mbarrier.arrive.shared.b64 _, [%r10];\n    mov.u32 %r20, 0;\n",
                declarations=SHARED,
            )


@pytest.mark.parametrize(
    ("body", "error", "match"),
    [
        ("mbarrier.arrive.shared.b64 _, [%r10+8];", ptx.UninitialisedError, "not initialised"),
        ("mbarrier.arrive.shared.b64 _, [%r10+4];", ptx.MisalignedError, "aligned to 8"),
        ("mbarrier.arrive.shared.b64 _, [%r10+4096];", ptx.OutOfBoundsError, "shared memory"),
        ("mbarrier.arrive.shared.b64 _, [%r10], 2;", ptx.BarrierError, "64 arrivals"),
        ("mbarrier.arrive.shared.b64 _, [%r10], 0;", ptx.BarrierError, "arrivals"),
        ("mbarrier.arrive.shared.b64 _, [%r10], %r40;", ptx.UninitialisedError, "%r40"),
        ("mbarrier.arrive.noComplete.shared.b64 %rd20, [%r10], 1;", ptx.BarrierError, "noComplete"),
        ("mbarrier.expect_tx.shared.b64 [%r10], 1048576;", ptx.BarrierError, "bytes for one phase"),
        ("mbarrier.complete_tx.shared.b64 [%r10], 32768;", ptx.BarrierError, "-1048576 bytes"),
        ("mbarrier.try_wait.parity.shared.b64 %p2, [%r10], 2;", ptx.BarrierError, "a parity of 2"),
        ("mbarrier.test_wait.shared.b64 %p2, [%r10], %rd19;", ptx.UninitialisedError, "%rd19"),
        ("@%p1 mbarrier.init.shared.b64 [%r10+8], 0;", ptx.BarrierError, "for 0 arrivals"),
        ("@%p1 mbarrier.init.shared.b64 [%r10+8], 1048576;", ptx.BarrierError, "not from 1 to 1048575"),
        ("@%p1 mbarrier.inval.shared.b64 [%r10+8];", ptx.UninitialisedError, "not initialised"),
        ("ld.shared.b64 %rd20, [%r10];", ptx.AsynchronousError, "read of memory"),
        ("st.shared.b32 [%r10+4], %r3;", ptx.AsynchronousError, "store to memory"),
        (
            "@%p1 mbarrier.inval.shared.b64 [%r10];\n    bar.sync 0;\n    ld.shared.b64 %rd20, [%r10];\n"
            "    cvt.u32.u64 %r20, %rd20;\n    st.shared.b32 [buffer], %r20;",
            ptx.UninitialisedError,
            "%r20",
        ),
        (
            "mbarrier.arrive.shared.b64 _, [%r10];\n    mbarrier.arrive.shared.b64 _, [%r10];",
            ptx.BarrierError,
            "before any thread has waited",
        ),
    ],
)
def test_misuse(body, error, match):
    fails(error, match, f"    {body}\n")


def test_threads_that_wait_for_ever_are_found_soon():
    """Also when the others wait at a barrier of the block, or have exited."""
    stuck = "    setp.lt.u32 %p3, %r3, 16;\n    @%p3 {others};\n" + wait()
    fails(ptx.BarrierError, "lacks 32 of 32 arrivals", wait(), limit=3000)
    fails(ptx.BarrierError, "lacks 32 of 32 arrivals", stuck.format(others="exit"), limit=3000)
    fails(ptx.BarrierError, "lacks 32 of 32 arrivals", stuck.format(others="barrier.sync 1"), limit=3000)


@pytest.mark.parametrize(
    "text",
    [
        "mbarrier.arrive.shared.b32 _, [%r10];",
        "mbarrier.arrive.noComplete.shared.b64 %rd20, [%r10];",
        "mbarrier.test_wait.parity.shared.b64 %p2, [%r10], 0, 1000;",
        "mbarrier.arrive.global.b64 _, [%r10];",
        "mbarrier.depart.shared.b64 _, [%r10];",
    ],
)
def test_what_is_no_mbarrier_instruction(text):
    with pytest.raises(ptx.UnknownInstructionError):
        results(f"    {text}\n    mov.u32 %r20, 0;\n")
