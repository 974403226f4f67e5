"""Separable pooling: each window is reduced in width first, then in height. Any window, stride and dilation.

    y[n, c, p, q] = max, or sum / divisor, over r, s of
                    x[n, c, p stride + r dilation - top, q stride + s dilation - left]

A block computes `tile_q` outputs of `tile_p` rows of one plane, or of several small planes:

    image   [planes][rows][columns]  --fill-->      x tile  [planes][rows][pitch]        shared memory
                                     --row pass-->  lines   [planes][rows][lines_pitch]  shared memory
                                     --columns--->  y       [planes][tile_p][tile_q]     device memory

Each step has its items numbered flat, and a thread takes every THREADS-th; a barrier stands between steps.
    fill      an item is a vector of up to 128 bits of a row of the image
    row pass  COUNT neighbouring windows of a row; lanes lie an odd number of words from each other
    columns   COUNT rows of a vector of columns, which leave as one access a row; lanes lie side by side

So an element of the image is requested once for each tile that it is in, and a window of R x S takes about
2 (R + S) / COUNT steps instead of R S at stride 1, R + S / stride at others. Shared memory is at most 48 KiB
a block: `tiles.py` has its layout and how tiles are chosen, `load.py`, `passes.py` with `chains.py`, and
`store.py` the steps. Coordinates are unsigned and wrap, so that one comparison checks both borders; padding
is the identity of the reduction, and rows of padding are never loaded.

`wide` kernels load and store whole aligned vectors. `narrow` ones store elements, and load vectors where
they can: any strides. It gives no indices: they would double what shared memory holds and more than double
the comparisons. It refuses windows so large that no tile of them fits, and rows or columns so far from each
other that 32 bits do not count the elements between them. Sums are added up in runs, and windows of means
refused whose runs would be too many (`chains.py`). A tile that holds a -0 gets its zeros signed at the end
(`zeros.py`).
"""

from gpuconv.algorithm import ANY, Algorithm
from gpuconv.cuda.pool.separable import kernel
from gpuconv.cuda.pool.separable.plan import plan, unsupported, worth
from gpuconv.spec.dtypes import FLOATS

KERNELS = tuple(kernel.KERNEL_OF.values())

ALGORITHM = Algorithm(
    "pool_separable",
    takes={
        "reduction": ("max", "mean"),
        "dtype": FLOATS,
        "count_include_pad": ANY,
        "divisor_override": ANY,
    },
    unsupported=unsupported,
    worth=worth,
    plan=plan,
    fast_for="windows of any size",
)

__all__ = ["ALGORITHM", "KERNELS"]
