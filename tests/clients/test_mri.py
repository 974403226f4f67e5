"""SigPy's convolution and adjoints: by definition, by what an adjoint is, and as SigPy itself has them."""

import numpy as np
import pytest

from tests.cases import integers
from tests.clients import mri

PROBLEMS = [  # data, filter, strides, whether of several channels
    ((9, 8), (3, 4), None, False),
    ((2, 3, 9, 8), (3, 4), (2, 3), False),
    ((3, 9, 8), (5, 3, 3, 2), None, True),
    ((2, 4, 3, 9, 8), (5, 3, 3, 2), (2, 1), True),
]
over_problems = pytest.mark.parametrize(("data", "filt", "strides", "multi_channel"), PROBLEMS)
over_modes = pytest.mark.parametrize("mode", ["full", "valid"])
over_dtypes = pytest.mark.parametrize("dtype", ["float64", "complex128"])


def defined(data, filt, mode, strides, multi_channel):
    """y[p, q] = sum over r, s of filt[r, s] data[p - r, q - s], of every stride-th overlap."""
    if not multi_channel:
        data, filt = data[..., None, :, :], filt[None, None]
    *stack, C, H, W = data.shape
    K, _, R, S = filt.shape
    y = np.zeros((*stack, K, H + R - 1, W + S - 1), data.dtype)
    for k, c, r, s in np.ndindex(K, C, R, S):
        y[..., k, r : r + H, s : s + W] += filt[k, c, r, s] * data[..., c, :, :]
    if mode == "valid":
        y = y[..., R - 1 : H, S - 1 : W]
    y = y[..., :: (strides or (1, 1))[0], :: (strides or (1, 1))[1]]
    return y if multi_channel else y[..., 0, :, :]


@over_dtypes
@over_modes
@over_problems
def test_convolutions(data, filt, strides, multi_channel, mode, dtype):
    x, w = integers(data, dtype), integers(filt, dtype, 1)
    expected = defined(x, w, mode, strides, multi_channel)
    np.testing.assert_array_equal(mri.convolve(x, w, mode, strides, multi_channel), expected, strict=True)


@over_dtypes
@over_modes
@over_problems
def test_adjoints(data, filt, strides, multi_channel, mode, dtype):
    x, w = integers(data, dtype), integers(filt, dtype, 1)
    y = mri.convolve(x, w, mode, strides, multi_channel)
    z = integers(y.shape, dtype, 2)
    back = mri.convolve_data_adjoint(z, w, data, mode, strides, multi_channel)
    of_filter = mri.convolve_filter_adjoint(z, x, filt, mode, strides, multi_channel)
    assert (back.shape, of_filter.shape) == (data, filt)
    assert np.vdot(z, y) == np.vdot(back, x) == np.vdot(of_filter, w)  # of integers, exactly


@over_dtypes
@over_modes
@over_problems
def test_as_sigpy_has_them(data, filt, strides, multi_channel, mode, dtype):
    sigpy = pytest.importorskip("sigpy")
    x, w = integers(data, dtype), integers(filt, dtype, 1)
    options = {"mode": mode, "strides": strides, "multi_channel": multi_channel}
    y = sigpy.convolve(x, w, **options)
    z = integers(y.shape, dtype, 2)
    np.testing.assert_allclose(mri.convolve(x, w, **options), y, atol=1e-9)
    for ours, its, of, shape in (
        (mri.convolve_data_adjoint, sigpy.convolve_data_adjoint, w, data),
        (mri.convolve_filter_adjoint, sigpy.convolve_filter_adjoint, x, filt),
    ):
        np.testing.assert_allclose(ours(z, of, shape, **options), its(z, of, shape, **options), atol=1e-9)
