"""A pipeline as kernels for Hopper have it: one warp copies tiles in bulk, a warpgroup multiplies them.

Two stages of shared memory each have two mbarriers: "full", which the copies complete, and "empty", at
which one thread of the warpgroup arrives once it has waited for the products that read the stage.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .manual_fragments import wgmma_accumulator
from .warpgroup_assemble import describe, descriptor, place, product

STEPS, BYTES = 5, 9216  # tiles along K; bytes of a tile: 64 rows of A, 8 of B, 128 bytes each
HEADER = ".version 8.7\n.target sm_90a\n.address_size 64\n.shared .align 1024 .b8 stages[18432];\n"
FULL, EMPTY = ".shared .align 8 .b64 full[2];\n", ".shared .align 8 .b64 empty[2];\n"
START = """.visible .entry test(.param .u64 tiles, .param .u64 result)
{
    .reg .pred %p, %keep;
    .reg .b32 %thread, %threads, %d<4>;
    .reg .b64 %tiles, %at, %offset, %da, %db, %state;
    ld.param.u64 %tiles, [tiles];
    mov.u32 %thread, %tid.x;
    mov.u32 %threads, %ntid.x;
    setp.ne.u32 %p, %thread, 0;
    @%p bra READY;
    mbarrier.init.shared::cta.b64 [full], 1;
    mbarrier.init.shared::cta.b64 [full + 8], 1;
    mbarrier.init.shared::cta.b64 [empty], 1;
    mbarrier.init.shared::cta.b64 [empty + 8], 1;
    fence.proxy.async;
READY:
    bar.sync 0;
    setp.lt.u32 %p, %thread, 128;
    @%p bra MULTIPLY;
    setp.ne.u32 %p, %thread, 128;
    @%p bra DONE;
"""
WAIT_LOOP = """{label}:
    mbarrier.try_wait.parity.shared::cta.b64 %p, [{barrier} + {place}], {parity};
    @!%p bra {label};
"""
COPY = """    mbarrier.arrive.expect_tx.shared::cta.b64 %state, [full + {place}], 9216;
    cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes
        [stages + {stage}], [%tiles + {source}], 9216, [full + {place}];
"""
STEP = product("wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32", 4, tail=", 1, 1")
NEXT = "    add.u64 %da, %da, 2;\n    add.u64 %db, %db, 2;\n"
RELEASE = """    setp.ne.u32 %p, %thread, 37;
    @!%p mbarrier.arrive.shared::cta.b64 %state, [empty + {place}];
"""
END = """DONE:
    ret;
}
"""


def wait_loop(label: str, barrier: str, step: int, phase: int) -> str:
    return WAIT_LOOP.format(
        label=f"{label}{step}", barrier=barrier, place=8 * (step % 2), parity=(step // 2 + phase) % 2
    )


def kernel_text() -> str:
    text = [HEADER, FULL, EMPTY, START]
    for step in range(STEPS):
        text.append(wait_loop("EMPTY", "empty", step, 1))
        stage = step % 2
        text.append(COPY.format(place=8 * stage, stage=BYTES * stage, source=BYTES * step))
    text.append("    bra DONE;\nMULTIPLY:\n" + "".join(f"    mov.b32 %d{n}, 0;\n" for n in range(4)))
    for step in range(STEPS):
        start = BYTES * (step % 2)
        operands = [descriptor(start + first, 16, 1024, 128) for first in (0, 8192)]
        text += [wait_loop("FULL", "full", step, 0), describe(*operands), "    wgmma.fence.sync.aligned;\n"]
        text.append(NEXT.join([STEP] * 4))
        text.append("    wgmma.commit_group.sync.aligned;\n    wgmma.wait_group.sync.aligned 0;\n")
        text.append(RELEASE.format(place=8 * (step % 2)))
    text.append("    ld.param.u64 %at, [result];\n    mul.wide.u32 %offset, %thread, 16;\n")
    text.append("    add.u64 %at, %at, %offset;\n    st.global.v4.b32 [%at], {%d0, %d1, %d2, %d3};\n" + END)
    return "".join(text)


RNG = np.random.default_rng(21)
A = RNG.integers(-8, 8, (64, 32 * STEPS)).astype(np.float32)
B = RNG.integers(-8, 8, (8, 32 * STEPS)).astype(np.float32)


def run(text: str) -> np.ndarray:
    tiles = np.zeros((STEPS, BYTES), np.uint8)
    for step, tile in enumerate(tiles):
        columns = slice(32 * step, 32 * step + 32)
        place(tile, A[:, columns], 0, 16, 1024, 128)
        place(tile, B[:, columns], 8192, 16, 1024, 128)
    result = np.zeros((128, 4), np.float32)
    ptx.Kernel(text).launch(1, 160, tiles, ptx.out(result))
    return wgmma_accumulator(result, 8, np.float32)


def test_pipeline():
    np.testing.assert_array_equal(run(kernel_text()), A @ B.T)


def without_waits(barrier: str):
    """All waits for one kind of mbarrier taken out."""
    return [(wait_loop(barrier.upper(), barrier, step, int(barrier == "empty")), "") for step in range(STEPS)]


# Which of these it is depends on who comes first.
UNORDERED = (ptx.AsynchronousError, ptx.RaceError, ptx.BarrierError)
WAIT = "    wgmma.wait_group.sync.aligned 0;\n"
FIRST, SECOND = RELEASE.format(place=0), RELEASE.format(place=8)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        (without_waits("empty"), UNORDERED, "arrivals"),
        (without_waits("full"), ptx.AsynchronousError, "still being written"),
        (without_waits("full")[2:3], UNORDERED, "arrival at phase 1"),
        ([(WAIT, WAIT.replace("0;", "1;"))], UNORDERED, "asynchronous"),
        ([(WAIT + FIRST, FIRST + WAIT)], UNORDERED, "asynchronous"),
        (
            [(f"[stages + {BYTES}], [%tiles + {BYTES}]", f"[stages], [%tiles + {BYTES}]")],
            ptx.PtxError,
            "written",
        ),
        ([("%thread, 37;", "%thread, 200;")], ptx.PtxError, None),
        ([(COPY.format(place=8, stage=BYTES, source=BYTES), "")], ptx.PtxError, None),
    ],
)
def test_planted_faults(changes, error, match):
    text = kernel_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(error, match=match):
        run(text)
