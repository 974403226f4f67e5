"""The libraries of plain arrays: NumPy, CuPy, Numba, and whoever speaks CUDA's array interface.

Each class says how its library's arrays are viewed and how a result is made.
"""

from collections.abc import Sequence
from importlib import import_module
from operator import index
from sys import modules
from types import ModuleType
from typing import Any

import numpy as np

from gpuconv.arrays.views import DeviceArray, View, dtype_of

GPU_ENGINE_HINT = "pip install 'gpuconv[cuda13]' (or [cuda12], after the CUDA version of your driver)"


class Library:
    """NumPy, and the pattern for every other library.

    `view` is the array as kernels see it, `beside` the view of another array of this library in the same
    call; `kind` the library whose arrays may stand beside one on `device`, `empty` a fresh array on the same
    device as `like`, and `publish` turns a filled array from `empty` into what the user gets, for libraries
    whose arrays are immutable.
    """

    name = "NumPy"

    def kind(self, device: int | None) -> str:
        return self.name

    def view(self, array: Any, beside: Any = None) -> View:
        return np.asarray(array)

    def empty(self, shape: tuple[int, ...], dtype: str, like: Any) -> Any:
        return np.empty(shape, dtype_of(dtype))

    def scratch(self, elements: int, like: Any) -> Any:
        """Memory for float32 numbers that may be used on the stream of `like`, until it is let go of."""
        return self.view(self.empty((elements,), "float32", like))

    def publish(self, array: Any) -> Any:
        return array


class CuPyLibrary(Library):
    name = "CuPy"

    def view(self, array: Any, beside: Any = None) -> View:
        memory = array.data
        device = memory.device_id  # without making a Device
        if beside is not None and beside.device == device:
            stream = beside.stream
        else:
            stream = modules["cupy"].cuda.get_current_stream(device).ptr
        return DeviceArray(memory.ptr, array.shape, array.strides, array.dtype, device, stream, True, array)

    def empty(self, shape: tuple[int, ...], dtype: str, like: Any) -> Any:
        cupy = import_module("cupy")
        with cupy.cuda.Device(like.device):
            return cupy.empty(shape, dtype_of(dtype))

    def scratch(self, elements: int, like: Any) -> Any:
        cuda = import_module("cupy").cuda
        if cuda.get_current_stream(like.device).ptr == like.stream:
            return CuPyLibrary.view(self, CuPyLibrary.empty(self, (elements,), "float32", like))
        # CuPy hands memory that is let go of to the next taker on the stream it was taken on.
        with cuda.Device(like.device), cuda.ExternalStream(like.stream, like.device):
            return CuPyLibrary.view(self, CuPyLibrary.empty(self, (elements,), "float32", like))


class InterfaceLibrary(CuPyLibrary):
    """Any object with `__cuda_array_interface__`: it counts as CuPy's, and so do results."""

    name = "an object with __cuda_array_interface__"

    def kind(self, device: int | None) -> str:
        return CuPyLibrary.name

    def view(self, array: Any, beside: Any = None) -> View:
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
        device = cuda.runtime.pointerGetAttributes(pointer).device if pointer else cuda.Device().id
        stream = interface.get("stream")
        if stream is None:
            stream = self.stream_without_producer(device)
        strides = interface.get("strides") or _contiguous_strides(shape, dtype.itemsize)
        return DeviceArray(pointer, shape, tuple(strides), dtype, device, stream, not readonly, array)

    def stream_without_producer(self, device: int) -> int:
        return import_module("cupy").cuda.get_current_stream(device).ptr


class NumbaLibrary(InterfaceLibrary):
    """Numba's device arrays: without a stream of their own they are ordered on the default stream."""

    name = "Numba"

    def kind(self, device: int | None) -> str:
        return self.name

    def stream_without_producer(self, device: int) -> int:
        return 0

    def empty(self, shape: tuple[int, ...], dtype: str, like: Any) -> Any:
        cuda = import_module("numba.cuda")
        with cuda.gpus[like.device]:
            return cuda.device_array(shape, dtype_of(dtype))

    def scratch(self, elements: int, like: Any) -> Any:
        return Library.scratch(self, elements, like)


def cupy_of_the_engine() -> ModuleType:
    try:
        return import_module("cupy")
    except ImportError as error:
        raise ImportError(f"an array on a GPU, and no CuPy: {GPU_ENGINE_HINT}") from error


def _contiguous_strides(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    strides = [itemsize]
    for extent in reversed(shape[1:]):
        strides.append(strides[-1] * extent)
    return tuple(reversed(strides))
