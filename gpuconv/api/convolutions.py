"""Convolutions: forward, transposed and deformable."""

from gpuconv.arrays import Array, Padding, Sides
from gpuconv.call import make
from gpuconv.operators import CONV2D, CONV_TRANSPOSE2D, DEFORM_CONV2D


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
        uint8. Strides, byte order and alignment may be any; it is never written to. One of dask is convolved
        when it is computed (`gpuconv.blocks`), and one of xarray keeps its labels (`gpuconv.labels`).
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
        greatest inputs of a neighbourhood of 4x4; and on a GPU any by tensor cores, from three products of
        tf32 each, with (28 + C R S / 8 groups) 2^-24 of sum |w x| at most, if no factor is below 2^-114.
        "tf32" allows float32 results an error like that of TF32 arithmetic, for the sake of speed: 2^-11 of
        the sum of the magnitudes of the inputs that an output sees, times the greatest magnitude among the
        weights of its output channel; twice that by a GPU's tensor cores, which round both factors. The CPU's
        Winograd of 4x4 outputs, whose errors follow the largest inputs of a tile of 6x6, steps aside for
        images in which they would be more; on a GPU they follow those of a tile of 4x4. Other dtypes are
        computed as with None.
    algorithm : str, optional
        Forces one algorithm by name (see `explain`), and raises ValueError with the reason if it cannot run
        this problem.
    out : array, shape (N, K, P, Q) or (K, P, Q), optional
        Receives the result and is returned. May be strided; may not overlap an input.

    Returns
    -------
    array, shape (N, K, P, Q), or (K, P, Q) for an unbatched input
        P = floor((H + top + bottom - dilation*(R - 1) - 1) / stride) + 1, and likewise Q. Of the input's
        library, dtype and device; a fresh result of a batch that is channels-last is so, too (on a
        GPU of tensors of torch alone). Of objects that speak DLPack alone it is what the `from_dlpack` of
        their library makes (as of MLX and Paddle), and where there is none (as in pyarrow), and of those
        that speak `__cuda_array_interface__` alone, an array of NumPy, or on a GPU of CuPy.

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
