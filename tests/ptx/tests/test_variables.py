"""Variables that lie side by side, alignment that nobody promised, and memory that is taken for constant."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import run, stored

TWO = ".shared .align 4 .b8 first[128];\n.shared .align 4 .b8 second[128];\n"
BODY = """
    mov.u32 %r5, first;
    mov.u32 %r6, second;
    mad.lo.u32 %r7, %r3, 4, %r5;
    mad.lo.u32 %r8, %r3, 4, %r6;
    st.shared.u32 [%r7], %r3;
    st.shared.u32 [%r8], %r3;
    bar.sync 0;
    mov.u32 %r9, 1;
    {access}
    mov.u32 %r20, %r9;
"""


@pytest.mark.parametrize("beyond", [128, 132, 252, 256, -4, -128])
@pytest.mark.parametrize(
    "access",
    [
        "ld.shared.u32 %r9, [{register}+{offset}];",
        "setp.eq.u32 %p1, %r3, 0;\n    @%p1 st.shared.u32 [{register}+{offset}], %r9;",
        "red.shared.add.u32 [{register}+{offset}], 1;",
        "cvt.u64.u32 %rd9, {register};\n    cvta.shared.u64 %rd9, %rd9;\n    ld.u32 %r9, [%rd9+{offset}];",
        "setp.eq.u32 %p1, %r3, 0;\n    @%p1 cp.async.ca.shared.global [{register}+{offset}], [%rd0], 4;",
    ],
)
def test_an_index_beyond_a_variable_is_not_its_neighbour(access, beyond):
    for register in ("%r5", "%r6"):
        text = BODY.format(access=access.format(register=register, offset=beyond))
        with pytest.raises(ptx.OutOfBoundsError):
            stored(text, declarations=TWO)
    inside = "ld.shared.u32 %r9, [%r5+124];"
    assert stored(BODY.format(access=inside), declarations=TWO) == [31] * 32


def test_neighbours_in_local_and_constant_memory():
    body = """
    .local .align 4 .b8 one[8];
    .local .align 4 .b8 two[8];
    mov.u64 %rd5, one;
    mov.u64 %rd6, two;
    st.local.v2.u32 [%rd6], {%r0, %r0};
    st.local.u32 [%rd5+OFFSET], %r0;
    ld.const.u32 %r20, [fixed+OFFSET];
"""
    fixed = ".const .align 4 .u32 fixed[2] = {11, 12};\n.const .align 4 .u32 others[2] = {13, 14};\n"
    plain = body.replace(".v2.u32 [%rd6], {%r0, %r0}", ".u32 [%rd6+4], %r0")
    assert stored(plain.replace("OFFSET", "4"), declarations=fixed) == [12] * 32
    for offset in ("8", "12"):
        for part in ("st.local.u32 [%rd5+OFFSET], %r0;", "ld.const.u32 %r20, [fixed+OFFSET];"):
            with pytest.raises(ptx.OutOfBoundsError):
                stored(
                    plain.replace(part, part.replace("OFFSET", offset)).replace("OFFSET", "0"),
                    declarations=fixed,
                )


@pytest.mark.parametrize(("width", "least"), [(1, 4), (2, 8), (4, 16)])
@pytest.mark.parametrize("declared", [4, 8, 16, 128])
def test_dynamic_shared_memory_is_no_better_aligned_than_declared(width, least, declared):
    kind = {1: "u32", 2: "v2.u32", 4: "v4.u32"}[width]
    registers = "%r3" if width == 1 else "{" + ", ".join(["%r3"] * width) + "}"
    body = f"""
    mov.u32 %r5, more;
    mad.lo.u32 %r6, %r3, {4 * width}, %r5;
    st.shared.{kind} [%r6], {registers};
    ld.shared.u32 %r20, [%r6];
