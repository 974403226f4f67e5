"""What an array is below `gpuconv.arrays`: a `numpy.ndarray` on the CPU, or a `DeviceArray` on a GPU."""

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np


class DeviceArray(NamedTuple):
    """Where the elements of a GPU array lie: what a kernel needs, and no more.

    `strides` are in bytes, `device` is CUDA's ordinal, `stream` the handle that work on the array is ordered
    on, `owner` whatever keeps the memory alive.
    """

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    device: int
    stream: int
    writeable: bool = True
    owner: Any = None


View = np.ndarray | DeviceArray


def dtype_of(name: str) -> np.dtype:
    """NumPy's dtype of that name; bfloat16 is known where ml_dtypes is imported."""
    if name == "bfloat16":
        try:
            return np.dtype(import_module("ml_dtypes").bfloat16)
        except ImportError as error:
            raise TypeError("arrays of bfloat16 need ml_dtypes: pip install ml_dtypes") from error
    return np.dtype(name)
