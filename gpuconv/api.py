"""The public operators: signature, docstring, call.

Each has the parameters of its namesake in `torch.nn.functional`, in the same order, and more by keyword. The
type of the arrays decides the device: NumPy computes on the CPU, CuPy on the GPU.
"""

from collections.abc import Callable, Sequence
from typing import Any

from gpuconv import algorithm as algorithms
from gpuconv.arrays import Array, Padding, Sides
from gpuconv.call import make, understand
from gpuconv.operators import (
    ADAPTIVE_AVG_POOL2D,
    ADAPTIVE_MAX_POOL2D,
    AVG_POOL2D,
    CONV2D,
    CONV_TRANSPOSE2D,
    DEFORM_CONV2D,
    FOLD,
    LP_POOL2D,
    MAX_POOL2D,
    MAX_UNPOOL2D,
    MIN_POOL2D,
    UNFOLD,
)


def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sides = 1,
    padding: Padding = 0,
    dilation: Sides = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    activation: str | tuple[str, float] | None = None,
    residual: Array | None = None,
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Convolve a batch of images with a bank of kernels (cross-correlation, as in neural networks).

    ``y[n, k, p, q] = bias[k] + sum over c, r, s of w[k, c, r, s] * x[n, c, p*stride + r*dilation - top,
    q*stride + s*dilation - left]``, with zero where x is read outside of its image.

    Parameters
    ----------
    input : array, shape (N, C, H, W) or (C, H, W)
        float32, float64, float16, bfloat16 (that of ml_dtypes, or of torch), complex64, complex128, int8 or
        uint8. Strides, byte order and alignment may be any; it is never written to.
    weight : array, shape (K, C / groups, R, S)
        Of the input's dtype and library, on the input's device, as are `bias` and `out`; beside integers of
        int8 or uint8, whichever the input is.
    bias : array, shape (K,), optional
        Beside integers of int32, as is `out`.
    stride, dilation : int or (int, int)
        Height first.
    padding : int, (int, int), ((top, bottom), (left, right)) or str
        Zeros around the image. "valid" is none; "same" gives ceil(H / stride) rows, the odd zero at the end,
        as TensorFlow and JAX define it; "full" gives every overlap of kernel and image.
    groups : int
        Divides C and K; the k-th output channel sees the input channels of its own group.
    padding_mode : str
        What the image continues with beyond its borders: "zeros", "reflect", "replicate" or "circular", as
        in PyTorch; "reflect" by less than the image on each side, "circular" by at most it. The image is not
        copied for it, but for what its borders need.
    activation : str or (str, parameter), optional
        What each result goes through: "relu", "relu6", "leaky_relu" (its slope is the parameter, 0.01 if it
        is left out), "sigmoid", "tanh", "gelu" (its parameter is "none" or "tanh", as in PyTorch), "silu" or
        "hardswish". None of complex numbers and integers.
    residual : array, shape of the result, optional
        Added before the activation; dtype and device of the input, beside integers int32.
    precision : str, optional
        What the error of an output is bounded by; see also `set_precision`. "ieee": a multiple of the
        rounding of its own products, eps * sum |w x| (where all are 0.1, 5 times for 1,000 of them, 12 for
        9,000, 46 for 65,536, 700 for a million, of which PyTorch is off by 2,000), so that a weight of zero
        masks exactly, and what is nowhere negative has no negative sum. None: for fewer than 32 input
        channels in a group the same; from there on, in layers of networks, 3x3 kernels may be computed by
        Winograd's F(2x2, 3x3), whose error in the norm is that of the direct sum, but is relative to the
        greatest inputs of a neighbourhood of 4x4. "tf32" allows float32 results an error like that of TF32
        arithmetic, for the sake of speed: 2^-11 of the sum of the magnitudes of the inputs that an output
        sees, times the greatest magnitude among the weights of its output channel. The CPU's Winograd of 4x4
        outputs, whose errors follow the largest inputs of a tile of 6x6, steps aside for images in which they
        would be more; on a GPU they follow those of a tile of 4x4. Other dtypes are computed as with None.
    algorithm : str, optional
        Forces one algorithm by name (see `explain`), and raises ValueError with the reason if it cannot run
        this problem.
    out : array, shape (N, K, P, Q) or (K, P, Q), optional
        Receives the result and is returned. May be strided; may not overlap an input.

    Returns
    -------
    array, shape (N, K, P, Q), or (K, P, Q) for an unbatched input
        P = floor((H + top + bottom - dilation*(R - 1) - 1) / stride) + 1, and likewise Q. Of the input's
        library, dtype and device; a fresh result of a tensor of torch that is channels-last is so, too.

        What has 16 bits is summed in float32, where the bias, the residual and the activation follow, and
        rounded once. A complex product is four real ones; none is conjugated. Integers give int32, exactly:
        sums of up to 33,025 products of two uint8 and more of others cannot exceed it, and what does is left
        modulo 2^32, as ONNX's ConvInteger leaves it.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> x = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    >>> w = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    >>> gpuconv.conv2d(x, w)
    array([[[[19., 25.],
             [37., 43.]]]], dtype=float32)
    >>> gpuconv.conv2d(x, w, stride=2, padding="same").shape
    (1, 1, 2, 2)
    >>> gpuconv.conv2d(x.astype(np.uint8), -w.astype(np.int8))
    array([[[[-19, -25],
             [-37, -43]]]], dtype=int32)
    """
    parameters = stride, padding, dilation, groups, padding_mode, activation, precision
    return make(CONV2D, (input, weight, bias, residual, out), parameters, algorithm)


def conv_transpose2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sides = 1,
    padding: Padding = 0,
    output_padding: Sides = 0,
    groups: int = 1,
    dilation: Sides = 1,
    *,
    output_size: Sides | None = None,
    activation: str | tuple[str, float] | None = None,
    residual: Array | None = None,
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Transposed convolution of a batch of images: the gradient of `conv2d` by its input, nothing conjugated.

    Parameters
    ----------
    input : array, shape (N, C, H, W), or (C, H, W) for one image
        Of a dtype that `conv2d` takes; what it says of dtypes is so here too.
    weight : array, shape (C, K / groups, R, S)
        The kernels; dtype and device of the input. They are not turned around, as in PyTorch.
    bias : array, shape (K,), optional
        Added to every pixel of an output channel; dtype and device of the input.
    stride, dilation : int or (int, int)
        Height first.
    padding : int, (int, int), ((top, bottom), (left, right)) or str
        That of the convolution whose gradient it is: so much of each side of the output is left out. "valid"
        is none, "same" gives an output of H * stride rows, "full" leaves out reach - 1 on each side.
    output_padding : int or (int, int)
        Rows and columns more at the end, less than the stride or the dilation.
    groups : int
        Divides C; each group of input channels has K / groups output channels of its own.
    output_size : int or (int, int), optional
        Rows and columns of the output, in place of `output_padding`: those that the convolution makes H x W
        of.
    activation, residual
        As in `conv2d`.
    precision, algorithm, out
        As in `conv2d`.

    Returns
    -------
    array, shape (N, K, P, Q), or (K, P, Q) for an unbatched input
        P = (H - 1) * stride - top - bottom + dilation * (R - 1) + output_padding + 1, and likewise Q. Of the
        input's library, dtype (int32 of integers) and device.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> x = np.array([[[[1.0, 10.0]]]])
    >>> w = np.array([[[[1.0, 2.0, 3.0]]]])
    >>> gpuconv.conv_transpose2d(x, w, stride=2)
    array([[[[ 1.,  2., 13., 20., 30.]]]])
    >>> gpuconv.conv_transpose2d(x, w, stride=2, padding="same").shape
    (1, 1, 2, 4)
    """
    parameters = (
        stride, padding, output_padding, groups, dilation, activation, precision, output_size,
    )  # fmt: skip
    return make(CONV_TRANSPOSE2D, (input, weight, bias, residual, out), parameters, algorithm)


