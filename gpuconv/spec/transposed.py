"""A transposed convolution, and the gradient by the input, which it is: every check of their arguments."""

from typing import Any

from gpuconv.spec.axis import Axis, Pair
from gpuconv.spec.checks import batched_shape, calling_input, checked_dtype, image_size
from gpuconv.spec.conv import (
    INPUT_GRADIENT,
    ConvSpec,
    check_beside,
    check_precision,
    check_residual,
    check_weight,
    epilogue_of,
    weight_shape,
)
from gpuconv.spec.dtypes import COMPLEX, CONVOLVED
from gpuconv.spec.parameters import Pads, as_integer, as_pads, as_pair
from gpuconv.spec.shown import shown


def of_transposed(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: Any = 1, dilation: Any = 1, activation: Any = None, residual: Any = None, precision: Any = None,
    output_size: Any = None,
) -> ConvSpec:  # fmt: skip
    """Check the arguments of `gpuconv.conv_transpose2d`.

    Raises
    ------
    TypeError, ValueError
        Naming the wrong one.
    """
    dtype = checked_dtype(input, CONVOLVED)
    N, K, P, Q = batched_shape(input)
    if P < 1 or Q < 1:
        raise ValueError(f"input must have at least one row and one column, got shape {tuple(input.shape)}")
    channels, C_group, R, S = weight_shape(weight, "(C, K / groups, R, S)")
    groups = as_integer(groups, "groups", least=1)
    if K % groups:
        raise ValueError(f"groups={groups} must divide the {K} channels of input")
    if channels != K:
        raise ValueError(f"weight must have {K} channels (its dimension 0), as input has, got {channels}")
    weight_dtype = check_beside(weight, bias, dtype, C_group * groups)
    stride, dilation = as_pair(stride, "stride", least=1), as_pair(dilation, "dilation", least=1)
    whole = P * stride[0], Q * stride[1]
    pads = as_pads(padding, whole, (R, S), stride, dilation)
    least = tuple(
        (count - 1) * step + Axis(count, taps, dilation=spread).reach - sum(sides)
        for count, taps, sides, step, spread in zip((P, Q), (R, S), pads, stride, dilation, strict=True)
    )
    if output_size is None and isinstance(padding, str) and padding == "same":
        output_size = whole
    more = _output_padding(output_padding, stride, dilation)
    if output_size is not None:
        more = _more_of(output_size, least, stride, more)
    H, W = least[0] + more[0], least[1] + more[1]
    if H < 1 or W < 1:
        raise ValueError(
            f"input is too small: an output of {H}x{W} is left of its {P}x{Q} with padding={shown(padding)}"
        )
    check_precision(precision)
    spec = ConvSpec(
        N, C_group * groups, H, W, K, R, S, _less_behind(pads, more), stride, dilation, groups, dtype,
        precision, INPUT_GRADIENT, epilogue=epilogue_of(activation, residual, dtype),
        weight_dtype=weight_dtype,
    )  # fmt: skip
    check_residual(residual, input, spec)
    return spec


def of_input_gradient(
    input_size: Any, weight: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: Any = 1, precision: Any = None,
) -> ConvSpec:  # fmt: skip
    """Check the arguments of `gpuconv.grad.conv2d_input`.

    Raises
    ------
    TypeError, ValueError
        Naming the wrong one.
    """
    dtype = checked_dtype(grad_output, CONVOLVED, "grad_output")
    batch = batched_shape(grad_output, "grad_output")
    N, C, H, W = image_size(input_size, grad_output)
    K, C_group, R, S = weight_shape(weight)
    groups = as_integer(groups, "groups", least=1)
    if K % groups or C_group * groups != C:
        raise ValueError(
            f"weight must have C / groups = {C} / {groups} channels (its dimension 1) and a number of output "
            f"channels that groups divides, got shape {tuple(weight.shape)}"
        )
    weight_dtype = check_weight(weight, dtype, "grad_output")
    stride, dilation = as_pair(stride, "stride", least=1), as_pair(dilation, "dilation", least=1)
    pads = as_pads(padding, (H, W), (R, S), stride, dilation)
    check_precision(precision)
    with calling_input("input_size"):
        forward = ConvSpec(N, C, H, W, K, R, S, pads, stride, dilation, groups, dtype, precision)
    if batch != forward.out_shape:
        raise ValueError(
            f"grad_output must have the shape of the convolution's result, {forward.out_shape}, got "
            f"{tuple(grad_output.shape)}"
        )
    axes = zip((H, W), (R, S), pads, stride, dilation, strict=True)
    rest = [(axis.padded - axis.reach) % axis.stride for axis in (Axis(*each) for each in axes)]
    behind = _less_behind(pads, (rest[0], rest[1]))
    return ConvSpec(
        N, C, H, W, K, R, S, behind, stride, dilation, groups, dtype, precision, INPUT_GRADIENT,
        weight_dtype=weight_dtype, conjugate="weight" if dtype in COMPLEX else None,
    )  # fmt: skip


def _output_padding(output_padding: Any, stride: Pair, dilation: Pair) -> Pair:
    more = as_pair(output_padding, "output_padding", least=0)
    if any(each >= max(*steps) for each, *steps in zip(more, stride, dilation, strict=True)):
        raise ValueError(
            f"output_padding must be less than the stride {stride} or the dilation {dilation}, got "
            f"{shown(output_padding)}"
        )
    return more


def _more_of(output_size: Any, least: tuple[int, ...], stride: Pair, output_padding: Pair) -> Pair:
    """What an output of a given size has more than the least."""
    if output_padding != (0, 0):
        raise ValueError(f"output_size says what output_padding={output_padding} says: leave one of them out")
    size = as_pair(output_size, "output_size", least=1)
    more = size[0] - least[0], size[1] - least[1]
    if any(not 0 <= each < step for each, step in zip(more, stride, strict=True)):
        most = tuple(each + step - 1 for each, step in zip(least, stride, strict=True))
        raise ValueError(f"output_size must be from {least} to {most}, got {shown(output_size)}")
    return more


def _less_behind(pads: Pads, more: Pair) -> Pads:
    """Padding behind the image that windows reach: what the output has more is reached by none."""
    (top, bottom), (left, right) = pads
    return (top, bottom - more[0]), (left, right - more[1])
