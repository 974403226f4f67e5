"""The launches that an algorithm makes for a problem, on arrays that take no memory."""

from dataclasses import dataclass
from unittest.mock import patch

import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.arrays import NUMPY, DeviceArray
from gpuconv.cuda.conv import implicit_gemm as conv_implicit_gemm
from gpuconv.cuda.runtime.gpu import H200, Chip
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import ConvSpec
from profiling.workloads import Spec

ALIGNMENT = 256  # of memory that CUDA hands out


@dataclass(frozen=True)
class Captured:
    """A launch with the arrays that its pointers stand for."""

    launch: Launch
    arrays: tuple[DeviceArray | None, ...]


def launches(spec: Spec, algorithm: Algorithm, chip: Chip = H200) -> list[Captured]:
    """What a call on contiguous arrays, without a bias, would queue on such a GPU."""
    found: list[Captured] = []
    y = array(spec.out_shape, spec.dtype, writeable=True)
    with (
        patch.object(Launch, "start", lambda self, output, *arrays: found.append(Captured(self, arrays))),
        patch.object(conv_implicit_gemm, "chip", lambda device: chip),
        patch.object(NUMPY, "scratch", lambda elements, like: array((elements,), "float32", writeable=True)),
    ):
        x = array((spec.N, spec.C, spec.H, spec.W), spec.dtype)
        if isinstance(spec, ConvSpec):
            w = array((spec.K, spec.C_group, spec.R, spec.S), spec.dtype)
            algorithm.run(spec, x, w, None, y)
        else:
            indices = array(spec.out_shape, "int64", writeable=True) if spec.return_indices else None
            algorithm.run(spec, x, y, indices)
    return [each for each in found if each.launch.blocks]


def array(shape: tuple[int, ...], dtype: str, writeable: bool = False) -> DeviceArray:
    """A contiguous array that is not there; its owner tells that it is NumPy's."""
    kind = np.dtype(dtype)
    strides = tuple(int(np.prod(shape[axis + 1 :])) * kind.itemsize for axis in range(len(shape)))
    return DeviceArray(ALIGNMENT, shape, strides, kind, 0, 0, writeable, owner=np.empty(0, kind))
