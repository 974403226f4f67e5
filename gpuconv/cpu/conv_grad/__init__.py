"""The gradients of a convolution by its input, which transposed convolutions are, in order of preference."""

from gpuconv.algorithm import Algorithms
from gpuconv.cpu import conv
from gpuconv.cpu.conv import integers, parted, widened
from gpuconv.cpu.conv_grad import phases, weights
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.spec import INPUT_GRADIENT

_FLOATS: Algorithms = (phases.over(conv.FLOATS),)
ALGORITHMS: Algorithms = (
    *_FLOATS,
    *(lowered.over(_FLOATS, INPUT_GRADIENT) for lowered in (widened, parted, integers)),
)
KERNELS: tuple[Kernel, ...] = (weights.arrange,)

__all__ = ["ALGORITHMS", "KERNELS"]
