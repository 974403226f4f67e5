"""The arrays of a problem."""

import numpy as np

from gpuconv.arrays import dtype_of
from gpuconv.spec import ConvSpec, Spec


def operands(spec: Spec, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Normally distributed (input, weight) of a convolution, or (input,) of a pool."""
    rng = np.random.default_rng(seed)
    shapes = [(spec.N, spec.C, spec.H, spec.W)]
    if isinstance(spec, ConvSpec):
        shapes.append((spec.K, spec.C_group, spec.R, spec.S))
    precise = np.float64 if spec.dtype == "float64" else np.float32
    return tuple(rng.standard_normal(shape, precise).astype(dtype_of(spec.dtype)) for shape in shapes)
