"""The pools of the CPU engine, in order of preference.

In their kernels (h, v) is a row and a column of an image, as in those of convolutions.
"""

from gpuconv.algorithm import Algorithms
from gpuconv.cpu.engine import sixteen_bits
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.cpu.pool import direct, global_, separable, small, widened

_FLOATS = global_.ALGORITHM, small.ALGORITHM, separable.ALGORITHM, direct.ALGORITHM
ALGORITHMS: Algorithms = (widened.over(_FLOATS), *_FLOATS)
KERNELS: tuple[Kernel, ...] = (
    global_.max_planes,
    global_.mean_planes,
    separable.max_windows,
    separable.mean_windows,
    small.max_rows,
    small.mean_rows,
    direct.max_rows,
    direct.mean_rows,
    *sixteen_bits.KERNELS,
)

__all__ = ["ALGORITHMS", "KERNELS"]
