"""The gradient of a convolution by its bias on the CPU."""

import numpy as np
import pytest

import gpuconv
from tests.cases import POOL_DTYPES, equal, integers, normal
from tests.layouts import READABLE

SHAPES = [
    (2, 3, 5, 7),
    (1, 1, 1, 1),
    (3, 70, 2, 2),
    (40, 2, 9, 1),
    (0, 3, 2, 2),
    (2, 0, 2, 2),
    (2, 2, 700, 800),
]
DY = integers((2, 3, 5, 7), "f4")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", POOL_DTYPES)
def test_integers_are_exact(shape, dtype):
    dy = integers(shape, dtype)
    equal(gpuconv.grad.conv2d_bias(dy), dy.astype("f8").sum(axis=(0, 2, 3)).astype(dtype))


@pytest.mark.parametrize("layout", READABLE)
def test_arrays_of_every_layout(layout):
    db = gpuconv.grad.conv2d_bias(READABLE[layout](DY))
    np.testing.assert_array_equal(db, DY.sum(axis=(0, 2, 3)), strict=True)


def test_one_image_needs_no_batch():
    np.testing.assert_array_equal(gpuconv.grad.conv2d_bias(DY[0]), DY[0].sum(axis=(1, 2)), strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_it_is_rounded_about_once(dtype):
    dy = np.abs(normal((20, 2, 40, 50), dtype)) + np.asarray(0.1, dtype)
    exact = dy.astype("f8").sum(axis=(0, 2, 3))
    eps = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    few = 8 if dtype == "float32" else 0.51
    assert (np.abs(gpuconv.grad.conv2d_bias(dy).astype("f8") - exact) <= few * eps * exact).all()


def test_the_adjoint():
    x, w, b = integers((2, 3, 5, 6), "f8"), np.zeros((4, 3, 2, 2)), integers((4,), "f8", 1)
    y = gpuconv.conv2d(x, w, b)
    dy = integers(y.shape, "f8", 2)
    assert (y * dy).sum() == (b * gpuconv.grad.conv2d_bias(dy)).sum()


def test_values_that_are_not_finite():
    dy = np.ones((2, 3, 4, 4), "f4")
    dy[1, 0, 2, 2], dy[0, 1, 0, 0], dy[1, 1, 0, 0] = np.inf, np.inf, -np.inf
    np.testing.assert_array_equal(gpuconv.grad.conv2d_bias(dy), [np.inf, np.nan, 32])


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (DY.astype(int), TypeError, "grad_output must be float32, .* or complex128"),
        (DY[0, 0], ValueError, "grad_output must have shape"),
        (DY[:, :, :0], ValueError, "grad_output must have at least one row and one column"),
        ([1.0], TypeError, "grad_output must be an array"),
        (None, TypeError, "grad_output must be an array"),
    ],
)
def test_wrong_arguments(wrong, error, message):
    with pytest.raises(error, match=message):
        gpuconv.grad.conv2d_bias(wrong)
