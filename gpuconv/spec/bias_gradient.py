"""The gradient of a convolution by its bias: every check of its argument."""

from typing import Any

from gpuconv.spec.checks import batched_shape, checked_dtype
from gpuconv.spec.conv import BIAS_GRADIENT, ConvSpec
from gpuconv.spec.dtypes import SUMMED
from gpuconv.spec.pool import PoolSpec


def of_bias_gradient(grad_output: Any) -> ConvSpec:
    """Check the argument of `gpuconv.grad.conv2d_bias`; of the convolution nothing else is known.

    Raises
    ------
    TypeError, ValueError
        Naming what is wrong.
    """
    dtype = checked_dtype(grad_output, SUMMED, "grad_output")
    N, K, P, Q = batched_shape(grad_output, "grad_output")
    if 0 in (P, Q):
        raise ValueError(f"grad_output must have at least one row and one column, got {grad_output.shape}")
    return ConvSpec(N, 0, P, Q, K, 1, 1, dtype=dtype, direction=BIAS_GRADIENT)


def sum_of(N: int, C: int, H: int, W: int, dtype: Any) -> PoolSpec:
    """The pool that adds up the planes of images; where there are no rows, of padding alone, which is 0."""
    R, pads = max(H, 1), ((0 if H else 1, 0), (0, 0))
    return PoolSpec("mean", N, C, H, W, R, W, pads, (R, W), divisor_override=1, dtype=dtype)
