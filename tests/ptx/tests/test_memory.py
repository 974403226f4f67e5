"""State spaces, bounds, alignment and undefined values, in hand-written PTX."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import SHARED, STORE, run, stored


def test_vector_accesses():
    x, y = np.arange(64, dtype=np.uint32), np.zeros(64, np.uint32)
    body = """
    mul.wide.u32 %rd5, %r0, 16;
    add.u64 %rd6, %rd0, %rd5;
    add.u64 %rd7, %rd1, %rd5;
    ld.global.v4.b32 {%r5, %r6, %r7, %r8}, [%rd6];
    ld.global.v2.u16 {%h1, %h2}, [%rd6+8];
    cvt.u32.u16 %r9, %h1;
    st.global.v2.u32 [%rd7+8], {%r5, %r6};
    st.global.v2.b32 [%rd7], {%r9, %r8};
"""
    run(body, x, ptx.out(y), block=16)
    rows = x.reshape(16, 4)
    assert np.array_equal(y.reshape(16, 4), rows[:, [2, 3, 0, 1]])


def test_narrow_loads_extend():
    x = np.array([-1, 127, -128, 5], np.int8)
    assert stored_from(x, "ld.global.s8 %r20, [%rd6];", 1) == [0xFFFFFFFF, 127, 0xFFFFFF80, 5]
    assert stored_from(x, "ld.global.u8 %r20, [%rd6];", 1) == [255, 127, 128, 5]


def stored_from(x: np.ndarray, load: str, size: int) -> list[int]:
    y = np.zeros(x.size, np.uint32)
    run(
        f"    mul.wide.u32 %rd5, %r0, {size};\n    add.u64 %rd6, %rd1, %rd5;\n    {load}\n" + STORE,
        ptx.out(y),
        x,
        block=x.size,
    )
    return y.tolist()


def test_generic_addresses_meet_every_space():
    declarations = (
        SHARED + ".const .align 4 .u32 fixed[2] = {11, 12};\n.global .align 4 .u32 state = 13;\n"
        ".global .u64 table[2] = {state, generic(fixed)};\n"
    )
    body = """
    .local .align 4 .b8 own[8];
    mov.u64 %rd5, buffer;
    cvta.shared.u64 %rd6, %rd5;
    mov.u32 %r5, 10;
    setp.eq.u32 %p1, %r0, 0;
    @%p1 st.u32 [%rd6], %r5;
    bar.sync 0;
    mov.u64 %rd7, fixed;
    cvta.const.u64 %rd7, %rd7;
    add.u64 %rd7, %rd7, 4;
    mov.u64 %rd8, table;
    ld.global.u64 %rd8, [%rd8];
    mov.u64 %rd9, own;
    cvta.local.u64 %rd9, %rd9;
    st.u32 [%rd9+4], %r0;
    add.u64 %rd9, %rd9, 4;
    and.b32 %r6, %r0, 3;
    setp.eq.u32 %p2, %r6, 1;
    selp.b64 %rd10, %rd7, %rd6, %p2;
    setp.eq.u32 %p2, %r6, 2;
    selp.b64 %rd10, %rd8, %rd10, %p2;
    setp.eq.u32 %p2, %r6, 3;
    selp.b64 %rd10, %rd9, %rd10, %p2;
    ld.u32 %r20, [%rd10];
    isspacep.shared %p3, %rd10;
    @%p3 add.u32 %r20, %r20, 100;
    isspacep.local %p3, %rd10;
    @%p3 add.u32 %r20, %r20, 200;
    cvta.to.shared.u64 %rd11, %rd6;
    setp.ne.u64 %p4, %rd11, %rd5;
    @%p4 trap;
"""
    assert stored(body, declarations=declarations) == [[110, 12, 13, 200 + n][n % 4] for n in range(32)]


def test_static_and_dynamic_shared_memory_do_not_overlap():
    declarations = SHARED + ".extern .shared .align 16 .b8 more[];\n"
    body = """
    mov.u32 %r5, buffer;
    mov.u32 %r6, more;
    sub.u32 %r20, %r6, %r5;
    mad.lo.u32 %r7, %r3, 4, %r6;
    st.shared.u32 [%r7], %r20;
    ld.shared.u32 %r20, [%r7];
"""
    assert min(stored(body, declarations=declarations, shared_bytes=128)) > 4096
    with pytest.raises(ptx.OutOfBoundsError) as fault:
        stored(body, declarations=declarations, shared_bytes=124)
    assert fault.value.thread == (31, 0, 0)


@pytest.mark.parametrize("offset", [-4, 128, 1 << 33, -(1 << 34)])
def test_accesses_beside_an_array(offset):
    body = f"""
    add.u64 %rd30, %rd1, %rd31;
    add.s64 %rd30, %rd30, {offset};
    ld.global.u32 %r20, [%rd30];
