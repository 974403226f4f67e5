"""The CPU engine: NumPy arrays in, NumPy arrays out, compiled by `numba.njit`.

The algorithms stand here in order of preference; `gpuconv.algorithm.select` takes the first that is supported
and worthwhile.
"""

import numpy as np

from gpuconv.algorithm import Algorithm, select
from gpuconv.cpu.conv import batch as conv_batch
from gpuconv.cpu.conv import depthwise as conv_depthwise
from gpuconv.cpu.conv import depthwise_channels as conv_depthwise_channels
from gpuconv.cpu.conv import direct as conv_direct
from gpuconv.cpu.conv import implicit_gemm as conv_implicit_gemm
from gpuconv.cpu.conv import small as conv_small
from gpuconv.cpu.conv import winograd as conv_winograd
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.cpu.engine.workspace import call
from gpuconv.cpu.pool import direct as pool_direct
from gpuconv.cpu.pool import global_ as pool_global
from gpuconv.cpu.pool import separable as pool_separable
from gpuconv.cpu.pool import small as pool_small
from gpuconv.cpu.pool import widened as pool_widened
from gpuconv.spec import ConvSpec, PoolSpec

CONVOLUTIONS: tuple[Algorithm, ...] = (
    conv_depthwise_channels.ALGORITHM,
    conv_depthwise.ALGORITHM,
    conv_batch.ALGORITHM,
    conv_small.ALGORITHM,
    conv_winograd.ALGORITHM,
    conv_implicit_gemm.ALGORITHM,
    conv_direct.ALGORITHM,
)
_FLOAT_POOLS = (pool_global.ALGORITHM, pool_separable.ALGORITHM, pool_direct.ALGORITHM)
POOLS: tuple[Algorithm, ...] = (pool_widened.over(_FLOAT_POOLS), *_FLOAT_POOLS)
KERNELS: tuple[Kernel, ...] = (
    conv_depthwise.slide_over_images,
    conv_depthwise.slide_over_bands,
    conv_depthwise_channels.slide_over_channels,
    conv_batch.multiply_items,
    conv_small.multiply_bands,
    *conv_winograd.KERNELS,
    conv_implicit_gemm.multiply_panels,
    conv_direct.convolve_rows,
    pool_global.max_planes,
    pool_global.avg_planes,
    pool_separable.max_windows,
    pool_separable.avg_windows,
    pool_small.max_rows,
    pool_small.avg_rows,
    pool_direct.max_rows,
    pool_direct.avg_rows,
)


def conv2d(
    spec: ConvSpec,
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    algorithm: str | None = None,
) -> None:
    """Convolve x (N, C, H, W) with w (K, C / groups, R, S) into y (N, K, P, Q)."""
    chosen = select(CONVOLUTIONS, spec, algorithm)
    bias = None if bias is None else _native(bias)
    target = _target(y)
    with call:
        chosen.run(spec, _native(x), _native(w), bias, target)
    if target is not y:
        y[...] = target


def pool2d(
    spec: PoolSpec,
    x: np.ndarray,
    y: np.ndarray,
    indices: np.ndarray | None = None,
    algorithm: str | None = None,
) -> None:
    """Pool x (N, C, H, W) into y (N, C, P, Q), and the places of the maxima into indices (int64)."""
    chosen = select(POOLS, spec, algorithm)
    target = _target(y)
    with call:
        chosen.run(spec, _native(x), target, indices)
    if target is not y:
        y[...] = target


def _native(array: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order: itself, unless it is byte-swapped."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _target(y: np.ndarray) -> np.ndarray:
    """Where the engine writes y: y itself, unless it is byte-swapped."""
    return y if y.dtype.isnative else np.empty(y.shape, y.dtype.newbyteorder("="))
