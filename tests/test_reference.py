"""The reference beside numbers worked out by hand, and beside PyTorch where it is installed."""

import numpy as np
import pytest

from tests import reference
from tests.cases import CONV_CASES, POOL_CASES, integers, normal


def test_max_pool_takes_the_first_among_equals_and_the_first_nan():
    x = np.array([[1.0, 2, 2, np.nan, np.nan, 3]]).reshape(1, 1, 1, 6)
    values, indices = reference.max_pool2d(x, (1, 3), stride=1)
    assert indices.tolist() == [[[[1, 3, 3, 3]]]]
    np.testing.assert_equal(values, [[[[2, np.nan, np.nan, np.nan]]]])


def test_max_pool_of_infinities_alone_points_at_one():
    values, indices = reference.max_pool2d(np.full((1, 1, 2, 2), -np.inf), 2)
    assert (values.item(), indices.item()) == (-np.inf, 0)


def test_a_window_of_padding_alone():
    x = np.zeros((1, 1, 0, 2))
    values, indices = reference.max_pool2d(x, 2, padding=1)
    assert (values == -np.inf).all() and (indices == -1).all()
    assert (reference.min_pool2d(x, 2, padding=1)[0] == np.inf).all()
    assert (reference.avg_pool2d(x, 2, padding=1) == 0).all()


def test_min_pool_is_the_mirror_image_of_max_pool():
    x = integers((2, 3, 6, 7), "float64")
    values, indices = reference.min_pool2d(x, 3, stride=2, padding=1)
    mirrored, places = reference.max_pool2d(-x, 3, stride=2, padding=1)
    np.testing.assert_equal(values, -mirrored)
    np.testing.assert_equal(indices, places)


def test_padding_is_multiplied_like_a_value():
    w = np.full((1, 1, 1, 2), np.inf)
    y = reference.conv2d(np.ones((1, 1, 1, 2)), w, padding=(0, 1))
    np.testing.assert_equal(y, [[[[np.nan, np.inf, np.nan]]]])


def test_the_bound_scales_with_the_magnitudes():
    x, w = normal((1, 4, 6, 6), "float64"), normal((2, 4, 3, 3), "float64")
    bound = reference.error_bound(x, w, dtype="float32")
    np.testing.assert_allclose(reference.error_bound(-1000 * x, w, dtype="float32"), 1000 * bound)
    assert (bound < 1e-4).all() and (bound > 0).all()


@pytest.mark.parametrize("case", CONV_CASES, ids=str)
def test_conv2d_agrees_with_torch(case):
    torch = pytest.importorskip("torch")
    if 0 in case.x + case.w:
        pytest.skip("torch refuses empty images")
    x, w, bias = case.arrays("float64", integers)
    kernel, stride = w.shape[2:], reference.as_pair(case.stride)
    sides = reference.padding_sides(
        case.padding, x.shape[2:], kernel, stride, reference.as_pair(case.dilation)
    )
    padded = torch.nn.functional.pad(torch.from_numpy(x), [*sides[1], *sides[0]])
    bias = None if bias is None else torch.from_numpy(bias)
    y = torch.conv2d(padded, torch.from_numpy(w), bias, case.stride, 0, case.dilation, case.groups)
    np.testing.assert_equal(case.expected(*case.arrays("float64", integers)), y.numpy())


@pytest.mark.parametrize("case", POOL_CASES, ids=str)
def test_pools_agree_with_torch(case):
    torch = pytest.importorskip("torch")
    if 0 in case.x[1:] or isinstance(case.padding, str) or np.ndim(case.padding) == 2:
        pytest.skip("torch has no such pool")
    x = integers(case.x, "float64")
    if case.op == "avg":
        y = torch.nn.functional.avg_pool2d(torch.from_numpy(x), **case.parameters)
    else:
        y, indices = torch.nn.functional.max_pool2d(
            torch.from_numpy(x), **case.parameters, return_indices=True
        )
        expected = reference.max_pool2d(x, **case.parameters)[1]
        inside = expected >= 0  # torch's index of a window of padding alone is arbitrary
        np.testing.assert_equal(indices.numpy()[inside], expected[inside])
    np.testing.assert_allclose(case.expected(x), y.numpy(), rtol=1e-15, atol=0)
