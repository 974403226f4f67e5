"""Gradients: what a loss's gradient by a result comes to, by what the operator that made it was given.

As in PyTorch's `torch.nn.grad`. A gradient is the adjoint of the operator: of all arrays,
<operator(x), y> = <x, gradient(y)>; of complex ones so as PyTorch's autograd has it.
"""

from collections.abc import Sequence

from gpuconv.arrays import Array, Padding, Sides
from gpuconv.call import as_tuple, make
from gpuconv.operators import (
    ADAPTIVE_AVG_POOL2D_GRADIENT,
    AVG_POOL2D_GRADIENT,
    CONV2D_BIAS,
    CONV2D_INPUT,
    CONV2D_WEIGHT,
    LP_POOL2D_GRADIENT,
    MAX_POOL2D_GRADIENT,
)

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "conv2d_bias",
    "conv2d_input",
    "conv2d_weight",
    "lp_pool2d",
    "max_pool2d",
]


def conv2d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: Sides = 1,
    padding: Padding = 0,
    dilation: Sides = 1,
    groups: int = 1,
) -> Array:
    """The gradient of `conv2d` by its input.

    Parameters
    ----------
    input_size : sequence of int
        (N, C, H, W) of the input, or (C, H, W) of an unbatched one.
    weight : array, shape (K, C / groups, R, S)
        That of the convolution, of the dtype of `grad_output`; beside integers of int8 or uint8.
    grad_output : array, shape (N, K, P, Q), or (K, P, Q)
        The gradient by the result; of a dtype that `conv2d` takes.
    stride, padding, dilation, groups
        As in `conv2d`.

    Returns
    -------
    array, shape `input_size`
        dx[n, c, h, w] = sum over k, r, s of conj(weight[k, c, r, s]) * grad_output[n, k, p, q] where
        h + top = p stride + r dilation, and likewise w. Of the library, dtype (int32 of integers) and device
        of `grad_output`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> w = np.array([[[[1.0, 2.0, 3.0]]]])
    >>> dy = np.array([[[[1.0, 0.0, 10.0]]]])
    >>> gpuconv.grad.conv2d_input((1, 1, 1, 5), w, dy)
    array([[[[ 1.,  2., 13., 20., 30.]]]])
    """
    parameters = as_tuple(input_size), stride, padding, dilation, groups
    return make(CONV2D_INPUT, (grad_output, weight, None, None), parameters, None)


def conv2d_bias(grad_output: Array) -> Array:
    """The gradient of `conv2d`, or of `conv_transpose2d`, by its bias.

    Parameters
    ----------
    grad_output : array, shape (N, K, P, Q), or (K, P, Q)
        The gradient by the result; float32, float64, float16, bfloat16, complex64 or complex128.

    Returns
    -------
    array, shape (K,)
        Its sum over images, rows and columns. Numbers of 16 bits are added up in float32, and the sum is
        rounded once. Of the library, dtype and device of `grad_output`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> gpuconv.grad.conv2d_bias(np.arange(8.0).reshape(2, 2, 1, 2))
    array([10., 18.])
    """
    return make(CONV2D_BIAS, (grad_output, None), (), None)


def conv2d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: Sides = 1,
    padding: Padding = 0,
    dilation: Sides = 1,
    groups: int = 1,
) -> Array:
    """The gradient of `conv2d` by its weight.

    That of `conv_transpose2d` by its weight is the same with `input` and `grad_output` exchanged, and the one
    by its input is `conv2d`. An `output_padding` of the stride or more makes `output_padding // stride` rows
    more, and columns: of zeros, to be put behind its input for the one, to be left out of the other.

    Parameters
    ----------
    input : array, shape (N, C, H, W), or (C, H, W)
        That of the convolution; float32, float64, float16, bfloat16, complex64 or complex128.
    weight_size : sequence of int
        (K, C / groups, R, S) of the weight.
    grad_output : array, shape (N, K, P, Q), or (K, P, Q)
        The gradient by the result; dtype and device of `input`.
    stride, padding, dilation, groups
        As in `conv2d`.

    Returns
    -------
    array, shape `weight_size`
        dw[k, c, r, s] = sum over n, p, q of grad_output[n, k, p, q] * input[n, g C / groups + c, h, w] where
        h + top = p stride + r dilation, likewise w, and g is the group of k: added up in an order that
        depends on the problem alone. What has 16 bits is added up in float32, and rounded once; of complex
        numbers it is the conjugates of `input` that are multiplied, by four real products each. Of the
        library, dtype and device of `input`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> x = np.array([[[[1.0, 2.0, 3.0, 4.0]]]])
    >>> dy = np.array([[[[1.0, 0.0, 10.0]]]])
    >>> gpuconv.grad.conv2d_weight(x, (1, 1, 1, 2), dy)
    array([[[[31., 42.]]]])
    """
    parameters = as_tuple(weight_size), stride, padding, dilation, groups
    return make(CONV2D_WEIGHT, (input, grad_output, None), parameters, None)


