"""Convolution of few input channels with large windows: the first layer of a network, and image filters.

    y[n, k, p, q] = bias[k] + sum over c, r, s of
                    w[k, c, r, s] * x[n, g C/G + c, p stride + r - top, q stride + s - left]

A block computes a tile of tile_p x tile_q pixels of one image for `k` output channels of one group. Shared
memory holds, for the input channels or the rows of taps that fit (`tiles.py`),

    x tile [c][line][phase][column] float32, with the halo, zero outside of the image; columns by their
                                    remainder modulo the stride, so that neighbouring pixels meet neighbours
    w tile [tap][channel + 4]       of many outputs, or [row][phase][tap] of a few; up to 48 KB together

and two kernels sum in registers, in float32:

    many.py    8 channels x 2 rows x 4 pixels a thread, blocks of 8, 16 or 32 channels
    few.py     1 channel x 2 rows x 12 pixels a thread, fewer than MANY outputs a group

Both load an element from shared memory for several taps at once, as windows slide over registers, and
multiply nothing but taps and elements that meet. The copies of a block overlap with the arithmetic of the
other blocks of a multiprocessor, not with its own: most problems are one stage, and were no copy ever waited
for, the model of `profiling` predicts that 7x7/2 3 -> 64 @224 gained 0.5 % (N 32) or 1.7 % (N 8) on an H200,
and filters of 5x5 to 31x31 on 2048x2048 and 4096x4096 nothing. A sum of many.py has all C/G R S
products; those of few.py begin anew after 256. It takes any strides of every array.
It cannot do: more than 4 channels a group, dilation, float64.
"""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.conv.stem import plan
from gpuconv.cuda.conv.stem.kernel import KERNELS_BY_SHAPE
from gpuconv.spec import PRECISIONS
from gpuconv.spec.dtypes import FLOAT32

KERNELS = tuple(KERNELS_BY_SHAPE.values())
ALGORITHM = Algorithm(
    "conv_stem",
    takes={"dtype": (FLOAT32,), "precision": PRECISIONS},
    unsupported=plan.unsupported,
    worth=plan.worth,
    plan=plan.plan,
    fast_for="1 to 4 input channels a group and windows of many taps (predicted)",
)

__all__ = ["ALGORITHM", "KERNELS"]
