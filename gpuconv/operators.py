"""The operators: which of the arguments are arrays, and which spec they and the parameters make."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from gpuconv.arrays import GREATEST, LEAST, NOWHERE, Fill, Fills
from gpuconv.precision import precision_meant
from gpuconv.spec import (
    ConvLayouts,
    ConvSpec,
    DeformedLayouts,
    Layouts,
    NormGradientLayouts,
    PlainLayouts,
    PoolLayouts,
    PoolSpec,
    ScatterLayouts,
    Spec,
    WeightGradientLayouts,
    conv_layouts,
    of_adaptive,
    of_adaptive_mean_gradient,
    of_bias_gradient,
    of_deformed,
    of_fold,
    of_input_gradient,
    of_max_gradient,
    of_mean_gradient,
    of_norm_gradient,
    of_norms,
    of_transposed,
    of_unfold,
    of_unpool,
    of_weight_gradient,
)


class Operator(NamedTuple):
    """One public operator.

    Attributes
    ----------
    name : str
        Of the function in `gpuconv.api` or `gpuconv.grad`; with "grad." where both have one of that name.
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
    axes : int
        Of the first array, if it is a batch; without a batch it has one less, and so have others and results.
    fills : tuple of (str, Fill)
        What is right in the place of masked elements of an argument, where it is not 0.
    """

    name: str
    room: str
    arrays: tuple[str, ...]
    parameters: tuple[str, ...]
    layouts: Callable[..., Layouts]
    spec: Callable[..., Spec]
    axes: int = 4
    fills: Fills = ()


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


def _deformed_spec(
    input: Any, offset: Any, weight: Any, bias: Any, mask: Any, stride: Any, padding: Any, dilation: Any
) -> ConvSpec:
    return of_deformed(input, offset, weight, bias, mask, stride, padding, dilation, precision_meant(None))


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
    fills=(("input", LEAST),),
)  # fmt: skip
MIN_POOL2D = Operator(
    "min_pool2d", "pool", ("input", "out"), ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    PoolLayouts,
    partial(PoolSpec.from_arrays, "min"),
    fills=(("input", GREATEST),),
)  # fmt: skip
LP_POOL2D = Operator(
    "lp_pool2d", "pool", ("input", "out"), ("norm_type", "kernel_size", "stride", "ceil_mode"), PoolLayouts,
    of_norms,
    fills=(("input", Fill(but="inf", of="a negative norm_type")),),
)  # fmt: skip
ADAPTIVE_AVG_POOL2D = Operator(
    "adaptive_avg_pool2d", "pool", ("input", "out"), ("output_size",), PoolLayouts,
    partial(of_adaptive, "mean"),
    fills=(("input", Fill(mean="adaptive_avg_pool2d")),),
)  # fmt: skip
ADAPTIVE_MAX_POOL2D = Operator(
    "adaptive_max_pool2d", "pool", ("input", "out"), ("output_size", "return_indices"), PoolLayouts,
    partial(of_adaptive, "max"),
    fills=(("input", LEAST),),
)  # fmt: skip
AVG_POOL2D = Operator(
    "avg_pool2d", "pool", ("input", "out"),
    ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"), PoolLayouts,
    _mean_spec,
    fills=(("input", Fill(mean="avg_pool2d")),),
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
    "conv2d_bias", "conv_bias", ("grad_output", "out"), (), PlainLayouts, of_bias_gradient,
)  # fmt: skip
DEFORM_CONV2D = Operator(
    "deform_conv2d", "deform", ("input", "offset", "weight", "bias", "mask", "out"),
    ("stride", "padding", "dilation"), DeformedLayouts, _deformed_spec,
)  # fmt: skip
MAX_UNPOOL2D = Operator(
    "max_unpool2d", "scatter", ("input", "indices", "out"),
    ("kernel_size", "stride", "padding", "output_size"), ScatterLayouts, of_unpool,
    fills=(("indices", NOWHERE),),
)  # fmt: skip
MAX_POOL2D_GRADIENT = Operator(
    "grad.max_pool2d", "scatter", ("grad_output", "indices", "out"),
    ("input_size", "kernel_size", "stride", "padding", "dilation", "ceil_mode"), ScatterLayouts,
    of_max_gradient,
    fills=(("indices", NOWHERE),),
)  # fmt: skip
AVG_POOL2D_GRADIENT = Operator(
    "grad.avg_pool2d", "pool_grad", ("grad_output", "out"),
    ("input_size", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    PlainLayouts, of_mean_gradient,
)  # fmt: skip
ADAPTIVE_AVG_POOL2D_GRADIENT = Operator(
    "grad.adaptive_avg_pool2d", "pool_grad", ("grad_output", "out"), ("input_size",), PlainLayouts,
    of_adaptive_mean_gradient,
)  # fmt: skip
LP_POOL2D_GRADIENT = Operator(
    "grad.lp_pool2d", "pool_grad", ("grad_output", "input", "output", "out"),
    ("norm_type", "kernel_size", "stride", "ceil_mode"), NormGradientLayouts, of_norm_gradient,
)  # fmt: skip
UNFOLD = Operator(
    "unfold", "unfold", ("input", "out"), ("kernel_size", "dilation", "padding", "stride"), PlainLayouts,
    of_unfold,
)  # fmt: skip
FOLD = Operator(
    "fold", "unfold", ("input", "out"),
    ("output_size", "kernel_size", "dilation", "padding", "stride"), PlainLayouts, of_fold, axes=3,
)  # fmt: skip
OPERATORS = {
    operator.name: operator
    for operator in (
        CONV2D, CONV_TRANSPOSE2D, DEFORM_CONV2D, MAX_POOL2D, MIN_POOL2D, AVG_POOL2D, LP_POOL2D,
        ADAPTIVE_AVG_POOL2D, ADAPTIVE_MAX_POOL2D, MAX_UNPOOL2D, UNFOLD, FOLD,
        CONV2D_INPUT, CONV2D_WEIGHT, CONV2D_BIAS, MAX_POOL2D_GRADIENT, AVG_POOL2D_GRADIENT,
        ADAPTIVE_AVG_POOL2D_GRADIENT, LP_POOL2D_GRADIENT,
    )
}  # fmt: skip
