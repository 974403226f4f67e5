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
    kinds: Any = map(type, arrays)
    rooms = {*map(_room, kinds)}
    if rooms == _NONE:
        return None
    return import_module(next(room for room in _ORDER if room in rooms))


_NONE = {None}


@lru_cache(maxsize=64)
def _room(kind: type) -> str | None:
    names = ((base.__module__.partition(".")[0], base.__name__) for base in kind.__mro__)
    return next((ROOMS[each] for each in names if each in ROOMS), None)
