"""The gradients of a convolution by its bias, in order of preference."""

from gpuconv.algorithm import Algorithms
from gpuconv.cuda import pool
from gpuconv.cuda.conv_bias import parts, sums

_SUMS: Algorithms = (sums.at_once(pool.ALGORITHMS), sums.in_passes(pool.ALGORITHMS))
ALGORITHMS: Algorithms = (*_SUMS, parts.over(_SUMS))

__all__ = ["ALGORITHMS"]
