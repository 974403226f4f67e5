"""What a call of each operator means: its operands and its spec, from the arguments as the user wrote them.

Arguments stand in the order of the operator, `algorithm` left out. What the signatures of the arrays and the
parameters tell is remembered; errors are those of `spec` and `operands`.
"""

from gpuconv.operands import Operands, check_result, check_together
from gpuconv.remembered import remembered
from gpuconv.spec import ConvSpec, PoolSpec, refuse_unbuilt


def prepare_conv2d(
    input, weight, bias, stride, padding, dilation, groups, padding_mode, activation, residual, precision, out
) -> tuple[Operands, ConvSpec]:  # fmt: skip
    """The operands and the spec of a call of `conv2d`."""
    operands = Operands(input=input, weight=weight, bias=bias, out=out)
    return operands, conv_spec(
        operands.signatures, stride, padding, dilation, groups, padding_mode, activation, residual, precision
    )


@remembered
def conv_spec(
    signatures, stride, padding, dilation, groups, padding_mode, activation, residual, precision
) -> ConvSpec:
    """The spec of a convolution of arrays with these `Operands.signatures`, checked."""
    refuse_unbuilt(
        padding_mode=(padding_mode, "zeros"),
        activation=(activation, None),
        residual=(residual, None),
    )
    input, weight, bias, out = check_together(("input", "weight", "bias", "out"), signatures)
    spec = ConvSpec.from_arrays(input, weight, bias, stride, padding, dilation, groups, precision)
    check_result(out, spec.out_shape, input)
    return spec


def prepare_max_pool2d(
    input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, out
) -> tuple[Operands, PoolSpec]:  # fmt: skip
    """The operands and the spec of a call of `max_pool2d`."""
    operands = Operands(input=input, out=out)
    return operands, _pool_spec(
        operands.signatures, "max", kernel_size, stride, padding, dilation, ceil_mode, True, None,
        return_indices,
    )  # fmt: skip


def prepare_avg_pool2d(
    input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, out
) -> tuple[Operands, PoolSpec]:  # fmt: skip
    """The operands and the spec of a call of `avg_pool2d`."""
    operands = Operands(input=input, out=out)
    return operands, _pool_spec(
        operands.signatures, "avg", kernel_size, stride, padding, 1, ceil_mode, count_include_pad,
        divisor_override, False,
    )  # fmt: skip


@remembered
def _pool_spec(signatures, op, *parameters) -> PoolSpec:
    input, out = check_together(("input", "out"), signatures)
    spec = PoolSpec.from_arrays(op, input, *parameters)
    check_result(out, spec.out_shape, input)
    return spec
