"""The gradient of a convolution by its weight on the CPU: every algorithm on every case that it takes."""

import functools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import gpuconv
from gpuconv import cpu
from gpuconv.algorithm import refusal
from gpuconv.call import make, understand
from gpuconv.operators import CONV2D_WEIGHT
from gpuconv.spec import of_weight_gradient
from gpuconv.spec.dtypes import FLOAT32
from tests import reference
from tests.cases import CONV_CASES, DTYPES, integers, normal, zeros
from tests.layouts import READABLE, WRITABLE

ALGORITHMS = {each.name: each for each in cpu.ALGORITHMS["conv_weight"] if FLOAT32 in each.takes["dtype"]}
X, DY, SIZE = integers((2, 3, 5, 6), "f4"), integers((2, 4, 3, 5), "f4", 1), (4, 3, 3, 2)


def arrays(case, dtype, maker):
    """(x, dy) of a convolution."""
    return maker(case.x, dtype, 1), maker(case.spec().out_shape, dtype, 2)


def gradient(case, x, dy, algorithm=None):
    return make(CONV2D_WEIGHT, (x, dy, None), (case.w, *case.parameters.values()), algorithm)


def expected(case, x, dy):
    return reference.conv2d_weight(x, case.w, dy, **case.parameters)


def taken():
    for case in CONV_CASES:
        x, dy = arrays(case, "float32", zeros)
        call = understand(gpuconv.grad.conv2d_weight, x, case.w, dy, **case.parameters)
        for name, algorithm in ALGORITHMS.items():
            if refusal(algorithm, call.spec, call.layouts, call.device) is None:
                yield pytest.param(case, name, id=f"{case}-{name}")


def is_depthwise(algorithm):
    """Whether it takes groups of one channel alone."""
    return algorithm == "conv_weight_depthwise"


TAKEN = [*taken()]
over_taken = pytest.mark.parametrize(("case", "algorithm"), TAKEN)
over_algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)


def test_every_algorithm_takes_nearly_every_case():
    assert len(TAKEN) >= 4 * (len(CONV_CASES) - 8)


@over_taken
@pytest.mark.parametrize("dtype", DTYPES)
def test_integers_are_exact(case, algorithm, dtype):
    x, dy = arrays(case, dtype, integers)
    np.testing.assert_array_equal(
        gradient(case, x, dy, algorithm), expected(case, x, dy).astype(dtype), strict=True
    )


@functools.lru_cache(maxsize=1)  # its algorithms follow one another
def normal_and_expected(case):
    """x and dy, the right gradient, and the sums of the magnitudes of its products."""
    x, dy = arrays(case, "float32", normal)
    return x, dy, expected(case, x, dy), expected(case, abs(x), abs(dy))


@over_taken
def test_rounding_errors_stay_within_the_bound(case, algorithm):
    x, dy, right, magnitudes = normal_and_expected(case)
    error = np.abs(gradient(case, x, dy, algorithm) - right)
    assert (error <= 8 * np.finfo("float32").eps * magnitudes).all()


@over_algorithms
def test_long_sums_stay_exact_enough(algorithm):
    x, dy = np.full((16, 1, 64, 64), 0.1, np.float32), np.full((16, 1, 64, 64), 0.7, np.float32)
    dw = make(CONV2D_WEIGHT, (x, dy, None), ((1, 1, 1, 1), 1, 0, 1, 1), algorithm)
    exact = 65536 * float(np.float32(0.1)) * float(np.float32(0.7))
    assert abs(dw.item() - exact) <= 100 * np.finfo("float32").eps * exact


@over_algorithms
@pytest.mark.parametrize("layout", READABLE)
@pytest.mark.parametrize("dilation", [1, 2])
def test_inputs_of_every_layout(layout, algorithm, dilation):
    size, groups = ((34, 1, 3, 2), 34) if is_depthwise(algorithm) else ((20, 17, 3, 2), 2)
    x, dy = integers((2, 34, 7, 9), "f4"), integers((2, size[0], 7 - 2 * dilation, 10 - dilation), "f4", 1)
    padding = ((0, 0), (1, 0))
    parameters = size, 1, padding, dilation, groups
    laid = READABLE[layout](x), READABLE[layout](dy)
    try:
        dw = make(CONV2D_WEIGHT, (*laid, None), parameters, algorithm)
    except ValueError as error:
        assert algorithm == "conv_weight_rows" and "do not lie side by side" in str(error)
        return
    np.testing.assert_array_equal(dw, reference.conv2d_weight(x, size, dy, *parameters[1:]).astype("f4"))


@over_algorithms
@pytest.mark.parametrize("layout", WRITABLE)
def test_outputs_of_every_layout(layout, algorithm):
    dy, size, groups = (DY[:, 1:], (3, 1, 3, 2), 3) if is_depthwise(algorithm) else (DY, SIZE, 1)
    right = reference.conv2d_weight(X, size, dy, groups=groups).astype("f4")
    out = WRITABLE[layout](np.full_like(right, np.nan))
    assert make(CONV2D_WEIGHT, (X, dy, out), (size, 1, 0, 1, groups), algorithm) is out
    np.testing.assert_array_equal(out, right)


