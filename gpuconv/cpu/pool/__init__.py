"""The pools of the CPU engine, in order of preference.

In their kernels (h, v) is a row and a column of an image, as in those of convolutions.
"""

from gpuconv.algorithm import Algorithms
from gpuconv.cpu.engine import sixteen_bits
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.cpu.pool import (
    adaptive,
    argmax,
    channels,
    direct,
    global_,
    negated,
    norms,
    separable,
    small,
    widened,
)

_FLOATS = (
    global_.ALGORITHM, small.ALGORITHM, channels.ALGORITHM, separable.ALGORITHM, adaptive.ALGORITHM,
    argmax.ALGORITHM, direct.ALGORITHM,
)  # fmt: skip
_WIDE = (negated.over_maxima(_FLOATS), *_FLOATS)
ALGORITHMS: Algorithms = (widened.over_floats(_WIDE), norms.over_powers(_WIDE), *_WIDE)
KERNELS: tuple[Kernel, ...] = (
    global_.max_planes,
    global_.mean_planes,
    separable.max_windows,
    separable.mean_windows,
    small.max_rows,
    small.mean_rows,
    adaptive.max_windows,
    adaptive.mean_windows,
    argmax.max_rows,
    channels.max_pixels,
    channels.first_pixels,
    channels.mean_pixels,
    direct.max_rows,
    direct.mean_rows,
    *sixteen_bits.KERNELS,
)

__all__ = ["ALGORITHMS", "KERNELS"]
