"""What CUDA and the assembler would refuse, and what meets with other member masks."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import REGISTERS, run, stored


def text(body: str = "", target: str = "sm_90a", directives: str = "", declarations: str = "") -> str:
    return f"""
.version 8.5
.target {target}
.address_size 64
{declarations}
.visible .entry test()
{directives}
{{{REGISTERS}
{body}
    ret;
}}
"""


@pytest.mark.parametrize(
    ("directives", "block", "fits"),
    [
        (".maxntid 128", 128, True),
        (".maxntid 128", 160, False),
        (".maxntid 16, 8, 1", (8, 16), True),
        (".maxntid 16, 8, 1", (16, 9), False),
        (".maxntid 256 .minnctapersm 2", 257, False),
        (".minnctapersm 2", 512, True),
        (".reqntid 64", 64, True),
        (".reqntid 64", 32, False),
        (".reqntid 64", (32, 2), False),
        (".reqntid 32, 2, 1", (32, 2), True),
        (".reqnctapercluster 1, 1, 1", 32, True),
        (".reqnctapercluster 2, 1, 1", 32, False),
        ("", (1024, 1, 1), True),
        ("", (1025, 1, 1), False),
        ("", (1, 1, 64), True),
        ("", (1, 1, 65), False),
        ("", (32, 32, 2), False),
    ],
)
def test_blocks(directives, block, fits):
    kernel = ptx.Kernel(text(directives=directives))
    if fits:
        kernel.launch(1, block)
    else:
        with pytest.raises(ptx.LaunchError, match=r"block|cluster"):
            kernel.launch(1, block)


def test_grids():
    kernel = ptx.Kernel(text())
    kernel.launch((70000, 1, 1), 1)
    kernel.launch((1, 1000), 1)
    for grid in ((1, 65536), (1, 1, 65536), (1 << 31, 1)):
        with pytest.raises(ptx.LaunchError, match="grid"):
            kernel.launch(grid, 1)


@pytest.mark.parametrize(
    ("target", "static", "dynamic", "fits"),
    [
        ("sm_90a", 0, 227 << 10, True),
        ("sm_90a", 0, (227 << 10) + 1, False),
        ("sm_90a", 1024, 226 << 10, True),
        ("sm_90a", 2048, 226 << 10, False),
        ("sm_90a", 48 << 10, 0, True),
        ("sm_90a", (48 << 10) + 4, 0, False),
        ("sm_80", 0, 163 << 10, True),
        ("sm_80", 0, 164 << 10, False),
        ("sm_86", 0, 100 << 10, False),
        ("sm_75", 0, 64 << 10, True),
        ("sm_75", 0, 65 << 10, False),
        ("sm_100a", 0, 227 << 10, True),
        ("sm_120", 0, 99 << 10, True),
        ("sm_120", 0, 100 << 10, False),
    ],
)
def test_shared_memory(target, static, dynamic, fits):
    # two static variables, so that the gap between them is seen not to count
    sizes = (static // 2, static - static // 2)
    declarations = "".join(f".shared .align 1 .b8 s{i}[{size}];\n" for i, size in enumerate(sizes) if size)
    kernel = ptx.Kernel(text(target=target, declarations=declarations + ".extern .shared .b8 more[];\n"))
    if fits:
        kernel.launch(1, 32, shared_bytes=dynamic)
    else:
        with pytest.raises(ptx.LaunchError, match="shared"):
            kernel.launch(1, 32, shared_bytes=dynamic)


@pytest.mark.parametrize(
    ("instruction", "has", "lacks"),
    [
        ("cp.async.commit_group;", "sm_80", "sm_75"),
        ("cp.async.wait_all;", "sm_80", "sm_75"),
        ("redux.sync.add.u32 %r1, %r2, -1;", "sm_80", "sm_75"),
        ("elect.sync %r1|%p1, -1;", "sm_90", "sm_89"),
        ("fence.proxy.async;", "sm_90", "sm_80"),
        ("griddepcontrol.wait;", "sm_90", "sm_80"),
        ("cp.async.bulk.commit_group;", "sm_90", "sm_80"),
        ("fence.acq_rel.cluster;", "sm_90", "sm_80"),
        ("fence.acq_rel.gpu;", "sm_70", "sm_60"),
        ("wgmma.fence.sync.aligned;", "sm_90a", "sm_90"),
        ("wgmma.fence.sync.aligned;", "sm_90a", "sm_100a"),
        ("setmaxnreg.inc.sync.aligned.u32 40;", "sm_100a", "sm_90"),
        ("mbarrier.try_wait.parity.shared.b64 %p1, [%rd1], %r1;", "sm_90", "sm_80"),
        ("mbarrier.arrive.expect_tx.shared.b64 %rd2, [%rd1], %r1;", "sm_90", "sm_80"),
        ("mbarrier.test_wait.parity.shared.b64 %p1, [%rd1], %r1;", "sm_80", "sm_75"),
        ("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%rd1];", "sm_75", "sm_70"),
        ("stmatrix.sync.aligned.m8n8.x1.shared.b16 [%rd1], {%r1};", "sm_90", "sm_80"),
        ("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f0, %f1, %f2, %f3}, {%r0, %r1, %r2, %r3}, "
         "{%r4, %r5}, {%f0, %f1, %f2, %f3};", "sm_80", "sm_75"),
        ("fma.rn.bf16x2 %r1, %r2, %r3, %r4;", "sm_80", "sm_75"),
        ("add.rn.bf16x2 %r1, %r2, %r3;", "sm_90", "sm_80"),
        ("max.f16x2 %r1, %r2, %r3;", "sm_80", "sm_75"),
        ("cvt.rn.bf16.f32 %h1, %f1;", "sm_80", "sm_75"),
        ("tanh.approx.f32 %f1, %f2;", "sm_75", "sm_70"),
        ("ld.relaxed.gpu.global.u32 %r1, [%rd1];", "sm_70", "sm_60"),
        ("ld.global.v4.b64 {%rd1, %rd2, %rd3, %rd4}, [%rd5];", "sm_100", "sm_90a"),
        ("match.any.sync.b32 %r1, %r2, -1;", "sm_70", "sm_60"),
        ("nanosleep.u32 20;", "sm_70", "sm_60"),
        ("ld.shared::cluster.u32 %r1, [%rd1];", "sm_90", "sm_80"),
    ],
)  # fmt: skip
def test_instructions_that_a_target_does_not_have(instruction, has, lacks):
    shared = ".shared .align 16 .b8 buffer[64];\n"
    with pytest.raises(ptx.UnknownInstructionError, match=lacks) as fault:
        ptx.Kernel(text(f"    {instruction}", lacks, declarations=shared))
    assert fault.value.line is not None
    ptx.Kernel(text(f"    {instruction}", has, declarations=shared))


MASKED = """
    setp.lt.u32 %p1, %r0, 16;
    selp.b32 %r5, {low}, {high}, %p1;
    mov.u32 %r20, 0;
    {instruction}
    mov.u32 %r20, 1;