def deform_conv2d(
    input: Array,
    offset: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sides = 1,
    padding: Padding = 0,
    dilation: Sides = 1,
    mask: Array | None = None,
    *,
    algorithm: str | None = None,
    out: Array | None = None,
) -> Array:
    """Deformable convolution: each tap of each output lies an offset of its own from where it would.

    Parameters
    ----------
    input : array, shape (N, C, H, W), or (C, H, W) for one image
        float32 or float64.
    offset : array, shape (N, 2 * groups * R * S, P, Q), or without N
        Of each group of input channels and each tap, first down and then to the right, in pixels. Dtype and
        device of the input, as are all arrays. An offset that is NaN makes its sample NaN.
    weight : array, shape (K, C / weight groups, R, S)
        There are as many groups as its channels go into those of the input.
    bias : array, shape (K,), optional
    stride, dilation : int or (int, int)
        Height first.
    padding : int, (int, int), ((top, bottom), (left, right)) or str
        As in `conv2d`.
    mask : array, shape (N, groups * R * S, P, Q), or without N, optional
        What each sample is multiplied with.
    algorithm, out
        As in `conv2d`.

    Returns
    -------
    array, shape (N, K, P, Q), or (K, P, Q) for an unbatched input
        The sum of `conv2d`, of samples: between four pixels a value is interpolated linearly along both axes,
        and beyond the image, from -1 and H or W on, it is 0; as in `torchvision.ops.deform_conv2d` [1]_.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, before any memory is touched.

    References
    ----------
    .. [1] Dai et al., "Deformable Convolutional Networks", 2017; Zhu et al., "Deformable ConvNets v2", 2018.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> x = np.array([[[[0.0, 10.0, 20.0, 30.0]]]])
    >>> offset = np.zeros((1, 2, 1, 4))
    >>> offset[0, 1] = 0.5  # half a pixel to the right
    >>> gpuconv.deform_conv2d(x, offset, np.ones((1, 1, 1, 1)))
    array([[[[ 5., 15., 25., 15.]]]])
    """
    parameters = stride, padding, dilation
    return make(DEFORM_CONV2D, (input, offset, weight, bias, mask, out), parameters, algorithm)


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
    array, shape (N, C, P, Q) or (C, P, Q); with `return_indices` a pair, the second of int64
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
    return make(ADAPTIVE_AVG_POOL2D, (input, out), (_as_tuple(output_size),), None)


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
    array, shape (N, C, P, Q) or (C, P, Q); with `return_indices` a pair, the second of int64
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
    parameters = _as_tuple(output_size), return_indices
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
    parameters = kernel_size, stride, padding, _as_tuple(output_size)
    return make(MAX_UNPOOL2D, (input, indices, None), parameters, None)


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
    return make(FOLD, (input, None), (_as_tuple(output_size), kernel_size, dilation, padding, stride), None)


def _as_tuple(size: Any) -> Any:
    """A list, of which calls are not remembered, as a tuple."""
    return tuple(size) if isinstance(size, list) else size


def explain(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> list[tuple[str, str]]:
    """The algorithms for a call, the one that would run first, each with its verdict; nothing is computed.

    Parameters
    ----------
    function : callable
        A public operator, such as `conv2d`.
    *arguments, **keywords
        As the operator takes them.

    Returns
    -------
    list of (str, str)
        Name and verdict of each algorithm of the engine that the arrays belong to.

    Raises
    ------
    TypeError, ValueError
        What the call would raise.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> verdicts = gpuconv.explain(gpuconv.max_pool2d, np.zeros((1, 3, 8, 8)), 2)
    >>> [name for name, verdict in verdicts][:3]
    ['pool_small', 'pool_widened', 'pool_norms']
    >>> dict(verdicts)["pool_global"]
    'unsupported: it takes one window for each plane, not 4 x 4'
    """
    call = understand(function, *arguments, **keywords)
    return algorithms.explain(call.algorithms, call.spec, call.layouts, call.device, call.forced)
