"""Foreign arrays understood: which library, which device, where the elements lie, where results go.

The only room that knows array libraries. Each has one class that says how its arrays are viewed and how a
result is made (`libraries.py`, `frameworks.py`); a library that is not already imported is never imported
(CuPy alone, as part of the GPU engine, for objects that have no library of their own, and ml_dtypes, for
tensors of bfloat16). Below this room an array is a `numpy.ndarray` on the CPU, or a `DeviceArray` on a GPU
(`views.py`); bfloat16 is ml_dtypes' dtype.
"""

from functools import lru_cache
from sys import modules
from typing import Any, NamedTuple

import numpy as np

from gpuconv.arrays.frameworks import DLPackLibrary, JaxLibrary, TorchLibrary
from gpuconv.arrays.libraries import (
    GPU_ENGINE_HINT,
    CuPyLibrary,
    InterfaceLibrary,
    Library,
    NumbaLibrary,
)
from gpuconv.arrays.views import DeviceArray, View, dtype_of

__all__ = [
    "ALIGNED", "GPU_ENGINE_HINT", "NUMPY", "DeviceArray", "Glance", "Library", "View", "dtype_of", "glance",
    "library_of",
]  # fmt: skip

ALIGNED = 16  # bytes: where arrays begin within so many is all that a kernel may depend on
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


def _offers(array: Any, attribute: str) -> bool:
    try:
        return hasattr(array, attribute)
    except RuntimeError:  # torch's property for a tensor that requires grad; viewing it says what is wrong
        return True


class Glance(NamedTuple):
    """CuPy's arrays of a call: where they begin, and all else that matters; 0 and None for one left out.

    `layouts` hold shape, strides, dtype, device and the pointer's place within ALIGNED bytes; `device` is
    that of the first, `stream` the current one there.
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
        layouts.append((array.shape, array.strides, array.dtype, memory.device_id, pointer % ALIGNED))
    return Glance(pointers, tuple(layouts), device, modules["cupy"].cuda.get_current_stream(device).ptr)
