"""The arrays of a problem, and the public call that computes it."""

from functools import partial
from typing import Any

import numpy as np

import gpuconv
from gpuconv.spec import ConvSpec, Spec
from gpuconv.spec.dtypes import FLOAT64


def operands(spec: Spec, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Normally distributed (input, weight) of a convolution, or (input,) of a pool."""
    rng = np.random.default_rng(seed)
    shapes = [(spec.N, spec.C, spec.H, spec.W)]
    if isinstance(spec, ConvSpec):
        shapes.append((spec.K, spec.C_group, spec.R, spec.S))
    precise = np.float64 if spec.dtype == FLOAT64 else np.float32
    return tuple(rng.standard_normal(shape, precise).astype(spec.dtype.numpy) for shape in shapes)


def public_call(spec: Spec, arrays: tuple[Any, ...]) -> partial[Any]:
    """gpuconv's public function for a problem with its arguments, as a user calls it.

    It takes further keywords, such as `algorithm=` and `out=`.
    """
    if isinstance(spec, ConvSpec):
        given = *arrays, None, spec.stride, spec.pads, spec.dilation, spec.groups
        return partial(gpuconv.conv2d, *given, precision=spec.precision)
    pool = *arrays, (spec.R, spec.S), spec.stride, spec.pads
    if spec.reduction == "max":
        return partial(gpuconv.max_pool2d, *pool, spec.dilation, spec.ceil_mode, spec.return_indices)
    averaged = spec.ceil_mode, spec.count_include_pad, spec.divisor_override
    return partial(gpuconv.avg_pool2d, *pool, *averaged)
