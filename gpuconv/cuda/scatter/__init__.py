"""Values put where indices say, on a GPU: a max pool turned round, and its gradient by the input."""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.scatter import ordered

ALGORITHMS: tuple[Algorithm, ...] = (ordered.ALGORITHM,)
KERNELS: tuple[Kernel, ...] = ordered.KERNELS

__all__ = ["ALGORITHMS", "KERNELS"]
