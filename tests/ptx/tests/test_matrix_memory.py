"""``ldmatrix``, ``stmatrix`` and ``movmatrix``, and the faults that they meet."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import run

SHARED = ".shared .align 16 .b8 buffer[1024];\n"
MATRICES = np.arange(256, dtype=np.uint16).reshape(4, 8, 8) * 257

# Shared memory holds 32 rows of 16 bytes; row n is written by thread n, and read from address n.
STAGE = """
    mul.lo.u32 %r10, %r3, 16;
    mov.u32 %r11, buffer;
    add.u32 %r12, %r11, %r10;
    cvt.u64.u32 %rd10, %r10;
    add.u64 %rd11, %rd0, %rd10;
    ld.global.v4.b32 {%r30, %r31, %r32, %r33}, [%rd11];
    st.shared.v4.b32 [%r12], {%r30, %r31, %r32, %r33};
"""
KEEP = """
    add.u64 %rd12, %rd1, %rd10;
    st.global.v4.b32 [%rd12], {%r20, %r21, %r22, %r23};
"""
CLEAR = "".join(f"    mov.b32 %r{number}, 0;\n" for number in range(20, 24))


def loaded(instruction: str, *, stage: str = STAGE, threads: int = 32, **options) -> np.ndarray:
    """What each of 32 threads then holds in %r20 to %r23, as 16-bit elements (32, 4, 2)."""
    held = np.zeros((threads, 4, 2), np.uint16)
    source = np.concatenate([MATRICES] * (threads // 32))
    run(
        f"{stage}{CLEAR}    {instruction};\n{KEEP}",
        source,
        held,
        block=threads,
        declarations=SHARED,
        **options,
    )
    return held


REGISTERS = {1: "{%r20}", 2: "{%r20, %r21}", 4: "{%r20, %r21, %r22, %r23}"}
ROWS = "bar.warp.sync -1;\n    ldmatrix.sync.aligned.m8n8.{form}.b16 {registers}, [{address}]"


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_ldmatrix(count, transposed):
    """Thread 4 r + c holds elements 2 c and 2 c + 1 of row r of every matrix, or of column r."""
    form = f"x{count}{'.trans' if transposed else ''}.shared"
    held = loaded(ROWS.format(form=form, registers=REGISTERS[count], address="%r12"))
    for number in range(4):
        for thread in range(32):
            line, first = thread // 4, 2 * (thread % 4)
            expected = [0, 0]
            if number < count:
                matrix = MATRICES[number]
                expected = [matrix[e, line] if transposed else matrix[line, e] for e in (first, first + 1)]
            assert held[thread, number].tolist() == expected, (number, thread)


@pytest.mark.parametrize(
    ("form", "address"),
    [("x4.shared::cta", "%r12"), ("x4", "%rd13"), ("trans.x4.shared", "%r12"), ("x4.shared", "%r12 + 0")],
)
def test_forms_of_ldmatrix(form, address):
    body = "cvt.u64.u32 %rd13, %r12;\n    cvta.shared.u64 %rd13, %rd13;\n    "
    held = loaded(body + ROWS.format(form=form, registers=REGISTERS[4], address=address))
    plain = loaded(ROWS.format(form="x4.shared", registers=REGISTERS[4], address="%r12"))
    assert (held == plain).all() != ("trans" in form)


def test_addresses_may_be_in_any_order():
    reverse = "xor.b32 %r13, %r10, 0x1f0;\n    add.u32 %r13, %r13, %r11;\n    "
    held = loaded(reverse + ROWS.format(form="x4.shared", registers=REGISTERS[4], address="%r13"))
    assert held[5].tolist() == [MATRICES[3 - n, 6, 2:4].tolist() for n in range(4)]


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_stmatrix_is_the_reverse(count, transposed):
    form = f"x{count}{'.trans' if transposed else ''}.shared"
    body = (
        ROWS.format(form=form, registers=REGISTERS[count], address="%r12")
        + ";\n    add.u32 %r14, %r12, 512;\n    st.shared.v4.b32 [%r14], {%r3, %r3, %r3, %r3};\n"
        + "    bar.warp.sync -1;\n"
        + f"    stmatrix.sync.aligned.m8n8.{form}.b16 [%r14], {REGISTERS[count]};\n"
        + "    bar.warp.sync -1;\n    ld.shared.v4.b32 {%r20, %r21, %r22, %r23}, [%r14]"
    )
    rows = loaded(body).reshape(4, 8, 8)
    np.testing.assert_array_equal(rows[:count], MATRICES[:count])
    untouched = np.repeat(np.arange(32, dtype=np.uint32), 4).view(np.uint16).reshape(4, 8, 8)
    np.testing.assert_array_equal(rows[count:], untouched[count:])


def test_stmatrix_layout():
    """Row r of the first matrix consists of what threads 4 r to 4 r + 3 hold."""
    body = (
        "stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r12], {%r3};\n"
        "    bar.warp.sync -1;\n    ld.shared.v4.b32 {%r20, %r21, %r22, %r23}, [%r12]"
    )
    rows = loaded("bar.warp.sync -1;\n    " + body).view(np.uint32)[:8, :, 0]
    np.testing.assert_array_equal(rows, np.arange(32).reshape(8, 4))


def test_movmatrix():
    body = ROWS.format(form="x1.shared", registers="{%r20}", address="%r12")
    turned = loaded(body + ";\n    movmatrix.sync.aligned.m8n8.trans.b16 %r20, %r20")
    transposed = loaded(body.replace("x1.", "x1.trans."))
    np.testing.assert_array_equal(turned[:, 0], transposed[:, 0])


def test_two_warps_read_their_own_rows():
    held = loaded(ROWS.format(form="x4.shared", registers=REGISTERS[4], address="%r12"), threads=64)
    np.testing.assert_array_equal(held[:32], held[32:])


def test_bank_conflicts_are_counted():
    """Rows 16 bytes apart meet no bank twice; rows 128 bytes apart meet the same four banks."""
    body = ROWS.format(form="x1.shared", registers="{%r20}", address="%r15")
    for step, degree in ((16, 1.0), (128, 8.0)):
        wide = SHARED.replace("1024", "4096")
        text = f"mad.lo.u32 %r15, %r3, {step}, %r11;\n    " + body
        report = run(
            STAGE.replace("16;", f"{step};").replace("cvt.u64.u32 %rd10, %r10", "mul.wide.u32 %rd10, %r3, 16")
            + f"{CLEAR}    {text};\n{KEEP}",
            MATRICES,
            np.zeros((32, 4), np.uint32),
            declarations=wide,
            count_memory=True,
        )
        traffic = report.traffic("shared", "ldmatrix")
        assert traffic.wavefronts / traffic.phases == degree and traffic.bytes == 128


# -- faults -------------------------------------------------------------------------------------

LOAD = ROWS.format(form="x4.shared", registers=REGISTERS[4], address="%r12")


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("[%r12]", "[%r12 + 8]", ptx.MisalignedError),
        ("[%r12]", "[%r12 + 528]", ptx.OutOfBoundsError),
        ("[%r12]", "[%r12 + 512]", ptx.UninitialisedError),
        ("bar.warp.sync -1;", "", None),  # each thread reads its own row, which is in order
        ("bar.warp.sync -1;\n", "bar.warp.sync -1;\n    @%p1 ", ptx.DivergenceError),
    ],
)
def test_faults_of_ldmatrix(old, new, error):
    body = "setp.lt.u32 %p1, %r3, 8;\n    " + LOAD.replace(old, new)
    if error is None:
        loaded(body)
        return
    with pytest.raises(error) as fault:
        loaded(body)
    assert fault.value.line is not None and fault.value.thread is not None


REVERSED = "xor.b32 %r13, %r10, 0x1f0;\n    add.u32 %r13, %r13, %r11;\n    " + LOAD.replace("%r12", "%r13")


def test_no_barrier_between_store_and_ldmatrix():
    loaded(REVERSED)
    with pytest.raises(ptx.RaceError) as fault:
        loaded(REVERSED.replace("bar.warp.sync -1;", ""))
    assert "st.shared" in fault.value.other or "st.shared" in fault.value.instruction


def test_no_barrier_between_warps():
    other = "xor.b32 %r13, %r10, 0x200;\n    add.u32 %r13, %r13, %r11;\n    " + LOAD.replace("%r12", "%r13")
    loaded(other.replace("bar.warp.sync -1", "bar.sync 0"), threads=64)
    with pytest.raises(ptx.RaceError):
        loaded(other, threads=64)


def test_no_barrier_between_stmatrix_and_ldmatrix():
    body = "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%r12], {%r3, %r3, %r3, %r3};\n    " + REVERSED
    loaded(body, stage=STAGE.split("    st.shared")[0])
    with pytest.raises(ptx.RaceError, match="races"):
        loaded(body.replace("bar.warp.sync -1;", ""), stage=STAGE.split("    st.shared")[0])


def test_undefined_elements_are_told_apart():
    """Without row 9 of shared memory, only the threads with row 1 of the second matrix are concerned."""
    stage = STAGE.replace("    st.shared", "    setp.ne.u32 %p2, %r3, 9;\n    @%p2 st.shared")
    with pytest.raises(ptx.UninitialisedError, match="%r21") as fault:
        loaded(LOAD, stage=stage)
    assert fault.value.thread == (4, 0, 0)
    second = LOAD.replace("x4", "x1").replace(REGISTERS[4], "{%r20}").replace("[%r12]", "[%r12 + 256]")
    loaded(second, stage=stage)


def test_undefined_value_in_stmatrix():
    with pytest.raises(ptx.UninitialisedError, match="%r40"):
        loaded("stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r12], {%r40};\n")


@pytest.mark.parametrize(
    "instruction",
    [
        "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r20, %r21}, [%r12]",
        "ldmatrix.sync.aligned.m8n8.x3.shared.b16 {%r20, %r21, %r22}, [%r12]",
        "ldmatrix.sync.m8n8.x1.shared.b16 {%r20}, [%r12]",
        "ldmatrix.sync.aligned.m8n8.x1.global.b16 {%r20}, [%rd0]",
        "ldmatrix.sync.aligned.m8n8.x1.shared.b8 {%r20}, [%r12]",
        "ldmatrix.sync.aligned.m8n8.x1.shared.half.b16 {%r20}, [%r12]",
        "movmatrix.sync.aligned.m8n8.b16 %r20, %r21",
    ],
)
def test_what_is_no_matrix_move(instruction):
    with pytest.raises(ptx.UnknownInstructionError):
        loaded(instruction)
