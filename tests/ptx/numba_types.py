"""What Numba's calling convention tells of a kernel's parameters: the types in the name of its entry."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from .faults import LaunchError

# An array in a mangled name: its element, number of axes and layout.
ARRAY = re.compile(r"5ArrayI(Dh|[a-z]|\d+\w*?)Li(\d+)E1([ACF])\d+(?:mutable|readonly)\d+\w*?alignedE")
ELEMENTS = {
    "b": "bool", "a": "int8", "h": "uint8", "s": "int16", "t": "uint16", "i": "int32", "j": "uint32",
    "x": "int64", "y": "uint64", "Dh": "float16", "f": "float32", "d": "float64",
}  # fmt: skip


class NumbaArray(list):
    """The parameters that one array becomes, and the array (None for what only passes for one)."""

    def __init__(self, parameters: list[Any], array: np.ndarray | None) -> None:
        super().__init__(parameters)
        self.array = array


def check_arrays(entry: str, arguments: tuple) -> None:
    """Raise `LaunchError` if an array is not what the kernel was compiled for.

    Parameters
    ----------
    entry : str
        Name of the entry; of one that Numba does not make, or that has another number of arrays, nothing is
        known.
    arguments : tuple
        Those of the launch, among them `NumbaArray`.
    """
    given = [argument for argument in _flat(arguments) if isinstance(argument, NumbaArray)]
    declared = ARRAY.findall(entry)
    if len(given) != len(declared):
        return
    for number, ((element, axes, layout), argument) in enumerate(zip(declared, given, strict=True)):
        array = argument.array
        if array is None:
            continue
        kind = ELEMENTS.get(element)
        wanted = f"the kernel takes {kind or 'elements of its own type'} of {axes} axes, layout {layout}"
        if kind is not None and array.dtype != np.dtype(kind):
            raise LaunchError(f"numba_array number {number} is of {array.dtype}: {wanted}")
        if array.ndim != int(axes):
            raise LaunchError(f"numba_array number {number} has shape {array.shape}: {wanted}")
        if layout != "A" and not array.flags[f"{layout}_CONTIGUOUS"]:
            raise LaunchError(f"numba_array number {number} has strides {array.strides}: {wanted}")


def _flat(arguments: tuple | list) -> list[Any]:
    found: list[Any] = []
    for argument in arguments:
        nested = isinstance(argument, (list, tuple)) and not isinstance(argument, NumbaArray)
        found += _flat(argument) if nested else [argument]
    return found
