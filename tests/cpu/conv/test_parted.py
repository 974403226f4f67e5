"""Complex convolutions: four real products each, in blocks of any size, and the gradient as the adjoint."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gpuconv
from gpuconv import threads as sharing
from tests import reference
from tests.cases import CONV_CASES, TRANSPOSED_CASES, ConvCase, integers, normal
from tests.layouts import READABLE, WRITABLE
from tests.sampling import few
from tests.test_conv2d import geometries
from tests.test_conv_transpose2d import convolutions, problems

DTYPES = "complex64", "complex128"
over_dtypes = pytest.mark.parametrize("dtype", DTYPES)
CASES = *CONV_CASES[::2], *TRANSPOSED_CASES, *CONV_CASES[1::2]
over_cases = pytest.mark.parametrize("case", few(CASES, 40))


def compute(case, *arrays, **keywords):
    function = gpuconv.conv_transpose2d if hasattr(case, "output_size") else gpuconv.conv2d
    return function(*arrays, **case.parameters, **keywords)


@over_cases
@over_dtypes
def test_integers_are_exact(case, dtype):
    arrays = case.arrays(dtype, integers)
    y = compute(case, *arrays, algorithm="conv_parted")
    np.testing.assert_array_equal(y, case.expected(*arrays).astype(dtype), strict=True)


@over_cases
@over_dtypes
def test_each_part_is_bounded_by_its_own_products(case, dtype):
    x, w, bias = case.arrays(dtype, normal)
    x.imag *= 1e-3
    y, expected = compute(case, x, w, bias, precision="ieee"), case.expected(x, w, bias)
    re, im = ([abs(getattr(each, part)) for each in (x, w)] for part in ("real", "imag"))
    added = (0, 0) if bias is None else (abs(b).reshape(1, -1, 1, 1) for b in (bias.real, bias.imag))
    bounds = (
        case.expected(re[0], re[1], None) + case.expected(im[0], im[1], None),
        case.expected(re[0], im[1], None) + case.expected(im[0], re[1], None),
    )
    for part, bound, more in zip(("real", "imag"), bounds, added, strict=True):
        error = abs(getattr(y, part) - getattr(expected, part))
        assert (error <= reference.BOUND * np.finfo(dtype).eps * (bound + more)).all()


@over_dtypes
def test_a_small_part_is_kept_beside_a_large_one(dtype):
    """Three products, (a + b) (c + d) less two others, would lose it."""
    x = np.full((1, 32, 6, 6), 1e16 + 1j, dtype)
    w = np.ones((32, 32, 3, 3), dtype)
    assert (gpuconv.conv2d(x, w).imag == 288).all() and (gpuconv.conv2d(w, x[:, :, :3, :3]).imag == 288).all()


@pytest.mark.wide  # seconds of the compiler
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(geometries(), problems()), st.sampled_from(DTYPES), st.integers(0, 6000), st.data())
def test_blocks_of_any_size_in_any_layout(limit_workspace, case, dtype, limit, data):
    arrays = case.arrays(dtype, integers)
    expected = case.expected(*arrays).astype(dtype)
    readable = st.sampled_from(sorted(READABLE))
    laid = [None if array is None else READABLE[data.draw(readable)](array) for array in arrays]
    out = WRITABLE[data.draw(st.sampled_from(sorted(WRITABLE)))](np.full(expected.shape, np.nan, dtype))
    limit_workspace(limit)
    assert compute(case, *laid, out=out) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, complex(1, np.nan), complex(2, -np.inf)], ids=str)
@pytest.mark.parametrize("size", [4, 32])
def test_a_value_that_is_not_finite_reaches_what_the_definition_says(value, size):
    case = ConvCase("layer", (1, size, 9, 9), (size, size, 3, 3), padding=1)
    x, w, _ = case.arrays("complex64", integers)
    x[0, 1, 4, 5] = value
    with np.errstate(invalid="ignore"):
        expected = case.expected(x, w, None)
    y = compute(case, x, w)
    for part in ("real", "imag"):  # of a complex NaN NumPy compares no part
        np.testing.assert_array_equal(getattr(y, part), getattr(expected, part).astype("f4"))
    assert np.isfinite(y[0, :, 6:]).all()


@pytest.mark.wide  # seconds of the compiler
@given(convolutions())
def test_the_gradient_by_the_input_is_the_adjoint(problem):
    size, weight, result, parameters = problem
    x, w, dy = (integers(shape, "complex128", i) for i, shape in enumerate((size, weight, result)))
    dx = gpuconv.grad.conv2d_input(size, w, dy, **parameters)
    np.testing.assert_array_equal(dx, reference.conv2d_input(size, w, dy, **parameters), strict=True)
    assert np.vdot(gpuconv.conv2d(x, w, **parameters), dy) == np.vdot(x, dx)


@over_dtypes
def test_it_agrees_with_torch(dtype):
    torch = pytest.importorskip("torch")
    nn = torch.nn.functional
    x, w, b = (torch.from_numpy(normal(*each)) for each in (
        ((2, 6, 9, 8), dtype, 1), ((4, 3, 3, 2), dtype, 2), ((4,), dtype, 3)))  # fmt: skip
    x.requires_grad_()
    y, ours = nn.conv2d(x, w, b, 2, 1, 1, 2), gpuconv.conv2d(x.detach(), w, b, 2, 1, 1, 2)
    dy = torch.from_numpy(normal(tuple(y.shape), dtype, 4))
    y.backward(dy)
    torch.testing.assert_close(ours, y.detach())
    torch.testing.assert_close(gpuconv.grad.conv2d_input(x.shape, w, dy, 2, 1, 1, 2), x.grad)
    transposed = nn.conv_transpose2d(dy, w, None, 2, 1, 1, 2)  # which conjugates nothing
    torch.testing.assert_close(gpuconv.conv_transpose2d(dy, w, None, 2, 1, 1, 2), transposed)


def test_the_same_bits_from_any_number_of_threads(threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    x, w = normal((3, 20, 23, 25), "complex64"), normal((18, 20, 3, 3), "complex64", 1)
    threads(1)
    first = gpuconv.conv2d(x, w, padding=1)
    for n in (2, 3):
        threads(n)
        assert gpuconv.conv2d(x, w, padding=1).tobytes() == first.tobytes()


@pytest.mark.parametrize(
    ("C", "precision", "is_mixed"),
    [
        (64, None, True),
        (64, "ieee", False),
        (31, None, False),
        (64, "tf32", True),
    ],
)
def test_explain_says_what_computes_the_parts(C, precision, is_mixed):
    """Neighbours are mixed where they may be in a real convolution of as many channels, and no sooner."""
    x, w = np.zeros((8, C, 28, 28), "complex64"), np.zeros((64, C, 3, 3), "complex64")
    chosen, verdict = gpuconv.explain(gpuconv.conv2d, x, w, padding=1, precision=precision)[0]
    assert chosen == "conv_parted"
    assert "four products of float32 each, summed by conv_" in verdict
    assert verdict.endswith("conv_winograd") == is_mixed


@pytest.mark.parametrize("name", ["weight", "bias", "out"])
def test_nothing_is_cast(name):
    arrays = {"input": np.ones((1, 2, 4, 4)), "weight": np.ones((3, 2, 2, 2)), "bias": np.ones(3)}
    arrays = {key: value.astype("complex64") for key, value in arrays.items()}
    arrays["out"] = np.ones((1, 3, 3, 3), "complex64")
    assert gpuconv.conv2d(**arrays) is arrays["out"]
    for other in ("float32", "complex128"):
        with pytest.raises(
            TypeError, match=f"{name} must have the input's dtype complex64, .* cast silently"
        ):
            gpuconv.conv2d(**{**arrays, name: np.real(arrays[name]).astype(other)})
