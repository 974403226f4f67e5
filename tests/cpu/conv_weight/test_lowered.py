"""Gradients by the weight of 16 bits and complex numbers: sums, rounding, blocks, and the adjoint."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gpuconv
from tests import reference
from tests.cases import BFLOAT16, CONV_CASES, integers, normal
from tests.cases import equal as equal_floats
from tests.layouts import READABLE, WRITABLE
from tests.sampling import few
from tests.test_conv_weight import problems

HALVES = np.dtype("float16"), BFLOAT16
COMPLEX = np.dtype("complex64"), np.dtype("complex128")
DTYPES = *HALVES, *COMPLEX
over_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)
over_halves = pytest.mark.parametrize("dtype", HALVES, ids=str)
over_complex = pytest.mark.parametrize("dtype", COMPLEX, ids=str)
over_cases = pytest.mark.parametrize("case", few(CONV_CASES, 14))


def equal(found, right):
    """Equal, dtype and shape too; NumPy compares no numbers of bfloat16."""
    (np.testing.assert_array_equal if right.dtype.kind == "c" else equal_floats)(found, right)
    assert found.dtype == right.dtype and found.shape == right.shape


def arrays(case, dtype, maker):
    """(x, dy) of a convolution."""
    return maker(case.x, dtype, 1), maker(case.spec().out_shape, dtype, 2)


def gradient(case, x, dy):
    return gpuconv.grad.conv2d_weight(x, case.w, dy, **case.parameters)


def expected(case, x, dy):
    return reference.conv2d_weight(x, case.w, dy, **case.parameters)


@over_cases
@over_dtypes
def test_integers_are_exact(case, dtype):
    x, dy = arrays(case, dtype, integers)
    equal(gradient(case, x, dy), expected(case, x, dy).astype(dtype))


@over_cases
@over_halves
@pytest.mark.parametrize("limit", [64 << 20, 4000])
def test_sums_are_those_of_float32_rounded_once(case, dtype, limit, limit_workspace):
    x, dy = arrays(case, dtype, normal)
    limit_workspace(limit)
    error = abs(gradient(case, x, dy).astype("f8") - expected(case, x, dy))
    bound = reference.rounded_bound(expected(case, x, dy), expected(case, abs(x), abs(dy)), dtype)
    assert (error <= bound).all()


@pytest.mark.parametrize("case", CONV_CASES[::3], ids=str)
@over_complex
def test_each_part_is_two_sums_of_real_products(case, dtype):
    x, dy = arrays(case, dtype, normal)
    y, right = gradient(case, x, dy), expected(case, x, dy)
    (x_re, x_im), (dy_re, dy_im) = ((abs(each.real), abs(each.imag)) for each in (x, dy))
    bounds = (
        expected(case, x_re, dy_re) + expected(case, x_im, dy_im),
        expected(case, x_re, dy_im) + expected(case, x_im, dy_re),
    )
    for part, bound in zip(("real", "imag"), bounds, strict=True):
        error = abs(getattr(y, part) - getattr(right, part))
        assert (error <= reference.BOUND * np.finfo(dtype).eps * bound).all()


@over_complex
def test_a_small_part_is_kept_beside_a_large_one(dtype):
    x, dy = np.full((2, 3, 6, 6), 1e16 + 1j, dtype), np.ones((2, 4, 4, 4), dtype)
    assert (gpuconv.grad.conv2d_weight(x, (4, 3, 3, 3), dy).imag == -32).all()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(problems(), st.sampled_from(DTYPES), st.integers(0, 9000), st.data())
def test_blocks_of_any_size_in_any_layout(limit_workspace, problem, dtype, limit, data):
    shape, size, result, parameters = problem
    x, dy = integers(shape, dtype), integers(result, dtype, 2)
    right = reference.conv2d_weight(x, size, dy, **parameters).astype(dtype)
    lay_x, lay_dy = (READABLE[data.draw(st.sampled_from(sorted(READABLE)))] for _ in range(2))
    out = WRITABLE[data.draw(st.sampled_from(sorted(WRITABLE)))](np.zeros(size, dtype))
    limit_workspace(limit)
    call = gpuconv.call.make
    operator, values = gpuconv.operators.CONV2D_WEIGHT, (size, *parameters.values())
    assert call(operator, (lay_x(x), lay_dy(dy), out), values, None) is out
    equal(np.ascontiguousarray(out).astype(dtype), right)


@over_dtypes
def test_of_no_images_there_is_nothing(dtype):
    dw = gpuconv.grad.conv2d_weight(np.ones((0, 4, 5, 6), dtype), (6, 2, 2, 3), np.ones((0, 6, 4, 4), dtype),
                                    groups=2)  # fmt: skip
    equal(dw, np.zeros((6, 2, 2, 3), dtype))


@over_dtypes
def test_threads_change_nothing(dtype):
    x, dy = normal((3, 40, 19, 21), dtype), normal((3, 70, 19, 21), dtype, 1)
    results, threads = [], gpuconv.get_num_threads()
    try:
        for count in (1, 2, 3):
            gpuconv.set_num_threads(count)
            results.append(gpuconv.grad.conv2d_weight(x, (70, 40, 3, 3), dy, 1, 1).tobytes())
    finally:
        gpuconv.set_num_threads(threads)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("value", [np.nan, np.inf, complex(1, np.nan), complex(2, -np.inf)], ids=str)
def test_a_value_that_is_not_finite_reaches_the_taps_that_meet_it(value):
    x, dy = integers((1, 2, 6, 9), "complex64"), integers((1, 3, 4, 7), "complex64", 1)
    dy.real[dy.real == 0] = dy.imag[dy.imag == 0] = 1
    x[0, 1, 0, 0] = value
    dw = gpuconv.grad.conv2d_weight(x, (3, 2, 3, 3), dy)
    met = np.zeros(dw.shape, bool)
    met[:, 1, 0, 0] = True
    for part in (dw.real, dw.imag):
        np.testing.assert_array_equal(~np.isfinite(part), met)


@over_complex
def test_pytorch_has_the_same_adjoint(dtype):
    torch = pytest.importorskip("torch")
    case = next(each for each in CONV_CASES if each.name == "groups")
    x, dy = arrays(case, dtype, integers)
    weight = torch.zeros(case.w, dtype=getattr(torch, str(dtype)), requires_grad=True)
    y = torch.nn.functional.conv2d(torch.from_numpy(x), weight, **case.parameters)
    y.backward(torch.from_numpy(dy))
    np.testing.assert_array_equal(gradient(case, x, dy), weight.grad.numpy())


@over_complex
def test_it_is_the_adjoint_by_the_inner_product_of_complex_numbers(dtype):
    x, w = integers((2, 4, 7, 6), dtype), integers((6, 2, 3, 2), dtype, 1)
    y = gpuconv.conv2d(x, w, stride=2, groups=2)
    dy = integers(y.shape, dtype, 2)
    dw = gpuconv.grad.conv2d_weight(x, w.shape, dy, stride=2, groups=2)
    assert (y.conj() * dy).sum() == (w.conj() * dw).sum()


def test_explain_names_what_sums():
    x, dy = integers((1, 64, 14, 14), "float16"), integers((1, 64, 14, 14), "float16")
    name, verdict = gpuconv.explain(gpuconv.grad.conv2d_weight, x, (64, 64, 3, 3), dy, 1, 1)[0]
    assert name == "conv_weight_widened"
    assert verdict.endswith("summed in float32 by conv_weight_channels, and rounded once")
