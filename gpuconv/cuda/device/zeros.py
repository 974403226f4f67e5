"""The sign of a zero: whether a -0 is met, so that the first among equals has to be looked for.

Keys of maxima with indices know one zero, and the instruction for maxima prefers +0: both are right where no
-0 is, which costs an instruction for each element that is loaded.
"""

from gpuconv.cuda.device.elements import inlined
from gpuconv.cuda.language import int32, int64, libdevice
from gpuconv.spec.dtypes import FLOAT32, FLOAT64

NEGATIVE32, NEGATIVE64 = -(2**31), -(2**63)  # the bits of -0


@inlined
def is_negative_zero32(value):
    return int32(libdevice.float_as_int(value)) == int32(NEGATIVE32)


@inlined
def is_negative_zero64(value):
    return int64(libdevice.double_as_longlong(value)) == int64(NEGATIVE64)


IS_NEGATIVE_ZERO = {FLOAT32: is_negative_zero32, FLOAT64: is_negative_zero64}
