"""Depthwise convolution with channels as lanes: every tile, windows of every kind, skipped rows of zeros."""

import numpy as np
import pytest

import gpuconv
from gpuconv import threads as sharing
from gpuconv.cpu.conv import depthwise_channels as conv_depthwise_channels
from gpuconv.cpu.simd.channels import CHANNEL_COLUMNS
from gpuconv.spec import ConvSpec
from tests.cases import DTYPES, ConvCase, integers, normal

CASES = [
    ConvCase("7x7 @7", (2, 20, 7, 7), (20, 1, 7, 7), padding=3, groups=20, bias=True),
    ConvCase("5x5 @14, fewer channels than lanes", (3, 3, 14, 14), (3, 1, 5, 5), padding=2, groups=3),
    ConvCase("3x3 @7, two filters a channel", (2, 17, 7, 7), (34, 1, 3, 3), padding=1, groups=17, bias=True),
    ConvCase("5x5/2 @14", (2, 16, 14, 14), (16, 1, 5, 5), stride=2, padding=2, groups=16, bias=True),
    ConvCase("7x5/3", (1, 5, 16, 13), (5, 1, 7, 5), stride=3, padding=(3, 2), groups=5),
    ConvCase("stride as high as the window", (1, 5, 13, 9), (5, 1, 3, 2), stride=3, groups=5, bias=True),
    ConvCase("stride beyond the window", (1, 5, 13, 9), (5, 1, 2, 2), stride=3, groups=5),
    ConvCase("stride 2, dilation 2", (2, 4, 12, 13), (4, 1, 4, 3), stride=2, dilation=2, groups=4, padding=2),
    ConvCase("stride 4, dilation 2", (1, 4, 20, 13), (4, 1, 5, 3), stride=4, dilation=2, groups=4, padding=3),
    ConvCase("dilation 3", (1, 4, 12, 13), (4, 1, 3, 3), dilation=3, groups=4, padding=3, bias=True),
    ConvCase("window of 13x11", (1, 3, 15, 17), (3, 1, 13, 11), padding=(6, 5), groups=3, bias=True),
    ConvCase("window of 31x31", (1, 2, 14, 14), (2, 1, 31, 31), padding=15, groups=2),
    ConvCase("windows of zeros alone", (2, 3, 2, 3), (3, 1, 5, 2), padding=((9, 8), (3, 4)), groups=3),
    ConvCase("one pixel", (3, 18, 1, 1), (18, 1, 1, 1), groups=18, bias=True),
    ConvCase("filters of one image", (2, 1, 9, 8), (5, 1, 3, 3), padding=1, bias=True),
    ConvCase("four sides", (1, 3, 9, 10), (3, 1, 5, 5), padding=((4, 0), (1, 4)), groups=3),
]  # fmt: skip
CASES += [
    ConvCase(f"{width} columns", (1, 4, 5, width), (4, 1, 4, 3), padding=(2, 1), groups=4, bias=True)
    for width in range(1, 2 * CHANNEL_COLUMNS + 2)
]
over_cases = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.mark.parametrize("threaded", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@over_cases
def test_integers_are_exact(case, dtype, threaded, threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    threads(threaded)
    x, w, bias = case.arrays(dtype, integers)
    y = gpuconv.conv2d(x, w, bias, **case.parameters, algorithm="conv_depthwise_channels")
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype(dtype), strict=True)


@over_cases
def test_arrays_whose_planes_are_not_contiguous(case):
    x, w, bias = case.arrays("float32", integers)
    expected = case.expected(x, w, bias)
    channels_last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    storage = np.full((*expected.shape[:3], 2 * expected.shape[3]), 7.5, np.float32)
    out = storage[..., ::2]
    gpuconv.conv2d(channels_last, w, bias, **case.parameters, algorithm="conv_depthwise_channels", out=out)
    np.testing.assert_array_equal(out, expected)
    assert (storage[..., 1::2] == 7.5).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("case", CASES[:5], ids=str)
def test_a_weight_that_is_not_finite_shows_over_zeros(case, value):
    x, w, bias = case.arrays("float32", integers)
    w[1, 0, 0, 1] = w[2, 0, -1, 0] = value
    y = gpuconv.conv2d(x, w, bias, **case.parameters, algorithm="conv_depthwise_channels")
    expected = case.expected(x, w, bias).astype(np.float32)
    assert 0 < np.isfinite(expected).mean() < 1
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("case", CASES[:5], ids=str)
def test_a_value_that_is_not_finite_reaches_its_windows_alone(case, value):
    x, w, bias = case.arrays("float32", integers)
    w[w == 0] = 1
    x[0, 0, 0, 0] = x[-1, -1, -1, -1] = x[0, 2, 5, 3] = value
    y = gpuconv.conv2d(x, w, bias, **case.parameters, algorithm="conv_depthwise_channels")
    assert 0 < np.isfinite(y).mean() < 1
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype(np.float32))


def test_large_windows_are_summed_in_blocks():
    case = ConvCase("", (1, 2, 40, 40), (2, 1, 31, 31), groups=2)
    x, w, _ = case.arrays("float32", normal)
    expected = case.expected(x, w, None)
    error = gpuconv.conv2d(x, w, groups=2, algorithm="conv_depthwise_channels") - expected
    assert np.linalg.norm(error) < 5e-7 * np.linalg.norm(expected)  # one running sum: about 1e-6


@pytest.mark.parametrize(
    ("R", "stride", "dilation", "expected"),
    [(3, 1, 1, (2, 3)), (5, 2, 1, (2, 10)), (5, 2, 2, (2, 5)), (3, 1, 2, (1, 0)), (3, 3, 1, (2, 9)),
     (2, 3, 1, (1, 0))],
)  # fmt: skip
def test_rows_that_see_the_same_are_summed_together(R, stride, dilation, expected):
    spec = ConvSpec(N=1, C=4, H=30, W=30, K=4, R=R, S=R, stride=(stride, 1), dilation=(dilation, 1), groups=4)
    assert conv_depthwise_channels.rows_of(spec) == expected


def test_more_than_one_input_channel_is_refused():
    x, w = np.ones((1, 4, 5, 5), np.float32), np.ones((2, 2, 3, 3), np.float32)
    with pytest.raises(ValueError, match="one input channel per group, not 2"):
        gpuconv.conv2d(x, w, groups=2, algorithm="conv_depthwise_channels")


def test_planes_beyond_the_limit_are_refused():
    x, w = np.ones((1, 1, 1500, 1500), np.float32), np.ones((1, 1, 2, 2), np.float32)
    with pytest.raises(ValueError, match="bytes to work in, more than the limit"):
        gpuconv.conv2d(x, w, algorithm="conv_depthwise_channels")
