"""The gradient of a convolution by its weight: every check of its arguments."""

from typing import Any

from gpuconv.spec.checks import batched_shape, checked_dtype, same_dtype
from gpuconv.spec.conv import WEIGHT_GRADIENT, ConvSpec, check_groups, check_precision
from gpuconv.spec.dtypes import COMPLEX, SUMMED
from gpuconv.spec.parameters import as_integer, as_pads, as_pair, elements_of
from gpuconv.spec.shown import shown


def of_weight_gradient(
    input: Any, weight_size: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: Any = 1, precision: Any = None,
) -> ConvSpec:  # fmt: skip
    """Check the arguments of `gpuconv.grad.conv2d_weight`.

    Raises
    ------
    TypeError, ValueError
        Naming the wrong one.
    """
    dtype = checked_dtype(input, SUMMED)
    N, C, H, W = batched_shape(input)
    K, C_group, R, S = _size_of(weight_size)
    groups = as_integer(groups, "groups", least=1)
    check_groups(C, K, C_group, groups, "weight_size", "its second number")
    same_dtype(grad_output, "grad_output", dtype)
    stride, dilation = as_pair(stride, "stride", least=1), as_pair(dilation, "dilation", least=1)
    pads = as_pads(padding, (H, W), (R, S), stride, dilation)
    check_precision(precision)
    spec = ConvSpec(
        N, C, H, W, K, R, S, pads, stride, dilation, groups, dtype, precision, WEIGHT_GRADIENT,
        conjugate="input" if dtype in COMPLEX else None,
    )  # fmt: skip
    result = (N, K, spec.P, spec.Q) if len(input.shape) == 4 else (K, spec.P, spec.Q)
    if tuple(grad_output.shape) != result:
        raise ValueError(
            f"grad_output must have the shape of the convolution's result, {result}, got "
            f"{tuple(grad_output.shape)}"
        )
    return spec


def _size_of(weight_size: Any) -> tuple[int, int, int, int]:
    """(K, C / groups, R, S)."""
    try:
        K, C_group, R, S = (as_integer(each, "weight_size", least=0) for each in elements_of(weight_size, 4))
    except TypeError:
        raise TypeError(f"weight_size must be 4 integers, got {shown(weight_size)}") from None
    except ValueError:
        raise ValueError(f"weight_size must be 4 integers from 0 on, got {shown(weight_size)}") from None
    if 0 in (R, S):
        raise ValueError(f"weight_size must be of a kernel of at least 1x1, got {shown(weight_size)}")
    return K, C_group, R, S
