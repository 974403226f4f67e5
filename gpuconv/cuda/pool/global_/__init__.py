"""Global pooling: one window for each plane, as of an image that becomes a vector of its channels' means.

    y[n, c, 0, 0] = max, or sum / divisor, over the part of x[n, c] that the window covers

A team of threads reads its planes once, COLUMNS elements a thread with one access of up to 128 bits, and has
PARTS such accesses under way at a time:

    warp: 32 threads, 8 small planes                block: 256 threads, one large plane

    plane 0  |lane 0: ....|lane 1: ....| ..         part 0  |thread 0: ....|thread 1: ....| ..
    plane 1  |lane 0: ....|lane 1: ....| ..         part 1  |thread 0: ....|thread 1: ....| ..

The lanes of a warp exchange what they hold by shuffles. Of 8 planes each gives away half, then half again, so
that 9 exchanges do for all 8, and the results lie in 8 lanes that store 8 neighbours. The 8 warps of a block
meet in shared memory, 32 or 64 bytes. The order of all sums is fixed, and none is longer than STAGE accesses
before it is added to the total, with what rounding lost of that. Of a maximum that is zero the first zero of
the plane is looked for, which has its sign (`zeros.py`).

`wide` kernels need rows, or planes without gaps, of whole aligned vectors; `narrow` ones take any strides.
Indices travel with their maxima (`argmax.py`). It knows no dilation. A plane is never shared by two blocks,
so a few huge ones do not fill the chip.
"""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.pool.global_ import kernel
from gpuconv.cuda.pool.global_.plan import plan, unsupported, worth
from gpuconv.cuda.pool.taken import TAKEN

KERNELS = tuple(kernel.KERNEL_OF.values())

ALGORITHM = Algorithm(
    "pool_global",
    takes=TAKEN,
    unsupported=unsupported,
    worth=worth,
    plan=plan,
    fast_for="one window for each plane",
)

__all__ = ["ALGORITHM", "KERNELS"]
