"""The text, the arguments and the report of a launch."""

from __future__ import annotations

import numpy as np
import pytest
from numba import cuda, float32, void

from tests import ptx

from ..parse import parse
from .assemble import HEADER, SHARED, kernel, run


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEADER + ".visible .entry k()\n{\n  add.u32 %r0, %r1;\n", 6),
        (HEADER + ".nonsense\n", 4),
        (HEADER + ".visible .entry k()\n{\n  bra NOWHERE;\n}\n", 6),
        (HEADER + "\n.visible .entry k(.param .q8 x)\n", 5),
        (HEADER + ".visible .entry k()\n{\n  mov.u32 %r0 # 1;\n}\n", 6),
    ],
)
def test_parse_errors_name_the_line(text, line):
    with pytest.raises(ptx.ParseError) as fault:
        parse(text)
    assert fault.value.line == line


def test_choice_of_entry():
    text = HEADER + ".visible .entry one()\n{\n ret;\n}\n.visible .entry two()\n{\n ret;\n}\n"
    assert ptx.Kernel(text, "two").name == "two"
    with pytest.raises(ptx.LaunchError, match="2 entries"):
        ptx.Kernel(text)
    with pytest.raises(ptx.LaunchError, match="no entry 'three'"):
        ptx.Kernel(text, "three")


@pytest.mark.parametrize(
    ("grid", "block", "arguments"),
    [
        (0, 32, [1, 2]),
        (1, (32, 0), [1, 2]),
        (1, 2048, [1, 2]),
        (1, (1, 2, 3, 4), [1, 2]),
        (1, 32, [1]),
        (1, 32, [1, 2, 3]),
        (1, 32, [1, 2.5]),
        (1, 32, [1, 1 << 70]),
        (1, 32, [1, b"abc"]),
        (1, 32, [1, np.array([object()])]),
    ],
)
def test_launches_that_do_not_fit(grid, block, arguments):
    with pytest.raises(ptx.LaunchError):
        kernel("", 2).launch(grid, block, *arguments)


def test_scalar_and_structure_parameters():
    text = (
        HEADER
        + """.visible .entry k(.param .u64 p, .param .f32 x, .param .u8 b, .param .align 8 .b8 s[16])
{
    .reg .f32 %f<9>; .reg .b32 %r<9>; .reg .b64 %rd<9>;
    ld.param.u64 %rd1, [p];
    ld.param.f32 %f1, [x];
    ld.param.u8 %r1, [b];
    ld.param.u32 %r2, [s+8];
    mov.b64 %rd2, s;
    ld.param.u32 %r3, [%rd2+12];
    cvt.rzi.u32.f32 %r4, %f1;
    st.global.v4.u32 [%rd1], {%r1, %r2, %r3, %r4};
    ret;
}
"""
    )
    y = np.empty(4, np.uint32)
    ptx.Kernel(text).launch(1, 1, ptx.out(y), 7.5, 200, np.array([1, 2, 3, 4], np.uint32).tobytes())
    assert y.tolist() == [200, 3, 4, 7]


def global_load(stride: int) -> float:
    x = np.zeros(32 * stride, np.uint32)
    body = f"""
    mul.wide.u32 %rd5, %r0, {4 * stride};
    add.u64 %rd5, %rd0, %rd5;
    ld.global.u32 %r5, [%rd5];
"""
    return run(body, x, count_memory=True).sectors_per_request


def test_sectors():
    assert [global_load(stride) for stride in (1, 2, 4, 8, 16)] == [4, 8, 16, 32, 32]


@pytest.mark.parametrize(("stride", "degree"), [(4, 1), (8, 2), (12, 1), (16, 4), (128, 32), (132, 1)])
def test_bank_conflicts(stride, degree):
    declarations = f".shared .align 16 .b8 buffer[{32 * stride}];\n"
    body = (
        f"    mov.u32 %r6, buffer;\n    mad.lo.u32 %r6, %r3, {stride}, %r6;\n    st.shared.u32 [%r6], %r3;\n"
    )
    report = run(body, np.zeros(1), count_memory=True, declarations=declarations)
    assert report.bank_conflict_degree == degree


@pytest.mark.parametrize(
    ("kind", "registers", "stride", "degree"),
    [
        ("v2.u32", "{%r3, %r3}", 8, 1),
        ("v4.u32", "{%r3, %r3, %r3, %r3}", 16, 1),
        ("v2.u32", "{%r3, %r3}", 16, 2),
        ("v4.u32", "{%r3, %r3, %r3, %r3}", 32, 2),
        ("v4.u32", "{%r3, %r3, %r3, %r3}", 128, 8),
    ],
)
def test_bank_conflicts_of_vectors(kind, registers, stride, degree):
    declarations = f".shared .align 16 .b8 buffer[{32 * stride}];\n"
    body = f"""
    mov.u32 %r6, buffer;
    mad.lo.u32 %r6, %r3, {stride}, %r6;
    st.shared.{kind} [%r6], {registers};
"""
    report = run(body, np.zeros(1), count_memory=True, declarations=declarations)
    assert report.bank_conflict_degree == degree


