"""SigPy's `convolve` and its two adjoints in two dimensions, which CuPy's loss of cuDNN left without a GPU.

SigPy means convolution as in signal processing, with the filter turned around, and leaves out its axes by
`multi_channel`. An adjoint is the gradient of a sum, by conjugates where numbers are complex:
<convolve(data, filt), y> = <data, convolve_data_adjoint(y, filt)> = <filt, convolve_filter_adjoint(y, data)>.
"""

from math import prod
from typing import Any

import gpuconv


def convolve(
    data: Any, filt: Any, mode: str = "full", strides: Any = None, multi_channel: bool = False
) -> Any:
    """Of data (..., H, W) and a filter (R, S): (..., P, Q), of every `strides`-th overlap.

    With `multi_channel` of data (..., C, H, W) and filters (K, C, R, S): (..., K, P, Q). `mode` is "full",
    every overlap, or "valid", where the filter lies within.
    """
    images, turned = _batch(data, multi_channel), _turned(filt.astype(data.dtype), multi_channel)
    result = gpuconv.conv2d(images, turned, stride=strides or 1, padding=mode)
    return result.reshape(*_others(data.shape, multi_channel), *result.shape[1 if multi_channel else 2 :])


def convolve_data_adjoint(
    output: Any,
    filt: Any,
    data_shape: Any,
    mode: str = "full",
    strides: Any = None,
    multi_channel: bool = False,
) -> Any:
    """What `convolve` gives of data of this shape, brought back to them."""
    turned = _turned(filt.astype(output.dtype), multi_channel)
    images = prod(_others(data_shape, multi_channel)), turned.shape[1], *data_shape[-2:]
    size = strides or 1, mode
    return gpuconv.grad.conv2d_input(images, turned, _batch(output, multi_channel), *size).reshape(data_shape)


def convolve_filter_adjoint(
    output: Any,
    data: Any,
    filt_shape: Any,
    mode: str = "full",
    strides: Any = None,
    multi_channel: bool = False,
) -> Any:
    """And brought back to a filter of this shape."""
    size = tuple(filt_shape) if multi_channel else (1, 1, *filt_shape)
    images, outputs = (_batch(each.astype(output.dtype), multi_channel) for each in (data, output))
    turned = gpuconv.grad.conv2d_weight(images, size, outputs, strides or 1, mode)
    return turned[..., ::-1, ::-1].reshape(filt_shape)


def _others(shape: Any, multi_channel: bool) -> tuple[int, ...]:
    """The axes of a stack: all but rows and columns, and channels."""
    return tuple(shape[: -3 if multi_channel else -2])


def _batch(stack: Any, multi_channel: bool) -> Any:
    channels = stack.shape[-3] if multi_channel else 1
    return stack.reshape(prod(_others(stack.shape, multi_channel)), channels, *stack.shape[-2:])


def _turned(filt: Any, multi_channel: bool) -> Any:
    turned = filt[..., ::-1, ::-1]
    return turned if multi_channel else turned[None, None]