@over_algorithms
def test_threads_change_nothing(algorithm):
    size, groups = ((70, 1, 3, 3), 70) if is_depthwise(algorithm) else ((70, 40, 3, 3), 1)
    x, dy = normal((3, size[1] * groups, 19, 21), "float32"), normal((3, 70, 19, 21), "float32", 1)
    results = []
    threads = gpuconv.get_num_threads()
    try:
        for count in (1, 2, 3):
            gpuconv.set_num_threads(count)
            results.append(make(CONV2D_WEIGHT, (x, dy, None), (size, 1, 1, 1, groups), algorithm))
    finally:
        gpuconv.set_num_threads(threads)
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()


def test_one_image_needs_no_batch():
    dw = gpuconv.grad.conv2d_weight(X[0], SIZE, DY[0])
    np.testing.assert_array_equal(dw, gpuconv.grad.conv2d_weight(X[:1], SIZE, DY[:1]), strict=True)


@over_algorithms
def test_values_that_are_not_finite_reach_the_taps_that_meet_them(algorithm):
    """Of a column at the left end, the first tap alone meets it where there is no padding."""
    (K, C), groups = ((2, 1), 2) if is_depthwise(algorithm) else ((3, 2), 1)
    x = integers((1, 2, 6, 40), "float32")
    dy = integers((1, K, 4, 38), "float32", 1)
    dy[dy == 0] = 1
    for value in (np.nan, np.inf):
        x[0, 1, 0, 0] = value
        dw = make(CONV2D_WEIGHT, (x, dy, None), ((K, C, 3, 3), 1, 0, 1, groups), algorithm)
        met = np.zeros(dw.shape, bool)
        met[(1, 0, 0, 0) if is_depthwise(algorithm) else np.s_[:, 1, 0, 0]] = True
        np.testing.assert_array_equal(~np.isfinite(dw), met)


@over_algorithms
def test_padding_is_multiplied_like_any_value(algorithm):
    dy = np.ones((1, 2, 5, 5), np.float32)
    dy[0, 1, 0, 0] = np.nan
    x = np.ones((1, 2, 5, 5), np.float32)
    dw = make(CONV2D_WEIGHT, (x, dy, None), ((2, 1, 3, 3), 1, 1, 1, 2), algorithm)
    assert np.isnan(dw[1]).all() and np.isfinite(dw[0]).all()


@st.composite
def problems(draw, depthwise=False):
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    few = st.tuples(st.integers(0, 3), st.integers(0, 3))
    groups, C, K = (draw(st.integers(1, 3)) for _ in range(3))
    many = draw(st.sampled_from([1, 6, 13]))
    if depthwise:
        groups, C, K, many = draw(st.integers(1, 35)), 1, 1, 1
    parameters = {
        "stride": draw(pair),
        "padding": (draw(few), draw(few)),
        "dilation": draw(pair),
        "groups": groups,
    }
    size, window = draw(st.tuples(st.integers(1, 11), st.integers(1, 20))), draw(pair)
    result = reference.output_shape(
        size, window, parameters["stride"], parameters["padding"], parameters["dilation"]
    )
    assume(min(result) > 0)
    return (
        (2, groups * C * many, *size),
        (groups * K, C * many, *window),
        (2, groups * K, *result),
        parameters,
    )


@given(st.data(), st.sampled_from([*ALGORITHMS]))
def test_any_geometry_and_the_adjoint(data, algorithm):
    shape, size, result, parameters = data.draw(problems(is_depthwise(algorithm)))
    x, w, dy = integers(shape, "float64"), integers(size, "float64", 1), integers(result, "float64", 2)
    dw = make(CONV2D_WEIGHT, (x, dy, None), (size, *parameters.values()), algorithm)
    np.testing.assert_array_equal(dw, reference.conv2d_weight(x, size, dy, **parameters), strict=True)
    assert (gpuconv.conv2d(x, w, **parameters) * dy).sum() == (w * dw).sum()


def test_a_transposed_convolution_has_the_same_with_its_arrays_exchanged():
    x, w = integers((2, 4, 5, 6), "float64"), integers((4, 3, 3, 2), "float64", 1)
    y = gpuconv.conv_transpose2d(x, w, stride=2)
    dy = integers(y.shape, "float64", 2)
    dw = gpuconv.grad.conv2d_weight(dy, w.shape, x, stride=2)
    assert (y * dy).sum() == (w * dw).sum()


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_an_output_padding_of_the_stride_or_more_makes_rows_that_were_not_there(padding):
    x, w = integers((2, 4, 5, 6), "float64"), integers((4, 3, 3, 2), "float64", 1)
    parameters = {"stride": (1, 2), "padding": padding, "dilation": 4}
    y = gpuconv.conv_transpose2d(x, w, output_padding=3, **parameters)  # 3 rows more and 1 column
    dy = integers(y.shape, "float64", 2)
    behind = np.pad(x, ((0, 0), (0, 0), (0, 3), (0, 1)))
    dw = gpuconv.grad.conv2d_weight(dy, w.shape, behind, **parameters)
    dx = gpuconv.conv2d(dy, w, **parameters)
    assert dx.shape == behind.shape
    assert (y * dy).sum() == (w * dw).sum() == (x * dx[..., :5, :6]).sum()


