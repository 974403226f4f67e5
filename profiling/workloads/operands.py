"""The arrays of a problem, and the public call that computes it."""

from functools import partial
from typing import Any

import numpy as np

import gpuconv
from gpuconv.spec import (
    BIAS_GRADIENT,
    INPUT_GRADIENT,
    WEIGHT_GRADIENT,
    ConvSpec,
    MeanGradientSpec,
    PatchesSpec,
    PoolSpec,
    ScatterSpec,
    Spec,
)
from gpuconv.spec.dtypes import FLOAT64
from gpuconv.spec.windows import ADAPTIVE
from profiling.workloads.layers import Layer


def operands(spec: Spec, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Normally distributed arrays in the order in which `public_call` takes them.

    (input, weight) of a convolution, transposed or not, (input, gradient by the result) for its gradient by
    the weight; (values, indices) for a scatter; (input,) for all else.
    """
    rng = np.random.default_rng(seed)
    precise = np.float64 if spec.dtype == FLOAT64 else np.float32
    arrays = [rng.standard_normal(shape, precise).astype(spec.dtype.numpy) for shape in _shapes(spec)]
    if isinstance(spec, ScatterSpec):
        arrays.append(_indices(spec, rng))
    return tuple(arrays)


def operands_of(layer: Layer) -> tuple[np.ndarray, ...]:
    """The arrays of its spec, as they lie in the layer: channels-last those of four axes, weights too."""
    arrays = operands(layer.spec)
    return tuple(map(_channels_last, arrays)) if layer.channels_last else arrays


def _channels_last(array: np.ndarray) -> np.ndarray:
    """The same values, the channels side by side in memory."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def _shapes(spec: Spec) -> list[tuple[int, ...]]:
    if not isinstance(spec, ConvSpec):
        return [(spec.N, spec.C, spec.H, spec.W) if isinstance(spec, PoolSpec) else spec.in_shape]
    if spec.direction == BIAS_GRADIENT:
        return [(spec.N, spec.K, spec.P, spec.Q)]
    of_weight = spec.direction == WEIGHT_GRADIENT
    return [spec.in_shape, (spec.N, spec.K, spec.P, spec.Q) if of_weight else spec.weight_shape]


def _indices(spec: ScatterSpec, rng: np.random.Generator) -> np.ndarray:
    """A place of the window of each value; without windows of the part of the plane that is its own."""
    along = []
    axes = (spec.H, spec.P, spec.R, 0), (spec.W, spec.Q, spec.S, 1)
    for extent, count, taps, axis in axes:
        step = spec.stride[axis] if spec.is_windowed else extent // count
        tap = rng.integers(0, taps if spec.is_windowed else step, spec.in_shape)
        first = np.arange(count).reshape((-1, 1) if axis == 0 else (1, -1)) * step - spec.pads[axis][0]
        along.append(np.clip(first + tap * spec.dilation[axis], 0, extent - 1))
    return along[0] * spec.W + along[1]


def public_call(spec: Spec, arrays: tuple[Any, ...]) -> partial[Any]:
    """gpuconv's public function for a problem with its arguments, as a user calls it.

    It takes further keywords, such as those of `conv2d` and of pools, `algorithm=` and `out=`.
    """
    if isinstance(spec, ConvSpec):
        return _convolution(spec, arrays)
    window, size = (spec.R, spec.S), (spec.N, spec.C, spec.H, spec.W)
    if isinstance(spec, PatchesSpec):
        geometry = window, spec.dilation, spec.pads, spec.stride
        if spec.direction == "unfold":
            return partial(gpuconv.unfold, *arrays, *geometry)
        return partial(gpuconv.fold, *arrays, (spec.H, spec.W), *geometry)
    if isinstance(spec, ScatterSpec):
        if spec.combine == "last":
            return partial(gpuconv.max_unpool2d, *arrays, (spec.H // spec.P, spec.W // spec.Q))
        pool = window, spec.stride, spec.pads, spec.dilation
        return partial(gpuconv.grad.max_pool2d, *arrays, size, *pool)
    if isinstance(spec, MeanGradientSpec):
        averaged = False, spec.count_include_pad, spec.divisor_override
        return partial(gpuconv.grad.avg_pool2d, *arrays, size, window, spec.stride, spec.pads, *averaged)
    return _pool(spec, arrays)


def _pool(spec: PoolSpec, arrays: tuple[Any, ...]) -> partial[Any]:
    window = spec.R, spec.S
    if spec.windows == ADAPTIVE:
        if spec.reduction == "mean":
            return partial(gpuconv.adaptive_avg_pool2d, *arrays, spec.output_size)
        indexed = {"return_indices": spec.return_indices}
        return partial(gpuconv.adaptive_max_pool2d, *arrays, spec.output_size, **indexed)
    if spec.reduction == "norm":
        return partial(gpuconv.lp_pool2d, *arrays, spec.norm, window, spec.stride, spec.ceil_mode)
    if spec.reduction == "min":
        more = spec.dilation, spec.ceil_mode
        return partial(gpuconv.min_pool2d, *arrays, window, spec.stride, spec.pads, *more)
    if spec.reduction == "max":
        more = spec.dilation, spec.ceil_mode, spec.return_indices
        return partial(gpuconv.max_pool2d, *arrays, window, spec.stride, spec.pads, *more)
    averaged = spec.ceil_mode, spec.count_include_pad, spec.divisor_override
    return partial(gpuconv.avg_pool2d, *arrays, window, spec.stride, spec.pads, *averaged)


def _convolution(spec: ConvSpec, arrays: tuple[Any, ...]) -> partial[Any]:
    if spec.direction == BIAS_GRADIENT:
        return partial(gpuconv.grad.conv2d_bias, *arrays)
    if spec.direction == WEIGHT_GRADIENT:
        x, dy = arrays
        given = spec.weight_shape, dy, spec.stride, spec.pads, spec.dilation, spec.groups
        return partial(gpuconv.grad.conv2d_weight, x, *given)
    if spec.direction == INPUT_GRADIENT:
        pads, more = padding_of_transposed(spec)
        given = *arrays, None, spec.stride, pads, more, spec.groups, spec.dilation
        return partial(gpuconv.conv_transpose2d, *given, precision=spec.precision)
    given = *arrays, None, spec.stride, spec.pads, spec.dilation, spec.groups
    return partial(gpuconv.conv2d, *given, precision=spec.precision)


def padding_of_transposed(spec: ConvSpec) -> tuple[tuple[int, int], tuple[int, int]]:
    """(padding, output_padding) of a transposed convolution whose padding behind is less than that before."""
    rows, columns = spec.pads
    return (rows[0], columns[0]), (rows[0] - rows[1], columns[0] - columns[1])
