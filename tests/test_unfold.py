"""Windows as the columns of a matrix, and added up again, on the CPU."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import gpuconv
from gpuconv import cpu
from gpuconv.algorithm import refusal
from gpuconv.call import make, understand
from gpuconv.operators import FOLD, UNFOLD
from tests import reference
from tests.cases import PATCHES_CASES, POOL_DTYPES, PatchesCase, equal, integers, normal
from tests.layouts import READABLE, WRITABLE

ALGORITHMS = {algorithm.name: algorithm for algorithm in cpu.ALGORITHMS["unfold"]}
X = integers((2, 3, 6, 7), "float32")
M = gpuconv.unfold(X, 3, padding=1, stride=2)

over_cases = pytest.mark.parametrize("case", PATCHES_CASES, ids=str)


def columns(case, dtype, maker=integers):
    return maker(reference.unfold(np.zeros(case.x), **case.parameters).shape, dtype, 1)


def taken():
    for case in PATCHES_CASES:
        for dtype in POOL_DTYPES:
            call = understand(gpuconv.unfold, np.zeros(case.x, dtype), **case.parameters)
            for name, each in ALGORITHMS.items():
                if refusal(each, call.spec, call.layouts, call.device) is None:
                    yield pytest.param(case, dtype, name, id=f"{case}-{dtype}-{name}")


@pytest.mark.parametrize(("case", "dtype", "algorithm"), [*taken()])
def test_every_window_is_a_column(case, dtype, algorithm):
    x = integers(case.x, dtype)
    y = make(UNFOLD, (x, None), tuple(case.parameters.values()), algorithm)
    equal(y, reference.unfold(x, **case.parameters).astype(dtype))


@over_cases
@pytest.mark.parametrize("dtype", POOL_DTYPES)
def test_columns_are_added_up(case, dtype):
    x = columns(case, dtype)
    equal(
        gpuconv.fold(x, case.x[2:], **case.parameters),
        reference.fold(x, case.x[2:], **case.parameters).astype(dtype),
    )


@over_cases
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rounding_errors_stay_within_the_bound(case, dtype):
    x = columns(case, dtype, normal)
    expected, magnitudes = (reference.fold(each, case.x[2:], **case.parameters) for each in (x, abs(x)))
    error = np.abs(gpuconv.fold(x, case.x[2:], **case.parameters) - expected)
    last_place = 0.51 * np.finfo("float16").eps * abs(expected) if dtype == "float16" else 0
    assert (error <= 8 * np.finfo("float32").eps * magnitudes + last_place).all()


@st.composite
def problems(draw):
    some, few = st.tuples(*[st.integers(1, 4)] * 2), st.tuples(*[st.integers(0, 4)] * 2)
    size, window = draw(st.tuples(*[st.integers(1, 20)] * 2)), draw(some)
    case = PatchesCase("drawn", (draw(st.integers(0, 2)), draw(st.integers(0, 3)), *size), window, draw(some),
                       (draw(few), draw(few)), draw(some))  # fmt: skip
    assume(min(reference.output_shape(size, window, case.stride, case.padding, case.dilation)) > 0)
    return case


@given(problems())
def test_any_geometry_and_its_adjoint(case):
    x = integers(case.x, "float64")
    y = gpuconv.unfold(x, **case.parameters)
    np.testing.assert_array_equal(y, reference.unfold(x, **case.parameters), strict=True)
    dy = integers(y.shape, "float64", 1)
    dx = gpuconv.fold(dy, case.x[2:], **case.parameters)
    np.testing.assert_array_equal(dx, reference.fold(dy, case.x[2:], **case.parameters), strict=True)
    assert (y * dy).sum() == (x * dx).sum()


def test_as_in_torch():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    for parameters in ((3,), ((2, 3), (2, 1), (1, 2), (3, 1)), (2, 1, 0, 2)):
        for x in (torch.from_numpy(X), torch.from_numpy(X[0])):
            y = F.unfold(x, *parameters)
            found = gpuconv.unfold(x, *parameters)
            assert found.shape == y.shape and (found == y).all()
            folded = F.fold(y, (6, 7), *parameters)
            found = gpuconv.fold(y, (6, 7), *parameters)
            assert found.shape == folded.shape and (found == folded).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("layout", READABLE)
@pytest.mark.parametrize("operator", [UNFOLD, FOLD], ids=lambda each: each.name)
def test_arrays_of_every_layout(operator, layout, dtype):
    x, parameters = (X, (3, 1, 1, 2)) if operator is UNFOLD else (M, ((6, 7), 3, 1, 1, 2))
    x = x.astype(dtype)
    expected = make(operator, (x, None), parameters, None)
    out = WRITABLE[layout](np.zeros_like(expected)) if layout in WRITABLE else None
    y = make(operator, (READABLE[layout](x), out), parameters, None)
    np.testing.assert_array_equal(y, expected)
    assert out is None or y is out


def test_one_image_needs_no_batch():
    out = np.full(M.shape[1:], np.nan, np.float32)
    assert make(UNFOLD, (X[0], out), (3, 1, 1, 2), None) is out
    np.testing.assert_array_equal(out, M[0])
    np.testing.assert_array_equal(
        gpuconv.fold(M[0], [6, 7], 3, 1, 1, 2),
        gpuconv.fold(M, (6, 7), 3, padding=1, stride=2)[0],
        strict=True,
    )


def test_threads_change_nothing():
    x = normal((2, 40 * 9, 56 * 57), "float32")
    results, threads = [], gpuconv.get_num_threads()
    try:
        for count in (1, 2, 3):
            gpuconv.set_num_threads(count)
            results.append(gpuconv.fold(x, (56, 57), 3, padding=1).tobytes())
    finally:
        gpuconv.set_num_threads(threads)
    assert results[0] == results[1] == results[2]


def test_what_is_not_finite_stays_in_its_place():
    m = M.copy()
    m[0, 13, 5] = np.nan  # channel 1, tap (1, 1) of the window (1, 1)
    found = np.argwhere(np.isnan(gpuconv.fold(m, (6, 7), 3, padding=1, stride=2)))
    assert found.tolist() == [[0, 1, 2, 2]]


def test_strides_beyond_32_bits():
    assert gpuconv.unfold(X, 6, stride=2**31 - 1).shape == (2, 108, 1)
    np.testing.assert_array_equal(gpuconv.fold(gpuconv.unfold(X, 6, stride=2**31 - 1), (6, 6), 6), X[..., :6])


WRONG = [
    (gpuconv.unfold, {"input": X.astype(int)}, TypeError, "input must be float32"),
    (gpuconv.unfold, {"input": X[0, 0]}, ValueError, "input must have shape"),
    (gpuconv.unfold, {"kernel_size": 9}, ValueError, "input is too small: its 8x9 after padding"),
    (gpuconv.unfold, {"kernel_size": 2.0}, TypeError, "kernel_size must be an integer"),
    (gpuconv.unfold, {"dilation": 0}, ValueError, "dilation must be from 1"),
    (gpuconv.unfold, {"stride": (1, 2, 3)}, ValueError, "stride must be one integer or two"),
    (gpuconv.unfold, {"padding": "mirror"}, ValueError, "padding must be"),
    (gpuconv.fold, {"input": M[0, 0]}, ValueError, r"input must have shape \(N, C R S, P Q\)"),
    (gpuconv.fold, {"input": M[:, :-1]}, ValueError, "input must have a multiple of 9 rows.*got 26"),
    (gpuconv.fold, {"input": M[..., :-1]}, ValueError, "input must have 3 x 4 columns.*6x7, got 11"),
    (gpuconv.fold, {"output_size": (6, 9)}, ValueError, "input must have 3 x 5 columns"),
    (gpuconv.fold, {"output_size": 0}, ValueError, "output_size must be from 1"),
    (gpuconv.fold, {"output_size": (1, 6, 7)}, ValueError, "output_size must be one integer or two"),
    (gpuconv.fold, {"kernel_size": 9}, ValueError, "input must have a multiple of 81 rows"),
    (gpuconv.fold, {"dilation": 9}, ValueError, "output_size is too small"),
    (gpuconv.fold, {"input": M.astype(complex)}, TypeError, "input must be float32"),
]


@pytest.mark.parametrize(("function", "wrong", "error", "message"), WRONG)
def test_wrong_arguments(function, wrong, error, message):
    right = {"input": X, "kernel_size": 3, "padding": 1, "stride": 2}
    if function is gpuconv.fold:
        right |= {"input": M, "output_size": (6, 7)}
    with pytest.raises(error, match=message):
        function(**{**right, **wrong})
