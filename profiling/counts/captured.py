"""The launches that an algorithm makes for a problem, on arrays that take no memory."""

from dataclasses import dataclass
from unittest.mock import patch

import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.arrays import NUMPY, DeviceArray, dtype_of
from gpuconv.cuda.conv import implicit_gemm as conv_implicit_gemm
from gpuconv.cuda.runtime.gpu import H200, Chip
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import ConvSpec, Spec

SINGLE = np.dtype(np.float32)
SINGLE = np.dtype(np.float32)
X, W, Y, INDICES, SCRATCH = (number << 40 for number in range(1, 6))  # where the arrays are said to begin


@dataclass(frozen=True)
class Captured:
    """A launch with the arrays that its pointers stand for."""

    launch: Launch
    arrays: tuple[DeviceArray | None, ...]


def launches(spec: Spec, algorithm: Algorithm, chip: Chip = H200) -> list[Captured]:
    """What a call on contiguous arrays, without a bias, would queue on such a GPU."""
    found: list[Captured] = []
    y = array(Y, spec.out_shape, dtype_of(spec.dtype), writeable=True)
    with (
        patch.object(Launch, "start", lambda self, output, *arrays: found.append(Captured(self, arrays))),
        patch.object(conv_implicit_gemm, "chip", lambda device: chip),
        patch.object(NUMPY, "scratch", lambda elements, like: array(SCRATCH, (elements,), SINGLE, True)),
    ):
        x = array(X, (spec.N, spec.C, spec.H, spec.W), dtype_of(spec.dtype))
        if isinstance(spec, ConvSpec):
            w = array(W, (spec.K, spec.C_group, spec.R, spec.S), dtype_of(spec.dtype))
            algorithm.run(spec, x, w, None, y)
        else:
            places = array(INDICES, spec.out_shape, np.dtype(np.int64), True) if spec.return_indices else None
            algorithm.run(spec, x, y, places)
    return [each for each in found if each.launch.blocks]


def array(pointer: int, shape: tuple[int, ...], dtype: np.dtype, writeable: bool = False) -> DeviceArray:
    """A contiguous array that is not there; its owner tells that it is NumPy's."""
    strides = tuple(int(np.prod(shape[axis + 1 :])) * dtype.itemsize for axis in range(len(shape)))
    return DeviceArray(pointer, shape, strides, dtype, 0, 0, writeable, owner=np.empty(0, dtype))
