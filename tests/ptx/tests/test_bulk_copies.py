"""Bulk copies of plain bytes: forms, waiting, the two proxies, and what goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import run
from .bulk_assemble import BEGIN, FILL, SHARED, load_text, loaded, store, store_text

SOURCE = np.random.default_rng(2).integers(0, 256, 1024, dtype=np.uint8)
LOAD = "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r10], [%rd0], 512, [%r11];"
STORE = "cp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r10], 512;"


def load_fault(error, match, change=None, copy=LOAD, source=SOURCE, **options):
    """The fault of a load whose text `change`, a pair of strings, alters."""
    text = load_text(copy, 512, **options)
    if change is not None:
        assert text.count(change[0]) == 1
        text = text.replace(*change)
    with pytest.raises(error, match=match) as caught:
        run(text, source.copy(), ptx.out(np.zeros(512, np.uint8)), declarations=SHARED, block=64)
    return caught.value


def store_fault(error, match, change=None, copy=STORE, target=None):
    text = store_text(copy, 512)
    if change is not None:
        assert text.count(change[0]) == 1
        text = text.replace(*change)
    target = np.zeros(512, np.uint8) if target is None else target
    with pytest.raises(error, match=match) as caught:
        run(text, target, SOURCE[:512].copy(), declarations=SHARED, block=64)
    return caught.value


# -- loads -----------------------------------------------------------------------------------------


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
    """The mbarriers lie behind the buffer of 16384 bytes."""
    load_fault(
        ptx.AsynchronousError,
        "store to memory",
        copy=LOAD.replace("[%r10]", "[%r10+16384]").replace("512", "16"),
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


# -- stores ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fence", ["fence.proxy.async.shared::cta", "fence.proxy.async", "fence.proxy.async.shared::cluster"]
)
def test_stores(fence):
    target = np.zeros(600, np.uint8)
    text = store_text(STORE, 512).replace("fence.proxy.async.shared::cta", fence)
    run(text, ptx.out(target), SOURCE[:512].copy(), declarations=SHARED, block=64)
    assert np.array_equal(target, np.r_[SOURCE[:512], np.full(88, 255)])


def test_store_with_a_cache_policy():
    target = np.zeros(512, np.uint8)
    copy = STORE.replace("group [", "group.L2::cache_hint [").replace("512;", "512, %rd1;")
    store(copy, SOURCE[:512].copy(), target)
    assert np.array_equal(target, SOURCE[:512])


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (("    fence.proxy.async.shared::cta;\n", ""), ptx.AsynchronousError, "no fence.proxy.async"),
        (("fence.proxy.async.shared::cta", "fence.proxy.async.global"), ptx.AsynchronousError, "no fence"),
        (("    bar.sync 0;\n", ""), ptx.RaceError, "read races"),
        (("wait_group 0", "wait_group 1"), ptx.AsynchronousError, "block ends"),
        (("    @%p1 cp.async.bulk.wait_group 0;\n", ""), ptx.AsynchronousError, "block ends"),
        (("    @%p1 cp.async.bulk.commit_group;\n", ""), ptx.AsynchronousError, "block ends"),
        (
            ("wait_group 0;\n", "wait_group 1;\n    @%p1 st.shared.u32 [%r10], %r3;\n"),
            ptx.AsynchronousError,
            "store to memory still being read",
        ),
        (
            ("wait_group 0;\n", "wait_group.read 0;\n    @%p1 ld.global.u32 %r30, [%rd0];\n"),
            ptx.AsynchronousError,
            "read of memory still being written",
        ),
        (("wait_group 0;\n", "wait_group.read 0;\n    st.shared.u32 [%r10], %r3;\n"), ptx.RaceError, None),
        (
            (
                "wait_group 0;\n",
                "wait_group 0;\n    setp.eq.u32 %p4, %r3, 33;\n    @%p4 st.shared.u32 [%r10], %r3;\n",
            ),
            ptx.RaceError,
            None,
        ),
        (
            ("    @%p1 cp.async.bulk.commit_group;", "    @%p1 " + STORE),
            ptx.AsynchronousError,
            "store to memory still being written",
        ),
    ],
)
def test_store_with_a_planted_fault(change, error, match):
    store_fault(error, match, change)


@pytest.mark.parametrize(
    "after",
    [
        "wait_group.read 0;\n",
        "wait_group.read 0;\n    @%p1 st.shared.u32 [%r10], %r3;\n",
        "wait_group.read 0;\n    bar.sync 0;\n    setp.eq.u32 %p4, %r3, 9;\n"
        "    @%p4 st.shared.u32 [%r10], %r3;\n",
        "wait_group 0;\n    @%p1 ld.global.u32 %r30, [%rd0];\n",
    ],
)
def test_what_a_wait_for_a_store_allows(after):
    target = np.zeros(512, np.uint8)
    text = store_text(STORE, 512)
    assert text.count("wait_group 0;\n") == 1
    run(
        text.replace("wait_group 0;\n", after),
        ptx.out(target),
        SOURCE[:512].copy(),
        declarations=SHARED,
        block=64,
    )
    assert np.array_equal(target, SOURCE[:512])


def test_fence_after_the_barrier_in_the_issuing_thread():
    target = np.zeros(512, np.uint8)
    text = store_text(STORE, 512).replace(
        "    fence.proxy.async.shared::cta;\n    bar.sync 0;\n",
        "    bar.sync 0;\n    @%p1 fence.proxy.async;\n",
    )
    run(text, target, SOURCE[:512].copy(), declarations=SHARED, block=64)
    assert np.array_equal(target, SOURCE[:512])


def test_blocks_that_store_to_one_place():
    """Either their copies are under way at the same time, or a later block meets a complete one."""
    with pytest.raises(ptx.AsynchronousError, match="store to memory still being written"):
        store(STORE, SOURCE[:512].copy(), np.zeros(512, np.uint8), grid=2)
    for block in (0, 599):
        only = "    setp.eq.u32 %p3, %r1, 599;\n    setp.eq.or.u32 %p4, %r1, {block}, %p3;\n"
        only += "    and.pred %p1, %p1, %p4;\n"
        text = store_text(STORE, 512).replace(
            "    bar.sync 0;\n", "    bar.sync 0;\n" + only.format(block=block)
        )
        arrays = np.zeros(512, np.uint8), SOURCE[:512].copy()
        if block:
            run(text, *arrays, declarations=SHARED, block=64, grid=600)
            continue
        with pytest.raises(ptx.RaceError, match="array 0"):
            run(text, *arrays, declarations=SHARED, block=64, grid=600)


def test_store_to_what_is_read_only():
    target = np.zeros(512, np.uint8)
    target.setflags(write=False)
    store_fault(ptx.ReadOnlyError, "array 0", target=target)


def test_store_of_what_nothing_has_written():
    text = store_text(STORE, 512)
    assert text.count("setp.ge.u32 %p5, %r21, 128") == 1
    text = text.replace("setp.ge.u32 %p5, %r21, 128", "setp.ge.u32 %p5, %r21, 127")
    with pytest.raises(ptx.UninitialisedError, match="nothing has written"):
        run(text, np.zeros(512, np.uint8), SOURCE[:512].copy(), declarations=SHARED, block=64)


@pytest.mark.parametrize(
    ("kind", "name", "function"),
    [
        ("f32", "add", np.add),
        ("f64", "add", np.add),
        ("u32", "add", np.add),
        ("u64", "add", np.add),
        ("s32", "min", np.minimum),
        ("u32", "max", np.maximum),
        ("b32", "and", np.bitwise_and),
        ("b64", "xor", np.bitwise_xor),
        ("f16", "add.noftz", np.add),
    ],
)
def test_reductions(kind, name, function):
    dtype = np.dtype({"b": "u"}.get(kind[0], kind[0]).replace("s", "i") + str(int(kind[1:]) // 8))
    rng = np.random.default_rng(4)
    data, target = (rng.integers(0, 100, 512 // dtype.itemsize).astype(dtype) for _ in range(2))
    expected = target
    for _ in range(3):
        expected = function(expected, data)
    copy = f"cp.reduce.async.bulk.global.shared::cta.bulk_group.{name}.{kind} [%rd0], [%r10], 512;"
    store(copy, data, target, grid=3)
    assert np.array_equal(target, expected)


def test_reduction_on_what_nothing_has_written():
    copy = "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%rd0], [%r10], 512;"
    store_fault(ptx.UninitialisedError, "reduction", copy=copy, target=ptx.out(np.zeros(128, np.float32)))


def test_prefetches_do_nothing():
    text = """
    cp.async.bulk.prefetch.L2.global [%rd0], 512;
    cp.async.bulk.prefetch.L2.global.L2::cache_hint [%rd0], 512, %rd1;
    cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%rd0, {%r3, %r3}];
    prefetch.tensormap [%rd0];
    fence.proxy.alias;
    fence.proxy.tensormap::generic.release.gpu;
    griddepcontrol.wait;
    griddepcontrol.launch_dependents;
"""
    run(text, np.zeros(4), np.zeros(4))


@pytest.mark.parametrize(
    "text",
    [
        "cp.async.bulk.shared::cluster.global [%r10], [%rd0], 512;",
        "cp.async.bulk.global.shared::cta [%rd0], [%r10], 512;",
        "cp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r10], 512, %rd1;",
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r10], [%rd0], 512;",
        "cp.async.bulk.global.global.bulk_group [%rd0], [%rd0], 512;",
        "cp.reduce.async.bulk.global.shared::cta.bulk_group.mul.f32 [%rd0], [%r10], 512;",
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
        "[%r10], [%rd0, {%r3}], [%r11];",
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile::gather4.mbarrier::complete_tx::bytes "
        "[%r10], [%rd0, {%r3, %r3}], [%r11];",
    ],
)
def test_what_is_no_bulk_copy(text):
    with pytest.raises(ptx.UnknownInstructionError):
        run(f"{BEGIN}    {text}\n", np.zeros(128), np.zeros(1), declarations=SHARED)
