"""Bulk copies of plain bytes into shared memory: forms, waiting, the two proxies, and what goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import run
from .bulk_assemble import FILL, SHARED, load_text, loaded

SOURCE = np.random.default_rng(2).integers(0, 256, 1024, dtype=np.uint8)
LOAD = "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r10], [%rd0], 512, [%r11];"


def load_fault(error, match, change=None, copy=LOAD, source=SOURCE, **options):
    """The fault of a load whose text `change`, a pair of strings, alters."""
    text = load_text(copy, 512, **options)
    if change is not None:
        assert text.count(change[0]) == 1
        text = text.replace(*change)
    with pytest.raises(error, match=match) as caught:
        run(text, source.copy(), ptx.out(np.zeros(512, np.uint8)), declarations=SHARED, block=64)
    return caught.value


@pytest.mark.parametrize(
    ("old", "new", "before"),
    [
        ("", "", ""),
        ("shared::cluster", "shared::cta", ""),
        ("bytes [", "bytes.L2::cache_hint [", "    mov.u64 %rd9, 0;\n"),
        ("bytes [", "bytes.multicast::cluster [", "    mov.u16 %h3, 1;\n"),
        (
            "bytes [",
            "bytes.multicast::cluster.L2::cache_hint [",
            "    mov.u16 %h3, 1;\n    mov.u64 %rd9, 0;\n",
        ),
        ("512", "%r12", "    mov.u32 %r12, 512;\n"),
    ],
)
def test_loads(old, new, before):
    tail = (", %h3" if "multicast" in new else "") + (", %rd9" if "hint" in new else "")
    copy = (LOAD.replace(old, new) if old else LOAD).replace("[%r11]", "[%r11]" + tail)
    result = loaded(copy, 512, SOURCE.copy(), before=before)
    assert np.array_equal(result, SOURCE[:512])


def test_each_block_loads_its_own():
    before = (
        "    mul.wide.u32 %rd5, %r1, 512;\n    add.u64 %rd0, %rd0, %rd5;\n    add.u64 %rd1, %rd1, %rd5;\n"
    )
    source = np.random.default_rng(3).integers(0, 256, 512 * 9, dtype=np.uint8)
    result = np.zeros_like(source)
    text = load_text(LOAD, 512, before=before)
    run(text, source, ptx.out(result), declarations=SHARED, block=64, grid=9)
    assert np.array_equal(result, source)


def test_two_copies_in_one_phase_and_a_second_phase():
    """Each phase needs what was expected: with less, the second copy is not there yet."""
    halves = (
        LOAD.replace("512", "256")
        + "\n    @%p1 "
        + LOAD.replace("512", "256").replace("[%r10]", "[%r10+256]").replace("[%rd0]", "[%rd0+256]")
    )
    assert np.array_equal(loaded(halves, 512, SOURCE.copy()), SOURCE[:512])
    found = load_fault(ptx.AsynchronousError, "read of memory still being written", copy=halves, expected=256)
    assert found.instruction.startswith("ld.shared")


def test_copy_within_shared_memory():
    copy = (
        LOAD
        + "\n"
        + """
