"""The gradients of a convolution by its input, which transposed convolutions are, in order of preference."""

from gpuconv.algorithm import Algorithms
from gpuconv.cpu import conv
from gpuconv.cpu.conv import integers, parted, quads, relaid, widened
from gpuconv.cpu.conv_grad import phases, weights
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.spec import INPUT_GRADIENT

_OF_PLANES: Algorithms = (phases.over(conv.SUMS),)
_SUMS: Algorithms = (relaid.over(_OF_PLANES, INPUT_GRADIENT), *_OF_PLANES)
_OF_BYTES = phases.over_bytes(quads.ALGORITHM, integers.over(conv.SUMS))
_EXACT: Algorithms = (
    *_SUMS, parted.over(_SUMS, INPUT_GRADIENT), _OF_BYTES, integers.over(_SUMS, INPUT_GRADIENT),
)  # fmt: skip
_FINISHED: Algorithms = (*_EXACT, conv.epilogue.over(_EXACT, direction=(INPUT_GRADIENT,)))
ALGORITHMS: Algorithms = (*_FINISHED, widened.over(_FINISHED, INPUT_GRADIENT))
KERNELS: tuple[Kernel, ...] = (weights.arrange_vectors, weights.arrange)

__all__ = ["ALGORITHMS", "KERNELS"]
