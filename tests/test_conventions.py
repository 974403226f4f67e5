"""The README's table of conventions: what this library does where libraries differ, row by row.

The versions of the others are those that the table names; they are compared with where they are installed.
"""

import numpy as np
import pytest

import gpuconv

INF = float("inf")


def images(values, dtype="float32"):
    return np.array(values, dtype)[None, None]


def test_same_puts_the_odd_zero_at_the_end():
    x, w = images(np.arange(16.0).reshape(4, 4)), images(np.ones((2, 2)))
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)))
    np.testing.assert_array_equal(gpuconv.conv2d(x, w, padding="same"), gpuconv.conv2d(padded, w))
    signal = pytest.importorskip("scipy.signal")
    expected = signal.correlate2d(x[0, 0], w[0, 0], "same")
    np.testing.assert_array_equal(gpuconv.conv2d(x, w, padding="same")[0, 0], expected)


def test_same_with_a_stride_gives_the_outputs_divided_and_rounded_up():
    x, w = images(np.arange(30.0).reshape(5, 6)), images(np.ones((3, 3)))
    y = gpuconv.conv2d(x, w, stride=2, padding="same")
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 1)))  # 6 columns need one of padding, at the end
    np.testing.assert_array_equal(y, gpuconv.conv2d(padded, w, stride=2))
    assert y.shape == (1, 1, 3, 3)


def test_a_mean_over_same_counts_the_padding_unless_told_otherwise():
    x = images(np.full((3, 3), 12.0))
    assert gpuconv.avg_pool2d(x, 2, 1, "same")[0, 0, 2].tolist() == [6, 6, 3]
    assert gpuconv.avg_pool2d(x, 2, 1, "same", count_include_pad=False)[0, 0, 2].tolist() == [12, 12, 12]


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_nan_is_the_greatest_wherever_it_lies(place):
    x = np.arange(4.0, dtype=np.float32).reshape(1, 1, 2, 2)
    x[0, 0][place] = np.nan
    values, indices = gpuconv.max_pool2d(x, 2, return_indices=True)
    assert np.isnan(values).all() and indices.item() == 2 * place[0] + place[1]


def test_a_window_of_minus_infinities_has_that_maximum_and_an_index():
    values, indices = gpuconv.max_pool2d(images(np.full((2, 2), -INF)), 2, return_indices=True)
    assert values.item() == -INF and indices.item() == 0


def test_of_equals_the_first_counts():
    _, indices = gpuconv.max_pool2d(images([[1, 7, 7], [7, 7, 7]]), (2, 3), return_indices=True)
    assert indices.item() == 1
    for first, second in ((0.0, -0.0), (-0.0, 0.0)):
        value = gpuconv.max_pool2d(images([[first, second]]), (1, 2)).item()
        assert np.signbit(value) == np.signbit(first)


def test_no_input_channels_give_the_bias():
    x, w = np.zeros((1, 0, 4, 4), np.float32), np.zeros((2, 0, 3, 3), np.float32)
    assert not gpuconv.conv2d(x, w).any()
    y = gpuconv.conv2d(x, w, np.array([3, 5], np.float32))
    assert (y[0, 0] == 3).all() and (y[0, 1] == 5).all()


def test_a_sum_beyond_the_dtype_is_infinite():
    x, w = images(np.full((2, 2), 3e38)), images(np.ones((2, 2)))
    assert gpuconv.conv2d(x, w).item() == INF
    with np.errstate(over="ignore"):
        assert gpuconv.avg_pool2d(x.astype(np.float64), 2).item() == pytest.approx(3e38)


def test_zero_padding_is_multiplied():
    """So an infinite weight shows at the borders, as 0 times infinity."""
    x, w = images(np.ones((3, 3))), images(np.ones((3, 3)))
    w[0, 0, 0, 0] = INF
    y = gpuconv.conv2d(x, w, padding=1)[0, 0]
    assert np.isnan(y[0]).all() and np.isnan(y[:, 0]).all() and (y[1:, 1:] == INF).all()


def test_kernels_are_not_flipped():
    x = np.zeros((1, 1, 3, 3), np.float32)
    x[0, 0, 1, 1] = 1
    w = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    np.testing.assert_array_equal(gpuconv.conv2d(x, w, padding=1), w[..., ::-1, ::-1])


def test_a_transposed_convolution_adds_its_kernel_as_it_is():
    x, w = images([[1.0, 0], [0, 0]]), np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    np.testing.assert_array_equal(
        gpuconv.conv_transpose2d(x, w, stride=2)[0, 0, :3, :3], w[0, 0]
    )  # what x[0, 0] spreads to
    torch = pytest.importorskip("torch")
    x, w = np.arange(24.0).reshape(1, 2, 3, 4), np.arange(54.0).reshape(2, 3, 3, 3)
    expected = torch.nn.functional.conv_transpose2d(torch.from_numpy(x), torch.from_numpy(w), stride=2)
    np.testing.assert_array_equal(gpuconv.conv_transpose2d(x, w, stride=2), expected.numpy())


def test_the_last_window_of_ceil_mode_begins_inside():
    """In the image or its leading padding; a mean divides by what lies in the padded image."""
    x = images(np.arange(5.0)[None])
    assert gpuconv.max_pool2d(x, (1, 2), (1, 2), ceil_mode=True)[0, 0, 0].tolist() == [1, 3, 4]
    assert gpuconv.max_pool2d(x, (1, 2), (1, 5), ceil_mode=True).shape[3] == 1  # not one that begins at 5
    assert gpuconv.avg_pool2d(x, (1, 2), (1, 2), ceil_mode=True)[0, 0, 0].tolist() == [0.5, 2.5, 4]


@pytest.mark.parametrize("stride", [None, (), []])
def test_no_stride_of_a_pool_is_its_window(stride):
    x = images(np.arange(24.0).reshape(4, 6))
    for pool in (gpuconv.max_pool2d, gpuconv.avg_pool2d):
        np.testing.assert_array_equal(pool(x, (2, 3), stride), pool(x, (2, 3), (2, 3)))


def test_lp_pool2d_takes_no_magnitudes_of_odd_powers_and_fills_windows():
    """PyTorch 2.13, `torch.nn.functional.lp_pool2d`."""
    x = np.array([-1.0, -2.0]).reshape(1, 1, 1, 2)
    assert gpuconv.lp_pool2d(x, 1, (1, 2)).item() == -3
    assert np.isnan(gpuconv.lp_pool2d(x, 3, (1, 2))).all()
    assert gpuconv.lp_pool2d(np.ones((1, 1, 1, 1)), 1, 2, ceil_mode=True).item() == 4
    assert gpuconv.lp_pool2d(x, float("inf"), (1, 2)).item() == 2
    torch = pytest.importorskip("torch")
    ones, signed = torch.ones((1, 1, 1, 1)), torch.from_numpy(x)
    lp_pool2d = torch.nn.functional.lp_pool2d
    assert lp_pool2d(ones, 1, 2, ceil_mode=True).item() == 4
    assert lp_pool2d(signed, 1, (1, 2)).item() == -3 and lp_pool2d(signed, 3, (1, 2)).isnan().all()
    assert lp_pool2d(signed, float("inf"), (1, 2)).item() == 2


def test_a_nan_is_the_least_of_minima_and_of_equals_the_first_counts():
    assert np.isnan(gpuconv.min_pool2d(np.array([[[1.0, np.nan, -np.inf]]]), (1, 3))).all()
    assert np.signbit(gpuconv.min_pool2d(np.array([[[-0.0, 0.0]]]), (1, 2))).all()
