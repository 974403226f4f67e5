"""Problems as the algorithms of the CPU engine see them: a spec, arrays as they lie, a processor."""

import math

import numpy as np

from gpuconv.algorithm import Algorithm, refusal
from gpuconv.cpu.engine.processor import Processor
from gpuconv.spec import ConvSpec, PoolSpec
from gpuconv.spec.layouts import ConvLayouts, Layout, Layouts, PoolLayouts, ResidualLayouts, conv_layouts
from gpuconv.threads import get_num_threads


def layout(array: np.ndarray) -> Layout:
    """How an array lies."""
    return Layout(array.shape, array.strides, array.dtype)


def plain(shape: tuple[int, ...], dtype: str) -> Layout:
    """A C-contiguous array; of an empty one NumPy says that all strides are 0."""
    kind = np.dtype(dtype)
    whole = kind.itemsize * (0 not in shape)
    return Layout(shape, tuple(whole * math.prod(shape[i + 1 :]) for i in range(len(shape))), kind)


def layouts(spec: ConvSpec | PoolSpec) -> Layouts:
    """C-contiguous arrays of a problem."""
    x, y = (plain(shape, spec.dtype) for shape in ((spec.N, spec.C, spec.H, spec.W), spec.out_shape))
    if isinstance(spec, PoolSpec):
        return PoolLayouts(x, y, plain(spec.out_shape, "int64") if spec.return_indices else None)
    residual = y if spec.epilogue.residual else None
    return conv_layouts(x, plain(spec.weight_shape, spec.dtype), None, residual, y)


def problem(spec: ConvSpec | PoolSpec, threads: int = 1) -> tuple:
    """The problem, of contiguous arrays, on so many threads."""
    return spec, layouts(spec), Processor(threads)


def refused(algorithm: Algorithm, spec: ConvSpec | PoolSpec) -> str | None:
    """Why the algorithm cannot run the problem, if its arrays are contiguous."""
    return refusal(algorithm, *problem(spec))


def run(algorithm: Algorithm, spec: ConvSpec | PoolSpec, *arrays: np.ndarray | None) -> None:
    """Plan the problem for these arrays as they lie, and compute it: nothing is remembered."""
    kind = PoolLayouts if isinstance(spec, PoolSpec) else ConvLayouts
    if isinstance(spec, ConvSpec) and spec.epilogue.residual:
        kind = ResidualLayouts
    made = kind(*(None if array is None else layout(array) for array in arrays))
    device = Processor(get_num_threads())
    assert refusal(algorithm, spec, made, device) is None
    algorithm.plan(spec, made, device)(*(array for array in arrays if array is not None))
