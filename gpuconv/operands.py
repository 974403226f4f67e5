"""The arrays of one call: of one library, on one device, and which backend computes on them.

`api` makes one `Operands` per call; from there on kernels see views, and the user gets `Result.publish()`.
"""

from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from gpuconv.arrays import GPU_ENGINE_HINT, NUMPY, DeviceArray, Library, View, library_of
from gpuconv.memory import extent_of, is_aligned, overlap
from gpuconv.spec import check_out

OPTIONAL = ("bias", "out")  # where None means that there is none


class Operands:
    """The arrays of one call by argument name: of one library, on one device, viewed as kernels see them.

    Raises
    ------
    TypeError
        If one of them is no array, or they are of two libraries.
    ValueError
        If they lie on two devices.
    """

    def __init__(self, **arrays: Any) -> None:
        self.arrays = arrays
        self.views: dict[str, View] = {}
        libraries = {}
        for name, array in arrays.items():
            if array is None and name in OPTIONAL:
                continue
            libraries[name] = library = library_of(array, name)
            self.views[name] = _view(library, array, name)
        self.library = libraries["input"]
        if not all(library is NUMPY for library in libraries.values()):
            self._check_together(libraries)

    def _check_together(self, libraries: dict[str, Library]) -> None:
        kind = self.library.kind(self.views["input"])
        for name, library in libraries.items():
            if library is not self.library and library.kind(self.views[name]) != kind:
                raise TypeError(
                    f"{name} is of {library.name} and input of {self.library.name}: the arrays of one call "
                    "must be of one library"
                )
        input = self.views["input"]
        for name, view in self.views.items():
            if _device(view) != _device(input):
                raise ValueError(
                    f"{name} is on {_place(view)} and input on {_place(input)}: nothing is moved between "
                    "devices"
                )

    def __getitem__(self, name: str) -> View | None:
        return self.views.get(name)

    @property
    def backend(self) -> ModuleType:
        """`gpuconv.cpu` or `gpuconv.cuda`, imported when it is first asked for."""
        if isinstance(self.views["input"], np.ndarray):
            return import_module("gpuconv.cpu")
        backend = _cuda()
        backend.refuse_forked_child()
        return backend

    def batched(self, name: str) -> View:
        """The view of an input as a batch: (1, C, H, W) where the user gave (C, H, W)."""
        return _batched(self.views[name])

    def result(self, shape: tuple[int, ...], dtype: str, out: str = "out") -> "Result":
        """The array for a result of the batch shape `shape`: the user's own, checked, or a fresh one."""
        like = self.views["input"]
        if len(like.shape) == 3:
            shape = shape[1:]
        if out not in self.views:
            array = self.library.empty(shape, dtype, like)
            return Result(array, _batched(library_of(array, "the result").view(array)), self.library)
        view = self.views[out]
        check_out(view, shape, dtype)
        self._check_writable(view, out)
        return Result(self.arrays[out], _batched(view), NUMPY)

    def _check_writable(self, view: View, out: str) -> None:
        writeable = view.flags.writeable if isinstance(view, np.ndarray) else view.writeable
        if not writeable:
            raise ValueError(f"{out} is read-only")
        if not extent_of(view).is_injective:
            raise ValueError(f"{out} has elements that share memory: strides {view.strides}")
        for name, other in self.views.items():
            if name != out and overlap(view, other):
                raise ValueError(f"{out} overlaps {name} in memory")


class Result(NamedTuple):
    """An array to be filled: `view` for the kernels, `publish()` for the user."""

    array: Any
    view: View
    library: Library

    def publish(self) -> Any:
        """The filled array, of the user's library."""
        return self.library.publish(self.array)


def _cuda() -> ModuleType:
    try:
        return import_module("gpuconv.cuda")
    except ImportError as error:
        raise ImportError(
            f"input is on a GPU, and the GPU engine cannot be loaded ({error}): {GPU_ENGINE_HINT}"
        ) from error


def _view(library: Library, array: Any, name: str) -> View:
    if library is NUMPY:
        return library.view(array)
    try:
        view = library.view(array)
    except (TypeError, KeyError, AttributeError, BufferError, RuntimeError) as error:
        raise TypeError(f"{name} cannot be read: {error}") from error
    if isinstance(view, DeviceArray) and not is_aligned(view):
        raise ValueError(f"{name} has elements that do not lie on multiples of their size, which a GPU needs")
    return view


def _device(view: View) -> int | None:
    """CUDA's ordinal, None for the CPU."""
    return None if isinstance(view, np.ndarray) else view.device


def _place(view: View) -> str:
    return "the CPU" if isinstance(view, np.ndarray) else f"GPU {view.device}"


def _batched(view: View) -> View:
    if len(view.shape) == 4:
        return view
    if isinstance(view, np.ndarray):
        return view[None]
    return view._replace(shape=(1, *view.shape), strides=(0, *view.strides))
