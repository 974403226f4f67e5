"""Transposed convolution and the gradient by the input on the CPU."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import gpuconv
from tests import reference
from tests.cases import DTYPES, TRANSPOSED_CASES, TransposedCase, integers, normal
from tests.layouts import READABLE, WRITABLE
from tests.taken import reason, taking

ALGORITHMS = taking("conv_grad", "float32")
X, W, DY = (
    integers((2, 4, 5, 6), "float32"),
    integers((4, 3, 3, 2), "float32", 1),
    integers((1, 2, 3, 4), "f4"),
)

over_algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)
over_cases = pytest.mark.parametrize("case", TRANSPOSED_CASES, ids=str)


@over_algorithms
@over_cases
@pytest.mark.parametrize("dtype", DTYPES)
def test_integers_are_exact(case, dtype, algorithm):
    arrays = case.arrays(dtype, integers)
    x, *others = arrays
    x = READABLE["channels last"](x) if algorithm == "conv_relaid" else x
    if why := reason(gpuconv.conv_transpose2d, algorithm, (x, *others), **case.parameters):
        pytest.skip(f"{algorithm}: {why}")
    y = gpuconv.conv_transpose2d(x, *others, **case.parameters, algorithm=algorithm)
    np.testing.assert_array_equal(y, case.expected(*arrays).astype(dtype), strict=True)


@over_cases
def test_rounding_errors_stay_within_the_bound(case):
    x, w, bias = case.arrays("float32", normal)
    y = gpuconv.conv_transpose2d(x, w, bias, **case.parameters, precision="ieee")
    magnitudes = case.expected(abs(x), abs(w), bias if bias is None else abs(bias))
    assert (np.abs(y - case.expected(x, w, bias)) <= 16 * np.finfo("float32").eps * magnitudes).all()


@pytest.mark.parametrize("layout", READABLE)
@pytest.mark.parametrize("name", ["U-Net's 2x2 at stride 2", "groups", "stride 6 and dilation 4"])
def test_inputs_of_every_layout(name, layout):
    (case,) = (each for each in TRANSPOSED_CASES if each.name == name)
    arrays = case.arrays("float32", integers)
    laid = [READABLE[layout](array) for array in arrays]
    y = gpuconv.conv_transpose2d(*laid, **case.parameters)
    np.testing.assert_array_equal(y, case.expected(*arrays).astype("float32"), strict=True)


@pytest.mark.parametrize("layout", WRITABLE)
def test_outputs_of_every_layout(layout):
    expected = reference.conv_transpose2d(X, W, stride=2).astype("float32")
    out = WRITABLE[layout](np.full_like(expected, np.nan))
    assert gpuconv.conv_transpose2d(X, W, stride=2, out=out) is out
    np.testing.assert_array_equal(out, expected)


def test_one_image_comes_back_unbatched():
    y = gpuconv.conv_transpose2d(X[0], W)
    np.testing.assert_array_equal(y, gpuconv.conv_transpose2d(X, W)[0])
    dx = gpuconv.grad.conv2d_input((3, 4, 5), integers((2, 3, 2, 2), "f4"), DY[0])
    assert dx.shape == (3, 4, 5)


def geometries(most):
    pair = st.tuples(*[st.integers(1, most)] * 2)
    return pair, st.tuples(*[st.integers(0, most - 1)] * 2)


@st.composite
def problems(draw):
    some, few = geometries(4)
    groups, C, K = (draw(st.integers(1, 3)) for _ in range(3))
    stride, dilation = draw(some), draw(some)
    more = tuple(draw(st.integers(0, max(each) - 1)) for each in zip(stride, dilation, strict=True))
    sides = (draw(few), draw(few))
    size, window = draw(some), draw(some)
    x, w = (draw(st.integers(1, 2)), groups * C, *size), (groups * C, K, *window)
    case = TransposedCase(
        "drawn", x, w, stride, sides, dilation, groups, draw(st.booleans()), output_padding=more
    )
    extents = [
        (n - 1) * s + (taps - 1) * d + 1 + o - sum(side)
        for n, s, taps, d, o, side in zip(size, stride, window, dilation, more, sides, strict=True)
    ]
    assume(min(extents) > 0)
    return case


@given(problems())
def test_any_geometry(case):
    arrays = case.arrays("float32", integers)
    y = gpuconv.conv_transpose2d(*arrays, **case.parameters)
    np.testing.assert_array_equal(y, case.expected(*arrays).astype("float32"), strict=True)


@st.composite
def convolutions(draw):
    some, few = geometries(4)
    groups, C, K = (draw(st.integers(1, 3)) for _ in range(3))
    parameters = {
        "stride": draw(some),
        "padding": (draw(few), draw(few)),
        "dilation": draw(some),
        "groups": groups,
    }
    size, window = draw(st.tuples(*[st.integers(1, 9)] * 2)), draw(some)
    shape = reference.output_shape(
        size, window, parameters["stride"], parameters["padding"], parameters["dilation"]
    )
    assume(min(shape) > 0)
    return (2, groups * C, *size), (groups * K, C, *window), (2, groups * K, *shape), parameters


@given(convolutions())
def test_the_gradient_by_the_input_is_the_adjoint(problem):
    size, weight, result, parameters = problem
    x, w, dy = integers(size, "float64"), integers(weight, "float64", 1), integers(result, "float64", 2)
    dx = gpuconv.grad.conv2d_input(size, w, dy, **parameters)
    np.testing.assert_array_equal(dx, reference.conv2d_input(size, w, dy, **parameters), strict=True)
    assert (gpuconv.conv2d(x, w, **parameters) * dy).sum() == (x * dx).sum()


def test_a_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(1)
    x, w, dy = (rng.standard_normal(shape) for shape in ((1, 2, 5, 6), (3, 2, 3, 2), (1, 3, 2, 2)))
    parameters = {"stride": (2, 3), "padding": ((1, 0), (0, 1))}
    dx = gpuconv.grad.conv2d_input(x.shape, w, dy, **parameters)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-3
        up, down = (gpuconv.conv2d(x + sign * step, w, **parameters) for sign in (1, -1))
        assert abs(((up - down) * dy).sum() / 2e-3 - dx[place]) < 1e-9


def test_values_that_are_not_finite_reach_what_their_kernels_cover():
    x = integers((1, 3, 6, 6), "float32")
    w = np.ones((3, 40, 3, 3), np.float32)
    x[0, 1, 2, 3] = np.nan
    y = gpuconv.conv_transpose2d(x, w, stride=2)
    covered = np.zeros(y.shape, bool)
    covered[:, :, 4:7, 6:9] = True
    np.testing.assert_array_equal(np.isnan(y), covered)


def test_explain_says_how_many_convolutions_there_are():
    (name, verdict), *_ = gpuconv.explain(gpuconv.conv_transpose2d, X, W, stride=2)
    assert name == "conv_by_phases" and verdict.endswith("4 convolutions at stride 1")
    (name, verdict), *_ = gpuconv.explain(gpuconv.grad.conv2d_input, (1, 3, 4, 5), W[:2, :, :2], DY)
    assert verdict.endswith("1 convolution at stride 1")


@pytest.mark.parametrize("stride", [4, (1, 2**30), 2**20])
def test_there_are_no_more_convolutions_than_taps(stride):
    """Whatever the stride is; else what is between the kernels would take a convolution for each output."""
    (_, verdict), *_ = gpuconv.explain(gpuconv.conv_transpose2d, X, W, stride=stride)
    assert verdict.endswith(f"{2 if stride == (1, 2**30) else 6} convolutions at stride 1")


@pytest.mark.parametrize("activation", [None, "sigmoid"])
@pytest.mark.parametrize("stride", [5, (1, 40), (70, 2)], ids=str)
def test_between_kernels_that_lie_apart_is_the_bias_alone(stride, activation):
    bias = integers((3,), "float32", 2)
    y = gpuconv.conv_transpose2d(X, W, bias, stride, dilation=2, activation=activation)
    expected = reference.conv_transpose2d(X, W, bias, stride, dilation=2)
    if activation is None:
        np.testing.assert_array_equal(y, expected.astype("float32"), strict=True)
    np.testing.assert_allclose(y, reference.activate(expected, activation), rtol=1e-5)


def test_a_gradient_of_a_stride_beyond_the_image_is_that_of_one_window():
    dx = gpuconv.grad.conv2d_input((1, 3, 4, 5), W[:2, :, :2], DY[..., :1, :1], stride=2**31 - 1)
    expected = gpuconv.grad.conv2d_input((1, 3, 4, 5), W[:2, :, :2], DY[..., :1, :1], stride=9)
    np.testing.assert_array_equal(dx, expected)
    np.testing.assert_array_equal(dx[0, :, :2, :2], np.einsum("k,kcrs->crs", DY[0, :, 0, 0], W[:2, :, :2]))


WRONG = [
    ({"input": X.astype(np.float16)}, TypeError, "weight must have the input's dtype float16, got float32"),
    ({"input": X.astype(bool)}, TypeError, "input must be float32, .*, got dtype bool"),
    ({"input": X[0, 0]}, ValueError, "input must have shape"),
    ({"input": X[:, :, :0]}, ValueError, "input must have at least one row"),
    ({"weight": W[0]}, ValueError, r"weight must have shape \(C, K / groups, R, S\)"),
    ({"weight": W[:3]}, ValueError, "weight must have 4 channels .*got 3"),
    ({"weight": W.astype(float)}, TypeError, "weight must have the input's dtype"),
    ({"bias": np.ones(4, np.float32)}, ValueError, r"bias must have shape \(3,\)"),
    ({"bias": np.ones(3)}, TypeError, "bias must have the input's dtype"),
    ({"groups": 3}, ValueError, "groups=3 must divide the 4 channels"),
    ({"groups": 0}, ValueError, "groups must be from 1"),
    ({"stride": 0}, ValueError, "stride must be from 1"),
    ({"dilation": -1}, ValueError, "dilation must be from 1"),
    ({"padding": -1}, ValueError, "padding must be from 0"),
    ({"padding": "mirror"}, ValueError, "padding must be"),
    ({"padding": 6}, ValueError, "input is too small: an output of -5x-5"),
    ({"output_padding": 1}, ValueError, "output_padding must be less than the stride"),
    ({"output_padding": -1}, ValueError, "output_padding must be from 0"),
    ({"output_size": 3}, ValueError, r"output_size must be from \(7, 7\) to \(7, 7\), got 3"),
    (
        {"output_size": (7, 7), "output_padding": 1, "stride": 2},
        ValueError,
        "output_size says what output_padd",
    ),
    ({"activation": "rely"}, ValueError, "activation must be None, one of relu"),
    ({"residual": X}, ValueError, r"residual must have the result's shape \(2, 3, 7, 7\)"),
    ({"precision": "fast"}, ValueError, "precision must be"),
    (
        {"algorithm": "conv_direct"},
        ValueError,
        "algorithm must be None or one of conv_relaid, conv_by_phases",
    ),
    (
        {"out": np.zeros((2, 3, 7, 8), np.float32)},
        ValueError,
        r"out must have the result's shape \(2, 3, 7, 7\)",
    ),
    ({"out": X}, ValueError, "out must have"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_wrong_arguments(wrong, error, message):
    with pytest.raises(error, match=message):
        gpuconv.conv_transpose2d(**{"input": X, "weight": W, **wrong})


@pytest.mark.parametrize("dtype", ["float32", "float16", "complex64", "uint8"])
def test_a_gradient_of_no_rows_is_empty(dtype):
    dy, w = np.ones((1, 16, 2, 2), dtype), np.ones((16, 16, 3, 3), dtype)
    assert gpuconv.grad.conv2d_input((1, 16, 0, 2), w, dy, 1, ((2, 2), (1, 1))).shape == (1, 16, 0, 2)


WRONG_GRADIENTS = [
    ({"input_size": (1, 3, 4)}, ValueError, r"input_size must be 4 integers.*got \(1, 3, 4\)"),
    ({"input_size": 4}, TypeError, "input_size must be 4 integers, got 4"),
    ({"input_size": (1, 3, 4.0, 5)}, TypeError, "input_size must be 4 integers"),
    (
        {"input_size": (1, 3, 5, 5)},
        ValueError,
        r"grad_output must have the shape .*\(1, 2, 4, 4\), got \(1, 2, 3, 4\)",
    ),
    ({"input_size": (2, 3, 4, 5)}, ValueError, "grad_output must have the shape"),
    ({"input_size": (1, 5, 4, 5)}, ValueError, "weight must have C / groups = 5 / 1"),
    ({"groups": 2}, ValueError, "weight must have C / groups = 3 / 2"),
    (
        {"weight": integers((2, 3, 2, 2), "f8")},
        TypeError,
        r"weight must have grad_output's dtype .*weight.astype\(grad_output.dtype\)",
    ),
    ({"grad_output": DY.astype(int)}, TypeError, "grad_output must be float32, .*, got dtype int64"),
    ({"grad_output": [1.0]}, TypeError, "grad_output must be an array"),
    ({"stride": 0}, ValueError, "stride must be"),
    ({"padding": "SAME"}, ValueError, "padding must be"),
    ({"dilation": 9}, ValueError, "input_size is too small"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG_GRADIENTS)
def test_wrong_arguments_of_a_gradient(wrong, error, message):
    right = {"input_size": (1, 3, 4, 5), "weight": integers((2, 3, 2, 2), "f4"), "grad_output": DY}
    with pytest.raises(error, match=message):
        gpuconv.grad.conv2d_input(**{**right, **wrong})
