"""Arrays of JAX, and of whoever else speaks DLPack."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from gpuconv.arrays.dlpack import HandsOutBfloat16, exported, read_bfloat16
from gpuconv.arrays.idioms import DLPACK, DLPACK_ON_A_GPU, JAX
from gpuconv.arrays.libraries import CuPyLibrary, Library, cupy_of_the_engine
from gpuconv.arrays.refusals import Refused, wrong_dtype
from gpuconv.arrays.views import Signature, View
from gpuconv.spec.dtypes import BFLOAT16
from gpuconv.spec.idioms import Idioms

DLPACK_CPU = (1, 3)  # kDLCPU, and kDLCUDAHost: page-locked memory of the CPU
DLPACK_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged

_EXCHANGED = {
    np.dtype(code).name for code in "?" + np.typecodes["AllInteger"] + "efdFD"
}  # by NumPy, by DLPack


class DLPackLibrary(CuPyLibrary):
    """Any object with `__dlpack__`: it counts as NumPy's on the CPU and as CuPy's on the GPU.

    `take` is the `from_dlpack` of the library that it is of, by which results become its arrays.
    """

    name = "an object with __dlpack__"
    orders_its_own = False

    def __init__(self, take: Callable[[Any], Any] | None = None) -> None:
        self._take = take

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

    def finish(self, input: Signature, is_formatted: bool) -> Callable[[Any], Any] | None:
        return partial(_given_to, self._take) if self._take else None


def _given_to(take: Callable[[Any], Any], array: Any) -> Any:
    is_unknown_to_numpy = isinstance(array, np.ndarray) and array.dtype.name == BFLOAT16
    return take(HandsOutBfloat16(array) if is_unknown_to_numpy else array)


def _read(array: Any) -> np.ndarray:
    try:
        return np.from_dlpack(array)
    except Exception as error:
        dtype = exported(array).dtype
        if dtype in _EXCHANGED:
            raise
        if dtype == BFLOAT16:
            return read_bfloat16(array)
        raise wrong_dtype(dtype, "it cast to float32") from error


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
            raise Refused(
                "it is traced, as by jax.jit or jax.grad, and has no values to compute with: make the call "
                "outside, or use the functions of gpuconv.jax"
            )
        if array.is_deleted():
            raise TypeError("it was deleted, or given to a computation (donated)")
        if int(array.__dlpack_device__()[0]) in DLPACK_CPU:
            return np.asarray(array)  # the same memory, bfloat16 too, of which NumPy knows nothing by DLPack
        return super().view(array)

    def target(self, array: Any) -> View:
        view = self.view(array)
        return view if isinstance(view, np.ndarray) else view._replace(writeable=False)

    def finish(self, input: Signature, is_formatted: bool) -> Callable[[Any], Any] | None:
        return _as_jax


def _as_jax(array: Any) -> Any:
    if not isinstance(array, np.ndarray):
        return import_module("jax.numpy").from_dlpack(array)
    jax = import_module("jax")
    return jax.device_put(array, jax.local_devices(backend="cpu")[0])
