"""The convolutions of the CPU engine, in order of preference.

In their kernels (h, v) is a row and a column of an image, as w is the weights; (r, s) is a tap, (p, q) an
output.
"""

from gpuconv.algorithm import Algorithms
from gpuconv.cpu.conv import (
    batch,
    channels_last,
    depthwise,
    depthwise_channels,
    depthwise_pixels,
    direct,
    dots,
    epilogue,
    fft,
    implicit_gemm,
    integers,
    mirrored,
    parted,
    quads,
    regions,
    relaid,
    simplified,
    small,
    widened,
    winograd,
)
from gpuconv.cpu.engine import planes
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.cpu.engine.epilogue import finish_plane

_PLAIN = tuple(map(simplified.over, (implicit_gemm.ALGORITHM, dots.ALGORITHM, direct.ALGORITHM)))
_FEW_CHANNELS = (
    simplified.over(depthwise_channels.ALGORITHM, by_rows=False), simplified.over(depthwise.ALGORITHM),
    simplified.over(batch.ALGORITHM, by_rows=False), simplified.over(small.ALGORITHM),
)  # fmt: skip
_WHOLE = *_FEW_CHANNELS, winograd.beside((*_FEW_CHANNELS, *_PLAIN)), *_PLAIN
_OF_PLANES: Algorithms = (*_WHOLE, simplified.over(fft.beside(_WHOLE)), regions.over(_WHOLE))
_OF_PIXELS = simplified.over(depthwise_pixels.ALGORITHM), simplified.over(channels_last.ALGORITHM)
SUMS: Algorithms = (*map(relaid.beside, _OF_PLANES), *_OF_PIXELS, relaid.over(_OF_PLANES))
_EXACT = *SUMS, parted.over(SUMS), quads.ALGORITHM, integers.over(SUMS)
_FINISHED = *_EXACT, epilogue.over(_EXACT)
_OF_ZEROS = *_FINISHED, widened.over(_FINISHED)
ALGORITHMS: Algorithms = (*_OF_ZEROS, mirrored.over(_OF_ZEROS))
KERNELS: tuple[Kernel, ...] = (
    depthwise.slide_over_images,
    depthwise.slide_over_bands,
    depthwise_channels.slide_over_channels,
    batch.multiply_items,
    small.multiply_bands,
    *winograd.KERNELS,
    implicit_gemm.multiply_panels,
    dots.multiply_windows,
    direct.convolve_rows,
    depthwise_pixels.slide_over_pixels,
    channels_last.multiply_pixels,
    relaid.turn_images,
    *planes.KERNELS,
    *parted.KERNELS,
    *quads.KERNELS,
    *integers.KERNELS,
    epilogue.finish_planes,
    finish_plane,
)

__all__ = ["ALGORITHMS", "KERNELS", "SUMS", "epilogue"]
