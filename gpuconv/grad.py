"""Gradients: what a loss's gradient by a result comes to, by what the operator that made it was given.

As in PyTorch's `torch.nn.grad`. A gradient is the adjoint of the operator: of all arrays,
<operator(x), y> = <x, gradient(y)>; of complex ones so as PyTorch's autograd has it.
"""

from collections.abc import Sequence

from gpuconv.arrays import Array, Padding, Sides
from gpuconv.call import make
from gpuconv.operators import CONV2D_BIAS, CONV2D_INPUT, CONV2D_WEIGHT

__all__ = ["conv2d_bias", "conv2d_input", "conv2d_weight"]


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
    size = tuple(input_size) if isinstance(input_size, list | tuple) else input_size
    parameters = size, stride, padding, dilation, groups
    return make(CONV2D_INPUT, (grad_output, weight, None, None), parameters, None)


def conv2d_bias(grad_output: Array) -> Array:
    """The gradient of `conv2d`, or of `conv_transpose2d`, by its bias.

    Parameters
    ----------
    grad_output : array, shape (N, K, P, Q), or (K, P, Q)
        The gradient by the result; float32, float64, float16 or bfloat16.

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

    That of `conv_transpose2d` by its weight is the same with `input` and `grad_output` exchanged.

    Parameters
    ----------
    input : array, shape (N, C, H, W), or (C, H, W)
        That of the convolution; float32 or float64.
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
        depends on the problem alone. Of the library, dtype and device of `input`.

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
    size = tuple(weight_size) if isinstance(weight_size, list | tuple) else weight_size
    parameters = size, stride, padding, dilation, groups
    return make(CONV2D_WEIGHT, (input, grad_output, None), parameters, None)
