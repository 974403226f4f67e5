"""Depthwise convolution with any kernel, stride and dilation: a thread sums outputs below each other.

    y[n, k, p, q] = bias[k] + sum over r, s of
                    w[k, 0, r, s] * x[n, k // multiplier, p stride + r dilation - top,
                                                          q stride + s dilation - left]

A block computes several tiles, of one plane or of several (`tiles.py`), each in a slot of its own in shared
memory:

        q ->                       a thread: `pixels` rows of a column, one below the other
    p   | * * * * * * *            lanes: columns, then the columns of the next slot, so that small planes
    |   | * * * * * * *            leave few idle
    v   | * * * * * * *            warps further on: the rows below

    table  [slot]                  int64 x 2, uint32 x 4: where its image and its weights begin
    images [slot][column][phase][row]    what the windows cover, zero outside of the image: column by column,
                                         rows one beside the other, so that 4 of them are one access
    w      [slot][column of taps][phase][tap]    up to 48 KB together

Column of taps by column of taps, a window slides down in registers (`device/rings.py`): per 4 taps and
`pixels` outputs one access of 128 bits to the image and one, the same for all lanes of a slot, to the
weights. So more than 9 instructions in 10 of the loop are products. Where shared memory does not hold all
columns of taps, they come in stages. The copies of a block overlap with the arithmetic of the other blocks of
a multiprocessor, not with its own. Sums of more than 256 products begin anew and are then added up.

It takes any strides of every array. What it cannot do: windows of which not even one column of taps fits
shared memory.
"""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.conv.depthwise_window import plan
from gpuconv.cuda.conv.depthwise_window.kernel import KERNELS_BY_SHAPE
from gpuconv.spec import PRECISIONS
from gpuconv.spec.dtypes import FLOATS

KERNELS = tuple(KERNELS_BY_SHAPE.values())
ALGORITHM = Algorithm(
    "conv_depthwise_window",
    takes={"dtype": FLOATS, "precision": PRECISIONS},
    unsupported=plan.unsupported,
    worth=plan.worth,
    plan=plan.plan,
    fast_for="one input channel a group, any window (predicted)",
)

__all__ = ["ALGORITHM", "KERNELS"]
