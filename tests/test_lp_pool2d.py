"""Pools of norms on the CPU, with PyTorch's values."""

import math

import numpy as np
import pytest

import gpuconv
from tests import reference
from tests.cases import POOL_DTYPES, integers, normal
from tests.layouts import READABLE, WRITABLE

CASES = (
    ((2, 3, 6, 8), {"kernel_size": 2}),
    ((2, 3, 7, 9), {"kernel_size": 3, "stride": 2}),
    ((1, 2, 7, 9), {"kernel_size": (2, 3), "stride": (3, 2), "ceil_mode": True}),
    ((1, 1, 90, 40), {"kernel_size": 5, "stride": 1}),
    ((0, 2, 4, 4), {"kernel_size": 2}),
    ((2, 0, 4, 4), {"kernel_size": 2, "ceil_mode": True}),
    ((1, 2, 5, 5), {"kernel_size": 5}),
)
NORMS = (1, 2, 3, 4, 0.5, 2.5, -1, -2, 1 / 3, math.inf, -math.inf)

over_cases = pytest.mark.parametrize(("shape", "parameters"), CASES)


norms = reference.lp_pool2d


@over_cases
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", POOL_DTYPES)
def test_norms(shape, parameters, norm, dtype):
    x = np.abs(normal(shape, dtype)) + np.asarray(0.1, dtype)
    found = gpuconv.lp_pool2d(x, norm, **parameters)
    assert found.dtype == x.dtype
    eps = {"float64": 1e-14, "float32": 4e-6, "float16": 1e-3, "bfloat16": 8e-3}[dtype]
    np.testing.assert_allclose(
        found.astype("float64"), norms(x, norm, **parameters), rtol=eps * max(1, 1 / abs(norm))
    )


@over_cases
@pytest.mark.parametrize("norm", sorted({*NORMS} - {-1}))  # by which what is inverted may cancel
def test_what_has_signs_and_what_is_not_finite(shape, parameters, norm):
    x = integers(shape, "float64")
    for place, value in enumerate((np.inf, -np.inf, np.nan)):
        x.reshape(-1)[3 + place :: 29] = value
    found = gpuconv.lp_pool2d(x, norm, **parameters)
    np.testing.assert_allclose(found, norms(x, norm, **parameters), rtol=1e-12)


def test_squares_are_exact():
    x = np.array([3.0, 4, 5, 12, 8, 15], np.float32).reshape(1, 1, 1, 6)
    assert gpuconv.lp_pool2d(x, 2, (1, 2)).ravel().tolist() == [5, 13, 17]


def test_a_norm_that_is_none():
    """PyTorch's values: no magnitudes of odd powers, and a window beyond the image counts as a whole one."""
    x = np.array([-1.0, -2.0, 1.0], np.float32).reshape(1, 1, 1, 3)
    assert gpuconv.lp_pool2d(x, 1, (1, 2)).ravel().tolist() == [-3]
    assert np.isnan(gpuconv.lp_pool2d(x, 3, (1, 2))).all()
    assert gpuconv.lp_pool2d(x, 1, 2, ceil_mode=True).shape == (1, 1, 1, 2)
    one = np.ones((1, 1, 1, 1), np.float32)
    assert gpuconv.lp_pool2d(one, 1, 2, ceil_mode=True).item() == 4


@pytest.mark.parametrize("norm", NORMS)
def test_beside_torch(norm):
    torch = pytest.importorskip("torch")
    for shape, parameters in CASES:
        if 0 in shape:
            continue
        for x in (normal(shape, "float64"), np.abs(normal(shape, "float64"))):
            expected = torch.nn.functional.lp_pool2d(torch.from_numpy(x), norm, **parameters)
            np.testing.assert_allclose(gpuconv.lp_pool2d(x, norm, **parameters), expected, rtol=1e-9)


@pytest.mark.parametrize("layout", READABLE)
def test_inputs_of_every_layout(layout):
    for dtype in ("float32", "float16"):
        x = integers((2, 3, 9, 8), dtype)
        for norm in (2, math.inf):
            expected = gpuconv.lp_pool2d(x, norm, 3, 2)
            np.testing.assert_array_equal(
                gpuconv.lp_pool2d(READABLE[layout](x), norm, 3, 2), expected, strict=True
            )


@pytest.mark.parametrize("layout", WRITABLE)
def test_results_in_every_layout(layout):
    x = integers((2, 3, 9, 8), "float32")
    expected = gpuconv.lp_pool2d(x, 2, 3, 2)
    out = WRITABLE[layout](np.full(expected.shape, np.nan, "float32"))
    assert gpuconv.lp_pool2d(x, 2, 3, 2, out=out) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("norm", "error"),
    [
        (0, ValueError), (0.0, ValueError), (math.nan, ValueError), (10**400, ValueError), ("2", TypeError),
        (True, TypeError), (None, TypeError), (1j, TypeError), ((2,), TypeError),
        (np.complex64(1), ValueError),
    ],
)  # fmt: skip
def test_wrong_norms(norm, error):
    out = np.full((1, 2, 2, 2), 7, np.float32)
    with pytest.raises(error, match="norm_type must be a"):
        gpuconv.lp_pool2d(np.zeros((1, 2, 4, 4), np.float32), norm, 2, out=out)
    assert (out == 7).all()


def test_what_else_is_refused():
    x = np.zeros((1, 2, 4, 4), np.float32)
    wrongs = (
        ("kernel_size", {"kernel_size": 0}), ("stride", {"kernel_size": 2, "stride": 0}),
        ("ceil_mode", {"kernel_size": 2, "ceil_mode": 1}), ("input", {"kernel_size": 9}),
    )  # fmt: skip
    for named, wrong in wrongs:
        with pytest.raises((TypeError, ValueError), match=named):
            gpuconv.lp_pool2d(x, 2, **wrong)
    with pytest.raises(TypeError, match=r"input must be .* or bfloat16, got dtype int32"):
        gpuconv.lp_pool2d(x.astype("int32"), 2, 2)


@pytest.mark.parametrize("norm", [1e300, -1e300, 1e-300, 1e39, 1e-40])
def test_exponents_that_float32_cannot_hold(norm):
    """Rounded to 0 or to infinity, all norms would be 1."""
    x = np.full((1, 1, 2, 2), 3.0)
    for dtype in ("float32", "float16"):
        with pytest.raises(ValueError, match="norm_type must be inf, or a number that float32 can hold"):
            gpuconv.lp_pool2d(x.astype(dtype), norm, 2)
        y = x[..., :1, :1].astype(dtype)
        with pytest.raises(ValueError, match="norm_type must be inf, or a number that float32 can hold"):
            gpuconv.grad.lp_pool2d(y, x.astype(dtype), y, norm, 2)
    np.testing.assert_array_equal(gpuconv.lp_pool2d(x, norm, 2), norms(x, norm, 2))
    with pytest.raises(ValueError, match="norm_type must be inf, or a number that float64 can hold"):
        gpuconv.lp_pool2d(x, 1e-310, 2)
