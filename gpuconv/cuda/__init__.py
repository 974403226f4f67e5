"""The CUDA engine: arrays on a GPU, kernels in Numba CUDA, launched on the caller's stream.

The algorithms stand here in order of preference; `gpuconv.algorithm.select` takes the first that is supported
and worthwhile. Importing this package needs no GPU, so that kernels can be compiled where there is none.
"""

from typing import Any

from gpuconv.algorithm import Algorithm, select
from gpuconv.arrays import DeviceArray
from gpuconv.cuda.conv import depthwise as conv_depthwise
from gpuconv.cuda.conv import implicit_gemm as conv_implicit_gemm
from gpuconv.cuda.conv import stem as conv_stem
from gpuconv.cuda.conv import tiled as conv_tiled
from gpuconv.cuda.conv import winograd as conv_winograd
from gpuconv.cuda.pool import direct as pool_direct
from gpuconv.cuda.pool import global_ as pool_global
from gpuconv.cuda.pool import rows as pool_rows
from gpuconv.cuda.pool import separable as pool_separable
from gpuconv.cuda.runtime.compiled import ARCHITECTURES, Kernel
from gpuconv.cuda.runtime.launch import refuse_forked_child
from gpuconv.spec import ConvSpec, PoolSpec

CONVOLUTIONS: tuple[Algorithm, ...] = (
    conv_depthwise.ALGORITHM, conv_stem.ALGORITHM, conv_winograd.ALGORITHM, conv_implicit_gemm.ALGORITHM,
    conv_tiled.ALGORITHM,
)  # fmt: skip
POOLS: tuple[Algorithm, ...] = (
    pool_global.ALGORITHM, pool_rows.ALGORITHM, pool_separable.ALGORITHM, pool_direct.ALGORITHM,
)  # fmt: skip
KERNELS: tuple[Kernel, ...] = (
    *conv_depthwise.KERNELS, *conv_stem.KERNELS, *conv_tiled.KERNELS, *conv_implicit_gemm.KERNELS,
    *conv_winograd.KERNELS, *pool_global.KERNELS, *pool_rows.KERNELS, *pool_separable.KERNELS,
    *pool_direct.KERNELS,
)  # fmt: skip

__all__ = ["ARCHITECTURES", "CONVOLUTIONS", "KERNELS", "POOLS", "conv2d", "pool2d", "refuse_forked_child"]


def conv2d(
    spec: ConvSpec,
    x: DeviceArray,
    w: DeviceArray,
    bias: DeviceArray | None,
    y: DeviceArray,
    algorithm: str | None = None,
) -> Any:
    """Convolve x (N, C, H, W) with w (K, C / groups, R, S) into y (N, K, P, Q), on the stream of y.

    Returns what was launched: with `queue`, it can be queued again on arrays that lie likewise.
    """
    return select(CONVOLUTIONS, spec, algorithm).run(spec, x, w, bias, y)


def pool2d(
    spec: PoolSpec,
    x: DeviceArray,
    y: DeviceArray,
    indices: DeviceArray | None = None,
    algorithm: str | None = None,
) -> Any:
    """Pool x (N, C, H, W) into y (N, C, P, Q), and the places of the maxima into indices (int64).

    Returns what was launched, as `conv2d` does.
    """
    return select(POOLS, spec, algorithm).run(spec, x, y, indices)
