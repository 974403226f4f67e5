"""The gradients of average pools by their input on a GPU, in order of preference."""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.pool_grad import shares
from gpuconv.cuda.runtime.compiled import Kernel

ALGORITHMS: tuple[Algorithm, ...] = (shares.ALGORITHM,)
KERNELS: tuple[Kernel, ...] = shares.KERNELS

__all__ = ["ALGORITHMS", "KERNELS"]
