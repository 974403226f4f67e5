"""The gradients of a convolution by its input, which transposed convolutions are, in order of preference."""

from gpuconv.algorithm import Algorithms
from gpuconv.cuda import conv
from gpuconv.cuda.conv_grad import phases
from gpuconv.spec import INPUT_GRADIENT

_PLAIN: Algorithms = (phases.over(conv.SUMS),)
ALGORITHMS: Algorithms = (*_PLAIN, conv.epilogue.over(_PLAIN, direction=(INPUT_GRADIENT,)))

__all__ = ["ALGORITHMS"]
