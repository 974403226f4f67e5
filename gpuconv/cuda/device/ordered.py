"""Integers that sort as floating-point numbers do, a NaN being the greatest, for maxima with their indices.

The bits of a positive number already do, taken as a signed integer; a negative one has all bits but the sign
inverted. The two zeros become one, and so do all NaNs. `LOWEST` is below the key of -inf and no number's, so
that padding never wins. One comparison of keys takes the place of three that a NaN would need.
"""

from gpuconv.cuda.language import cuda, float32, float64, int32, int64, libdevice
from gpuconv.spec.dtypes import FLOAT32, FLOAT64

INTEGERS = {FLOAT32: int32, FLOAT64: int64}
LOWEST = {FLOAT32: -(2**31), FLOAT64: -(2**63)}
LOWEST32, LOWEST64 = LOWEST.values()


@cuda.jit(device=True, inline="always")
def key32(value, known):
    """The int32 key of a float32; LOWEST if it is not known."""
    bits = int32(libdevice.float_as_int(value + float32(0)))
    key = int32(bits ^ int32(int32(bits >> int32(31)) & int32(0x7FFFFFFF)))
    key = key if value == value else int32(0x7FFFFFFF)  # two selections, no branch
    return key if known else int32(LOWEST32)


@cuda.jit(device=True, inline="always")
def value32(key):
    """The float32 of a key: a zero is +0, and a NaN has no payload."""
    return libdevice.int_as_float(int32(key ^ int32(int32(key >> int32(31)) & int32(0x7FFFFFFF))))


@cuda.jit(device=True, inline="always")
def key64(value, known):
    """The int64 key of a float64; LOWEST if it is not known."""
    bits = int64(libdevice.double_as_longlong(value + float64(0)))
    key = bits ^ ((bits >> int64(63)) & int64(0x7FFFFFFFFFFFFFFF))
    key = key if value == value else int64(0x7FFFFFFFFFFFFFFF)
    return key if known else int64(LOWEST64)


@cuda.jit(device=True, inline="always")
def value64(key):
    """The float64 of a key: a zero is +0, and a NaN has no payload."""
    return libdevice.longlong_as_double(key ^ ((key >> int64(63)) & int64(0x7FFFFFFFFFFFFFFF)))


KEY = {FLOAT32: key32, FLOAT64: key64}
VALUE = {FLOAT32: value32, FLOAT64: value64}
