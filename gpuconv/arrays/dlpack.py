"""What an object hands out by DLPack, as its capsule says: where, of what dtype, what may be done with it.

NumPy and CuPy read a capsule into an array, and leave out what matters for `out`: whether it is a copy, and
on a GPU whether it may be written to. NumPy does not name a dtype that it does not know, either, and of those
bfloat16 is read and handed out here.
"""

import ctypes
from typing import Any, NamedTuple

import numpy as np

from gpuconv.spec.dtypes import BFLOAT16
from gpuconv.spec.layouts import contiguous_strides

UNVERSIONED, VERSIONED = b"dltensor", b"dltensor_versioned"  # the latter since DLPack 1.0
READ_ONLY, IS_COPIED = 1, 2
BITS = np.dtype(np.uint16)  # what bfloat16 is read as
BFLOAT = 4
KINDS = {0: "int", 1: "uint", 2: "float", BFLOAT: "bfloat", 5: "complex"}
_SMALL = (
    "float8_e3m4 float8_e4m3 float8_e4m3b11fnuz float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz "
    "float8_e8m0fnu float6_e2m3fn float6_e3m2fn float4_e2m1fn"
)
WHOLE = {6: "bool"} | dict(enumerate(_SMALL.split(), start=7))  # kinds of which that many bits are a part


class _Tensor(ctypes.Structure):
    """A DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("axes", ctypes.c_int32),
        ("kind", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("offset", ctypes.c_uint64),
    )


class _Versioned(ctypes.Structure):
    """The beginning of a DLManagedTensorVersioned; of before, the tensor comes first."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


_is_capsule = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class Export(NamedTuple):
    """What a capsule says; of before DLPack 1.0 it says neither of the last two."""

    address: int  # of the first element
    dtype: str
    is_read_only: bool = False
    is_copy: bool = False


def exported(array: Any) -> Export:
    """What `array` hands out now; the capsule is let go of."""
    _, tensor, flags = _handed_out(array)
    is_read_only, is_copy = bool(flags & READ_ONLY), bool(flags & IS_COPIED)
    return Export((tensor.data or 0) + tensor.offset, _dtype(tensor), is_read_only, is_copy)


def read_bfloat16(array: Any) -> np.ndarray:
    """An ndarray of the memory that `array` hands out, of ml_dtypes' bfloat16.

    As NumPy has it, what was handed out in the way of before DLPack 1.0 may not be written to.
    """
    capsule, tensor, flags = _handed_out(array)
    shape = _numbers(tensor.shape, tensor.axes)
    strides = tuple(step * BFLOAT16.itemsize for step in _numbers(tensor.strides, tensor.axes))
    if not strides:
        strides = contiguous_strides(shape, BFLOAT16.itemsize)
    may_be_written = _is_capsule(capsule, VERSIONED) and not flags & READ_ONLY
    address = (tensor.data or 0) + tensor.offset
    interface = {
        "shape": shape,
        "typestr": BITS.str,
        "data": (address, not may_be_written),
        "strides": strides,
    }
    return np.asarray(_Held(capsule, {**interface, "version": 3})).view(BFLOAT16.numpy)


class HandsOutBfloat16:
    """An ndarray of ml_dtypes' bfloat16 for who takes arrays by DLPack, which NumPy does not hand out."""

    def __init__(self, array: np.ndarray) -> None:
        self._bits = array.view(BITS)

    def __dlpack__(self, **keywords: Any) -> Any:
        capsule = self._bits.__dlpack__(**keywords)
        _inside(capsule)[0].kind = BFLOAT
        return capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._bits.__dlpack_device__()


class _Held:
    """What keeps the memory of an ndarray: a capsule, which gives it back when it is let go of."""

    def __init__(self, capsule: Any, interface: dict[str, Any]) -> None:
        self.capsule, self.__array_interface__ = capsule, interface


def _handed_out(array: Any) -> tuple[Any, _Tensor, int]:
    """A capsule, which has to be kept while the others are read: the tensor in it, and flags."""
    try:
        capsule = array.__dlpack__(max_version=(1, 0))
    except TypeError:  # it is of before DLPack 1.0
        capsule = array.__dlpack__()
    return capsule, *_inside(capsule)


def _inside(capsule: Any) -> tuple[_Tensor, int]:
    """The tensor of a capsule, in its place, and flags."""
    if not _is_capsule(capsule, VERSIONED):
        return _Tensor.from_address(_pointer_of(capsule, UNVERSIONED)), 0
    managed = _Versioned.from_address(_pointer_of(capsule, VERSIONED))
    return managed.tensor, managed.flags


def _numbers(address: int | None, count: int) -> tuple[int, ...]:
    return tuple((ctypes.c_int64 * count).from_address(address)) if address else ()


def _dtype(tensor: _Tensor) -> str:
    lanes = f"x{tensor.lanes}" if tensor.lanes != 1 else ""
    if tensor.kind in WHOLE:
        return f"{WHOLE[tensor.kind]}{lanes}"
    kind = KINDS.get(tensor.kind, f"DLPack's kind {tensor.kind} of bits ")
    return f"{kind}{tensor.bits}{lanes}"
