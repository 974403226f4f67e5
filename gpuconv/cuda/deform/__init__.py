"""Deformable convolutions, in order of preference."""

from gpuconv.algorithm import Algorithms
from gpuconv.cuda import conv
from gpuconv.cuda.deform import columns

ALGORITHMS: Algorithms = (columns.over(conv.SUMS),)
KERNELS = columns.KERNELS

__all__ = ["ALGORITHMS", "KERNELS"]
