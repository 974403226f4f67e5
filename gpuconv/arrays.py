"""Foreign arrays understood: which library, which device, where the elements lie, where results go.

The only file that knows array libraries. Each has one class here that says how its arrays are viewed and how
a result is made; a library that is not already imported is never imported (CuPy alone, as part of the GPU
engine, for objects that have no library of their own, and ml_dtypes, for tensors of bfloat16). Below this
file an array is a `numpy.ndarray` on the CPU, or a `DeviceArray` on a GPU; bfloat16 is ml_dtypes' dtype.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from operator import index
from sys import modules
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

GPU_ENGINE_HINT = "pip install 'gpuconv[cuda13]' (or [cuda12], after the CUDA version of your driver)"


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


class Library:
    """NumPy, and the pattern for every other library.

    `view` is the array as kernels see it, `beside` the view of another of this library made in the same call,
    `kind` the library whose arrays may stand beside one on `device`,
    `empty` a fresh array on the same device as `like`, and `publish` turns a filled array from `empty` into
    what the user gets, for libraries whose arrays are immutable.
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


class Glance(NamedTuple):
    """CuPy's arrays of a call: where they begin, and all else that matters; 0 and None for one left out.

    `layouts` hold shape, strides, dtype, device and the pointer's place within 16 bytes; `device` is that of
    the first, `stream` the current one there.
    """

    pointers: list[int]
    layouts: tuple[Any, ...]
    device: int
    stream: int


def glance(arrays: tuple[Any, ...]) -> Glance | None:
    """`arrays` at a glance, None unless they are of one type, which is CuPy's."""
    kind: Any = type(arrays[0])
    if _named(kind) is not _CUPY:
        return None
    device = arrays[0].data.device_id
    pointers: list[int] = []
    layouts: list[Any] = []
    for array in arrays:
        if array is None:
            pointers.append(0)
            layouts.append(None)
            continue
        if type(array) is not kind:
            return None
        memory = array.data
        pointer = memory.ptr
        pointers.append(pointer)
        layouts.append((array.shape, array.strides, array.dtype, memory.device_id, pointer % 16))
    return Glance(pointers, tuple(layouts), device, modules["cupy"].cuda.get_current_stream(device).ptr)


class InterfaceLibrary(CuPyLibrary):
    """Any object with `__cuda_array_interface__`: it counts as CuPy's, and so do results."""

    name = "an object with __cuda_array_interface__"

    def kind(self, device: int | None) -> str:
        return CuPyLibrary.name

    def view(self, array: Any, beside: Any = None) -> View:
        interface = array.__cuda_array_interface__
        if not isinstance(interface, dict):
            raise TypeError("its __cuda_array_interface__ is not a dictionary")
        cuda = _cupy_of_the_engine().cuda
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


class TorchLibrary(Library):
    name = "torch"

    def view(self, array: Any, beside: Any = None) -> View:
        torch = import_module("torch")
        if array.requires_grad and torch.is_grad_enabled():
            raise TypeError("it requires grad, which gpuconv does not record: pass tensor.detach()")
        if array.layout != torch.strided:
            raise TypeError(f"its layout is {array.layout}, not torch.strided")
        array = array.detach().resolve_conj().resolve_neg()
        if array.device.type == "cpu":
            if array.dtype == torch.bfloat16:
                return array.view(torch.int16).numpy().view(dtype_of("bfloat16"))
            return array.numpy()
        if array.device.type != "cuda":
            raise TypeError(f"its device is {array.device}; gpuconv computes on cpu and cuda")
        itemsize = array.element_size()
        return DeviceArray(
            array.data_ptr(),
            tuple(array.shape),
            tuple(step * itemsize for step in array.stride()),
            dtype_of(str(array.dtype).removeprefix("torch.")),
            array.device.index,
            torch.cuda.current_stream(array.device).cuda_stream,
            owner=array,
        )

    def empty(self, shape: tuple[int, ...], dtype: str, like: Any) -> Any:
        torch = import_module("torch")
        device = f"cuda:{like.device}" if isinstance(like, DeviceArray) else "cpu"
        return torch.empty(shape, dtype=getattr(torch, dtype), device=device)