def max_pool2d(
    grad_output: Array,
    indices: Array,
    input_size: Sequence[int],
    kernel_size: Sides | None = None,
    stride: Sides | None = None,
    padding: Padding = 0,
    dilation: Sides = 1,
    ceil_mode: bool = False,
) -> Array:
    """The gradient of `max_pool2d` by its input, and without `kernel_size` that of an adaptive one.

    Parameters
    ----------
    grad_output : array, shape (N, C, P, Q) or (C, P, Q)
        The gradient by the maxima; float32, float64, float16 or bfloat16.
    indices : array of int64, shape of `grad_output`
        As `max_pool2d` returns them; int32 is taken, too. One of -1, of a window of padding alone, passes no
        gradient. Others that are of no place are refused, except on a GPU, which the host does not wait for:
        there they pass no gradient.
    input_size : sequence of int
        (N, C, H, W) of the input, or (C, H, W) of an unbatched one.
    kernel_size, stride, padding, dilation, ceil_mode
        As in `max_pool2d`. With them only the windows that reach a place are looked at, which is faster, and
        an index beyond the rows that its window spans passes no gradient.

    Returns
    -------
    array, shape `input_size`
        Of each place the sum of `grad_output` over the windows whose index it is, in their order; what has 16
        bits is added up in float32, and rounded once.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is written to.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> x = np.array([[[[1.0, 5.0, 4.0, 2.0]]]])
    >>> y, indices = gpuconv.max_pool2d(x, (1, 2), stride=1, return_indices=True)
    >>> gpuconv.grad.max_pool2d(np.ones_like(y), indices, x.shape, (1, 2), stride=1)
    array([[[[0., 2., 1., 0.]]]])
    """
    parameters = as_tuple(input_size), kernel_size, stride, padding, dilation, ceil_mode
    return make(MAX_POOL2D_GRADIENT, (grad_output, indices, None), parameters, None)


def avg_pool2d(
    grad_output: Array,
    input_size: Sequence[int],
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """The gradient of `avg_pool2d` by its input.

    Parameters
    ----------
    grad_output : array, shape (N, C, P, Q) or (C, P, Q)
        The gradient by the means; float32, float64, float16 or bfloat16.
    input_size : sequence of int
        (N, C, H, W) of the input, or (C, H, W) of an unbatched one.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As in `avg_pool2d`.

    Returns
    -------
    array, shape `input_size`
        Of each place the sum of `grad_output`, over what its mean is divided by, over the windows that have
        the place; what has 16 bits is added up in float32, and rounded once.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> gpuconv.grad.avg_pool2d(np.array([[[[2.0, 4.0]]]]), (1, 1, 1, 3), (1, 2), stride=1)
    array([[[[1., 3., 2.]]]])
    """
    parameters = (
        as_tuple(input_size), kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override,
    )  # fmt: skip
    return make(AVG_POOL2D_GRADIENT, (grad_output, None), parameters, None)


def adaptive_avg_pool2d(grad_output: Array, input_size: Sequence[int]) -> Array:
    """The gradient of an adaptive average pool by its input.

    The p-th of P windows has the rows from floor(p H / P) to before ceil((p + 1) H / P), and likewise the
    columns. That of an adaptive maximum is `grad.max_pool2d`, without `kernel_size`.

    Parameters
    ----------
    grad_output : array, shape (N, C, P, Q) or (C, P, Q)
        The gradient by the means; float32, float64, float16 or bfloat16.
    input_size : sequence of int
        (N, C, H, W) of the input, or (C, H, W) of an unbatched one.

    Returns
    -------
    array, shape `input_size`
        As of `grad.avg_pool2d`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> gpuconv.grad.adaptive_avg_pool2d(np.array([[[[2.0, 4.0]]]]), (1, 1, 1, 3))
    array([[[[1., 3., 2.]]]])
    """
    return make(ADAPTIVE_AVG_POOL2D_GRADIENT, (grad_output, None), (as_tuple(input_size),), None)


def lp_pool2d(
    grad_output: Array,
    input: Array,
    output: Array,
    norm_type: float,
    kernel_size: Sides,
    stride: Sides | None = None,
    ceil_mode: bool = False,
) -> Array:
    """The gradient of `torch.nn.functional.lp_pool2d`, the norm of each window, by its input.

    Parameters
    ----------
    grad_output : array, shape (N, C, P, Q) or (C, P, Q)
        The gradient by the norms; float32, float64, float16 or bfloat16.
    input : array, shape (N, C, H, W) or (C, H, W)
        That of the pool.
    output : array, shape of `grad_output`
        The norms, (R S / places * sum of x^norm_type over the places of the window)^(1 / norm_type).
    norm_type : float
        Finite and not 0.
    kernel_size, stride, ceil_mode
        As in `avg_pool2d`.

    Returns
    -------
    array, shape of `input`
        input^(norm_type - 1) times the sum, over the windows that have the place, of grad_output *
        output^(1 - norm_type), times R S over the places that the window has in the image. A window whose
        norm is 0 passes no gradient. What has 16 bits is computed in float32, and rounded once.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> x = np.array([[[[3.0, 4.0]]]])
    >>> gpuconv.grad.lp_pool2d(np.array([[[[10.0]]]]), x, np.array([[[[5.0]]]]), 2, (1, 2))
    array([[[[6., 8.]]]])
    """
    parameters = norm_type, kernel_size, stride, ceil_mode
    return make(LP_POOL2D_GRADIENT, (grad_output, input, output, None), parameters, None)
