"""The convolutions of the CPU engine, in order of preference.

In their kernels (h, v) is a row and a column of an image, as w is the weights; (r, s) is a tap, (p, q) an
output.
"""

from gpuconv.algorithm import Algorithms
from gpuconv.cpu.conv import (
    batch,
    depthwise,
    depthwise_channels,
    direct,
    epilogue,
    implicit_gemm,
    mirrored,
    small,
    winograd,
)
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.spec.padding_mode import PADDING_MODES

_PLAIN = implicit_gemm.ALGORITHM, direct.ALGORITHM
_FEW_CHANNELS = (
    depthwise_channels.ALGORITHM, depthwise.ALGORITHM, batch.ALGORITHM, small.ALGORITHM,
)  # fmt: skip
SUMS: Algorithms = (*_FEW_CHANNELS, winograd.beside((*_FEW_CHANNELS, *_PLAIN)), *_PLAIN)
_MIRRORED = mirrored.over(SUMS)
ALGORITHMS: Algorithms = (
    *SUMS, _MIRRORED, epilogue.over((_MIRRORED, *SUMS), padding_mode=PADDING_MODES),
)  # fmt: skip
KERNELS: tuple[Kernel, ...] = (
    depthwise.slide_over_images,
    depthwise.slide_over_bands,
    depthwise_channels.slide_over_channels,
    batch.multiply_items,
    small.multiply_bands,
    *winograd.KERNELS,
    implicit_gemm.multiply_panels,
    direct.convolve_rows,
    epilogue.finish_planes,
    epilogue.finish_elements,
)

__all__ = ["ALGORITHMS", "KERNELS", "SUMS", "epilogue"]
