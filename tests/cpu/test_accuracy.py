"""How far float32 results lie from float64, in the Euclidean norm, on N(0, 1): sums are blocked."""

import numpy as np
import pytest

import gpuconv
from gpuconv import cpu
from gpuconv.spec import ConvSpec
from tests import reference
from tests.cpu.problems import refused

# Of oneDNN's results on the same problems: 2.2e-7 to 2.6e-7. One running sum has 4.4e-7 for 64 channels
# and 1.2e-6 for 512.
ALLOWED = 1.5 * 2.2e-7
ALLOWED_TF32 = 1e-6


def norm_error(C, algorithm, precision):
    rng = np.random.default_rng(C)
    x, w = (rng.standard_normal(shape, np.float32) for shape in ((1, C, 18, 18), (16, C, 3, 3)))
    expected = reference.conv2d(x, w, None, padding=1)
    y = gpuconv.conv2d(x, w, padding=1, algorithm=algorithm, precision=precision)
    return np.linalg.norm(y - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("algorithm", [algorithm.name for algorithm in cpu.ALGORITHMS["conv"]])
@pytest.mark.parametrize("C", [1, 16, 64, 256, 512])
def test_long_sums_are_as_accurate_as_short_ones(C, algorithm):
    spec = ConvSpec(1, C, 18, 18, 16, 3, 3, ((1, 1), (1, 1)))
    found = next(one for one in cpu.ALGORITHMS["conv"] if one.name == algorithm)
    if (reason := refused(found, spec)) is not None:
        pytest.skip(reason)
    assert norm_error(C, algorithm, None) <= ALLOWED
    assert norm_error(C, algorithm, "tf32") <= ALLOWED_TF32