"""
    declarations = f".extern .shared .align {declared} .b8 more[];\n"
    for static in ("", ".shared .align 4 .b8 before[20];\n.shared .align 16 .b8 between[16];\n"):
        if declared < least:
            with pytest.raises(ptx.MisalignedError):
                stored(body, declarations=static + declarations, shared_bytes=512)
        else:
            assert stored(body, declarations=static + declarations, shared_bytes=512) == list(range(32))


def test_a_second_static_variable_is_no_better_aligned_than_declared():
    body = "    mov.u32 %r5, tile;\n    st.shared.v2.u32 [%r5], {%r0, %r0};\n    mov.u32 %r20, 1;\n"
    one = ".shared .align 8 .b8 word[8];\n"
    assert stored(body, declarations=one + ".shared .align 8 .b8 tile[8];\n", block=1) == [1]
    with pytest.raises(ptx.MisalignedError):
        stored(body, declarations=one + ".shared .align 4 .b8 tile[8];\n", block=1)


CONSTANT = """
    add.u64 %rd5, %rd0, %rd31;
    {before}
    bar.sync 0;
    membar.gl;
    {load}
    bar.sync 0;
    {after}
    add.u64 %rd6, %rd1, %rd31;
    st.global.u32 [%rd6], %r20;
"""
WRITE = "st.global.u32 [%rd5], %r3;"


@pytest.mark.parametrize(
    "load",
    [
        "ld.global.nc.u32 %r20, [%rd5];",
        "ld.global.ca.nc.u32 %r20, [%rd5];",
        "ld.global.nc.L1::no_allocate.u32 %r20, [%rd5];",
        "and.b64 %rd5, %rd5, -16;\n    ld.global.nc.v4.u32 {%r20, %r21, %r22, %r23}, [%rd5];",
        "ld.global.nc.u8 %r20, [%rd5];",
        "ldu.global.u32 %r20, [%rd5];",
    ],
)
def test_what_a_launch_writes_is_not_constant(load):
    def launch(before="", after="", **options):
        x, y = np.ones(64, np.uint32), np.zeros(64, np.uint32)
        text = CONSTANT.replace("{before}", before).replace("{load}", load).replace("{after}", after)
        run(text, x, y, **options)
        return y.tolist()

    assert launch() == [1] * 32 + [0] * 32
    for access in (WRITE, "red.global.add.u32 [%rd5], 1;", "atom.global.exch.b32 %r7, [%rd5], 1;"):
        for place in ("before", "after"):
            with pytest.raises(ptx.RaceError):
                launch(**{place: access})
    with pytest.raises(ptx.RaceError):  # by one thread alone, and what it writes to itself
        launch(before=WRITE, block=1)
    assert launch(before="st.global.u32 [%rd0+128], %r3;", block=1)[0] == 1


def test_what_another_block_writes_is_not_constant_either():
    body = """
    setp.eq.u32 %p1, %r1, {reader};
    @%p1 ld.global.nc.u32 %r20, [%rd0];
    @!%p1 st.global.u32 [%rd0], 7;
"""
    for reader in (0, 300):
        with pytest.raises(ptx.RaceError):
            run(body.format(reader=reader), np.zeros(1, np.uint32), block=1, grid=2 if reader == 0 else 301)
    plain = body.replace("@!%p1 st.global.u32 [%rd0]", "@!%p1 st.global.u32 [%rd0+4]").format(reader=1)
    run(plain, np.zeros(2, np.uint32), block=1, grid=2)


def test_an_array_that_cannot_be_written_is_constant():
    x = np.arange(32, dtype=np.uint32)
    x.flags.writeable = False
    y = np.zeros(32, np.uint32)
    body = (
        "    add.u64 %rd5, %rd0, %rd31;\n    ld.global.nc.u32 %r20, [%rd5];\n    add.u64 %rd6, %rd1, %rd31;\n"
    )
    run(body + "    st.global.u32 [%rd6], %r20;\n", x, y)
    assert y.tolist() == x.tolist()
