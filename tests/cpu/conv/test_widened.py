"""Convolutions of float16 and bfloat16: what is summed and rounded, blocks of a problem, and their room."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gpuconv
from gpuconv import threads as sharing
from gpuconv.cpu.engine import lowered
from tests import reference
from tests.cases import (
    BFLOAT16,
    CONV_CASES,
    TRANSPOSED_CASES,
    ConvCase,
    dynamic_range,
    equal,
    integers,
    normal,
)
from tests.layouts import READABLE, WRITABLE
from tests.test_conv2d import geometries
from tests.test_conv_transpose2d import problems

HALVES = np.dtype("float16"), BFLOAT16
over_halves = pytest.mark.parametrize("dtype", HALVES, ids=str)
over_cases = pytest.mark.parametrize("case", (*CONV_CASES, *TRANSPOSED_CASES), ids=str)


def compute(case, *arrays, **keywords):
    function = gpuconv.conv_transpose2d if case in TRANSPOSED_CASES else gpuconv.conv2d
    return function(*arrays, **case.parameters, algorithm="conv_widened", **keywords)


@over_cases
@over_halves
def test_integers_are_exact(case, dtype):
    arrays = case.arrays(dtype, integers)
    equal(compute(case, *arrays), case.expected(*arrays).astype(dtype))


@over_cases
@over_halves
@pytest.mark.parametrize("make", [normal, dynamic_range])
def test_sums_are_those_of_float32_rounded_once(case, make, dtype):
    x, w, bias = (
        array if array is None else array.clip(-30, 30).astype(dtype) for array in case.arrays(dtype, make)
    )
    expected = case.expected(x, w, bias)
    magnitudes = case.expected(abs(x), abs(w), None if bias is None else abs(bias))
    error = abs(compute(case, x, w, bias, precision="ieee").astype("float64") - expected)
    assert (error <= reference.rounded_bound(expected, magnitudes, dtype)).all()


@pytest.mark.wide  # seconds
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(geometries(), problems()), st.sampled_from(HALVES), st.integers(0, 3000), st.data())
def test_blocks_of_any_size_in_any_layout(limit_workspace, case, dtype, limit, data):
    arrays = case.arrays(dtype, integers)
    expected = case.expected(*arrays).astype(dtype)
    readable = st.sampled_from(sorted(READABLE))
    laid = [None if array is None else READABLE[data.draw(readable)](array) for array in arrays]
    out = WRITABLE[data.draw(st.sampled_from(sorted(WRITABLE)))](np.full(expected.shape, np.nan, dtype))
    limit_workspace(limit)
    function = gpuconv.conv_transpose2d if hasattr(case, "output_size") else gpuconv.conv2d
    function(*laid, **case.parameters, out=out)
    np.testing.assert_array_equal(out.astype("float64"), expected.astype("float64"))


@pytest.mark.parametrize("function", ["conv2d", "conv_transpose2d"])
@pytest.mark.parametrize("shape", [(1, 2, 300, 40), (9, 2, 20, 30)])
@pytest.mark.parametrize("is_added", [False, True])
def test_the_limit_of_the_workspace_is_kept(shape, function, is_added, limit_workspace, monkeypatch):
    taken, reserve = [], lowered.reserve

    def noted(slot, dtype, *sizes):
        taken.append(4 * sum(sizes))
        return reserve(slot, dtype, *sizes)

    monkeypatch.setattr(lowered, "reserve", noted)
    x, w = integers(shape, "float16"), integers((2, 2, 3, 3), "float16", 1)
    parameters = {"stride": 2, "padding": 1}
    whole = getattr(gpuconv, function)(x, w, **parameters)
    if is_added:
        parameters["residual"] = whole
        whole = getattr(gpuconv, function)(x, w, **parameters)
    taken.clear()
    limit_workspace(20_000)
    equal(getattr(gpuconv, function)(x, w, **parameters), whole)
    assert len(taken) >= 3 and max(taken) <= 20_000


@over_halves
def test_the_bias_is_added_before_the_sum_is_rounded(dtype):
    odd = 2049 if dtype == "float16" else 257  # half-way between two numbers, and rounded down
    x, w = np.ones((1, 2, 1, 1), dtype), np.array([odd - 1, 1]).astype(dtype).reshape(1, 2, 1, 1)
    assert gpuconv.conv2d(x, w, np.ones(1, dtype)).item() == odd + 1
    assert gpuconv.conv2d(x, w).item() == odd - 1


def test_a_sum_beyond_float16_is_no_overflow_and_a_result_beyond_it_is_infinite():
    x = np.array([60000, 60000, -60000], np.float16).reshape(1, 3, 1, 1)
    w = np.ones((1, 3, 1, 1), np.float16)
    assert gpuconv.conv2d(x, w).item() == 60000
    assert gpuconv.conv2d(x, -2 * w).item() == -np.inf


@over_halves
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_reaches_its_windows_alone(value, dtype):
    case = ConvCase("layer", (1, 32, 9, 9), (32, 32, 3, 3), padding=1)
    x, w, _ = case.arrays(dtype, integers)
    x[0, 1, 4, 5] = value
    equal(compute(case, x, w), case.expected(x, w, None).astype(dtype))


@over_halves
def test_the_same_bits_from_any_number_of_threads(dtype, threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    x, w = normal((3, 20, 23, 25), dtype), normal((18, 20, 3, 3), dtype, 1)
    threads(1)
    first = gpuconv.conv2d(x, w, padding=1)
    for n in (2, 3):
        threads(n)
        assert gpuconv.conv2d(x, w, padding=1).tobytes() == first.tobytes()


def test_precision_is_that_of_float32():
    """None may mix neighbours in layers of networks, and "tf32" is for arrays of float32 alone."""
    x, w = np.zeros((8, 64, 56, 56), np.float16), np.zeros((64, 64, 3, 3), np.float16)
    for precision, is_mixed in ((None, True), ("tf32", True), ("ieee", False)):
        chosen, verdict = gpuconv.explain(gpuconv.conv2d, x, w, padding=1, precision=precision)[0]
        assert chosen == "conv_widened"
        assert verdict.endswith(", and rounded once") and "summed in float32 by conv_" in verdict
        assert ("by conv_winograd" in verdict) == is_mixed
    ((x, w),) = [[normal(shape, "float16") for shape in ((1, 256, 14, 14), (256, 256, 3, 3))]]
    equal(gpuconv.conv2d(x, w, precision="tf32"), gpuconv.conv2d(x, w))


@over_halves
def test_a_plan_and_a_gradient(dtype):
    x, w = integers((2, 3, 8, 9), dtype), integers((4, 3, 3, 2), dtype, 1)
    plan = gpuconv.plan_conv2d(x, w, stride=2)
    y = gpuconv.conv2d(x, w, stride=2)
    equal(plan(x, w), y)
    dx = gpuconv.grad.conv2d_input(x.shape, w, y, stride=2)
    equal(dx, reference.conv2d_input(x.shape, w, y.astype("f8"), stride=2).astype(dtype))


@pytest.mark.parametrize("name", ["weight", "bias", "out"])
def test_nothing_is_cast(name):
    arrays = {"input": np.ones((1, 2, 4, 4)), "weight": np.ones((3, 2, 2, 2)), "bias": np.ones(3)}
    arrays = {key: value.astype("float16") for key, value in arrays.items()} | {
        "out": np.ones((1, 3, 3, 3), "f2")
    }
    assert gpuconv.conv2d(**arrays) is arrays["out"]
    for other in ("float32", BFLOAT16):
        with pytest.raises(TypeError, match=f"{name} must have the input's dtype float16, .* cast silently"):
            gpuconv.conv2d(**{**arrays, name: arrays[name].astype(other)})


@pytest.mark.parametrize("options", [{}, {"residual": True}, {"activation": "relu"}], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_channels_last_arrays_are_read_in_the_order_of_memory(dtype, options):
    """What comes of them is what comes of planes, to the last bit: the data are integers."""
    x, w = integers((3, 20, 9, 11), dtype), integers((24, 20, 3, 3), dtype, 1)
    last, options = READABLE["channels last"], dict(options)
    if options.pop("residual", False):
        options["residual"] = last(integers((3, 24, 9, 11), dtype, 2))
    y = gpuconv.conv2d(last(x), w, padding=1, **options)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_array_equal(y, gpuconv.conv2d(x, w, padding=1, **options), strict=True)
