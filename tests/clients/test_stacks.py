"""Stacks of images, beside SciPy's functions called for one image after the other."""

import numpy as np
import pytest

from tests.cases import integers
from tests.clients import stacks

signal = pytest.importorskip("scipy.signal")

BOUNDARIES = [("fill", 0), ("fill", 3), ("wrap", 0), ("symm", 0)]


@pytest.mark.parametrize("name", ["correlate2d", "convolve2d"])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize(("boundary", "fillvalue"), BOUNDARIES)
@pytest.mark.parametrize("kernel", [(3, 3), (4, 3), (2, 5), (1, 1)])
def test_each_image_by_one_kernel_or_by_its_own(name, mode, boundary, fillvalue, kernel):
    ours, its = getattr(stacks, name), getattr(signal, name)
    for dtype in ("float64", "complex128"):
        images, kernels = integers((2, 3, 8, 9), dtype), integers((2, 3, *kernel), dtype, 1)
        of_all = ours(images, kernels[0, 0], mode, boundary, fillvalue)
        of_each = ours(images, kernels, mode, boundary, fillvalue)
        for place in np.ndindex(2, 3):
            expected = its(images[place], kernels[0, 0], mode, boundary, fillvalue)
            np.testing.assert_array_equal(of_all[place], expected)
            expected = its(images[place], kernels[place], mode, boundary, fillvalue)
            np.testing.assert_array_equal(of_each[place], expected)
