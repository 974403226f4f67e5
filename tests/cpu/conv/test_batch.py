"""Convolution of batches: whole and partial groups of images, blocks of rows, every memory layout."""

import numpy as np
import pytest

import gpuconv
from gpuconv import threads as sharing
from gpuconv.cpu.conv import batch as conv_batch
from gpuconv.cpu.simd import LANES
from gpuconv.spec import ConvSpec
from gpuconv.workspace import set_workspace_limit, workspace_limit
from tests.cases import DTYPES, ConvCase, integers, normal
from tests.cpu.problems import refused

CASES = [
    ConvCase("second of LeNet", (64, 6, 14, 14), (16, 6, 5, 5), bias=True),
    ConvCase("padded", (33, 3, 7, 9), (10, 3, 3, 3), padding=1, bias=True),
    ConvCase("one image", (1, 4, 19, 13), (9, 4, 3, 3), padding=1),
    ConvCase("three images in blocks", (3, 2, 11, 8), (5, 2, 5, 3), padding=((2, 3), (1, 0)), bias=True),
    ConvCase("fewer elements than lanes", (18, 2, 1, 3), (3, 2, 1, 2)),
    ConvCase("one output", (20, 16, 5, 5), (13, 16, 5, 5), bias=True),
    ConvCase("more products than a block", (5, 20, 6, 7), (9, 20, 5, 5), padding=2, bias=True),
    ConvCase("groups", (16, 6, 9, 8), (15, 2, 3, 3), groups=3, padding=1, bias=True),
    ConvCase("stride 2", (9, 3, 12, 15), (7, 3, 3, 3), stride=2, padding=1),
    ConvCase("stride (3, 2), dilation (2, 3)", (4, 2, 20, 21), (7, 2, 3, 4), stride=(3, 2), dilation=(2, 3)),
    ConvCase("stride beyond the window", (17, 2, 13, 14), (3, 2, 2, 1), stride=(4, 3), padding=2),
    ConvCase("1x1", (16, 3, 4, 5), (12, 3, 1, 1), bias=True),
    ConvCase("windows of zeros alone", (16, 2, 2, 3), (4, 2, 2, 2), padding=((4, 3), (3, 4)), bias=True),
]  # fmt: skip
over_cases = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.mark.parametrize("threaded", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@over_cases
def test_integers_are_exact(case, dtype, threaded, threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    threads(threaded)
    x, w, bias = case.arrays(dtype, integers)
    y = gpuconv.conv2d(x, w, bias, **case.parameters, algorithm="conv_batch")
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype(dtype), strict=True)


@over_cases
def test_arrays_whose_planes_are_not_contiguous(case):
    x, w, bias = case.arrays("float32", integers)
    expected = case.expected(x, w, bias)
    inside = (slice(None), slice(None), slice(1, -1), slice(2, -1))
    crop = np.full((*x.shape[:2], x.shape[2] + 2, x.shape[3] + 3), np.nan, np.float32)[inside]
    crop[...] = x
    storage = np.full((*expected.shape[:2], expected.shape[2] + 2, expected.shape[3] + 3), 7.5, np.float32)
    gpuconv.conv2d(crop, w, bias, **case.parameters, algorithm="conv_batch", out=storage[inside])
    np.testing.assert_array_equal(storage[inside], expected)
    storage[inside] = 7.5
    assert (storage == 7.5).all()


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_value_that_is_not_finite_reaches_its_windows_alone(value):
    case = CASES[3]
    x, w, bias = case.arrays("float32", integers)
    w[w == 0] = 1
    x[0, 1, 0, 0] = x[1, 0, 10, 7] = x[2, 1, 5, 4] = value
    y = gpuconv.conv2d(x, w, bias, **case.parameters, algorithm="conv_batch")
    assert 0 < np.isfinite(y).mean() < 1
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype(np.float32))


def test_long_sums_are_added_up_in_blocks():
    case = ConvCase("", (4, 60, 8, 8), (8, 60, 5, 5))
    x, w, _ = case.arrays("float32", normal)
    expected = case.expected(x, w, None)
    error = gpuconv.conv2d(x, w, algorithm="conv_batch") - expected
    assert np.linalg.norm(error) < 5e-7 * np.linalg.norm(expected)  # one running sum of 1500: about 1e-6


def lenet(N, dtype="float32"):
    return ConvSpec(N=N, C=6, H=14, W=14, K=16, R=5, S=5, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_images_fill_the_lanes_or_are_cut_to_do_so(dtype):
    lanes = LANES[dtype]
    assert conv_batch.rows_of(lenet(4 * lanes, dtype), 1, 2**26) == 10
    assert conv_batch.rows_of(lenet(lanes // 2, dtype), 1, 2**26) == 5
    assert conv_batch.rows_of(lenet(lanes, dtype), 2, 2**26) == 5  # a task for each of two threads


def test_a_task_stays_within_the_limit():
    spec = ConvSpec(N=64, C=16, H=40, W=40, K=16, R=3, S=3)
    least = conv_batch._bytes(spec, 1)
    assert conv_batch.rows_of(spec, 1, least) == 1
    assert conv_batch._bytes(spec, conv_batch.rows_of(spec, 1, 2 * least)) <= 2 * least
    before = workspace_limit()
    try:
        set_workspace_limit(least - 1)
        assert f"it needs {least} bytes to work in" in refused(conv_batch.ALGORITHM, spec)
        set_workspace_limit(least)
        assert refused(conv_batch.ALGORITHM, spec) is None
    finally:
        set_workspace_limit(before)
