"""What goes wrong around ``wgmma``: each fault is planted in the text of a kernel that runs without it."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .manual_fragments import wgmma_accumulator, wgmma_fragments_of_a, wgmma_fragments_of_d
from .warpgroup_assemble import (
    COMMIT,
    FENCE,
    VISIBLE,
    WAIT,
    describe,
    descriptor,
    kernel_text,
    launch,
    place,
    product,
)

N8 = product("wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32", 4, tail=", 1, 1")
FROM_REGISTERS = product("wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32", 4, 4, tail=", 1, 1")
STEPS, STAGE_BYTES = 4, 9216  # 64 rows of A and 8 of B, 128 bytes each: four steps of K
RNG = np.random.default_rng(5)
A, B = RNG.integers(-8, 8, (64, 32)).astype(np.float32), RNG.integers(-8, 8, (8, 32)).astype(np.float32)
D = RNG.integers(-8, 8, (64, 8)).astype(np.float32)
DESCRIPTORS = describe(descriptor(0, 16, 1024, 128), descriptor(8192, 16, 1024, 128))
WAIT_ALL = WAIT.format(pending=0)
ADVANCE = "    add.u64 %da, %da, 2;\n    add.u64 %db, %db, 2;\n"


def image() -> np.ndarray:
    """A and B in shared memory with the 128-byte swizzle."""
    result = np.zeros(STAGE_BYTES, np.uint8)
    place(result, A, 0, 16, 1024, 128)
    place(result, B, 8192, 16, 1024, 128)
    return result


def body(after: str = "", *, fence: str = FENCE, visible: str = VISIBLE, wait: int = 0) -> str:
    """Four steps of K, each a group of its own; `after` follows the last."""
    steps = ADVANCE.join([N8 + COMMIT] * STEPS)
    return DESCRIPTORS + visible + fence + steps + after + WAIT.format(pending=wait)


def run(text: str, warpgroups: int = 1, source: np.ndarray | None = None, a=None) -> np.ndarray:
    """D of the first warpgroup."""
    held = np.concatenate([wgmma_fragments_of_d(D)] * warpgroups)
    result, _ = launch(text, image() if source is None else source, held, a)
    return wgmma_accumulator(result[:128], 8, np.float32)


def correct(text: str, warpgroups: int = 1) -> None:
    np.testing.assert_array_equal(run(text, warpgroups), A @ B.T + D)


def fault(text: str, error: type, match: str = "", warpgroups: int = 1, **options) -> ptx.PtxError:
    with pytest.raises(error, match=match) as caught:
        run(text, warpgroups, **options)
    assert caught.value.line is not None and caught.value.thread is not None
    return caught.value


def text_of(given: str, **options) -> str:
    return kernel_text(given, STAGE_BYTES, 4, **options)


# -- correct kernels ------------------------------------------------------------------------------


def test_groups_in_flight():
    correct(text_of(body(WAIT.format(pending=3) + WAIT.format(pending=1))))


@pytest.mark.parametrize(
    "visible",
    [
        "    fence.proxy.async;\n    bar.sync 0;\n",
        "    fence.proxy.async.shared::cta;\n    bar.sync 1, 128;\n",
        "    bar.sync 0;\n    fence.proxy.async.shared::cta;\n",  # by the readers
        "    bar.sync 1, 128;\n    fence.proxy.async;\n",
    ],
)
def test_ways_to_make_writes_visible(visible):
    correct(text_of(body(visible=visible)))


def test_two_warpgroups_share_b():
    correct(text_of(body()), warpgroups=2)


def test_block_with_a_warp_beyond_its_warpgroup():
    """160 threads: the fifth warp only helps to fill shared memory."""
    alone = "    bar.sync 0;\n    setp.ge.u32 %p, %thread, 128;\n    @%p exit;\n"
    text = text_of(body(visible="    fence.proxy.async;\n" + alone))
    held = np.concatenate([wgmma_fragments_of_d(D), np.zeros((32, 16), np.uint8)])
    result, report = launch(text, image(), held, grid=1)
    np.testing.assert_array_equal(wgmma_accumulator(result[:128], 8, np.float32), A @ B.T + D)
    assert report.opcodes["wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32"] == 4 * STEPS


REFILL = "    mul.lo.u32 %to, %thread, 4;\n    st.shared.b32 [%to], %thread;\n"


def test_refill_after_the_wait():
    """By the same warpgroup at once, by another one after a barrier."""
    correct(text_of(body() + REFILL))
    correct(text_of(body() + "    bar.sync 0;\n" + REFILL), warpgroups=2)


def test_accumulators_between_products():
    """Reading and writing them takes a wait before and a fence after."""
    touch = "    mov.b32 %x0, %d0;\n    mov.b32 %d0, %x0;\n"
    middle = COMMIT + WAIT_ALL + touch + FENCE + ADVANCE
    steps = DESCRIPTORS + VISIBLE + FENCE + (N8 + middle) * 3 + N8 + COMMIT + WAIT_ALL
    correct(text_of(steps))
    fault(text_of(steps.replace(touch + FENCE, touch)), ptx.AsynchronousError, "no wgmma.fence since")
    fault(text_of(steps.replace(WAIT_ALL + touch, touch)), ptx.AsynchronousError, "in use")


# -- faults ---------------------------------------------------------------------------------------


UNFENCED = "no fence.proxy.async"
PROXY, NEXT_B = "    fence.proxy.async.shared::cta;\n", "    add.u64 %db, %db, 2;\n"


@pytest.mark.parametrize(
    ("old", "new", "error", "match"),
    [
        (PROXY, "", ptx.AsynchronousError, UNFENCED),
        (PROXY, "    fence.proxy.async.global;\n", ptx.AsynchronousError, UNFENCED),
        (PROXY, "    setp.eq.u32 %p, %i, 576;\n    @%p" + PROXY, ptx.AsynchronousError, UNFENCED),
        (PROXY, PROXY + "    st.shared.b32 [%to], %x0;\n", ptx.AsynchronousError, UNFENCED),
        ("    bar.sync 0;\n", "", ptx.RaceError, "read races"),
        ("    bar.sync 0;\n", "    bar.warp.sync -1;\n", ptx.RaceError, "read races"),
        (VISIBLE, "    bar.sync 0;\n    bar.sync 0;\n", ptx.AsynchronousError, UNFENCED),
        (FENCE, "", ptx.AsynchronousError, "without a wgmma.fence"),
        (FENCE, FENCE + "    mov.b32 %d3, %d2;\n", ptx.AsynchronousError, "%d3"),
        (WAIT_ALL, WAIT.format(pending=1), ptx.AsynchronousError, "%d0 is in use"),
        (WAIT_ALL, "", ptx.AsynchronousError, "%d0 is in use"),
        (COMMIT + WAIT_ALL, WAIT_ALL, ptx.AsynchronousError, "%d0 is in use"),
        (WAIT_ALL, REFILL + WAIT_ALL, ptx.AsynchronousError, "still being read"),
        (WAIT_ALL, "    mov.b32 %x1, %d1;\n" + WAIT_ALL, ptx.AsynchronousError, "%d1 is in use"),
        (NEXT_B, NEXT_B.replace("2;", "4096;"), ptx.OutOfBoundsError, "beyond the 9216 bytes"),
        (NEXT_B, NEXT_B.replace("2;", "7;"), ptx.MisalignedError, "last 16 bytes"),
        (NEXT_B, NEXT_B.replace("2;", "8;"), ptx.MisalignedError, "base offset"),
        (FENCE, "    add.u64 %da, %da, %offset;\n" + FENCE, ptx.DivergenceError, "%da differs"),
        ("%keep, %threads, %threads", "%keep, %thread, 0", ptx.DivergenceError, "%keep differs"),
        ("setp.ge.u32 %p, %i, 576", "setp.ge.u32 %p, %i, 575", ptx.UninitialisedError, "stored to array"),
    ],
)
def test_planted_faults(old, new, error, match):
    text = text_of(body())
    assert old in text
    fault(text.replace(old, new), error, match)


def test_descriptor_offset_that_is_wrong_gives_another_result():
    wrong = DESCRIPTORS.replace(f"{descriptor(0, 16, 1024, 128):#x}", f"{descriptor(0, 16, 512, 128):#x}")
    text = text_of(body().replace(DESCRIPTORS, wrong))
    assert (run(text) != A @ B.T + D).any()


def test_swizzle_that_is_wrong_gives_another_result():
    wrong = DESCRIPTORS.replace(f"{descriptor(0, 16, 1024, 128):#x}", f"{descriptor(0, 16, 1024, 64):#x}")
    assert (run(text_of(body().replace(DESCRIPTORS, wrong))) != A @ B.T + D).any()


SOME = "    setp.{how}.u32 %p, %thread, {thread};\n"


def test_wgmma_of_a_part_of_the_warpgroup():
    guarded = body(visible=VISIBLE + SOME.format(how="lt", thread=96)).replace(N8, "    @%p " + N8.lstrip())
    fault(text_of(guarded), ptx.DivergenceError, "128 threads")
    left = body(visible=VISIBLE + SOME.format(how="ge", thread=96) + "    @%p exit;\n")
    fault(text_of(left), ptx.DivergenceError, "exited")


def test_refill_that_no_barrier_separates_from_the_other_warpgroup():
    """Both have waited, but one overwrites what the other may not have finished reading."""
    only_second = SOME.format(how="lt", thread=128) + "    @%p bra DONE;\n" + REFILL + "DONE:\n"
    text = text_of(body() + only_second)
    error = fault(text, ptx.RaceError, "asynchronous read by another warpgroup", warpgroups=2)
    assert error.thread[0] >= 128
    run(text_of(body() + "    bar.sync 0;\n" + only_second), warpgroups=2)


@pytest.mark.parametrize("first", [False, True])
def test_refill_while_the_other_warpgroup_still_reads(first):
    """The second warpgroup refills without knowing that the first has waited, before it does or after."""
    multiply = FENCE + N8 + COMMIT + "    bar.sync 1, 256;\n" + WAIT_ALL + "    bra DONE;\n"
    refill = "    bar.sync 1, 256;\n    sub.u32 %thread, %thread, 128;\n" + REFILL + "    bra DONE;\n"
    ways = [("lt", multiply, refill), ("ge", refill, multiply)]
    how, near, far = ways[first]
    branch = SOME.format(how=how, thread=128) + "    @!%p bra FAR;\n"
    text = text_of(DESCRIPTORS + VISIBLE + branch + near + "FAR:\n" + far + "DONE:\n")
    error = ptx.AsynchronousError if first else ptx.RaceError
    fault(text, error, "still being read" if first else "asynchronous read", warpgroups=2)


def test_registers_of_a_in_flight():
    options = {"a": wgmma_fragments_of_a(A[:, :8])}

    def text(before: str = "", between: str = "") -> str:
        steps = DESCRIPTORS + VISIBLE + FENCE + before + FROM_REGISTERS + COMMIT + between + WAIT_ALL
        return text_of(steps, a_count=4)

    np.testing.assert_array_equal(run(text(), **options), A[:, :8] @ B[:, :8].T + D)
    fault(text(between="    mov.b32 %a2, 0;\n"), ptx.AsynchronousError, "%a2 is in use", **options)
    unfenced = text(before="    mov.b32 %a2, %a1;\n")
    fault(unfenced, ptx.AsynchronousError, "%a2, which another instruction", **options)


def test_another_shape_on_the_same_accumulators():
    other = N8.replace("tf32", "f16").replace("k8", "k16").replace("1, 1;", "1, 1, 0, 0;")
    steps = DESCRIPTORS + VISIBLE + FENCE + N8 + other + COMMIT + WAIT_ALL
    fault(text_of(steps), ptx.AsynchronousError, "another wgmma in flight")


def test_undefined_elements_reach_only_their_rows():
    """A part of row 5 of A is not written; a kernel that does not store what depends on it is correct."""
    skip_a_chunk_of_row_5 = "    setp.eq.u32 %p, %i, 40;\n    @%p bra SKIP;\n"
    text = text_of(body())
    text = text.replace("    mul.lo.u32 %to", skip_a_chunk_of_row_5 + "    mul.lo.u32 %to")
    text = text.replace("    add.u32 %i, %i, %threads;", "SKIP:\n    add.u32 %i, %i, %threads;")
    error = fault(text, ptx.UninitialisedError, "%d0")
    assert error.thread == (20, 0, 0)  # row 5: threads 20 to 23
    guard = "    shr.u32 %x0, %thread, 2;\n    setp.ne.u32 %p, %x0, 5;\n"
    before, after = text.split(WAIT_ALL)
    guarded = before + WAIT_ALL + guard + after.replace("    st.global", "    @%p st.global")
    stored = np.isin(np.arange(64), [5, 13], invert=True)  # the two rows of threads 20 to 23
    np.testing.assert_array_equal(run(guarded)[stored], (A @ B.T + D)[stored])
