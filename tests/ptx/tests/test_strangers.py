"""What meets whoever is new to the executor: checks, reports, places in the source, either order."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .assemble import SHARED, run, stored

cuda = pytest.importorskip("numba.cuda")
from numba import float32, float64, int32, void  # noqa: E402


def scale(x, y, factor):
    i = cuda.grid(1)
    if i < y.size:
        y[i] = factor * x[i]


def add_rows(x, y):
    i = cuda.grid(1)
    if i < y.size:
        y[i] = x[i, 0] + x[i, 1]


def reach(x, y):
    i = cuda.threadIdx.x
    total = x[i]
    total += x[i + 1]  # the last thread reads beyond the array
    y[i] = total


def floats(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32)


def test_arrays_of_another_type_than_the_kernel_takes():
    kernel = ptx.Kernel(ptx.compile_numba(scale, void(float32[::1], float32[:], float32)))

    def launch(x, y):
        kernel.launch(1, 32, ptx.numba_array(x), ptx.numba_array(y), 2.0)
        return y

    assert (launch(floats(32), np.zeros(64, np.float32)[::2]) == 2 * floats(32)).all()
    for x, y, reason in (
        (floats(32).astype(np.float64), floats(32), "float64.*takes float32"),
        (floats(32), np.zeros(32, np.int32), "number 1 is of int32"),
        (floats(64)[::2], floats(32), "strides"),
        (floats(64).reshape(2, 32), floats(32), "shape"),
        (floats(32).astype(">f4"), floats(32), "takes float32"),
    ):
        with pytest.raises(ptx.LaunchError, match=reason):
            launch(x, y)


def test_layouts_of_several_axes():
    x, y = np.arange(64, dtype=np.float64).reshape(32, 2), np.zeros(32)
    for kinds, fits, other in (
        (float64[:, ::1], x, np.asfortranarray(x)),
        (float64[::1, :], np.asfortranarray(x), x),
        (float64[:, :], x[:, ::-1], x.astype(np.float32)),
    ):
        kernel = ptx.Kernel(ptx.compile_numba(add_rows, void(kinds, float64[::1])))
        kernel.launch(1, 32, ptx.numba_array(fits), ptx.numba_array(ptx.out(y)))
        assert (y == x.sum(axis=1)).all()
        with pytest.raises(ptx.LaunchError, match="float64"):
            kernel.launch(1, 32, ptx.numba_array(other), ptx.numba_array(ptx.out(y)))


def test_a_fault_names_the_line_of_python():
    signature = void(int32[::1], int32[::1])
    x, y = np.zeros(32, np.int32), np.zeros(32, np.int32)
    arguments = ptx.numba_array(x), ptx.numba_array(y)
    with pytest.raises(ptx.OutOfBoundsError) as fault:
        ptx.Kernel(ptx.compile_numba(reach, signature, lineinfo=True)).launch(1, 32, *arguments)
    line = reach.__code__.co_firstlineno + 3
    assert fault.value.source == f"{__file__}:{line}"
    assert f"compiled from {__file__}:{line}" in str(fault.value)
    with pytest.raises(ptx.OutOfBoundsError) as fault:
        ptx.Kernel(ptx.compile_numba(reach, signature)).launch(1, 32, *arguments)
    assert fault.value.source is None


def test_a_report_is_short():
    report = run("    st.global.u32 [%rd0], 1;\n" * 50, np.zeros(1, np.uint32), block=1)
    assert len(repr(report)) < 200 and "grid (1, 1, 1)" in repr(report)


@pytest.mark.parametrize(
    ("instruction", "count"),
    [
        ("red.global.add.f32 [%rd0], %f1;", 6),
        ("atom.global.add.f32 %f2, [%rd0], %f1;", 6),
        ("@%p1 red.global.add.noftz.f16x2 [%rd0], %r5;", 6),
        ("red.global.add.u32 [%rd0], 1;", 0),
        ("atom.global.exch.b32 %r5, [%rd0], 1;", 0),
    ],
)
def test_float_atomics_are_counted(instruction, count):
    body = "    mov.f32 %f1, 0f3F800000;\n    mov.u32 %r5, 0;\n    setp.eq.u32 %p1, %r5, 0;\n    "
    assert run(body + instruction, np.zeros(1, np.uint32), block=64, grid=3).float_atomics == count


LAST = """
    mul.wide.u32 %rd5, %r3, 4;
    add.u64 %rd5, %rd0, %rd5;
    cvt.rn.f32.u32 %f1, %r0;
    mul.f32 %f1, %f1, 0f3DCCCCCD;
    {update}
"""


def test_both_orders():
    def launch(update, **options):
        x = np.zeros(64, np.float32)
        run(LAST.format(update=update), x, block=64, grid=7, **options)
        return x

    exchange, largest = "atom.global.exch.b32 %f2, [%rd0], %f1;", "red.global.max.u32 [%rd5], %r0;"
    sums = "red.global.add.f32 [%rd5], %f1;"
    assert launch(exchange)[0] == np.float32(447) * np.float32(0.1)
    assert launch(exchange, reverse=True)[0] == np.float32(31) * np.float32(0.1)  # of the first warp of all
    assert (launch(largest, both_orders=True) == launch(largest)).all()
    for update in (exchange, sums):
        with pytest.raises(ptx.OrderError, match="array 0"):
            launch(update, both_orders=True)


def test_the_opposite_order_is_the_same_program():
    """Ids, barriers, shuffles and a part of a warp."""
    body = """
    mov.u64 %rd5, buffer;
    mul.wide.u32 %rd6, %r3, 4;
    add.u64 %rd7, %rd5, %rd6;
    st.shared.u32 [%rd7], %r0;
    bar.sync 0;
    mov.u32 %r5, 71;
    sub.u32 %r5, %r5, %r3;
    mul.wide.u32 %rd6, %r5, 4;
    add.u64 %rd7, %rd5, %rd6;
    ld.shared.u32 %r6, [%rd7];
    mov.u32 %r7, %warpid;
    mov.u32 %r8, %laneid;
    mad.lo.u32 %r20, %r7, 1000, %r6;
    mad.lo.u32 %r20, %r8, 100000, %r20;
"""
    usual = stored(body, block=72, grid=5, declarations=SHARED)
    assert stored(body, block=72, grid=5, declarations=SHARED, reverse=True) == usual
    assert stored(body, block=72, grid=5, declarations=SHARED, both_orders=True) == usual
