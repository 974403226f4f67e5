"""The convolutions of the CUDA engine, in order of preference: this list is the architecture on a page."""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.conv import depthwise, depthwise_window, implicit_gemm, split, stem, tiled, winograd
from gpuconv.cuda.runtime.compiled import Kernel

ALGORITHMS: tuple[Algorithm, ...] = (
    depthwise.ALGORITHM,
    depthwise_window.ALGORITHM,
    stem.ALGORITHM,
    winograd.ALGORITHM,
    implicit_gemm.ALGORITHM,
    tiled.ALGORITHM,
)
KERNELS: tuple[Kernel, ...] = (
    *depthwise.KERNELS,
    *depthwise_window.KERNELS,
    *stem.KERNELS,
    *tiled.KERNELS,
    *implicit_gemm.KERNELS,
    split.KERNEL,
    *winograd.KERNELS,
)
