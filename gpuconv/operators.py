"""The operators: which of the arguments are arrays, and which spec they and the parameters make."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gpuconv.precision import precision_meant
from gpuconv.spec import (
    BiasGradientLayouts,
    ConvLayouts,
    ConvSpec,
    DeformedLayouts,
    Layouts,
    PoolLayouts,
    PoolSpec,
    Spec,
    WeightGradientLayouts,
    conv_layouts,
    of_bias_gradient,
    of_deformed,
    of_input_gradient,
    of_transposed,
    of_weight_gradient,
)


class Operator(NamedTuple):
    """One public operator.

    Attributes
    ----------
    name : str
        Of the function in `gpuconv.api` or `gpuconv.grad`.
    room : str
        Of its algorithms, in each engine.
    arrays : tuple of str
        Its arguments that are arrays: what is read first, `bias` third of a convolution, `out` last.
    parameters : tuple of str
        Its other arguments, but `algorithm`.
    layouts : callable
        `layouts(*arrays, *results)` says how they lie, `out` and the results last.
    spec : callable
        `spec(*arrays but out, *parameters)`, checked; of the arrays, shape and dtype are read.
    """

    name: str
    room: str
    arrays: tuple[str, ...]
    parameters: tuple[str, ...]
    layouts: Callable[..., Layouts]
    spec: Callable[..., Spec]


def _conv_spec(
    input: Any, weight: Any, bias: Any, residual: Any, stride: Any, padding: Any, dilation: Any, groups: Any,
    padding_mode: Any, activation: Any, precision: Any,
) -> ConvSpec:  # fmt: skip
    precision = precision_meant(precision)
    return ConvSpec.from_arrays(
        input, weight, bias, stride, padding, dilation, groups, padding_mode, activation, residual, precision
    )


def _transposed_spec(
    input: Any, weight: Any, bias: Any, residual: Any, stride: Any, padding: Any, output_padding: Any,
    groups: Any, dilation: Any, activation: Any, precision: Any, output_size: Any,
) -> ConvSpec:  # fmt: skip
    return of_transposed(
        input, weight, bias, stride, padding, output_padding, groups, dilation, activation, residual,
        precision_meant(precision), output_size,
    )  # fmt: skip


def _input_gradient_spec(
    grad_output: Any, weight: Any, bias: None, input_size: Any, stride: Any, padding: Any, dilation: Any,
    groups: Any,
) -> ConvSpec:  # fmt: skip
    return of_input_gradient(
        input_size, weight, grad_output, stride, padding, dilation, groups, precision_meant(None)
    )


def _weight_gradient_spec(
    input: Any, grad_output: Any, weight_size: Any, stride: Any, padding: Any, dilation: Any, groups: Any
) -> ConvSpec:
    return of_weight_gradient(
        input, weight_size, grad_output, stride, padding, dilation, groups, precision_meant(None)
    )


def _max_spec(
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    return_indices: Any,
) -> PoolSpec:
    return PoolSpec.from_arrays(
        "max", input, kernel_size, stride, padding, dilation, ceil_mode, return_indices=return_indices
    )


def _mean_spec(
    input: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: Any, count_include_pad: Any,
    divisor_override: Any,
) -> PoolSpec:  # fmt: skip
    return PoolSpec.from_arrays(
        "mean", input, kernel_size, stride, padding, 1, ceil_mode, count_include_pad, divisor_override
    )


CONV2D = Operator(
    "conv2d", "conv", ("input", "weight", "bias", "residual", "out"),
    ("stride", "padding", "dilation", "groups", "padding_mode", "activation", "precision"),
    conv_layouts, _conv_spec,
)  # fmt: skip
MAX_POOL2D = Operator(
    "max_pool2d", "pool", ("input", "out"),
    ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"), PoolLayouts,
    _max_spec,
)  # fmt: skip
AVG_POOL2D = Operator(
    "avg_pool2d", "pool", ("input", "out"),
    ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"), PoolLayouts,
    _mean_spec,
)  # fmt: skip
CONV_TRANSPOSE2D = Operator(
    "conv_transpose2d", "conv_grad", ("input", "weight", "bias", "residual", "out"),
    ("stride", "padding", "output_padding", "groups", "dilation", "activation", "precision", "output_size"),
    conv_layouts, _transposed_spec,
)  # fmt: skip
CONV2D_INPUT = Operator(
    "conv2d_input", "conv_grad", ("grad_output", "weight", "bias", "out"),
    ("input_size", "stride", "padding", "dilation", "groups"), ConvLayouts, _input_gradient_spec,
)  # fmt: skip
CONV2D_WEIGHT = Operator(
    "conv2d_weight", "conv_weight", ("input", "grad_output", "out"),
    ("weight_size", "stride", "padding", "dilation", "groups"), WeightGradientLayouts, _weight_gradient_spec,
)  # fmt: skip
CONV2D_BIAS = Operator(
    "conv2d_bias", "conv_bias", ("grad_output", "out"), (), BiasGradientLayouts, of_bias_gradient,
)  # fmt: skip
DEFORM_CONV2D = Operator(
    "deform_conv2d", "deform", ("input", "offset", "weight", "bias", "mask", "out"),
    ("stride", "padding", "dilation"), DeformedLayouts, of_deformed,
)  # fmt: skip
OPERATORS = {
    operator.name: operator
    for operator in (
        CONV2D, CONV_TRANSPOSE2D, MAX_POOL2D, AVG_POOL2D, CONV2D_INPUT, CONV2D_WEIGHT, CONV2D_BIAS,
        DEFORM_CONV2D,
    )
}  # fmt: skip
