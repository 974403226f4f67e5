"""The convolutions of the CUDA engine, in order of preference."""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.runtime.compiled import Kernel

ALGORITHMS: tuple[Algorithm, ...] = ()
KERNELS: tuple[Kernel, ...] = ()
