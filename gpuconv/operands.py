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
WIDEST = 16  # bytes of an element
UNREADABLE = TypeError, KeyError, AttributeError, BufferError, RuntimeError  # that a foreign array may raise

Extents = tuple[Any, ...]  # an Extent for each array, None where there is none


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
    """The arrays of one call by argument name, `input` first and `out` last, viewed as kernels see them.

    `views` and `signatures` have None where there is no array. `extents` say how far each array reaches; they
    are known when the signatures have been checked.

    Raises
    ------
    TypeError
        If one of them is no array, or cannot be read.
    """

    __slots__ = ("arrays", "extents", "library", "names", "signatures", "views")

    def __init__(self, names: tuple[str, ...], arrays: tuple[Any, ...]) -> None:
        self.names, self.arrays = names, arrays
        self.extents: Extents = ()
        views: list[Any] = []
        signatures: list[Any] = []
        for name, array in zip(names, arrays, strict=True):
            if array is None and name in OPTIONAL:
                views.append(None)
                signatures.append(None)
                continue
            library = library_of(array, name)
            if not views:
                self.library = library
            beside = views[0] if views and library is self.library else None
            try:
                view = library.view(array, beside)
            except UNREADABLE as error:
                raise TypeError(f"{name} cannot be read: {error}") from error
            views.append(view)
            if isinstance(view, np.ndarray):
                signatures.append((library, view.shape, view.strides, view.dtype, None))
                continue
            if view.pointer % WIDEST and view.pointer % view.dtype.itemsize:
                raise ValueError(_misaligned(name))
            signatures.append((library, *view[1:5]))
        self.views, self.signatures = tuple(views), tuple(signatures)

    @property
    def backend(self) -> ModuleType:
        """`gpuconv.cpu` or `gpuconv.cuda`, imported when it is first asked for."""
        if isinstance(self.views[0], np.ndarray):
            return import_module("gpuconv.cpu")
        backend = _cuda()
        backend.refuse_forked_child()
        return backend

    @property
    def batch(self) -> View:
        """The view of the input as a batch: (1, C, H, W) where the user gave (C, H, W)."""
        return _batched(self.views[0])

    def result(self, shape: tuple[int, ...], dtype: str) -> "Result":
        """The array for a result of the batch shape `shape`: the user's `out`, or a fresh one."""
        out = self.views[-1]
        if out is None:
            return self.fresh(shape, dtype)
        self._check_writable(out)
        return Result(self.arrays[-1], _batched(out), NUMPY)

    def fresh(self, shape: tuple[int, ...], dtype: str) -> "Result":
        """A fresh array for a result of the batch shape `shape`."""
        like: Any = self.views[0]
        array = self.library.empty(shape if len(like.shape) == 4 else shape[1:], dtype, like)
        library = library_of(array, "the result")
        view = library.view(array, like if library is self.library else None)
        return Result(array, _batched(view), self.library)

    def _check_writable(self, out: View) -> None:
        writeable = out.flags.writeable if isinstance(out, np.ndarray) else out.writeable
        if not writeable:
            raise ValueError("out is read-only")
        *inputs, reach = self.extents
        for name, view, its_reach in zip(self.names, self.views, inputs, strict=False):
            if view is not None and overlap(view, out, its_reach, reach):
                raise ValueError(f"out overlaps {name} in memory")


def check_together(names: tuple[str, ...], signatures: tuple) -> tuple[list[Any], Extents]:
    """The `Operands.signatures` of the arguments of these names, which may stand in one call, and how far
    each of them reaches.

    Raises
    ------
    TypeError
        If they are of two libraries.
    ValueError
        If they lie on two devices, or elements on odd addresses of a GPU.
    """
    checked: list[Any] = [None if values is None else Signature(*values) for values in signatures]
    input = checked[0]
    extents: list[Any] = []
    for name, signature in zip(names, checked, strict=True):
        if signature is None:
            extents.append(None)
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
        extents.append(extent(signature.shape, signature.strides, signature.dtype.itemsize))
        if signature.device is not None and not extents[-1].are_whole:
            raise ValueError(_misaligned(name))
    return checked, tuple(extents)


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