def test_pytorch_has_the_same_values():
    torch = pytest.importorskip("torch")
    x, dy = normal((2, 6, 9, 8), "float64"), normal((2, 4, 5, 4), "float64", 1)
    size = (4, 3, 3, 3)
    theirs = torch.nn.grad.conv2d_weight(torch.from_numpy(x), size, torch.from_numpy(dy), 2, 1, 1, 2)
    ours = gpuconv.grad.conv2d_weight(x, size, dy, 2, 1, 1, 2)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-12)


def test_which_algorithm_is_chosen():
    def chosen(C, K, groups, size=14):
        x, dy = zeros((1, C, size, size), "f4"), zeros((1, K, size, size), "f4")
        arguments = x, (K, C // groups, 3, 3), dy, 1, 1, 1, groups
        return gpuconv.explain(gpuconv.grad.conv2d_weight, *arguments)[0][0]

    assert chosen(64, 64, 1) == "conv_weight_channels"
    assert chosen(3, 64, 1) == "conv_weight_outputs"
    assert chosen(32, 32, 32) == "conv_weight_depthwise"
    assert chosen(32, 32, 32, 512) == "conv_weight_rows"  # wide: vectors of pixels are full
    assert chosen(17, 17, 17) == "conv_weight_rows"  # half of the lanes would be idle
    assert chosen(32, 64, 32) == "conv_weight_rows"


def test_where_no_memory_may_be_used(monkeypatch):
    gpuconv.set_workspace_limit(0)
    try:
        verdicts = gpuconv.explain(gpuconv.grad.conv2d_weight, X, SIZE, DY)
        assert verdicts[0][0] == "conv_weight_direct"
        np.testing.assert_array_equal(
            gpuconv.grad.conv2d_weight(X, SIZE, DY), reference.conv2d_weight(X, SIZE, DY).astype("f4")
        )
    finally:
        gpuconv.set_workspace_limit(64 << 20)


WRONG = [
    ({"input": X.astype(int)}, TypeError, "input must be float32"),
    ({"input": X[0, 0]}, ValueError, "input must have shape"),
    ({"input": [1.0]}, TypeError, "input must be an array"),
    ({"input": X[0]}, ValueError, "grad_output must have the shape"),
    ({"weight_size": 4}, TypeError, "weight_size must be 4 integers, got 4"),
    ({"weight_size": (4, 3, 3)}, ValueError, r"weight_size must be 4 integers .*got \(4, 3, 3\)"),
    ({"weight_size": (4, 3, 3, 2.0)}, TypeError, "weight_size must be 4 integers"),
    ({"weight_size": (4, 3, 0, 2)}, ValueError, "weight_size must be of a kernel of at least 1x1"),
    ({"weight_size": (4, 3, -3, 2)}, ValueError, "weight_size must be 4 integers from 0"),
    ({"weight_size": (4, 2, 3, 2)}, ValueError, r"weight_size must have C / groups = 3 / 1 = 3 channels"),
    ({"weight_size": (4, 3, 4, 2)}, ValueError, r"grad_output must have the shape .*\(2, 4, 2, 5\)"),
    ({"weight_size": (4, 3, 9, 2)}, ValueError, "input is too small"),
    ({"groups": 2}, ValueError, "groups=2 must divide the 3 channels of input"),
    ({"groups": 0}, ValueError, "groups must be from 1"),
    ({"grad_output": DY.astype(float)}, TypeError, "grad_output must have the input's dtype float32"),
    ({"grad_output": DY[:1]}, ValueError, "grad_output must have the shape"),
    ({"grad_output": DY[0]}, ValueError, "grad_output must have the shape"),
    ({"grad_output": None}, TypeError, "grad_output must be an array"),
    ({"stride": 0}, ValueError, "stride must be"),
    ({"padding": "SAME"}, ValueError, "padding must be"),
    ({"dilation": 0}, ValueError, "dilation must be"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_wrong_arguments(wrong, error, message):
    right = {"input": X, "weight_size": SIZE, "grad_output": DY}
    with pytest.raises(error, match=message):
        gpuconv.grad.conv2d_weight(**{**right, **wrong})


def test_the_spec_says_what_is_given_and_what_comes_out():
    spec = of_weight_gradient(X, SIZE, DY)
    assert (spec.in_shape, spec.out_shape, spec.flops) == (X.shape, SIZE, 2 * 2 * 4 * 3 * 5 * 3 * 3 * 2)
