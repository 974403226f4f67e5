"""The gradients of a convolution by its input, which transposed convolutions are, in order of preference."""

from gpuconv.algorithm import Algorithms
from gpuconv.cpu import conv
from gpuconv.cpu.conv_grad import phases, weights
from gpuconv.cpu.engine.compiled import Kernel

ALGORITHMS: Algorithms = (phases.over(conv.ALGORITHMS),)
KERNELS: tuple[Kernel, ...] = (weights.arrange,)

__all__ = ["ALGORITHMS", "KERNELS"]
