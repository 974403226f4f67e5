"""Means of many numbers: errors grow with the logarithm of their number, not with the number."""

import numpy as np
import pytest

import gpuconv
from gpuconv import cpu
from tests.cases import POOL_DTYPES
from tests.taken import reason

ALGORITHMS = [algorithm.name for algorithm in cpu.ALGORITHMS["pool"] if algorithm.name != "pool_small"]
# (H, W), windows: each adds in another way, of rows, of columns, of blocks, and of what is left of them
WINDOWS = (
    ((1024, 1024), (1024, 1024)),
    ((6000, 2), (6000, 2)),
    ((1, 6000), (1, 6000)),
    ((3001, 3), (3000, 1)),
    ((1000, 33), (1000, 33)),
    ((600, 520), (500, 500)),
    ((40, 64), (40, 3)),
    ((66, 20), (33, 1)),
    ((64, 64), (20, 20)),
    ((8, 1000), (8, 9)),
)


def layouts(x):
    """As it is, by columns, and with gaps between rows."""
    yield x
    yield np.ascontiguousarray(x.swapaxes(2, 3)).swapaxes(2, 3)
    yield np.pad(x, ((0, 0), (0, 0), (0, 0), (1, 2)))[..., 1:-2]


def errors(x, window, dtype, algorithm):
    """Those of the means of windows that do not overlap, in eps of the dtype that is summed in."""
    R, S = window
    H, W = x.shape[2:]
    for view in layouts(x):
        if reason(gpuconv.avg_pool2d, algorithm, (view,), kernel_size=window):
            continue
        y = gpuconv.avg_pool2d(view, window, algorithm=algorithm)[0, 0]
        seen = x[0, 0, : H // R * R, : W // S * S].astype(np.longdouble)
        means = seen.reshape(H // R, R, W // S, S).mean((1, 3))
        summed = np.finfo("float64" if dtype == "float64" else "float32")
        rounded = 0 if dtype in ("float32", "float64") else np.spacing(means.astype(dtype)).astype(float) / 2
        error = np.abs(y.astype(np.longdouble) - means) - rounded
        yield float((error / means).max() / summed.eps)


@pytest.mark.parametrize("fill", ["0.1", "random"])
@pytest.mark.parametrize("dtype", POOL_DTYPES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_errors_grow_with_the_logarithm(algorithm, dtype, fill):
    for (H, W), window in WINDOWS:
        shape = 1, 1, H, W
        x = np.full(shape, 0.1) if fill == "0.1" else np.random.default_rng(2).random(shape)
        for error in errors(x.astype(dtype), window, dtype, algorithm):
            assert error <= 4 * np.log2(window[0] * window[1]), (window, error)


@pytest.mark.parametrize("algorithm", ["pool_global", "pool_separable", "pool_direct"])
def test_infinities_and_nan_do_no_more_than_they_must(algorithm):
    for value in (np.inf, -np.inf, np.nan):
        for place in (0, 517, 70 * 130 - 1):
            x = np.ones((1, 1, 70, 130), np.float32)
            x.reshape(-1)[place] = value
            y = gpuconv.avg_pool2d(x, (70, 130), algorithm=algorithm)
            np.testing.assert_array_equal(y, np.full((1, 1, 1, 1), value, np.float32))
    x = np.ones((1, 1, 70, 130), np.float32)
    x[0, 0, 3, 4], x[0, 0, 60, 100] = np.inf, -np.inf
    assert np.isnan(gpuconv.avg_pool2d(x, (70, 130), algorithm=algorithm)).all()