"""
    with pytest.raises(ptx.OutOfBoundsError, match=r"array 1 \(32,\) uint32"):
        run(body + STORE, ptx.out(np.zeros(32, np.uint32)), np.zeros(32, np.uint32))


@pytest.mark.parametrize(
    "access",
    [
        "ld.global.u32 %r20, [%rd30+2];",
        "ld.global.v2.u32 {%r20, %r21}, [%rd30+4];",
        "ld.global.v4.u32 {%r20, %r21, %r22, %r23}, [%rd30+8];",
        "ld.global.u64 %rd9, [%rd30+4];",
    ],
)
def test_misaligned_accesses(access):
    x = np.zeros(64, np.uint32)
    body = (
        f"    shl.b64 %rd30, %rd31, 2;\n    add.u64 %rd30, %rd1, %rd30;\n    {access}\n    mov.u32 %r20, 0;\n"
    )
    with pytest.raises(ptx.MisalignedError):
        run(body + STORE, ptx.out(np.zeros(8, np.uint32)), x, block=8)


def test_view_keeps_the_alignment_of_its_base():
    x = np.zeros(65, np.uint32)
    body = "    ld.global.v4.u32 {%r20, %r21, %r22, %r23}, [%rd1];\n"
    run(body + STORE, ptx.out(np.zeros(1, np.uint32)), x[4:], block=1)
    with pytest.raises(ptx.MisalignedError):
        run(body + STORE, ptx.out(np.zeros(1, np.uint32)), x[1:], block=1)


def test_pointer_into_an_array():
    x = np.arange(40, dtype=np.uint32)
    y = np.zeros(32, np.uint32)
    load = "    add.u64 %rd30, %rd1, %rd31;\n    ld.global.u32 %r20, [%rd30];\n"
    run(load + STORE, ptx.out(y), ptx.pointer(x, 32))
    assert np.array_equal(y, x[8:])
    with pytest.raises(ptx.OutOfBoundsError):
        run(load + STORE, ptx.out(y), ptx.pointer(x, 36))


def test_arrays_that_share_memory():
    x = np.arange(64, dtype=np.uint32)
    body = "    add.u64 %rd30, %rd1, %rd31;\n    ld.global.u32 %r20, [%rd30];\n"
    run(body + STORE, x[:32], x[32:])
    assert np.array_equal(x, np.r_[32:64, 32:64])


def test_a_failed_launch_leaves_the_arrays_alone():
    x = np.zeros(32, np.uint32)
    with pytest.raises(ptx.OutOfBoundsError):
        run("    mov.u32 %r20, 1;\n" + STORE + "    st.global.u32 [%rd30+4096], %r20;\n", x)
    assert not x.any()


def test_undefined_register_may_be_copied_but_not_stored():
    body = "    mov.u32 %r21, %r19;\n    add.u32 %r20, %r21, 1;\n"
    assert stored(body + "    mov.u32 %r20, 4;\n") == [4] * 32
    with pytest.raises(ptx.UninitialisedError, match=r"%r20.*stored to array 0"):
        stored(body)


def test_undefined_branch_and_address():
    with pytest.raises(ptx.UninitialisedError, match="branch"):
        stored("    setp.eq.u32 %p1, %r19, 0;\n    @%p1 bra DONE;\nDONE:\n    mov.u32 %r20, 0;\n")
    with pytest.raises(ptx.UninitialisedError, match="address"):
        stored("    ld.global.u32 %r20, [%rd19];\n")


def test_register_written_on_one_path_only():
    body = """
    setp.lt.u32 %p1, %r0, 9;
    @%p1 mov.u32 %r20, 1;
    setp.lt.u32 %p2, %r0, {limit};
    @!%p2 exit;
"""
    result = np.zeros(32, np.uint32)
    run(body.format(limit=9) + STORE, result)
    assert result.tolist() == [1] * 9 + [0] * 23
    with pytest.raises(ptx.UninitialisedError) as fault:
        run(body.format(limit=10) + STORE, result)
    assert fault.value.thread == (9, 0, 0)


def test_unwritten_shared_memory():
    body = "    mov.u64 %rd5, buffer;\n    add.u64 %rd5, %rd5, %rd31;\n    ld.shared.u32 %r20, [%rd5];\n"
    with pytest.raises(ptx.UninitialisedError):
        stored(body, declarations=SHARED)
    assert stored(body + "    mov.u32 %r20, 3;\n", declarations=SHARED) == [3] * 32


def test_undefined_values_survive_a_spill():
    body = """
    .local .align 4 .b8 own[8];
    mov.u64 %rd9, own;
    st.local.u32 [%rd9], {register};
    ld.local.u32 %r20, [%rd9];
"""
    assert stored(body.replace("{register}", "%r0")) == list(range(32))
    with pytest.raises(ptx.UninitialisedError, match="%r20"):
        stored(body.replace("{register}", "%r19"))


def test_only_the_unwritten_part_of_a_vector_is_undefined():
    x, y = np.empty(4, np.uint32), np.zeros(1, np.uint32)
    body = (
        "    mov.u32 %r5, 8;\n    st.global.u32 [%rd1+8], %r5;\n"
        "    ld.global.v4.u32 {%r6, %r7, %r20, %r8}, [%rd1];\n"
    )
    run(body + STORE, ptx.out(y), ptx.out(x), block=1)
    assert y[0] == 8
    with pytest.raises(ptx.UninitialisedError, match="%r7"):
        run(body + "    st.global.u32 [%rd0], %r7;\n", ptx.out(y), ptx.out(x), block=1)
