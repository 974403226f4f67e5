"""What a call of each operator means: its operands and its spec, from the arguments as the user wrote them.

Arguments stand in the order of the operator, `algorithm` left out. What the signatures of the arrays and the
parameters tell is remembered; errors are those of `spec` and `operands`.
"""

from gpuconv.operands import Extents, Operands, check_result, check_together
from gpuconv.remembered import remembered
from gpuconv.spec import ConvSpec, PoolSpec, refuse_unbuilt

CONV2D = "input", "weight", "bias", "out"
POOL2D = "input", "out"


def prepare_conv2d(
    input, weight, bias, stride, padding, dilation, groups, padding_mode, activation, residual, precision, out
) -> tuple[Operands, ConvSpec]:  # fmt: skip
    """The operands and the spec of a call of `conv2d`."""
    operands = Operands(CONV2D, (input, weight, bias, out))
    spec, operands.extents = check_conv2d(
        operands.signatures, stride, padding, dilation, groups, padding_mode, activation, residual, precision
    )
    return operands, spec


@remembered
def check_conv2d(
    signatures, stride, padding, dilation, groups, padding_mode, activation, residual, precision
) -> tuple[ConvSpec, Extents]:
    """The spec of a convolution of arrays with these `Operands.signatures`, checked, and their extents."""
    refuse_unbuilt(
        padding_mode=(padding_mode, "zeros"),
        activation=(activation, None),
        residual=(residual, None),
    )
    (input, weight, bias, out), extents = check_together(CONV2D, signatures)
    spec = ConvSpec.from_arrays(input, weight, bias, stride, padding, dilation, groups, precision)
    check_result(out, spec.out_shape, input)
    return spec, extents


def prepare_max_pool2d(
    input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, out
) -> tuple[Operands, PoolSpec]:  # fmt: skip
    """The operands and the spec of a call of `max_pool2d`."""
    operands = Operands(POOL2D, (input, out))
    spec, operands.extents = _check_pool2d(
        operands.signatures, "max", kernel_size, stride, padding, dilation, ceil_mode, True, None,
        return_indices,
    )  # fmt: skip
    return operands, spec


def prepare_avg_pool2d(
    input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, out
) -> tuple[Operands, PoolSpec]:  # fmt: skip
    """The operands and the spec of a call of `avg_pool2d`."""
    operands = Operands(POOL2D, (input, out))
    spec, operands.extents = _check_pool2d(
        operands.signatures, "mean", kernel_size, stride, padding, 1, ceil_mode, count_include_pad,
        divisor_override, False,
    )  # fmt: skip
    return operands, spec


@remembered
def _check_pool2d(signatures, op, *parameters) -> tuple[PoolSpec, Extents]:
    (input, out), extents = check_together(POOL2D, signatures)
    spec = PoolSpec.from_arrays(op, input, *parameters)
    check_result(out, spec.out_shape, input)
    return spec, extents