def test_broadcast_has_no_conflicts():
    body = """
    mov.u32 %r6, buffer;
    setp.eq.u32 %p1, %r3, 0;
    @%p1 st.shared.u32 [%r6], %r3;
    bar.sync 0;
    ld.shared.u32 %r7, [%r6];
"""
    report = run(body, np.zeros(1), count_memory=True, declarations=SHARED, block=64)
    assert report.bank_conflict_degree == 1 and report.barriers == 2
    assert report.traffic("shared", "ld").requests == 2 and report.traffic("shared", "st").requests == 1


def test_instruction_counts():
    report = run(
        "    setp.lt.u32 %p1, %r0, 8;\n    @%p1 bra NEXT;\n    add.f32 %f1, %f2, %f3;\nNEXT:\n",
        np.zeros(1),
        block=64,
        grid=2,
    )
    assert report.divergent_branches == 1
    assert report.opcodes["add.f32"] == 4 and report.instructions["math"] == 4
    (line,) = [line for line in report.lines if line.opcode == "add.f32"]
    assert line.threads == 120 and line.warps == 4
    assert "divergent branches 1" in str(report)


def tail(a, o):
    i = cuda.grid(1)
    if i >= a.size:
        return
    shared = cuda.shared.array(64, float32)
    shared[cuda.threadIdx.x] = a[i]
    cuda.syncthreads()
    o[i] = shared[0]


def test_part_of_a_warp_exits_before_a_barrier():
    kernel = ptx.Kernel(ptx.compile_numba(tail, void(float32[::1], float32[::1]), "sm_80"))
    a, o = np.arange(100, dtype=np.float32), np.zeros(100, np.float32)
    arguments = ptx.numba_array(a), ptx.numba_array(ptx.out(o))
    with pytest.raises(ptx.BarrierError, match=r"28 have exited .exited_threads_arrive=True counts them"):
        kernel.launch(2, 64, *arguments)
    kernel.launch(np.int64(2), 64, *arguments, exited_threads_arrive=True)
    assert (o == np.repeat([0, 64], [64, 36])).all()


def test_an_empty_array_and_a_scalar_of_another_kind():
    def scaled(a, factor):
        i = cuda.grid(1)
        if i < a.size:
            a[i] *= factor

    kernel = ptx.Kernel(ptx.compile_numba(scaled, void(float32[::1], float32), "sm_80"))
    kernel.launch(1, 32, ptx.numba_array(np.zeros(0, np.float32)), 2.0)
    a = np.ones(3, np.float32)
    kernel.launch(1, 32, ptx.numba_array(a), np.int32(3))
    assert (a == 3).all()


def test_parts_said_to_lie_far_apart_are_folded_back():
    host = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    for axis, far in ((0, 2**38), (1, 2**33 + 4), (2, 2**31)):
        x, y = ptx.apart(host, axis, far), ptx.apart(np.zeros_like(host), axis, far)
        steps = [np.arange(n) * step for n, step in zip(host.shape, x.device_strides, strict=True)]
        copied(x, y, np.add.outer(np.add.outer(*steps[:2]), steps[2]).reshape(-1))
        np.testing.assert_array_equal(y, host)
        for beyond in (x.part, far - 4, host.shape[axis] * far, -4, -far):
            with pytest.raises(ptx.OutOfBoundsError):
                copied(x, y, np.array([beyond]))


def copied(x, y, offsets):
    """Copy 32 bits at each offset in bytes, a thread for each."""
    body = """
      mov.u32 %r0, %tid.x;
      mul.wide.u32 %rd3, %r0, 8;
      ld.param.u64 %rd2, [p2];
      add.u64 %rd2, %rd2, %rd3;
      ld.global.u64 %rd4, [%rd2];
      ld.param.u64 %rd0, [p0];
      ld.param.u64 %rd1, [p1];
      add.u64 %rd0, %rd0, %rd4;
      add.u64 %rd1, %rd1, %rd4;
      ld.global.u32 %r1, [%rd0];
      st.global.u32 [%rd1], %r1;
    """
    kernel(body, 3).launch(1, len(offsets), x, ptx.out(y), offsets)


def test_only_some_blocks_of_a_large_grid():
    y = np.zeros(4, np.uint32)
    total = 2**31 - 1
    body = """
      ld.param.u64 %rd0, [p0];
      mov.u32 %r0, %ctaid.x;
      mul.wide.u32 %rd1, %r0, 4;
      add.u64 %rd0, %rd0, %rd1;
      st.global.u32 [%rd0], %r0;
    """
    last = ptx.pointer(y, -4 * (total - 4))
    kernel(body, 1).launch(total, 1, last, only=range(total - 3, total))
    assert y.tolist() == [0, total - 3, total - 2, total - 1]
    with pytest.raises(ptx.LaunchError, match="in their order"):
        kernel(body, 1).launch(total, 1, last, only=range(total - 3, total), reverse=True)


def test_the_report_tells_which_lines_a_thread_has_executed():
    body = """
      mov.u32 %r0, %tid.x;
      setp.ge.u32 %p0, %r0, 64;
      @%p0 mov.u32 %r1, 1;
      @!%p0 mov.u32 %r1, 2;
      @%p0 bra SKIP;
      ret;
    SKIP:
      mov.u32 %r1, 3;
    """
    taken = kernel(body, 0)
    told = {line: text for line, text in taken.lines.items() if line in taken.launch(1, 32).executed}
    assert not {text for text in told.values() if text.startswith("@%p0 mov") or " 3" in text}
    assert len(told) == len(taken.lines) - 3 and len(taken.launch(1, 96).executed) == len(taken.lines)
