"""The one table of dtypes: what lies in memory, and what is computed with.

A `Dtype` is the string of its name, so that it is equal to "float32" and has its hash; that this is the only
file in which such a string stands is a test.
"""

from enum import StrEnum
from importlib import import_module

import numpy as np


class Dtype(StrEnum):
    """One dtype of elements.

    Attributes
    ----------
    itemsize : int
        Bytes of an element in memory; NumPy need not know bfloat16.
    stored : str
        Numba's type of what lies in memory: numbers of 16 bits are carried as integers.
    computed : str
        Name of the dtype that kernels compute with.

    Examples
    --------
    >>> FLOAT16.itemsize, FLOAT16.arithmetic
    (2, 'float32')
    >>> FLOAT32 == "float32"
    True
    """

    itemsize: int
    stored: str
    computed: str

    def __new__(cls, name: str, itemsize: int = 0, stored: str = "", computed: str = "") -> "Dtype":
        self = str.__new__(cls, name)
        self._value_ = name
        self.itemsize, self.stored, self.computed = itemsize, stored, computed
        return self

    FLOAT32 = "float32", 4, "float32", "float32"
    FLOAT64 = "float64", 8, "float64", "float64"
    FLOAT16 = "float16", 2, "uint16", "float32"
    BFLOAT16 = "bfloat16", 2, "uint16", "float32"
    INT64 = "int64", 8, "int64", "int64"  # also of indices
    INT8 = "int8", 1, "int8", "int32"
    UINT8 = "uint8", 1, "uint8", "int32"
    INT16 = "int16", 2, "int16", "int32"
    UINT16 = "uint16", 2, "uint16", "int32"
    INT32 = "int32", 4, "int32", "int32"
    UINT32 = "uint32", 4, "uint32", "uint32"
    UINT64 = "uint64", 8, "uint64", "uint64"
    COMPLEX64 = "complex64", 8, "complex64", "complex64"
    COMPLEX128 = "complex128", 16, "complex128", "complex128"

    @property
    def numpy(self) -> np.dtype:
        """NumPy's dtype, in this machine's byte order; that of bfloat16 is ml_dtypes'."""
        if self != BFLOAT16:
            return np.dtype(str(self))
        try:
            return np.dtype(import_module("ml_dtypes").bfloat16)
        except ImportError as error:
            raise TypeError("arrays of bfloat16 need ml_dtypes: pip install ml_dtypes") from error

    @property
    def arithmetic(self) -> "Dtype":
        """The dtype that kernels compute with."""
        return Dtype(self.computed)

    @property
    def is_narrow(self) -> bool:
        """It is widened to be computed with."""
        return self.computed != self

    def __repr__(self) -> str:
        return repr(str(self))


FLOAT32, FLOAT64, FLOAT16, BFLOAT16 = Dtype.FLOAT32, Dtype.FLOAT64, Dtype.FLOAT16, Dtype.BFLOAT16
INT8, INT16, INT32, INT64 = Dtype.INT8, Dtype.INT16, Dtype.INT32, Dtype.INT64
UINT8, UINT16, UINT32, UINT64 = Dtype.UINT8, Dtype.UINT16, Dtype.UINT32, Dtype.UINT64
COMPLEX64, COMPLEX128 = Dtype.COMPLEX64, Dtype.COMPLEX128
FLOATS = FLOAT32, FLOAT64  # computed with as they are
SIXTEEN_BITS = FLOAT16, BFLOAT16
COMPLEX = COMPLEX64, COMPLEX128
PARTS = {COMPLEX64: FLOAT32, COMPLEX128: FLOAT64}  # the real part, and the imaginary one beside it
BYTES = INT8, UINT8  # convolved with each other, and summed in int32
INTEGERS = (*BYTES, INT16, UINT16, INT32, UINT32, INT64, UINT64)
POOLED = (*FLOATS, *SIXTEEN_BITS)
COMPARED = (*POOLED, *INTEGERS)  # of which there are maxima and minima
SUMMED = (*POOLED, *COMPLEX)  # by gradients over images
CONVOLVED = (*SUMMED, *BYTES)
