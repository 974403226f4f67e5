"""What an object hands out by DLPack, as its capsule says: where, of what dtype, what may be done with it.

NumPy and CuPy read a capsule into an array, and leave out what matters for `out`: whether it is a copy, and
on a GPU whether it may be written to. NumPy does not name a dtype that it does not know, either.
"""

import ctypes
from typing import Any, NamedTuple

UNVERSIONED, VERSIONED = b"dltensor", b"dltensor_versioned"  # the latter since DLPack 1.0
READ_ONLY, IS_COPIED = 1, 2
KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}


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
    try:
        capsule = array.__dlpack__(max_version=(1, 0))
    except TypeError:  # it is of before DLPack 1.0
        capsule = array.__dlpack__()
    if not _is_capsule(capsule, VERSIONED):
        return Export(*_place_and_dtype(_Tensor.from_address(_pointer_of(capsule, UNVERSIONED))))
    managed = _Versioned.from_address(_pointer_of(capsule, VERSIONED))
    flags = managed.flags
    return Export(*_place_and_dtype(managed.tensor), bool(flags & READ_ONLY), bool(flags & IS_COPIED))


def _place_and_dtype(tensor: _Tensor) -> tuple[int, str]:
    kind = KINDS.get(tensor.kind, f"DLPack's kind {tensor.kind} of bits ")
    bits = "" if kind == "bool" else tensor.bits
    lanes = f"x{tensor.lanes}" if tensor.lanes != 1 else ""
    return (tensor.data or 0) + tensor.offset, f"{kind}{bits}{lanes}"
