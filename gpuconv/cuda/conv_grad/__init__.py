"""The gradients of a convolution by its input, which transposed convolutions are, in order of preference."""

from gpuconv.algorithm import Algorithms
from gpuconv.cuda import conv
from gpuconv.cuda.conv_grad import phases

ALGORITHMS: Algorithms = (phases.over(conv.ALGORITHMS),)

__all__ = ["ALGORITHMS"]
