"""A bank of Gabor filters, as scikit-image's gallery tells textures apart by, in one call for all images.

Its `ndimage.convolve` filters one image by the real and by the imaginary part of one kernel at a time; here
the kernels are channels, and what they have in common, the image, is read once for all.
"""

from typing import Any

import numpy as np

import gpuconv


def bank_of(kernels: list[np.ndarray], dtype: Any = np.float32) -> np.ndarray:
    """Kernels of odd sizes as weights (2 K, 1, R, S), in the middle of zeros: real parts, then imaginary."""
    R, S = (max(extents) for extents in zip(*(kernel.shape for kernel in kernels), strict=True))
    bank = np.zeros((2, len(kernels), 1, R, S), dtype)
    for number, kernel in enumerate(kernels):
        rows, columns = ((large - small) // 2 for large, small in zip((R, S), kernel.shape, strict=True))
        window = slice(rows, rows + kernel.shape[0]), slice(columns, columns + kernel.shape[1])
        turned = kernel[::-1, ::-1]  # so that they are convolved
        bank[(0, number, 0, *window)], bank[(1, number, 0, *window)] = turned.real, turned.imag
    return bank.reshape(-1, 1, R, S)


def responses(images: np.ndarray, kernels: list[np.ndarray]) -> np.ndarray:
    """The magnitudes (N, K, H, W) of what kernels find in images (N, H, W), which go on around borders."""
    bank = bank_of(kernels, images.dtype)
    R, S = bank.shape[-2:]
    parts = gpuconv.conv2d(images[:, None], bank, padding=(R // 2, S // 2), padding_mode="circular")
    real, imaginary = parts[:, : len(kernels)], parts[:, len(kernels) :]
    return np.hypot(real, imaginary)


def features(images: np.ndarray, kernels: list[np.ndarray]) -> np.ndarray:
    """Mean and variance of each response, (N, K, 2): what textures are told apart by."""
    found = responses(images, kernels)
    means = gpuconv.adaptive_avg_pool2d(found, 1)
    variances = gpuconv.adaptive_avg_pool2d((found - means) ** 2, 1)
    return np.concatenate([means, variances], axis=-1)[..., 0, :]
