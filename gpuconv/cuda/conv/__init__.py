"""The convolutions of the CUDA engine, in order of preference: this list is the architecture on a page."""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.conv import implicit_gemm, split, tiled, winograd
from gpuconv.cuda.runtime.compiled import Kernel

ALGORITHMS: tuple[Algorithm, ...] = (winograd.ALGORITHM, implicit_gemm.ALGORITHM, tiled.ALGORITHM)
KERNELS: tuple[Kernel, ...] = (*tiled.KERNELS, *implicit_gemm.KERNELS, split.KERNEL, *winograd.KERNELS)
