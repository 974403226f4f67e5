"""The gradients of a convolution by its bias, in order of preference."""

from gpuconv.algorithm import Algorithms
from gpuconv.cpu import pool
from gpuconv.cpu.conv_bias import sums

ALGORITHMS: Algorithms = (sums.over(pool.ALGORITHMS),)

__all__ = ["ALGORITHMS"]