"""
INSTRUCTIONS = [
    "shfl.sync.bfly.b32 %r7, %r0, 1, 31, %r5;",
    "bar.warp.sync %r5;",
    "vote.sync.any.pred %p2, %p1, %r5;",
    "redux.sync.add.u32 %r7, %r0, %r5;",
    "match.any.sync.b32 %r7, %r0, %r5;",
]


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_member_masks_that_differ_among_the_lanes_that_meet(instruction):
    def launch(low, high, guard=""):
        return stored(MASKED.format(low=low, high=high, instruction=f"{guard}{instruction}"))

    assert launch("-1", "-1") == launch("0xffff", "0xffff0000") == [1] * 32
    assert launch("0xffff", "0", "@%p1 ") == [1] * 32
    for low, high in (("-1", "0xffff0000"), ("0xffff", "-1"), ("0x1ffff", "0xffff0000")):
        with pytest.raises(ptx.DivergenceError):
            launch(low, high)
    with pytest.raises(ptx.DivergenceError):  # half of those that the mask names do not execute it
        launch("-1", "-1", "@%p1 ")


def test_exited_lanes_may_be_named():
    body = "    setp.ge.u32 %p1, %r0, 20;\n    mov.u32 %r5, -1;\n    @%p1 exit;\n    bar.warp.sync %r5;\n"
    x = np.zeros(32, np.uint32)
    run(body + "    add.u64 %rd5, %rd0, %rd31;\n    st.global.u32 [%rd5], 1;\n", x)
    assert x.tolist() == [1] * 20 + [0] * 12
