"""The sign of a maximum that is zero: that of the first among equals, whatever computes it."""

import functools
import itertools

import numpy as np
import pytest

import gpuconv
from gpuconv import cpu
from gpuconv import threads as sharing
from tests import reference
from tests.cases import POOL_DTYPES
from tests.layouts import READABLE
from tests.taken import reason

ALGORITHMS = [algorithm.name for algorithm in cpu.ALGORITHMS["pool"]]
# (shape of x, parameters)
PROBLEMS = {
    "2x2": ((1, 3, 8, 40), {"kernel_size": 2}),
    "2x2, ragged": ((1, 2, 9, 43), {"kernel_size": 2}),
    "3x3, padded": ((1, 2, 9, 41), {"kernel_size": 3, "stride": 1, "padding": 1}),
    "3x3": ((2, 2, 9, 36), {"kernel_size": 3, "stride": 1}),
    "3x3, stride 2": ((1, 2, 9, 41), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "five rows a line": ((1, 2, 13, 40), {"kernel_size": (5, 3), "stride": (1, 2), "padding": (2, 1)}),
    "dilation": ((2, 2, 9, 41), {"kernel_size": (4, 3), "stride": (1, 2), "padding": 1, "dilation": (2, 3)}),
    "stride 3, ceil": ((1, 2, 10, 41), {"kernel_size": 4, "stride": 3, "padding": 2, "ceil_mode": True}),
    "widened": ((1, 1, 12, 40), {"kernel_size": 7, "stride": 1, "padding": 3}),
    "no overlap": ((1, 1, 20, 30), {"kernel_size": (3, 5)}),
    "stride beyond the window": ((1, 2, 11, 40), {"kernel_size": 1, "stride": 2}),
    "whole planes": ((2, 19, 7, 7), {"kernel_size": 7}),
    "a large plane": ((1, 2, 9, 150), {"kernel_size": (9, 150)}),
    "a part of a plane": ((1, 2, 9, 40), {"kernel_size": (5, 30), "stride": (9, 40)}),
}  # fmt: skip


FILLS = "at random", "among others", "positive first", "negative first"
SEVERAL = 3, 2, 1, 1  # images and channels


@functools.cache
def problem(name, fill):
    """(x of zeros of both signs, its maxima); float64, and the same in any dtype."""
    shape, parameters = PROBLEMS[name]
    rng = np.random.default_rng(3)
    x = np.where(rng.random(shape) < 0.5, 0.0, -0.0)
    if fill == "among others":
        x[rng.random(shape) < 0.6] = -1
        x[rng.random(shape) < 0.02] = np.nan
        x[rng.random(shape) < 0.02] = 2
    elif fill == "positive first":
        x[...], x[..., 1::2, :] = 0.0, -0.0
    elif fill == "negative first":
        x[...], x[..., ::2] = 0.0, -0.0
    return x, reference.max_pool2d(x, **parameters)[0]


def check(x, expected, algorithm, **parameters):
    """The values, with their signs, beside indices and without; NaN is one value, whatever its bits."""
    for indices in ({}, {"return_indices": True}):
        if reason(gpuconv.max_pool2d, algorithm, (x,), **parameters, **indices):
            continue
        y = gpuconv.max_pool2d(x, **parameters, algorithm=algorithm, **indices)
        y = (y[0] if indices else y).astype(np.float64)
        np.testing.assert_array_equal(y, expected, strict=True)
        numbers = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(y)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("dtype", POOL_DTYPES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_first_among_zeros(algorithm, dtype, fill):
    for name, (_, parameters) in PROBLEMS.items():
        x, expected = problem(name, fill)
        check(x.astype(dtype), expected, algorithm, **parameters)


@pytest.mark.parametrize("layout", READABLE)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_in_every_layout(algorithm, layout):
    dtype = "float16" if algorithm == "pool_widened" else "float32"
    for name, (_, parameters) in PROBLEMS.items():
        x, expected = problem(name, "among others")
        check(READABLE[layout](x.astype(dtype)), expected, algorithm, **parameters)


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("pool_small", "2x2, ragged"),
        ("pool_small", "3x3"),
        ("pool_small", "3x3, padded"),
        ("pool_separable", "3x3, padded"),
        ("pool_separable", "3x3, stride 2"),
        ("pool_separable", "dilation"),
        ("pool_separable", "widened"),
    ],
)
def test_no_negative_zero_is_overlooked(algorithm, name):
    """Among positive zeros, one in each place."""
    (_, _, H, W), parameters = PROBLEMS[name]
    x = np.zeros((H * W, 1, H, W), np.float32)
    for i, (h, v) in enumerate(itertools.product(range(H), range(W))):
        x[i, 0, h, v] = -0.0
    expected = reference.max_pool2d(x, **parameters)[0]
    for image, values in zip(x, expected, strict=True):
        y = gpuconv.max_pool2d(image, **parameters, algorithm=algorithm)
        np.testing.assert_array_equal(np.signbit(y), np.signbit(values))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_in_tasks_of_several_threads(algorithm, threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    threads(3)
    dtype = "float16" if algorithm == "pool_widened" else "float32"
    for name, (_, parameters) in PROBLEMS.items():
        x, expected = problem(name, "among others")
        check(np.tile(x, SEVERAL).astype(dtype), np.tile(expected, SEVERAL), algorithm, **parameters)
