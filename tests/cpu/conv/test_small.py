"""Convolution of few channels: vectors over several rows, blocks of products, every memory layout of y."""

import numpy as np
import pytest

import gpuconv
from gpuconv import threads as sharing
from gpuconv.cpu.conv import small as conv_small
from gpuconv.spec import ConvSpec
from tests.cases import DTYPES, ConvCase, integers, normal
from tests.cpu.problems import refused

CASES = [
    ConvCase("stem 7x7/2", (2, 3, 30, 50), (20, 3, 7, 7), stride=2, padding=3, bias=True),
    ConvCase("stem 11x11/4", (1, 3, 60, 47), (9, 3, 11, 11), stride=4, padding=2),
    ConvCase("first of LeNet", (3, 1, 28, 28), (6, 1, 5, 5), padding=2, bias=True),
    ConvCase("second of LeNet", (3, 6, 14, 14), (16, 6, 5, 5), bias=True),
    ConvCase("one output row", (2, 2, 3, 100), (5, 2, 3, 3)),
    ConvCase("one output column", (2, 2, 90, 3), (5, 2, 3, 3), bias=True),
    ConvCase("several bands", (1, 3, 100, 300), (11, 3, 3, 3), padding=1),
    ConvCase("several bands each way", (1, 1, 40, 700), (3, 1, 5, 5), padding=2, bias=True),
    ConvCase("more products than a block", (1, 20, 12, 13), (9, 20, 5, 5), bias=True),
    ConvCase("groups", (2, 6, 17, 18), (15, 2, 3, 3), groups=3, padding=1, bias=True),
    ConvCase("stride (3, 2), dilation (2, 3)", (1, 2, 30, 40), (7, 2, 3, 4), stride=(3, 2), dilation=(2, 3)),
    ConvCase("1x1", (2, 3, 9, 20), (12, 3, 1, 1), bias=True),
    ConvCase("padding of several vectors", (1, 2, 9, 50), (3, 2, 3, 90), padding=(1, 80)),
    ConvCase("four sides", (1, 3, 10, 40), (4, 3, 3, 3), padding=((4, 0), (1, 7)), bias=True),
]
over_cases = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.mark.parametrize("dtype", DTYPES)
@over_cases
def test_integers_are_exact(case, dtype, threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    threads(2)
    x, w, bias = case.arrays(dtype, integers)
    y = gpuconv.conv2d(x, w, bias, **case.parameters, algorithm="conv_small")
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype(dtype), strict=True)


@over_cases
def test_a_result_whose_rows_are_not_contiguous(case):
    x, w, bias = case.arrays("float32", integers)
    expected = case.expected(x, w, bias)
    storage = np.full((*expected.shape[:3], 2 * expected.shape[3]), 7.5, np.float32)
    gpuconv.conv2d(x, w, bias, **case.parameters, algorithm="conv_small", out=storage[..., ::2])
    np.testing.assert_array_equal(storage[..., ::2], expected)
    assert (storage[..., 1::2] == 7.5).all()


def test_nothing_around_the_result_is_written():
    case = CASES[0]
    x, w, bias = case.arrays("float32", integers)
    expected = case.expected(x, w, bias)
    storage = np.full([extent + 2 for extent in expected.shape], 7.5, np.float32)
    inside = (slice(1, -1),) * 4
    gpuconv.conv2d(x, w, bias, **case.parameters, algorithm="conv_small", out=storage[inside])
    np.testing.assert_array_equal(storage[inside], expected)
    storage[inside] = 7.5
    assert (storage == 7.5).all()


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_value_that_is_not_finite_reaches_its_windows_alone(value):
    case = CASES[0]
    x, w, bias = case.arrays("float32", integers)
    w[w == 0] = 1
    x[0, 1, 0, 0] = x[1, 2, 29, 49] = x[1, 0, 15, 16] = value
    y = gpuconv.conv2d(x, w, bias, **case.parameters, algorithm="conv_small")
    assert 0 < np.isfinite(y).mean() < 1
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype(np.float32))


def test_long_sums_are_added_up_in_blocks():
    case = ConvCase("", (1, 60, 12, 12), (8, 60, 5, 5))
    x, w, _ = case.arrays("float32", normal)
    expected = case.expected(x, w, None)
    error = gpuconv.conv2d(x, w, algorithm="conv_small") - expected
    assert np.linalg.norm(error) < 5e-7 * np.linalg.norm(expected)  # one running sum of 1500: about 1e-6


def test_each_tap_has_an_offset_of_its_own():
    spec = ConvSpec(N=1, C=3, H=40, W=50, K=4, R=5, S=4, stride=(2, 3), dilation=(1, 2))
    offsets = conv_small.offsets_of(spec)
    assert len(set(offsets.tolist())) == 3 * 5 * 4
    assert offsets.max() < conv_small.bands_of(spec).size


def test_a_band_beyond_the_limit_is_refused():
    far, apart = ((2**24, 2**24),) * 2, (2**25, 2**25)
    spec = ConvSpec(1, 1, 4, 4, 1, 2, 2, far, (2**24, 2**24), apart)
    assert "bytes to work in, more than the limit" in refused(conv_small.ALGORITHM, spec)
