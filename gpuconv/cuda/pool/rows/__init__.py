"""Pooling by rows in registers, for the windows of most networks: 2x2 and 3x3 of stride 2, 3x3 of stride 1.

    y[n, c, p, q] = max, or sum / divisor, over r, s of x[n, c, p stride + r - top, q stride + s - left]

A thread loads COLUMNS columns of the ROWS rows that TILE_P rows of output need, each with one access of up to
128 bits and all of them before the first is used. Windows are reduced in width first, where the columns
beside its own come from the neighbouring lanes by shuffles, then in height, in its own registers:

        lane 0    lane 1    lane 2           3x3 of stride 1, float32: COLUMNS = 4, LEFT = RIGHT = 1
    h  |. . . .| |. . . .| |. . . .|   \\
    h+1|. . . .| |. . . .| |. . . .|    > maxima or sums of S columns in each row: 4 of lane 1,
    h+2|. . . .| |. . . .| |. . . .|   /  then of R rows
             <- 1          1 ->

So elements combine in the order of their places, and a warp that has loaded a -0 does it with the maximum
that keeps the first of equals (`windows.py`).

Threads are numbered flat, (((n C + c) tiles + tile of rows) vectors + vector of columns), so that small
planes leave no lanes idle. At both ends of a warp, and of a row whose first window begins inside the image, a
lane loads the column beside its own as well. Rows that two tiles share are requested twice, the others once:
with the output 1.00 to 1.16 times the least bytes on the planes of the benchmark's networks. Indices travel
with their maxima (`argmax.py`).

`wide` kernels need rows of whole aligned vectors, and padding on the left of 1 for 3x3, of 0 for 2x2; the
`narrow` ones take any strides and padding, element by element. Coordinates are unsigned and wrap, so that one
comparison checks both borders. No shared memory, no barrier. Other windows are left to `pool_direct`. Numbers
of 16 bits are float32 between the loader and the storer (`device/elements.py`), eight in an access.
"""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.pool.rows import kernel
from gpuconv.cuda.pool.rows.plan import plan, unsupported, worth
from gpuconv.cuda.pool.taken import TAKEN

KERNELS = tuple(kernel.KERNEL_OF.values())

ALGORITHM = Algorithm(
    "pool_rows",
    takes=TAKEN,
    unsupported=unsupported,
    worth=worth,
    plan=plan,
    fast_for="2x2 and 3x3 windows of stride 2, and 3x3 of stride 1",
)

__all__ = ["ALGORITHM", "KERNELS"]
