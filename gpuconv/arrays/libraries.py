"""The libraries of plain arrays: NumPy, CuPy, Numba, and whoever speaks CUDA's array interface.

Each class says how its library's arrays are viewed and how a result is made.
"""

from collections.abc import Callable
from importlib import import_module
from operator import index
from types import ModuleType
from typing import Any

import numpy as np

from gpuconv.arrays.idioms import CUPY, INTERFACE
from gpuconv.arrays.views import DeviceArray, Signature, View
from gpuconv.spec.dtypes import FLOAT32
from gpuconv.spec.idioms import NUMPY as NUMPY_IDIOMS
from gpuconv.spec.idioms import Idioms
from gpuconv.spec.layouts import contiguous_strides

_CHANNELS_LAST = np.empty((2, 2, 2, 2), np.bool_).transpose(0, 3, 1, 2)
LEGACY_STREAM = 1  # as the interface calls the default stream that CuPy, torch and the driver call 0
GPU_ENGINE_HINT = "pip install 'gpuconv[cuda13]' (or [cuda12], after the CUDA version of your driver)"


class Library:
    """NumPy, and the pattern for every other library.

    `begin` refuses a call in a state of its library that the call would not be seen in, and `wrote` is told
    of an `out` that was written to. `view` is the array as kernels see it, which may be a copy where
    `target`, of an array to be written to, is none, or says why it cannot be had. `kind` is the library
    whose arrays may stand beside one on `device`. `empty` is a fresh array on a device,
    `empty_channels_last` one of (N, C, H, W) on the CPU whose channels lie side by side, `current_stream`
    the stream that it is ordered on; of an array that is let go of the memory is used again in the order of
    that stream, or of any other work on it (`orders_its_own`). `scratch` is the address of float32 numbers
    to work in, and what keeps them; `orders` says whether they are ordered on a stream when they are let go
    of. `finish` is what makes of a filled array what the user gets, for an input with such a signature, of
    one from `empty_channels_last` if it `is_formatted`; None if it is that. `idioms` is how its users write
    what an error proposes.
    """

    name = "NumPy"
    plain = "numpy.asarray({})"  # what makes an array of this very library of one of a subclass
    orders_its_own = True

    def kind(self, device: int | None) -> str:
        return self.name

    def begin(self, names: tuple[str, ...], arrays: tuple[Any, ...]) -> None:
        pass

    def view(self, array: Any) -> View:
        return np.asarray(array)

    def target(self, array: Any) -> View:
        return self.view(array)

    def wrote(self, array: Any) -> None:
        pass

    def empty(self, shape: tuple[int, ...], dtype: np.dtype, device: int | None) -> Any:
        return np.empty(shape, dtype)

    def empty_channels_last(self, shape: tuple[int, ...], dtype: np.dtype, device: int | None) -> Any:
        return np.empty_like(_CHANNELS_LAST, dtype, "K", False, shape)  # which owns its memory

    def idioms(self, device: int | None) -> Idioms:
        return NUMPY_IDIOMS

    def current_stream(self, device: int) -> int:
        raise TypeError(f"arrays of {self.name} lie on no GPU")

    def address(self, array: Any) -> int:
        """Where an array from `empty` begins on a GPU."""
        view: Any = self.view(array)
        return view.pointer

    def scratch(self, elements: int, device: int) -> tuple[int, Any]:
        memory = self.empty((elements,), np.dtype(FLOAT32), device)
        return self.address(memory), memory

    def orders(self, device: int, stream: int) -> bool:
        return stream == self.current_stream(device)

    def finish(self, input: Signature, is_formatted: bool) -> Callable[[Any], Any] | None:
        return None


class CuPyLibrary(Library):
    name = "CuPy"
    plain = "cupy.asarray({})"

    def idioms(self, device: int | None) -> Idioms:
        return CUPY

    def view(self, array: Any) -> View:
        memory = array.data
        device = memory.device_id  # without making a Device
        stream = self.current_stream(device)
        return DeviceArray(memory.ptr, array.shape, array.strides, array.dtype, device, stream, True, array)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype, device: Any) -> Any:
        cupy = import_module("cupy")
        with cupy.cuda.Device(device):
            return cupy.empty(shape, dtype)

    def address(self, array: Any) -> int:
        return array.data.ptr

    def current_stream(self, device: int) -> int:
        return cupy_of_the_engine().cuda.get_current_stream(device).ptr


class InterfaceLibrary(CuPyLibrary):
    """Any object with `__cuda_array_interface__`: it counts as CuPy's, and so do results."""

    name = "an object with __cuda_array_interface__"
    orders_its_own = False

    def kind(self, device: int | None) -> str:
        return CuPyLibrary.name

    def idioms(self, device: int | None) -> Idioms:
        return INTERFACE

    def view(self, array: Any) -> View:
        interface = array.__cuda_array_interface__
        if not isinstance(interface, dict):
            raise TypeError("its __cuda_array_interface__ is not a dictionary")
        cuda = cupy_of_the_engine().cuda
        if interface.get("mask") is not None:
            raise TypeError("masked arrays are not supported")
        pointer, readonly = interface["data"]
        shape, dtype = tuple(map(index, interface["shape"])), np.dtype(interface["typestr"])
        if dtype.kind == "V":  # it says no more of bfloat16, which the array itself may know
            dtype = np.dtype(getattr(array, "dtype", dtype))
        pointer = index(pointer or 0)
        device = cuda.runtime.pointerGetAttributes(pointer).device if pointer else cuda.Device().id
        stream = interface.get("stream")
        if stream is None:
            stream = self.current_stream(device)
        elif stream == LEGACY_STREAM:
            stream = 0
        strides = tuple(map(index, interface.get("strides") or contiguous_strides(shape, dtype.itemsize)))
        if len(strides) != len(shape):
            raise TypeError(f"it has {len(strides)} strides for {len(shape)} axes")
        return DeviceArray(pointer, shape, strides, dtype, device, stream, not readonly, array)


class NumbaLibrary(InterfaceLibrary):
    """Numba's device arrays: without a stream of their own they are ordered on the default stream."""

    name = "Numba"
    orders_its_own = True  # it waits for the device before it frees

    def kind(self, device: int | None) -> str:
        return self.name

    def address(self, array: Any) -> int:
        return Library.address(self, array)

    def current_stream(self, device: int) -> int:
        return 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype, device: Any) -> Any:
        cuda = import_module("numba.cuda")
        with cuda.gpus[device]:
            return cuda.device_array(shape, dtype)

    def orders(self, device: int, stream: int) -> bool:
        return False  # it waits for the device to take and to free memory


def cupy_of_the_engine() -> ModuleType:
    try:
        return import_module("cupy")
    except ImportError as error:
        raise ImportError(f"an array on a GPU, and no CuPy: {GPU_ENGINE_HINT}") from error
