"""Windows as the columns of a matrix, and added up again."""

from gpuconv.arrays import Array, Padding, Sides
from gpuconv.call import as_tuple, make
from gpuconv.operators import FOLD, UNFOLD


def unfold(
    input: Array, kernel_size: Sides, dilation: Sides = 1, padding: Padding = 0, stride: Sides = 1
) -> Array:
    """The windows of images as the columns of a matrix (im2col).

    Parameters
    ----------
    input : array, shape (N, C, H, W) or (C, H, W)
        float32, float64, float16 or bfloat16.
    kernel_size : int or (int, int)
        R x S, height first.
    dilation, padding, stride
        As in `conv2d`.

    Returns
    -------
    array, shape (N, C R S, P Q) or (C R S, P Q)
        ``y[n, (c R + r) S + s, p Q + q] = x[n, c, p*stride + r*dilation - top, q*stride + s*dilation -
        left]``, with zero where x is read outside of its image; P and Q as in `conv2d`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> gpuconv.unfold(np.arange(6.0).reshape(1, 1, 2, 3), 2)
    array([[[0., 1.],
            [1., 2.],
            [3., 4.],
            [4., 5.]]])
    """
    return make(UNFOLD, (input, None), (kernel_size, dilation, padding, stride), None)


def fold(
    input: Array,
    output_size: Sides,
    kernel_size: Sides,
    dilation: Sides = 1,
    padding: Padding = 0,
    stride: Sides = 1,
) -> Array:
    """The columns of a matrix added up as windows of images (col2im): the adjoint of `unfold`.

    Parameters
    ----------
    input : array, shape (N, C R S, P Q) or (C R S, P Q)
        As `unfold` returns it; float32, float64, float16 or bfloat16.
    output_size : int or (int, int)
        H x W of the images.
    kernel_size, dilation, padding, stride
        As in `unfold`.

    Returns
    -------
    array, shape (N, C, H, W) or (C, H, W)
        The sum of all that `unfold` would have taken from a place, in the order of its taps; what has 16 bits
        is added up in float32, and rounded once.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> columns = gpuconv.unfold(np.ones((1, 1, 2, 3)), 2)
    >>> gpuconv.fold(columns, (2, 3), 2)
    array([[[[1., 2., 1.],
             [1., 2., 1.]]]])
    """
    return make(FOLD, (input, None), (as_tuple(output_size), kernel_size, dilation, padding, stride), None)
