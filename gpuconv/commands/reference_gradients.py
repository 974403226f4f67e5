"""Gradients by weights and biases and of pools, pools turned round, and patches, as their definitions read.

See `reference`. The adjoint of what takes a place to where it is seen puts what is seen there back to the
place. Shapes: x (N, C, P, Q) or (C, P, Q), and of `fold` (N, C R S, P Q) or (C R S, P Q). Results have x's
dtype.
"""

from itertools import product

import numpy as np

from gpuconv.commands.reference import _like, _pair, _taps, _wide, _windows


@np.errstate(invalid="ignore")  # inf - inf is NaN, as it should be
def weight_gradient(
    x, grad_output, weight_size, stride=1, padding=0, dilation=1, groups=1
) -> list[np.ndarray]:
    """[dw] of `gpuconv.grad.conv2d_weight`: of complex numbers by the conjugates of the input."""
    K, C, *kernel = weight_size
    dw = np.zeros((groups, K // groups, C, *kernel), _wide(x))
    for r, s, values, inside, _ in _taps(x, kernel, stride, padding, dilation):
        N, _, P, Q = values.shape
        seen = np.where(inside, values, 0).conj().reshape(N, groups, C, P, Q)
        dy = grad_output.astype(_wide(x)).reshape(N, groups, K // groups, P, Q)
        dw[..., r, s] = np.einsum("ngkpq,ngcpq->gkc", dy, seen)
    return [dw.reshape(weight_size).astype(x.dtype)]


@np.errstate(invalid="ignore")
def bias_gradient(x) -> list[np.ndarray]:
    """[db] of `gpuconv.grad.conv2d_bias`."""
    channels = np.moveaxis(x.astype(_wide(x)), -3, 0)
    return [channels.reshape(x.shape[-3], -1).sum(axis=1).astype(x.dtype)]


@np.errstate(invalid="ignore")  # inf - inf is NaN, as it should be
def add_where(x, indices, input_size, kernel_size=None, stride=None, padding=0) -> list[np.ndarray]:
    """[y] of `gpuconv.grad.max_pool2d`; an index counts in the rows of its window."""
    y = np.zeros(input_size)
    planes = y.reshape(-1, y.shape[-2] * y.shape[-1])
    rows = None
    if kernel_size is not None:
        kernel = _pair(kernel_size)
        (tops, _), _ = _windows(y.shape[-2:], kernel, stride or kernel, padding, 1, False)
        rows = tops, kernel[0]
    for place in np.ndindex(x.shape):
        index, plane = indices[place], planes[np.ravel_multi_index(place[:-2], x.shape[:-2])]
        if index >= 0 and (rows is None or 0 <= index // y.shape[-1] - rows[0][place[-2]] < rows[1]):
            plane[index] += x[place]
    return [y.astype(x.dtype)]


def unpool(x, indices, kernel_size, stride=None, padding=0, output_size=None) -> list[np.ndarray]:
    """[y] of `gpuconv.max_unpool2d`."""
    kernel, pads = _pair(kernel_size), _pair(padding)
    steps = kernel if stride is None else _pair(stride)
    size = output_size or tuple(
        (count - 1) * step + taps - 2 * pad
        for count, step, taps, pad in zip(x.shape[-2:], steps, kernel, pads, strict=True)
    )
    y = np.zeros((*x.shape[:-2], *size), x.dtype)
    planes = y.reshape(-1, size[0] * size[1])
    for place in np.ndindex(x.shape):
        if indices[place] >= 0:
            planes[np.ravel_multi_index(place[:-2], x.shape[:-2]), indices[place]] = x[place]
    return [y]


@np.errstate(invalid="ignore")
def hand_on(
    x, input_size, kernel_size=None, stride=None, padding=0, count_include_pad=True, divisor_override=None
) -> list[np.ndarray]:
    """[y] of `gpuconv.grad.avg_pool2d`, and without a kernel size of `gpuconv.grad.adaptive_avg_pool2d`."""
    y, size = np.zeros(input_size), input_size[-2:]
    if kernel_size is None:
        ranges = [
            [(i * extent // count, -(-(i + 1) * extent // count)) for i in range(count)]
            for extent, count in zip(size, x.shape[-2:], strict=True)
        ]
        beyond = [(0, extent) for extent in size]
    else:
        kernel = _pair(kernel_size)
        axes = _windows(size, kernel, stride or kernel, padding, 1, False)
        ranges = [
            [(int(i), int(i) + taps) for i in starts] for (starts, _), taps in zip(axes, kernel, strict=True)
        ]
        beyond = [(int(starts[0]), extent + end) for (starts, end), extent in zip(axes, size, strict=True)]
    counted = beyond if count_include_pad else [(0, extent) for extent in size]
    for p, rows in enumerate(ranges[0]):
        for q, columns in enumerate(ranges[1]):
            counts = [
                min(end, high) - max(begin, low)
                for (begin, end), (low, high) in zip((rows, columns), counted, strict=True)
            ]
            inside = tuple(slice(max(begin, 0), max(end, 0)) for begin, end in (rows, columns))
            share = x[..., p, q].astype(np.float64) / (divisor_override or counts[0] * counts[1])
            y[..., inside[0], inside[1]] += share[..., None, None]
    return [y.astype(x.dtype)]


@np.errstate(all="ignore")
def norm(x, image, result, norm_type, kernel_size, stride=None, ceil_mode=False) -> list[np.ndarray]:
    """[y] of `gpuconv.grad.lp_pool2d`."""
    kernel, (H, W) = _pair(kernel_size), image.shape[-2:]
    (tops, _), (lefts, _) = _windows((H, W), kernel, stride or kernel, 0, 1, ceil_mode)
    image, result = image.astype(np.float64), result.astype(np.float64)
    y = np.zeros(image.shape)
    for (p, top), (q, left) in product(enumerate(tops), enumerate(lefts)):
        places = (min(top + kernel[0], H) - top) * (min(left + kernel[1], W) - left)
        share = x[..., p, q].astype(np.float64) * result[..., p, q] ** (1 - norm_type) * kernel[0] * kernel[1]
        share = np.where(result[..., p, q] == 0, 0, share / places)
        y[..., top : top + kernel[0], left : left + kernel[1]] += share[..., None, None]
    return [(y * image ** (norm_type - 1)).astype(x.dtype)]


def unfold(x, kernel_size, dilation=1, padding=0, stride=1) -> list[np.ndarray]:
    """[y] of `gpuconv.unfold`."""
    kernel = _pair(kernel_size)
    taps = [
        np.where(inside, values, 0) for _, _, values, inside, _ in _taps(x, kernel, stride, padding, dilation)
    ]
    matrix = np.stack(taps, 2)
    N, C = matrix.shape[:2]
    return [_like(x, matrix.reshape(N, C * kernel[0] * kernel[1], matrix.shape[3] * matrix.shape[4]))]


@np.errstate(invalid="ignore")
def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1) -> list[np.ndarray]:
    """[y] of `gpuconv.fold`."""
    kernel = _pair(kernel_size)
    batch = (x if x.ndim == 3 else x[None]).astype(np.float64)
    channels = batch.reshape(
        batch.shape[0], batch.shape[1] // (kernel[0] * kernel[1]), kernel[0] * kernel[1], -1
    )
    y = np.zeros((*channels.shape[:2], output_size[0] * output_size[1]))
    image = np.zeros((1, 1, *output_size))
    for number, (*_, inside, flat) in enumerate(_taps(image, kernel, stride, padding, dilation)):
        places, seen = (each.reshape(-1) for each in np.broadcast_arrays(flat, inside))
        y[..., places[seen]] += channels[:, :, number, seen]  # no place is there twice
    y = y.reshape(*y.shape[:2], *output_size)
    return [(y if x.ndim == 3 else y[0]).astype(x.dtype)]
