"""The CPU engine: NumPy arrays in, NumPy arrays out, compiled by `numba.njit`."""

import functools

import numpy as np

from gpuconv.algorithm import Algorithms, select
from gpuconv.cpu import conv, pool
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import call
from gpuconv.spec import ConvSpec, PoolSpec
from gpuconv.spec.layouts import ConvLayouts, Layout, PoolLayouts
from gpuconv.threads import get_num_threads
from gpuconv.workspace import when_limit_changes

CONVOLUTIONS, POOLS = conv.ALGORITHMS, pool.ALGORITHMS
KERNELS: tuple[Kernel, ...] = (*conv.KERNELS, *pool.KERNELS)


def conv2d(
    spec: ConvSpec,
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    algorithm: str | None = None,
) -> None:
    """Convolve x (N, C, H, W) with w (K, C / groups, R, S) into y (N, K, P, Q)."""
    w = np.ascontiguousarray(_native(w))
    b = np.zeros(spec.K, w.dtype) if bias is None else np.ascontiguousarray(_native(bias))
    x, target = _native(x), _target(y)
    layouts = ConvLayouts(_layout(x), _layout(w), None if bias is None else _layout(b), _layout(target))
    with call:
        planned(CONVOLUTIONS, spec, layouts, Processor(get_num_threads()), algorithm)(x, w, b, target)
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
    x, target = _native(x), _target(y)
    layouts = PoolLayouts(_layout(x), _layout(target), None if indices is None else _layout(indices))
    with call:
        planned(POOLS, spec, layouts, Processor(get_num_threads()), algorithm)(x, target, indices)
    if target is not y:
        y[...] = target


@functools.lru_cache(maxsize=256)
def planned(algorithms: Algorithms, spec, layouts, device: Processor, name: str | None):
    """The function of the arrays that computes such a problem."""
    return select(algorithms, spec, layouts, device, name).plan(spec, layouts, device)


when_limit_changes(planned.cache_clear)


def _layout(array: np.ndarray) -> Layout:
    return Layout(array.shape, array.strides, array.dtype)


def _native(array: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order: itself, unless it is byte-swapped."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _target(y: np.ndarray) -> np.ndarray:
    """Where the engine writes y: y itself, unless it is byte-swapped."""
    return y if y.dtype.isnative else np.empty(y.shape, y.dtype.newbyteorder("="))
