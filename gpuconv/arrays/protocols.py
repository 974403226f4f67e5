"""The types of arrays and parameters in the signatures of the public functions."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar


class SupportsDLPack(Protocol):
    """An array that hands its memory to others by DLPack: NumPy's, CuPy's, PyTorch's, JAX's and more."""

    def __dlpack__(self, *arguments: Any, **keywords: Any) -> Any: ...

    def __dlpack_device__(self) -> tuple[int, int]: ...


class SupportsCudaArrayInterface(Protocol):
    """An array on a GPU, of Numba or CuPy, or whoever else says so."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...


class SupportsDask(Protocol):
    """An array of dask, or one of xarray, which may hold it: computed later."""

    def __dask_graph__(self) -> Any: ...


# One type for all arrays of a call, since they must be of one library
Array = TypeVar("Array", bound=SupportsDLPack | SupportsCudaArrayInterface | SupportsDask)
Sides = int | Sequence[int]  # one for both axes, or (height, width)
Padding = Sides | Sequence[Sequence[int]] | str
