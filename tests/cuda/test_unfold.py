"""Windows as the columns of a matrix, and added up again, on the executor."""

import numpy as np
import pytest

from gpuconv.cuda import unfold
from gpuconv.spec import of_fold, of_unfold
from tests import ptx, reference
from tests.cases import PATCHES_CASES, POOL_DTYPES, equal, integers
from tests.cuda.execution import compute, poisoned
from tests.cuda.mutation import BEYOND, HARMLESS, WRONG, changed_room, file_of, seldom
from tests.layouts import WRITABLE
from tests.sampling import few

UNFOLD, FOLD = unfold.ALGORITHMS
CASES = sorted(
    (case for case in PATCHES_CASES if case.name != "several bands"),
    key=lambda case: case.name not in ("stride (2, 3), dilation (3, 2)", "four sides", "beyond the window"),
)


def run(algorithm, spec, x):
    y = poisoned(spec.out_shape, spec.dtype)
    compute(algorithm, spec, (x,), (y,))
    return y


def columns(case, dtype):
    return integers(reference.unfold(np.zeros(case.x), **case.parameters).shape, dtype, 1)


@pytest.mark.parametrize("case", few(CASES, 6), ids=str)
@pytest.mark.parametrize("dtype", few(POOL_DTYPES, 1))
def test_every_window_is_a_column(case, dtype):
    x = integers(case.x, dtype)
    found = run(UNFOLD, of_unfold(x, **case.parameters), x)
    equal(found, reference.unfold(x, **case.parameters).astype(dtype))


@pytest.mark.parametrize("case", few(CASES, 6), ids=str)
@pytest.mark.parametrize("dtype", few(POOL_DTYPES, 1))
def test_columns_are_added_up(case, dtype):
    x, size = columns(case, dtype), case.x[2:]
    found = run(FOLD, of_fold(x, size, **case.parameters), x)
    equal(found, reference.fold(x, size, **case.parameters).astype(dtype))


@pytest.mark.parametrize("layout", ["reversed", "channels last", "strided"])
def test_arrays_of_any_strides(layout):
    case = CASES[0]
    x, m = integers(case.x, "float32"), columns(case, "float32")
    for algorithm, spec, given, expected in (
        (UNFOLD, of_unfold(x, **case.parameters), x, reference.unfold(x, **case.parameters)),
        (
            FOLD,
            of_fold(m, case.x[2:], **case.parameters),
            m,
            reference.fold(m, case.x[2:], **case.parameters),
        ),
    ):
        y = WRITABLE[layout](poisoned(spec.out_shape, "float32"))
        compute(algorithm, spec, (WRITABLE[layout](given),), (y,))
        equal(y, expected.astype("float32"))


FAULTS = [
    ("unfold.copies", "the border below", "(h < H)", "(h <= H)", f"{WRONG} {BEYOND}"),
    ("unfold.copies", "the border on the right", "(w < W)", "(w <= W)", f"{WRONG} {BEYOND}"),
    ("unfold.copies", "the order of taps", "c, r = divide(rest, R)", "r, c = divide(rest, C)",
     f"{WRONG} {BEYOND}"),
    ("unfold.copies", "dilation", "s * dilation_w", "s", WRONG),
    ("unfold.sums", "the last window", "p < P", "p <= P", f"{WRONG} {BEYOND}"),
    ("unfold.sums", "places between windows", "rest == uint32(0) and", "", f"{WRONG} {BEYOND}"),
    ("unfold.sums", "rows of the matrix", "(c * int64(R) + int64(r)) * int64(S)", "c * int64(R) * int64(S)",
     WRONG),
]  # fmt: skip


def verdict(algorithms):
    matrix, sums = algorithms
    try:
        right = True
        for case in CASES[:6]:
            x, m, size = integers(case.x, "float32"), columns(case, "float32"), case.x[2:]
            found = run(matrix, of_unfold(x, **case.parameters), x)
            right &= np.array_equal(found, reference.unfold(x, **case.parameters))
            found = run(sums, of_fold(m, size, **case.parameters), m)
            right &= np.array_equal(found, reference.fold(m, size, **case.parameters))
        return HARMLESS if right else WRONG
    except ptx.PtxError as fault:
        return type(fault).__name__


def test_each_fault_has_one_place():
    for file, what, old, *_ in FAULTS:
        assert file_of(f"gpuconv.cuda.{file}").read_text().count(old) == 1, what


@seldom(FAULTS, 4)
def test_faults_are_caught(fault):
    file, _, old, new, expected = fault
    found = verdict(changed_room("unfold", file, old, new).ALGORITHMS)
    assert found != HARMLESS and found in expected


def test_unharmed_kernels_raise_nothing():
    assert verdict(unfold.ALGORITHMS) == HARMLESS
