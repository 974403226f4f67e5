"""What the kernels are written in: all that is taken from Numba, in one module.

A compiler that takes the same Python is moved to here, in `cuda/ptx/` (whose intrinsics emit LLVM IR) and in
`cuda/runtime/compiled.py` (which calls it).
"""

from llvmlite import ir
from numba import boolean, cuda, float32, float64, int32, int64, types, uint16, uint32, uint64
from numba.cuda import libdevice
from numba.cuda.core.targetconfig import ConfigStack
from numba.cuda.extending import intrinsic
