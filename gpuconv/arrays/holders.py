"""Types that hold arrays of other libraries, and the rooms that make calls of them."""

from functools import lru_cache
from importlib import import_module
from typing import Any

ROOMS = {("dask", "Array"): "gpuconv.blocks", ("xarray", "DataArray"): "gpuconv.labels"}
_ORDER = ("gpuconv.labels", "gpuconv.blocks")  # labelled arrays may hold dask's


def holder_of(arrays: tuple[Any, ...]) -> Any:
    """The room whose `call` makes a call of such arrays, of which one holds others; None if none does.

    It is imported then, and the library that it knows is there already.
    """
    room = _room_of(*map(type, arrays))
    return room and import_module(room)


def check_held(names: tuple[str, ...], arrays: tuple[Any, ...]) -> None:
    """Refuse arrays that hold others where it is asked how one call is computed.

    Raises
    ------
    TypeError
        Naming the argument.
    """
    for name, array in zip(names, arrays, strict=True):
        kind: Any = type(array)
        if _room(kind) is not None:
            raise TypeError(
                f"{name} is a {_package(kind)} {kind.__name__}, which holds arrays that calls are made of: "
                f"pass one of them, of dask {name}.partitions[0].compute(), of xarray {name}.data"
            )


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


@lru_cache(maxsize=256)
def _room_of(*kinds: type) -> str | None:
    rooms = [room for room in map(_room, {*kinds}) if room is not None]
    return min(rooms, key=_ORDER.index, default=None)


@lru_cache(maxsize=64)
def _room(kind: type) -> str | None:
    names = ((_package(base), base.__name__) for base in kind.__mro__)
    return next((ROOMS[each] for each in names if each in ROOMS), None)
