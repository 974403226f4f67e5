"""Arrays of frameworks: tensors of torch, arrays of JAX, and whoever speaks DLPack."""

import ctypes
from functools import lru_cache
from importlib import import_module
from sys import modules
from typing import Any

import numpy as np

from gpuconv.arrays.libraries import CuPyLibrary, Library, cupy_of_the_engine
from gpuconv.arrays.views import DeviceArray, View, dtype_of
from gpuconv.spec.dtypes import BFLOAT16

DLPACK_CPU = (1, 3)  # kDLCPU, and kDLCUDAHost: page-locked memory of the CPU
DLPACK_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged
VERSIONED, READ_ONLY = b"dltensor_versioned", 1  # since DLPack 1.0


class _Versioned(ctypes.Structure):
    """The beginning of a DLManagedTensorVersioned."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
    )


_is_capsule = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class TorchLibrary(Library):
    name = "torch"

    def view(self, array: Any) -> View:
        if array.is_cpu:
            try:
                return array.numpy()
            except (TypeError, RuntimeError):  # it requires grad, is sparse, of bfloat16, ..
                pass
        return self._view(array)

    def _view(self, array: Any) -> View:
        """Of what torch does not hand over to NumPy as it is."""
        torch = import_module("torch")
        if array.is_nested:
            raise TypeError("it is nested: torch.nested.to_padded_tensor(tensor, 0) makes one of equal rows")
        if array.requires_grad and torch.is_grad_enabled():
            raise TypeError("it requires grad, which gpuconv does not record: pass tensor.detach()")
        if array.layout != torch.strided:
            raise TypeError(f"its layout is {array.layout}, not torch.strided")
        array = array.detach().resolve_conj().resolve_neg()
        if array.device.type == "cpu":
            if array.dtype == torch.bfloat16:
                return array.view(torch.int16).numpy().view(dtype_of(BFLOAT16))
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

    def empty(self, shape: tuple[int, ...], dtype: np.dtype, device: int | None) -> Any:
        torch = modules["torch"]
        if device is None:
            return torch.empty(shape, dtype=_torch_dtype(dtype))
        return torch.empty(shape, dtype=_torch_dtype(dtype), device=f"cuda:{device}")

    def address(self, array: Any) -> int:
        return array.data_ptr()

    def current_stream(self, device: int) -> int:
        return import_module("torch").cuda.current_stream(device).cuda_stream


@lru_cache(maxsize=16)
def _torch_dtype(dtype: np.dtype) -> Any:
    return getattr(modules["torch"], dtype.name)


class DLPackLibrary(CuPyLibrary):
    """Any object with `__dlpack__`: it counts as NumPy's on the CPU and as CuPy's on the GPU."""

    name = "an object with __dlpack__"
    orders_its_own = False

    def kind(self, device: int | None) -> str:
        return Library.name if device is None else CuPyLibrary.name

    def view(self, array: Any) -> View:
        device = int(array.__dlpack_device__()[0])
        if device in DLPACK_CPU:
            return np.from_dlpack(array)
        if device in DLPACK_CUDA:
            view: Any = super().view(cupy_of_the_engine().from_dlpack(array))
            return view._replace(writeable=not self.is_immutable(array))
        raise TypeError(f"its DLPack device type is {device}; gpuconv computes on the CPU (1) and CUDA (2)")

    def is_immutable(self, array: Any) -> bool:
        """Whether it says that it must not be written to, which CuPy does not look at."""
        try:
            capsule = array.__dlpack__(max_version=(1, 0))
        except (TypeError, BufferError):  # of before DLPack 1.0, in which nothing is said
            return False
        if not _is_capsule(capsule, VERSIONED):
            return False
        return bool(_Versioned.from_address(_pointer_of(capsule, VERSIONED)).flags & READ_ONLY)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype, device: int | None) -> Any:
        if device is not None:
            return super().empty(shape, dtype, device)
        return np.empty(shape, dtype)


class JaxLibrary(DLPackLibrary):
    """JAX arrays: viewed through DLPack; immutable, so a result is handed over when it is filled.

    Their memory belongs to a stream of JAX, which hands it on in the order of that alone.
    """

    name = "JAX"

    def kind(self, device: int | None) -> str:
        return self.name

    def is_immutable(self, array: Any) -> bool:
        return True

    def publish(self, array: Any) -> Any:
        return import_module("jax.numpy").from_dlpack(array)
