"""Bulk copies of plain bytes out of shared memory, reductions too, and what is no bulk copy."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import run
from .bulk_assemble import BEGIN, SHARED, store, store_text

SOURCE = np.random.default_rng(2).integers(0, 256, 1024, dtype=np.uint8)
STORE = "cp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r10], 512;"


def store_fault(error, match, change=None, copy=STORE, target=None):
    text = store_text(copy, 512)
    if change is not None:
        assert text.count(change[0]) == 1
        text = text.replace(*change)
    target = np.zeros(512, np.uint8) if target is None else target
    with pytest.raises(error, match=match) as caught:
        run(text, target, SOURCE[:512].copy(), declarations=SHARED, block=64)
    return caught.value


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
