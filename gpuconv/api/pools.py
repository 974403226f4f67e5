"""Pools, and maxima put back."""

from collections.abc import Sequence
from typing import Any

from gpuconv.arrays import Array, Padding, Sides
from gpuconv.call import as_tuple, make
from gpuconv.operators import (
    ADAPTIVE_AVG_POOL2D,
    ADAPTIVE_MAX_POOL2D,
    AVG_POOL2D,
    LP_POOL2D,
    MAX_POOL2D,
    MAX_UNPOOL2D,
    MIN_POOL2D,
)


def max_pool2d(
    input: Array,
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Padding = 0,
    dilation: Sides = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Any:
    """The greatest value of each window; a NaN counts as the greatest.

    Parameters
    ----------
    input : array, shape (N, C, H, W) or (C, H, W)
        float32, float64, float16, bfloat16 (that of ml_dtypes, or of torch), or integers of 8 to 64 bits.
    kernel_size : int or (int, int)
        Height and width of a window.
    stride : int or (int, int), optional
        The kernel size unless given, or if empty.
    padding : int, (int, int), ((top, bottom), (left, right)) or str
        As in `conv2d`; a number is at most half of the kernel on its side. Padding never wins.
    dilation : int or (int, int)
    ceil_mode : bool
        Round the number of windows up; one that would start beyond the image and its leading padding is left
        out.
    return_indices : bool
        Return (values, indices).
    algorithm, out
        As in `conv2d`; `out` takes the values.

    Returns
    -------
    array, shape (N, C, P, Q) or (C, P, Q); with `return_indices` a pair, the second of int64 (of JAX's arrays
    of int32, unless jax_enable_x64 is set)
        An index is flat in H*W of the input plane, of the first among equals, NaN included (PyTorch takes the
        last NaN). A window of padding alone gives -inf, or the lowest integer, and -1.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> gpuconv.max_pool2d(x, 3, stride=2, padding=1)
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    >>> gpuconv.max_pool2d(x, 3, return_indices=True)[1]
    array([[[[10]]]])
    """
    parameters = kernel_size, stride, padding, dilation, ceil_mode, return_indices
    return make(MAX_POOL2D, (input, out), parameters, algorithm)


def min_pool2d(
    input: Array,
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Padding = 0,
    dilation: Sides = 1,
    ceil_mode: bool = False,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """The least value of each window; a NaN counts as the least.

    Parameters
    ----------
    input, kernel_size, stride, padding, dilation, ceil_mode
        As in `max_pool2d`. Padding never wins.
    algorithm, out
        As in `conv2d`.

    Returns
    -------
    array, shape (N, C, P, Q) or (C, P, Q)
        A window of padding alone gives inf, or the highest integer.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> gpuconv.min_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 3, stride=2, padding=1)
    array([[[[0., 1.],
             [4., 5.]]]])
    """
    parameters = kernel_size, stride, padding, dilation, ceil_mode
    return make(MIN_POOL2D, (input, out), parameters, algorithm)


def avg_pool2d(
    input: Array,
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """The mean of each window.

    Parameters
    ----------
    input : array, shape (N, C, H, W) or (C, H, W)
        float32, float64, float16 or bfloat16 (that of ml_dtypes, or of torch).
    kernel_size, stride, padding, ceil_mode
        As in `max_pool2d`. What has 16 bits is summed and divided in float32, and the mean rounded.
    count_include_pad : bool
        Divide by all places of the window inside the padded image, or only by those inside the image.
    divisor_override : int, optional
        Divide by this number instead; not 0.
    algorithm, out
        As in `conv2d`.

    Returns
    -------
    array, shape (N, C, P, Q) or (C, P, Q)
        A window of padding alone gives 0.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> gpuconv.avg_pool2d(np.arange(9.0).reshape(1, 1, 3, 3), 2, stride=1)
    array([[[[2., 3.],
             [5., 6.]]]])
    """
    parameters = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    return make(AVG_POOL2D, (input, out), parameters, algorithm)


def lp_pool2d(
    input: Array,
    norm_type: float,
    kernel_size: Sides,
    stride: Sides | None = None,
    ceil_mode: bool = False,
    *,
    out: Array | None = None,
) -> Array:
    """The norm of each window: (sum of x^norm_type)^(1 / norm_type), with the values that PyTorch gives.

    Parameters
    ----------
    input : array, shape (N, C, H, W) or (C, H, W)
        As in `avg_pool2d`. What has 16 bits is computed with in float32, and the norm rounded.
    norm_type : float
        The exponent: not 0. inf stands for the greatest magnitude of a window, and -inf for the least.
    kernel_size, stride, ceil_mode
        As in `max_pool2d`.
    out
        As in `conv2d`.

    Returns
    -------
    array, shape (N, C, P, Q) or (C, P, Q)
        Values are not made positive first: of an odd exponent it is no norm where some are negative, and NaN
        where their powers add up to less than 0. A window that `ceil_mode` lets reach beyond the image counts
        as if what it has inside were repeated to fill it: its sum is multiplied by R S over the places that
        it has, so that a single 1 in it gives more than 1.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> x = np.array([[[[3.0, -4.0, 1.0]]]])
    >>> gpuconv.lp_pool2d(x, 2, (1, 2))
    array([[[[5.]]]])
    >>> gpuconv.lp_pool2d(x, float("inf"), (1, 2), stride=1)
    array([[[[4., 4.]]]])
    >>> gpuconv.lp_pool2d(x, 1, (1, 2), ceil_mode=True)
    array([[[[-1.,  2.]]]])
    """
    return make(LP_POOL2D, (input, out), (norm_type, kernel_size, stride, ceil_mode), None)


def adaptive_avg_pool2d(
    input: Array, output_size: int | Sequence[int | None] | None, *, out: Array | None = None
) -> Array:
    """The means of as many windows as are asked for, which share the image out.

    Parameters
    ----------
    input : array, shape (N, C, H, W) or (C, H, W)
        As in `avg_pool2d`.
    output_size : int or (int, int)
        P and Q; None in the place of one, or of both, keeps that of the image. The p-th window has the rows
        from floor(p H / P) to before ceil((p + 1) H / P), and likewise the columns.
    out
        As in `conv2d`.

    Returns
    -------
    array, shape (N, C, P, Q) or (C, P, Q)

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> gpuconv.adaptive_avg_pool2d(np.array([[[[2.0, 4.0, 6.0]]]]), (1, 2))
    array([[[[3., 5.]]]])
    >>> gpuconv.adaptive_avg_pool2d(np.ones((8, 64, 7, 7), np.float32), 1).shape
    (8, 64, 1, 1)
    """
    return make(ADAPTIVE_AVG_POOL2D, (input, out), (as_tuple(output_size),), None)


def adaptive_max_pool2d(
    input: Array,
    output_size: int | Sequence[int | None] | None,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any:
    """The maxima of as many windows as are asked for, which share the image out.

    Parameters
    ----------
    input : array, shape (N, C, H, W) or (C, H, W)
        As in `max_pool2d`.
    output_size : int or (int, int)
        As in `adaptive_avg_pool2d`.
    return_indices : bool
        Return (values, indices).
    out
        As in `conv2d`; it takes the values.

    Returns
    -------
    array, shape (N, C, P, Q) or (C, P, Q); with `return_indices` a pair, the second of int64 (of JAX's arrays
    of int32, unless jax_enable_x64 is set)
        As of `max_pool2d`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> gpuconv.adaptive_max_pool2d(np.array([[[[2, 4, 1]]]]), (None, 2), return_indices=True)
    (array([[[[4, 4]]]]), array([[[[1, 1]]]]))
    """
    parameters = as_tuple(output_size), return_indices
    return make(ADAPTIVE_MAX_POOL2D, (input, out), parameters, None)


def max_unpool2d(
    input: Array,
    indices: Array,
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Sides = 0,
    output_size: Sides | None = None,
) -> Array:
    """The maxima of a pool put back where they were taken from, with zeros around them.

    Parameters
    ----------
    input : array, shape (N, C, P, Q) or (C, P, Q)
        What `max_pool2d` returned; float32, float64, float16 or bfloat16.
    indices : array of int64, shape of `input`
        The place of each value, flat in H*W of its plane of the output, as `max_pool2d` returns them; int32
        is taken, too. One of -1, of a window of padding alone, puts its value nowhere. Where several are
        equal the last value counts, in the order of `input`. Others are refused, except on a GPU, which the
        host does not wait for: there they put their values nowhere.
    kernel_size, stride, padding
        Those of the pool; they say the size of the output, and no more.
    output_size : sequence of int, optional
        (H, W), with or without the axes before them, where that is not the usual size: it may differ by less
        than the stride.

    Returns
    -------
    array, shape (N, C, H, W) or (C, H, W)
        H = (P - 1) * stride + kernel_size - 2 * padding unless `output_size` says otherwise, and likewise W.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is written to.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> x = np.array([[[[1.0, 5.0], [4.0, 2.0]]]])
    >>> y, indices = gpuconv.max_pool2d(x, 2, return_indices=True)
    >>> gpuconv.max_unpool2d(y, indices, 2)
    array([[[[0., 5.],
             [0., 0.]]]])
    """
    parameters = kernel_size, stride, padding, as_tuple(output_size)
    return make(MAX_UNPOOL2D, (input, indices, None), parameters, None)
