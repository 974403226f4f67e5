"""The gradients of a convolution by its weight, in order of preference."""

from gpuconv.algorithm import Algorithms
from gpuconv.cuda import conv
from gpuconv.cuda.conv_weight import exchanged

ALGORITHMS: Algorithms = (exchanged.over(conv.ALGORITHMS),)

__all__ = ["ALGORITHMS"]
