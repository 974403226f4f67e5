"""Windows of images as columns of a matrix, and added up again, on a GPU, in order of preference."""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.unfold import copies, sums

ALGORITHMS: tuple[Algorithm, ...] = (copies.ALGORITHM, sums.ALGORITHM)
KERNELS: tuple[Kernel, ...] = (*copies.KERNELS, *sums.KERNELS)

__all__ = ["ALGORITHMS", "KERNELS"]
