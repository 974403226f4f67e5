"""The convolutions of the CUDA engine, in order of preference: this list is the architecture on a page."""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.conv import (
    depthwise,
    depthwise_window,
    epilogue,
    implicit_gemm,
    mirrored,
    packed_gemm,
    split,
    stem,
    tiled,
    winograd,
)
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.spec.padding_mode import PADDING_MODES

SUMS: tuple[Algorithm, ...] = (
    depthwise.ALGORITHM,
    depthwise_window.ALGORITHM,
    stem.ALGORITHM,
    winograd.ALGORITHM,
    implicit_gemm.SPLIT_TF32,
    implicit_gemm.ROUNDED_TF32,
    implicit_gemm.ALGORITHM,
    packed_gemm.ALGORITHM,
    tiled.ALGORITHM,
)
_MIRRORED = mirrored.over(SUMS)
ALGORITHMS: tuple[Algorithm, ...] = (
    *SUMS, _MIRRORED, epilogue.over((_MIRRORED, *SUMS), padding_mode=PADDING_MODES),
)  # fmt: skip
KERNELS: tuple[Kernel, ...] = (
    *depthwise.KERNELS,
    *depthwise_window.KERNELS,
    *stem.KERNELS,
    *tiled.KERNELS,
    *implicit_gemm.KERNELS,
    *packed_gemm.KERNELS,
    *split.KERNELS,
    *winograd.KERNELS,
    *mirrored.KERNELS,
    *epilogue.KERNELS,
)
