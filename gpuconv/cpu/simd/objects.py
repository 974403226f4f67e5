"""Python objects as arguments of a compiled function, and what lies in their memory.

    o = an argument of type OBJECT       never counted, never kept: the caller holds it
    address_of(o)                        where it lies, its `id`
    word_at(address, offset)             the int64 so many bytes behind an address, half_at: the int32

Fields of arrays and tuples lie where NumPy's and CPython's binary interfaces say, which C extensions are
compiled with. `fields_are_known` looks whether it is so in this process.
"""

import ctypes
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import NativeValue, intrinsic, register_model, unbox

HEADER = object.__basicsize__  # of every object; its last word is the type
TYPE = HEADER - 8
ITEMS = tuple.__basicsize__  # from which on a tuple has its items

# of a numpy.ndarray: PyArrayObject_fields
DATA, AXES, SHAPE, STRIDES, DTYPE, FLAGS = (HEADER + offset for offset in (0, 8, 16, 24, 40, 48))
WRITEABLE = 0x0400


class PythonObject(types.Type):
    """The Numba type of any object, which compiled code sees as its address."""

    def __init__(self) -> None:
        super().__init__(name="PythonObject")


OBJECT = PythonObject()
register_model(PythonObject)(models.OpaqueModel)


@unbox(PythonObject)
def _unbox(kind: Any, value: Any, context: Any) -> NativeValue:
    return NativeValue(value)


@intrinsic
def address_of(context: Any, value: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ptrtoint(arguments[0], ir.IntType(64))

    return types.int64(value), emit


def _load(bits: int) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(builder.add(*arguments), ir.PointerType(ir.IntType(bits)))
        return builder.sext(builder.load(place), ir.IntType(64)) if bits < 64 else builder.load(place)

    return emit


@intrinsic
def word_at(context: Any, address: Any, offset: Any) -> Any:
    return types.int64(types.int64, types.int64), _load(64)


@intrinsic
def half_at(context: Any, address: Any, offset: Any) -> Any:
    return types.int64(types.int64, types.int64), _load(32)


def fields_are_known() -> bool:
    """Whether arrays and tuples have their fields where they are read here; nothing else is read."""
    array = np.empty((3, 5, 7), np.float32)[::2, ::-1]
    several = array, None
    if np.ndarray.__basicsize__ < FLAGS + 4 or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    axes, flags = (ctypes.c_int.from_address(id(array) + offset).value for offset in (AXES, FLAGS))
    shape, strides = (_word(id(array) + offset) for offset in (SHAPE, STRIDES))
    words = {
        id(array) + TYPE: id(np.ndarray), id(array) + DATA: array.ctypes.data,
        id(array) + DTYPE: id(array.dtype), id(several) + ITEMS: id(array), id(several) + ITEMS + 8: id(None),
    }  # fmt: skip
    fields = axes == array.ndim and flags & WRITEABLE == WRITEABLE and strides == shape + 8 * axes
    if not fields or any(_word(place) != value for place, value in words.items()):
        return False
    lies = [(_word(shape + 8 * axis), _word(strides + 8 * axis)) for axis in range(axes)]
    return lies == list(zip(array.shape, array.strides, strict=True))


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value
