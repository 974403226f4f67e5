"""The gradients of pools of means and of norms by their input on a GPU, in order of preference."""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.pool_grad import norms, shares
from gpuconv.cuda.runtime.compiled import Kernel

ALGORITHMS: tuple[Algorithm, ...] = (shares.ALGORITHM, norms.ALGORITHM)
KERNELS: tuple[Kernel, ...] = (*shares.KERNELS, *norms.KERNELS)

__all__ = ["ALGORITHMS", "KERNELS"]
