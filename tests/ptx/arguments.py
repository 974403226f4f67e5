"""Kernel arguments: arrays to device memory and back, scalars and structures to parameter bytes."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .apart import Apart
from .faults import LaunchError
from .memory import GlobalSpace
from .numba_types import NumbaArray
from .region import Region
from .syntax import DTYPES, Variable


@dataclass(frozen=True)
class Pointer:
    """A pointer argument: the first element of `array` plus `byte_offset` bytes.

    `defined` is False for memory whose contents must not be read before the kernel writes them.
    """

    array: np.ndarray
    byte_offset: int = 0
    defined: bool = True


@runtime_checkable
class Structure(Protocol):
    """An argument of `size` bytes that hold the address of an array; for 8 bytes a pointer to them."""

    pointer: Pointer
    size: int

    def encode(self, address: int) -> bytes:
        """The bytes, for an array that begins at `address` on the device."""


def pointer(array: np.ndarray, byte_offset: int = 0) -> Pointer:
    """A pointer to `byte_offset` bytes after (or before) the first element of an array.

    The memory that a kernel may access is still the whole of `array`, and nothing else.

    Examples
    --------
    >>> import numpy as np
    >>> pointer(np.zeros(8, np.float32), byte_offset=4).byte_offset
    4
    """
    return Pointer(_checked(array), byte_offset)


def out(array: np.ndarray | Pointer) -> Pointer:
    """Memory without contents: reading an element that the kernel has not written is a fault.

    Examples
    --------
    >>> import numpy as np
    >>> out(np.empty(8, np.float32)).defined
    False
    """
    given = array if isinstance(array, Pointer) else Pointer(_checked(array))
    return Pointer(given.array, given.byte_offset, defined=False)


def numba_array(array: np.ndarray | Pointer | Structure) -> NumbaArray:
    """The parameters that an array becomes in Numba's ABI; a tensor map passes for one of uint64.

    A launch compares its dtype, number of axes and layout with those that the kernel was compiled for.

    They are the addresses of the allocation and of its Python object, both null on a GPU, the
    number of elements, the size of one, the pointer, then the shape and the strides in bytes.

    Examples
    --------
    >>> import numpy as np
    >>> numba_array(np.zeros((2, 3), np.float32))[2:4]
    [6, 4]
    """
    if isinstance(array, Structure):
        return NumbaArray([0, 0, array.size // 8, 8, array, array.size // 8, 8], None)
    given = array if isinstance(array, Pointer) else Pointer(_checked(array))
    x = given.array
    return NumbaArray([0, 0, x.size, x.itemsize, given, *x.shape, *x.strides], x)


def _checked(array: Any) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        raise LaunchError(f"expected a NumPy array, not {type(array).__name__}")
    if array.dtype.hasobject:
        raise LaunchError("an array of Python objects has no device memory")
    return array


@dataclass
class _Block:
    """A stretch of host memory [low, high) that arrays among the arguments occupy."""

    low: int
    high: int
    pointers: list[Pointer]
    region: Region | None = None

    def bytes(self) -> np.ndarray:
        return np.frombuffer((ctypes.c_uint8 * (self.high - self.low)).from_address(self.low), np.uint8)


class Arguments:
    """The arguments of one launch.

    Arrays that share memory on the host share it on the device. A region keeps the alignment that
    the array has within the allocation that it is a view of.
    """

    def __init__(self, parameters: list[Variable], arguments: tuple, space: GlobalSpace) -> None:
        values = _flatten(arguments)
        if len(values) != len(parameters):
            raise LaunchError(
                f"{len(values)} arguments for {len(parameters)} parameters; numba_array() expands an "
                "array to those of Numba's ABI"
            )
        self.space = space
        pointers = [value.pointer if isinstance(value, Structure) else value for value in values]
        self.blocks = self._place([value for value in pointers if isinstance(value, Pointer)])
        self.bytes = [
            self._encode(parameter, value, index)
            for index, (parameter, value) in enumerate(zip(parameters, values, strict=True))
        ]

    def _place(self, pointers: list[Pointer]) -> list[_Block]:
        blocks: list[_Block] = []
        spans = [(*np.lib.array_utils.byte_bounds(given.array), given) for given in pointers]
        for low, high, given in sorted(spans, key=lambda span: span[:2]):
            if blocks and (low < blocks[-1].high or (low, high) == (blocks[-1].low, blocks[-1].high)):
                blocks[-1].high = max(blocks[-1].high, high)
                blocks[-1].pointers.append(given)
            else:
                blocks.append(_Block(low, high, [given]))
        for block in blocks:
            self._copy_in(block, pointers)
        return blocks

    def _copy_in(self, block: _Block, pointers: list[Pointer]) -> None:
        first = block.pointers[0].array
        root = first
        while isinstance(root.base, np.ndarray):
            root = root.base
        lead = (block.low - np.lib.array_utils.byte_bounds(root)[0]) % 256
        number = min(next(i for i, p in enumerate(pointers) if p is given) for given in block.pointers)
        writeable = any(given.array.flags.writeable for given in block.pointers)
        name = f"array {number} {first.shape} {first.dtype}"
        block.region = self.space.add(name, block.high - block.low, lead, writeable)
        block.region.fill(0, block.bytes())
        block.region.all_valid = all(given.defined for given in block.pointers)
        for given in block.pointers:
            if isinstance(given.array, Apart):
                block.region.fold = given.array.fold()
            if not given.defined:
                offset = given.array.__array_interface__["data"][0] - block.low
                spread = _byte_offsets(given.array) + offset + block.region.lead
                block.region.data[spread] = 0xFF
                block.region.valid[spread // block.region.granule] = False

    def _encode(self, parameter: Variable, value: Any, index: int) -> bytes:
        dtype = DTYPES[parameter.type]
        if isinstance(value, Pointer):
            if parameter.size != 8:
                raise LaunchError(
                    f"argument {index} is an array, but parameter {index} has {parameter.size} bytes"
                )
            return np.uint64(self.address(value)).tobytes()
        if isinstance(value, Structure):
            value = value.encode(self.address(value.pointer))
            if parameter.size == dtype.itemsize == 8:
                region = self.space.add(f"structure {index}", len(value), writeable=False)
                region.fill(0, value)
                region.all_valid = True
                return np.uint64(region.base).tobytes()
        if isinstance(value, (bytes, np.void)):
            data = bytes(value)
        elif parameter.size != dtype.itemsize:
            raise LaunchError(f"parameter {index} has {parameter.size} bytes: give it bytes")
        else:
            data = _scalar(value, dtype, index)
        if len(data) != parameter.size:
            raise LaunchError(f"argument {index} has {len(data)} bytes, its parameter {parameter.size}")
        return data

    def address(self, given: Pointer) -> int:
        """The device address that a pointer argument stands for."""
        data = given.array.__array_interface__["data"][0]
        for block in self.blocks:
            if any(given is other for other in block.pointers):
                return block.region.base + block.region.lead + data - block.low + given.byte_offset
        raise LaunchError("a pointer that is not among the arguments")

    def copy_back(self) -> None:
        """Write what the kernel changed to the arrays."""
        for block in self.blocks:
            if block.region.writeable:
                start = block.region.lead
                block.bytes()[...] = block.region.data[start : start + block.region.size]


def _flatten(arguments: tuple) -> list[Any]:
    values: list[Any] = []
    for argument in arguments:
        if isinstance(argument, (list, tuple)):
            values += _flatten(tuple(argument))
        elif isinstance(argument, np.ndarray) and argument.ndim:
            values.append(Pointer(_checked(argument)))
        else:
            values.append(argument)
    return values


def _byte_offsets(array: np.ndarray) -> np.ndarray:
    """Offsets of all bytes of an array from its first element."""
    offsets = np.zeros(1, np.int64)
    for extent, stride in zip(array.shape, array.strides, strict=True):
        offsets = (offsets[:, None] + np.arange(extent) * stride).reshape(-1)
    return (offsets[:, None] + np.arange(array.itemsize)).reshape(-1)


def _scalar(value: Any, dtype: np.dtype, index: int) -> bytes:
    if dtype.kind == "f":
        return dtype.type(value).tobytes()
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fV":  # the bits of a small float
        if value.dtype.itemsize != dtype.itemsize:
            raise LaunchError(f"argument {index}: {value!r} for a parameter of {8 * dtype.itemsize} bits")
        return np.asarray(value).tobytes()
    number = int(value)
    bits = 8 * dtype.itemsize
    if number != value or not -(1 << (bits - 1)) <= number < 1 << bits:
        raise LaunchError(f"argument {index}: {value!r} does not fit a parameter of {bits} bits")
    return (number & ((1 << bits) - 1)).to_bytes(dtype.itemsize, "little")
