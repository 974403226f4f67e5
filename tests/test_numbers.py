"""Numbers and shapes that anyone can check by hand, through the public functions and every algorithm."""

import numpy as np
import pytest

import gpuconv
from gpuconv import cpu
from tests.cases import CONV_NUMBERS, CONV_SHAPES, DTYPES, POOL_DTYPES, POOL_NUMBERS
from tests.taken import taking

CONVOLUTIONS = [None, *taking("conv", "float32")]
POOLS = [None, *(algorithm.name for algorithm in cpu.ALGORITHMS["pool"])]
FUNCTIONS = {"max": gpuconv.max_pool2d, "avg": gpuconv.avg_pool2d}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", CONVOLUTIONS)
@pytest.mark.parametrize("name", CONV_NUMBERS)
def test_cross_correlation(name, algorithm, dtype):
    x, w, expected = (array.astype(dtype) for array in CONV_NUMBERS[name])
    verdicts = dict(gpuconv.explain(gpuconv.conv2d, x, w))
    if verdicts.get(algorithm, "").startswith("unsupported"):
        pytest.skip(verdicts[algorithm])
    y = gpuconv.conv2d(x, w, algorithm=algorithm)
    np.testing.assert_array_equal(y, expected, strict=True)


@pytest.mark.parametrize("dtype", POOL_DTYPES)
@pytest.mark.parametrize("algorithm", POOLS)
@pytest.mark.parametrize("name", POOL_NUMBERS)
def test_pools(name, algorithm, dtype):
    op, x, parameters, expected = POOL_NUMBERS[name]
    verdicts = dict(gpuconv.explain(FUNCTIONS[op], x.astype(dtype), **parameters))
    if verdicts.get(algorithm, "").startswith("unsupported"):
        pytest.skip(verdicts[algorithm])
    y = FUNCTIONS[op](x.astype(dtype), **parameters, algorithm=algorithm)
    np.testing.assert_array_equal(y, expected.astype(dtype), strict=True)


def test_the_greatest_of_0_to_15_lies_where_it_stands():
    x = POOL_NUMBERS["max 3, padding 1, stride 2, two channels"][1]
    indices = gpuconv.max_pool2d(x, 3, stride=2, padding=1, return_indices=True)[1]
    assert indices.tolist() == [[[[5, 7], [13, 15]]] * 2]


@pytest.mark.parametrize(("x", "w", "parameters", "y"), CONV_SHAPES)
def test_shapes(x, w, parameters, y):
    result = gpuconv.conv2d(np.ones(x, np.float32), np.ones(w, np.float32), **parameters)
    assert result.shape == y
    assert result.max() == w[1] * w[2] * w[3]  # somewhere the whole kernel lies on ones


@pytest.mark.parametrize(("x", "w"), [((1, 1, 5, 2), (1, 1, 3, 3)), ((1, 1, 2, 5), (1, 1, 3, 3))])
def test_an_image_smaller_than_the_kernel_is_refused(x, w):
    size = f"{x[2]}x{x[3]}"
    with pytest.raises(ValueError, match=rf"input is too small.*{size}.*3x3"):
        gpuconv.conv2d(np.ones(x), np.ones(w))
    with pytest.raises(ValueError, match=rf"input is too small.*{size}.*3x3"):
        gpuconv.max_pool2d(np.ones(x), 3)
