"""The arrays of one call: of one library, on one device, and which backend computes on them.

`api` makes one `Operands` per call; from there on kernels see views, and the user gets `Result.publish()`.

What can be said of a call without its memory depends on the arrays' signatures alone, and is worked out once
(`check_together`, and the specs that `api` makes); what depends on addresses is looked at in each call.
"""

from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from gpuconv.arrays import GPU_ENGINE_HINT, NUMPY, Library, View, library_of
from gpuconv.memory import extent, overlap
from gpuconv.spec import check_out

OPTIONAL = ("bias", "out")  # where None means that there is none
UNREADABLE = TypeError, KeyError, AttributeError, BufferError, RuntimeError  # that a foreign array may raise


class Signature(NamedTuple):
    """What is known of an array before its memory; `device` is CUDA's ordinal, None for the CPU."""

    library: Library
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    device: int | None

    @property
    def place(self) -> str:
        return "the CPU" if self.device is None else f"GPU {self.device}"


class Operands:
    """The arrays of one call by argument name, `input` first, viewed as kernels see them.

    Raises
    ------
    TypeError
        If one of them is no array, or cannot be read.
    """

    def __init__(self, **arrays: Any) -> None:
        self.arrays = arrays
        self.views: dict[str, View] = {}
        signatures: list[Any] = []
        for name, array in arrays.items():
            if array is None and name in OPTIONAL:
                signatures.append(None)
                continue
            library = library_of(array, name)
            try:
                view = library.view(array)
            except UNREADABLE as error:
                raise TypeError(f"{name} cannot be read: {error}") from error
            if isinstance(view, np.ndarray):
                signatures.append((library, view.shape, view.strides, view.dtype, None))
            else:
                if view.pointer % view.dtype.itemsize:
                    raise ValueError(_misaligned(name))
                signatures.append((library, *view[1:5]))
            self.views[name] = view
        self.signatures = tuple(signatures)
        self.library: Library = signatures[0][0]

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
        """The array for a result of the batch shape `shape`: the user's own, or a fresh one."""
        if out in self.views:
            self._check_writable(self.views[out], out)
            return Result(self.arrays[out], _batched(self.views[out]), NUMPY)
        like = self.views["input"]
        array = self.library.empty(shape if len(like.shape) == 4 else shape[1:], dtype, like)
        return Result(array, _batched(library_of(array, "the result").view(array)), self.library)

    def _check_writable(self, view: View, out: str) -> None:
        writeable = view.flags.writeable if isinstance(view, np.ndarray) else view.writeable
        if not writeable:
            raise ValueError(f"{out} is read-only")
        for name, other in self.views.items():
            if name != out and overlap(view, other):
                raise ValueError(f"{out} overlaps {name} in memory")


def check_together(names: tuple[str, ...], signatures: tuple) -> list[Any]:
    """The `Operands.signatures` of the arguments of these names, which may stand in one call.

    Raises
    ------
    TypeError
        If they are of two libraries.
    ValueError
        If they lie on two devices, or elements on odd addresses of a GPU.
    """
    checked: list[Any] = [None if values is None else Signature(*values) for values in signatures]
    input = checked[0]
    for name, signature in zip(names, checked, strict=True):
        if signature is None:
            continue
        library = signature.library
        if library is not input.library and library.kind(signature.device) != input.library.kind(
            input.device
        ):
            raise TypeError(
                f"{name} is of {library.name} and input of {input.library.name}: the arrays of one call must "
                "be of one library"
            )
        if signature.device != input.device:
            raise ValueError(
                f"{name} is on {signature.place} and input on {input.place}: nothing is moved between devices"
            )
        steps = extent(signature.shape, signature.strides, signature.dtype.itemsize)
        if signature.device is not None and not steps.are_whole:
            raise ValueError(_misaligned(name))
    return checked


def check_result(out: Signature | None, shape: tuple[int, ...], input: Signature) -> None:
    """Refuse an `out` that cannot take a result of the batch shape `shape`."""
    if out is None:
        return
    check_out(out, shape if len(input.shape) == 4 else shape[1:], input.dtype.name)
    if not extent(out.shape, out.strides, out.dtype.itemsize).is_injective:
        raise ValueError(f"out has elements that share memory: strides {out.strides}")


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


def _misaligned(name: str) -> str:
    return f"{name} has elements that do not lie on multiples of their size, which a GPU needs"


def _batched(view: View) -> View:
    if len(view.shape) == 4:
        return view
    if isinstance(view, np.ndarray):
        return view[None]
    return view._replace(shape=(1, *view.shape), strides=(0, *view.strides))