class DLPackLibrary(CuPyLibrary):
    """Any object with `__dlpack__`: it counts as NumPy's on the CPU and as CuPy's on the GPU."""

    name = "an object with __dlpack__"

    def kind(self, device: int | None) -> str:
        return Library.name if device is None else CuPyLibrary.name

    def view(self, array: Any, beside: Any = None) -> View:
        device = int(array.__dlpack_device__()[0])
        if device in DLPACK_CPU:
            return np.from_dlpack(array)
        if device in DLPACK_CUDA:
            return super().view(_cupy_of_the_engine().from_dlpack(array))
        raise TypeError(f"its DLPack device type is {device}; gpuconv computes on the CPU (1) and CUDA (2)")

    def empty(self, shape: tuple[int, ...], dtype: str, like: Any) -> Any:
        if isinstance(like, DeviceArray):
            return super().empty(shape, dtype, like)
        return np.empty(shape, dtype_of(dtype))


class JaxLibrary(DLPackLibrary):
    """JAX arrays: viewed through DLPack; immutable, so a result is handed over when it is filled."""

    name = "JAX"

    def kind(self, device: int | None) -> str:
        return self.name

    def publish(self, array: Any) -> Any:
        return import_module("jax.numpy").from_dlpack(array)


DLPACK_CPU = (1, 3)  # kDLCPU, and kDLCUDAHost: page-locked memory of the CPU
DLPACK_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged

NUMPY, _CUPY, _INTERFACE, _DLPACK = Library(), CuPyLibrary(), InterfaceLibrary(), DLPackLibrary()
_BY_MODULE: dict[str, Library] = {
    "cupy": _CUPY,
    "numba": NumbaLibrary(),
    "numba_cuda": NumbaLibrary(),
    "torch": TorchLibrary(),
    "jax": JaxLibrary(),
    "jaxlib": JaxLibrary(),
}


def library_of(array: Any, name: str) -> Library:
    """The library that `array`, the argument called `name`, belongs to; TypeError if it is no array."""
    kind: Any = type(array)
    if (named := _named(kind)) is not None:
        return named
    if not isinstance(array, np.ndarray | np.generic | type):  # a class has the attributes of its arrays
        if _offers(array, "__cuda_array_interface__"):
            return _INTERFACE
        if _offers(array, "__dlpack__") and _offers(array, "__dlpack_device__"):
            return _DLPACK
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be a masked array: fill it first, {name}.filled(0)")
    raise TypeError(
        f"{name} must be an array of NumPy, CuPy, Numba, torch or JAX, or have __cuda_array_interface__ or "
        f"__dlpack__; got {kind.__module__}.{kind.__qualname__} (numpy.asarray makes an array of a sequence)"
    )


@lru_cache(maxsize=64)
def _named(kind: type) -> Library | None:
    """The library of a type of arrays; asked of the type, since an array's own answer takes a microsecond."""
    if issubclass(kind, np.ndarray):
        return None if issubclass(kind, np.ma.MaskedArray) else NUMPY
    if not any(hasattr(kind, protocol) for protocol in ("__cuda_array_interface__", "__dlpack__")):
        return None
    modules = (base.__module__.partition(".")[0] for base in kind.__mro__)
    return next((_BY_MODULE[module] for module in modules if module in _BY_MODULE), None)


def dtype_of(name: str) -> np.dtype:
    """NumPy's dtype of that name; bfloat16 is known where ml_dtypes is imported."""
    if name == "bfloat16":
        try:
            return np.dtype(import_module("ml_dtypes").bfloat16)
        except ImportError as error:
            raise TypeError("arrays of bfloat16 need ml_dtypes: pip install ml_dtypes") from error
    return np.dtype(name)


def _offers(array: Any, attribute: str) -> bool:
    try:
        return hasattr(array, attribute)
    except RuntimeError:  # torch's property for a tensor that requires grad; viewing it says what is wrong
        return True


def _cupy_of_the_engine() -> ModuleType:
    try:
        return import_module("cupy")
    except ImportError as error:
        raise ImportError(f"an array on a GPU, and no CuPy: {GPU_ENGINE_HINT}") from error


def _contiguous_strides(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    strides = [itemsize]
    for extent in reversed(shape[1:]):
        strides.append(strides[-1] * extent)
    return tuple(reversed(strides))
