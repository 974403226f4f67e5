"""Powers and roots, and how an exponent comes into a kernel: as an integer, which has its bits.

The first power is the number: libdevice rounds that of 3.0 to 2.9999999999999996.
"""

import struct

from gpuconv.cuda.device.elements import inlined
from gpuconv.cuda.language import libdevice
from gpuconv.spec.dtypes import FLOAT32, FLOAT64


@inlined
def power32(value, exponent):
    return value if exponent == 1 else libdevice.powf(value, exponent)


@inlined
def power64(value, exponent):
    return value if exponent == 1 else libdevice.pow(value, exponent)


@inlined
def root32(value):
    return libdevice.sqrtf(value)


@inlined
def root64(value):
    return libdevice.sqrt(value)


POWER = {FLOAT32: power32, FLOAT64: power64}
ROOT = {FLOAT32: root32, FLOAT64: root64}


def bits_of(exponent: float) -> int:
    """An argument of a kernel, which makes a number of it again by `longlong_as_double`."""
    return int.from_bytes(struct.pack("<d", exponent), "little", signed=True)
