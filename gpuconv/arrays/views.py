"""What a foreign array is: a `numpy.ndarray` on the CPU, or a `DeviceArray` on a GPU; and its signature."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpuconv.spec.dtypes import BFLOAT16
from gpuconv.spec.idioms import Idioms

if TYPE_CHECKING:
    from gpuconv.arrays.libraries import Library


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


class Signature(NamedTuple):
    """All that is known of an array but where it lies: equal for the arrays of two calls of one kind.

    `strides` are in bytes, `device` is CUDA's ordinal, None for the CPU; `offset` is the address on a GPU
    modulo `ALIGNED`. Whether an array on the CPU is writeable is asked when it is written to.
    """

    library: "Library"
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    device: int | None = None
    offset: int = 0
    writeable: bool = True

    @property
    def idioms(self) -> Idioms:
        """How its users write what an error proposes."""
        return self.library.idioms(self.device)

    @property
    def place(self) -> str:
        return "the CPU" if self.device is None else f"GPU {self.device}"


def dtype_of(name: str) -> np.dtype:
    """NumPy's dtype of that name; bfloat16 is known where ml_dtypes is imported."""
    return BFLOAT16.numpy if name == BFLOAT16 else np.dtype(name)