FIRST:
    mbarrier.try_wait.parity.shared.b64 %p2, [%r11], 0;
    @!%p2 bra FIRST;
    @%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r11], 256;
    add.u32 %r9, %r10, 256;
    @%p1 cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%r10], [%r9], 256, [%r11];"""
    )
    text = load_text(copy, 512).replace(
        "b64 %p2, [%r11], 0;\n    @!%p2 bra WAIT", "b64 %p2, [%r11], 1;\n    @!%p2 bra WAIT"
    )
    result = np.zeros(512, np.uint8)
    run(text, SOURCE.copy(), ptx.out(result), declarations=SHARED, block=64)
    assert np.array_equal(result, np.tile(SOURCE[256:512], 2))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (("    @!%p2 bra WAIT;", ""), ptx.AsynchronousError, "still being written"),
        (("[%r11], 0;", "[%r11], 1;"), ptx.AsynchronousError, "still being written"),
        (("b64 _, [%r11], 512;", "b64 _, [%r11], 496;"), ptx.BarrierError, "496 bytes, with 512 bytes"),
        (("b64 _, [%r11], 512;", "b64 _, [%r11], 528;"), ptx.BarrierError, "528 bytes, with 512 bytes"),
        (
            ("arrive.expect_tx.shared.b64 _, [%r11], 512", "arrive.shared.b64 _, [%r11]"),
            ptx.AsynchronousError,
            "read of memory still being written",
        ),
        (("@%p1 mbarrier.arrive.expect_tx", "// "), ptx.BarrierError, "lacks 1 of 1 arrivals"),
        (("[%r11], 1;", "[%r11], 2;"), ptx.BarrierError, "lacks 1 of 2 arrivals"),
        (
            ("@%p1 cp.async.bulk", "cp.async.bulk"),
            ptx.AsynchronousError,
            "store to memory still being written",
        ),
        (("@%p1 cp.async.bulk", "// "), ptx.BarrierError, "512 bytes, with 0 bytes"),
        (("    @%p1 fence.mbarrier_init.release.cluster;\n", ""), ptx.AsynchronousError, "fence.proxy.async"),
        (("    bar.sync 0;\n", ""), ptx.RaceError, "strong write"),
        (("@%p1 mbarrier.init", "// "), ptx.UninitialisedError, "not initialised"),
    ],
)
def test_load_with_a_planted_fault(change, error, match):
    load_fault(error, match, change)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("512", "513", ptx.MisalignedError),
        ("512", "0", ptx.MisalignedError),
        ("512", "1040", ptx.OutOfBoundsError),
        ("[%r10]", "[%r10+8]", ptx.MisalignedError),
        ("[%r10]", "[%r10+16000]", ptx.OutOfBoundsError),
        ("[%r10]", "[%r10+15872]", ptx.UninitialisedError),
        ("[%rd0]", "[%rd0+4]", ptx.MisalignedError),
        ("[%rd0]", "[%rd0+-16]", ptx.OutOfBoundsError),
        ("[%rd0]", "[%rd0+1008]", ptx.OutOfBoundsError),
        ("[%r11]", "[%r11+8]", ptx.UninitialisedError),
        ("[%r11]", "[%r11+4]", ptx.MisalignedError),
        ("512", "%r40", ptx.UninitialisedError),
    ],
)
def test_faulty_operands_of_a_load(old, new, error):
    load_fault(error, None, copy=LOAD.replace(old, new))


def test_load_over_the_mbarrier():
    load_fault(
        ptx.AsynchronousError,
        "store to memory",
        copy=LOAD.replace("[%r10]", "[%r11]").replace("512", "16"),
    )


def test_multicast_to_a_block_that_is_not_there():
    copy = LOAD.replace("bytes [", "bytes.multicast::cluster [").replace("[%r11]", "[%r11], %h3")
    load_fault(ptx.OutOfBoundsError, "multicast", copy=copy, before="    mov.u16 %h3, 3;\n")


def test_source_that_changes_before_the_wait():
    store = "    @%p1 st.global.u32 [%rd0+64], %r3;\n"
    load_fault(ptx.AsynchronousError, "still being read", ("\nWAIT:", f"\n{store}WAIT:"))
    text = load_text(LOAD, 512).replace(
        "    mov.u32 %r21, %r3;\nDUMP", f"{store}    mov.u32 %r21, %r3;\nDUMP"
    )
    assert store in text
    run(text, SOURCE.copy(), np.zeros(512, np.uint8), declarations=SHARED, block=64)


def test_slot_refilled_while_others_read_it():
    """The second load must come after a barrier at which the readers have arrived."""
    again = (
        """
    {barrier}
    @%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r11], 512;
    @%p1 """
        + LOAD
        + """
AGAIN:
    mbarrier.try_wait.parity.shared.b64 %p2, [%r11], 1;
    @!%p2 bra AGAIN;
"""
    )
    text = load_text(LOAD, 512) + again
    arrays = SOURCE.copy(), ptx.out(np.zeros(512, np.uint8))
    run(text.format(barrier="bar.sync 0;"), *arrays, declarations=SHARED, block=64)
    with pytest.raises(ptx.RaceError):
        run(text.format(barrier=""), *arrays, declarations=SHARED, block=64)


def test_some_threads_read_without_waiting():
    """Another thread's wait is not theirs, even if the data have arrived by then."""
    skip = "    setp.ge.u32 %p3, %r3, 32;\n    @%p3 bra LATER;\n\nWAIT:"
    sleep = "".join(f"    nanosleep.u32 20;\n    bra LATER{n};\nLATER{n}:\n" for n in range(4))
    text = load_text(LOAD, 512).replace("\nWAIT:", skip)
    text += f"    bra DONE;\nLATER:\n{sleep}    ld.shared.u32 %r30, [%r10];\nDONE:\n"
    with pytest.raises(ptx.RaceError, match="by an asynchronous copy"):
        run(text, SOURCE.copy(), ptx.out(np.zeros(512, np.uint8)), declarations=SHARED, block=64)
    synchronised = text.replace("DUMP:", "bar.sync 0;\nDUMP:", 1).replace(
        "    ld.shared.u32 %r30", "bar.sync 0;\nld.shared.u32 %r30"
    )
    run(
        synchronised.replace("add.u32 %r21, %r21, %r2", "add.u32 %r21, %r21, 32"),
        SOURCE.copy(),
        ptx.out(np.zeros(512, np.uint8)),
        declarations=SHARED,
        block=64,
    )


def test_block_that_ends_before_its_load():
    text = load_text(LOAD, 512)
    text = text[: text.index("\nWAIT:")] + "\n"
    with pytest.raises(ptx.AsynchronousError, match="block ends while a copy") as caught:
        run(text, SOURCE.copy(), np.zeros(512, np.uint8), declarations=SHARED, block=64)
    assert caught.value.thread == (0, 0, 0) and "cp.async.bulk" in caught.value.instruction


def test_store_to_memory_that_a_load_will_fill():
    """A write through the generic proxy before the load needs a fence, and a barrier."""
    fill = FILL.format(words=128).replace("%rd1", "%rd0")
    good = fill + "    fence.proxy.async.shared::cta;\n    bar.sync 0;\n"
    assert np.array_equal(loaded(LOAD, 512, SOURCE.copy(), before=good), SOURCE[:512])
    load_fault(
        ptx.AsynchronousError,
        "no fence.proxy.async",
        before=good.replace("fence.proxy.async.shared::cta", "//"),
    )
    load_fault(ptx.RaceError, None, before=good.replace("    bar.sync 0;\n", ""))
