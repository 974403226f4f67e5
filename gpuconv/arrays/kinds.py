"""Of which library an array is, told by its type, and what is no array or more than one.

Kinds that are known not to be taken are told their own way (`hints.py`, `masks.py`). A subclass of a
library's arrays may carry more than they do, as a unit or a mask, and a result would lack it; so it is
refused where it takes part in what becomes of its arrays: where it has one of HOOKS from another package
than the libraries themselves. imageio's images have several, with their metadata; `numpy.memmap`,
`numpy.recarray` and `torch.nn.Parameter` are of the libraries, and what has none of them is an array by
another name.
"""

from collections.abc import Sequence
from functools import lru_cache
from inspect import getattr_static
from sys import modules
from typing import Any

import numpy as np

from gpuconv.arrays.frameworks import DLPackLibrary, JaxLibrary
from gpuconv.arrays.hints import hint_of, refusal, shown
from gpuconv.arrays.libraries import CuPyLibrary, InterfaceLibrary, Library, NumbaLibrary
from gpuconv.arrays.masks import ZERO, Fill, masked_kind, refuse_masked
from gpuconv.arrays.tensors import TorchLibrary

HOOKS = (
    "__array_finalize__", "__array_wrap__", "__array_ufunc__", "__array_function__",
    "__torch_function__", "__torch_dispatch__",
)  # fmt: skip
NUMPY, CUPY, _INTERFACE = Library(), CuPyLibrary(), InterfaceLibrary()
_BY_MODULE: dict[str, Library] = {
    "cupy": CUPY,
    "numba": NumbaLibrary(),
    "numba_cuda": NumbaLibrary(),
    "torch": TorchLibrary(),
    "jax": JaxLibrary(),
    "jaxlib": JaxLibrary(),
}
_LIBRARIES = frozenset({"numpy", *_BY_MODULE})


def library_of(array: Any, name: str, fill: Fill = ZERO) -> Library:
    """The library that `array`, the argument called `name`, belongs to; TypeError if it is not to be taken.

    `fill` is what is right for the operator in the place of a masked element.
    """
    kind: Any = type(array)
    if (known := named(kind)) is not None:
        return known
    refuse_masked(array, name, fill)
    if (hint := hint_of(kind)) is not None:
        raise refusal(kind, hint, name)
    if (base := _library(kind)) is not None:
        raise TypeError(
            f"{name} is of {shown(kind)}, which may carry more than an array of {base.name}, such as a unit "
            f"or a mask, and the result would lack it: pass {base.plain.format(name)}"
        )
    if not isinstance(array, np.generic | type):  # a class has the attributes of its arrays
        if _offers(array, "__cuda_array_interface__"):
            return _INTERFACE
        if _offers(array, "__dlpack__") and _offers(array, "__dlpack_device__"):
            return _exchanging(kind)
    is_array_like = hasattr(kind, "__array__") or isinstance(array, Sequence)
    can_be_copied = is_array_like and name != "out" and not isinstance(array, str | bytes)
    hint_of_numpy = " (numpy.asarray makes an array of it)" if can_be_copied else ""
    raise TypeError(
        f"{name} must be an array of NumPy, CuPy, Numba, torch or JAX, or have __cuda_array_interface__ or "
        f"__dlpack__; got {shown(kind)}{hint_of_numpy}"
    )


@lru_cache(maxsize=64)
def _exchanging(kind: type) -> DLPackLibrary:
    """The library of a type that speaks DLPack, with the function by which it takes arrays back, if any."""
    names = [base.__module__ for base in kind.__mro__ if base is not object]
    for name in names:
        while name:
            take = getattr(modules.get(name), "from_dlpack", None)
            if callable(take):
                return DLPackLibrary(take)
            name = name.rpartition(".")[0]
    return DLPackLibrary()


@lru_cache(maxsize=64)
def named(kind: type) -> Library | None:
    """The library of a type of arrays that are no more; asked of the type, which is quick."""
    library = _library(kind)
    is_more = masked_kind(kind) or hint_of(kind) or any(_is_foreign(kind, hook) for hook in HOOKS)
    return None if library is None or is_more else library


def _library(kind: type) -> Library | None:
    """The library that a type of arrays, or a base of it, is from."""
    if issubclass(kind, np.ndarray):
        return NUMPY
    if not any(hasattr(kind, protocol) for protocol in ("__cuda_array_interface__", "__dlpack__")):
        return None
    return next((_BY_MODULE[each] for each in map(_package, kind.__mro__) if each in _BY_MODULE), None)


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _is_foreign(kind: type, hook: str) -> bool:
    """Whether a type has the hook from a class that is of no library here."""
    owner = next((base for base in kind.__mro__ if hook in vars(base)), object)
    return owner is not object and _package(owner) not in _LIBRARIES


def _offers(array: Any, attribute: str) -> bool:
    """Whether the array or its class has the attribute.

    One that hands on what it is asked for, as pint's quantities do, has what only its values have. A property
    may say that this array has it not; whatever else it raises, viewing the array says what is wrong.
    """
    if getattr_static(array, attribute, None) is None:
        return False
    try:
        return hasattr(array, attribute)
    except Exception:
        return True
