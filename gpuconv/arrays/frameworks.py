"""Arrays of frameworks: tensors of torch, arrays of JAX, and whoever speaks DLPack."""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from sys import modules
from typing import Any

import numpy as np

from gpuconv.arrays.dlpack import exported
from gpuconv.arrays.idioms import DLPACK, DLPACK_ON_A_GPU, JAX, TORCH
from gpuconv.arrays.libraries import CuPyLibrary, Library, cupy_of_the_engine
from gpuconv.arrays.memory import is_channels_last
from gpuconv.arrays.views import DeviceArray, Signature, View, dtype_of
from gpuconv.spec.dtypes import BFLOAT16
from gpuconv.spec.idioms import Idioms

DLPACK_CPU = (1, 3)  # kDLCPU, and kDLCUDAHost: page-locked memory of the CPU
DLPACK_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged

_EXCHANGED = {
    np.dtype(code).name for code in "?" + np.typecodes["AllInteger"] + "efdFD"
}  # by NumPy, by DLPack


class TorchLibrary(Library):
    name = "torch"
    plain = "{}.as_subclass(torch.Tensor)"

    def idioms(self, device: int | None) -> Idioms:
        return TORCH

    def view(self, array: Any) -> View:
        if array.is_cpu:
            try:
                return array.numpy()
            except (TypeError, RuntimeError):  # it requires grad, is sparse, of bfloat16, ..
                pass
        return self._view(array)

    def target(self, array: Any) -> View:
        if array.is_conj():  # what is written beneath such a bit reads otherwise, and `view` would be a copy
            raise TypeError("it is conjugated lazily: pass out.resolve_conj()")
        if array.is_neg():
            raise TypeError("it is negated lazily: pass out.resolve_neg()")
        return self.view(array)

    def _view(self, array: Any) -> View:
        """Of what torch does not hand over to NumPy as it is."""
        torch = import_module("torch")
        if array.is_nested:
            raise TypeError("it is nested: torch.nested.to_padded_tensor(tensor, 0) makes one of equal rows")
        if array.requires_grad and torch.is_grad_enabled():
            raise TypeError("it requires grad, which gpuconv does not record: pass tensor.detach()")
        if array.layout != torch.strided:
            raise TypeError(f"its layout is {array.layout}, not torch.strided: pass tensor.to_dense()")
        array = array.detach().resolve_conj().resolve_neg()
        if array.device.type == "cpu":
            if array.dtype == torch.bfloat16:
                return array.view(torch.int16).numpy().view(dtype_of(BFLOAT16))
            return array.numpy()
        if array.device.type != "cuda":
            raise TypeError(f"its device is {array.device}; gpuconv computes on cpu and cuda")
        pointer, itemsize = array.data_ptr(), array.element_size()
        if not pointer and array.numel():  # of shapes alone, or of tensors within
            raise TypeError("its elements lie nowhere")
        return DeviceArray(
            pointer,
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

    def empty_channels_last(self, shape: tuple[int, ...], dtype: np.dtype, device: int | None) -> Any:
        torch = modules["torch"]
        return torch.empty(shape, dtype=_torch_dtype(dtype), memory_format=torch.channels_last)

    def finish(self, input: Signature) -> Callable[[Any], Any] | None:
        return self._channels_last if is_channels_last(input.shape, input.strides) else None

    def _channels_last(self, array: Any) -> Any:
        """A copy whose channels lie side by side, where the kernels do not write it so.

        On the CPU NumPy copies, since torch's threads would be left spinning beside those of the next call.
        """
        torch: Any = modules["torch"]
        last = torch.empty_like(array, memory_format=torch.channels_last)
        if array.is_cpu:
            target: Any = self.view(last)
            target[...] = self.view(array)
        else:
            last.copy_(array)
        return last

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

    def idioms(self, device: int | None) -> Idioms:
        return DLPACK if device is None else DLPACK_ON_A_GPU

    def view(self, array: Any) -> View:
        device = int(array.__dlpack_device__()[0])
        if device in DLPACK_CPU:
            return _read(array)
        if device in DLPACK_CUDA:
            return super().view(cupy_of_the_engine().from_dlpack(array))
        raise TypeError(f"its DLPack device type is {device}; gpuconv computes on the CPU (1) and CUDA (2)")

    def target(self, array: Any) -> View:
        view, now = self.view(array), exported(array)
        address = view.ctypes.data if isinstance(view, np.ndarray) else view.pointer
        if now.is_copy or (0 not in view.shape and now.address != address):  # a copy lies elsewhere each time
            raise TypeError("its __dlpack__ hands out a copy")
        if isinstance(view, np.ndarray):
            return view
        return view._replace(writeable=not now.is_read_only)  # CuPy does not look at it

    def empty(self, shape: tuple[int, ...], dtype: np.dtype, device: int | None) -> Any:
        if device is not None:
            return super().empty(shape, dtype, device)
        return np.empty(shape, dtype)


def _read(array: Any) -> np.ndarray:
    try:
        return np.from_dlpack(array)
    except Exception as error:
        dtype = exported(array).dtype
        if dtype in _EXCHANGED:
            raise
        raise TypeError(
            f"its dtype is {dtype}, which NumPy does not read by DLPack: cast it to float32, or for bfloat16 "
            "pass a tensor of torch, an array of JAX, or one of NumPy and ml_dtypes"
        ) from error


class JaxLibrary(DLPackLibrary):
    """JAX arrays: immutable, so a result is handed over when it is filled; on a GPU viewed through DLPack.

    Their memory belongs to a stream of JAX, which hands it on in the order of that alone.
    """

    name = "JAX"

    def kind(self, device: int | None) -> str:
        return self.name

    def idioms(self, device: int | None) -> Idioms:
        return JAX

    def view(self, array: Any) -> View:
        if not hasattr(array, "__dlpack_device__"):
            raise TypeError("it is traced, as by jax.jit or jax.grad, and has no values to compute with")
        if array.is_deleted():
            raise TypeError("it was deleted, or given to a computation (donated)")
        if int(array.__dlpack_device__()[0]) in DLPACK_CPU:
            return np.asarray(array)  # the same memory, bfloat16 too, of which NumPy knows nothing by DLPack
        return super().view(array)

    def target(self, array: Any) -> View:
        view = self.view(array)
        return view if isinstance(view, np.ndarray) else view._replace(writeable=False)

    def finish(self, input: Signature) -> Callable[[Any], Any] | None:
        return _as_jax


def _as_jax(array: Any) -> Any:
    if not isinstance(array, np.ndarray):
        return import_module("jax.numpy").from_dlpack(array)
    jax = import_module("jax")
    return jax.device_put(array, jax.local_devices(backend="cpu")[0])
