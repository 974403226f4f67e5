"""Depthwise convolution: each group has one input channel, and a warp slides down the image with its sums.

    y[n, k, p, q] = bias[k] + sum over r, s of
                    w[k, 0, r, s] * x[n, k // multiplier, p stride + r - top, q stride + s - left]

               lane 0    lane 1    lane 2        a warp: a strip of tile_p rows of output, of one plane or of
    rows    | . . . . | . . . . | . . . . |      several narrow ones side by side (`tiles.py`)
     |      | . . . . | . . . . | . . . . |
     v        <-- columns of neighbours -->      by shuffles
            | + + + + | + + + + | + + + + |      STEPS stride rows are loaded before they are needed

A lane owns `outputs` columns of the output and the COLUMNS = outputs stride columns of the image below them,
which it loads at once: 128 bits where rows are aligned and 20 columns or more, else one output's. A row of
the image is multiplied by all the taps that it meets, and added to the sums of the BEFORE + 1 rows of output
that are under way; then the oldest is complete. So each element is requested once, but for the rows that two
strips share. The loop is one straight line: loads and stores happen or not by a predicate.

Shared memory: float32 [warp][slot][tap], the weights on their way to registers, up to 7 KB. Rows and columns
beyond the image count as zeros and are multiplied like any value. It takes any strides of every array. What
it cannot do: other windows than 3x3, 5x5 and 7x7 at stride 1 and 2, dilation, float64. What it does badly:
5x5 and 7x7 on few pixels. `conv_depthwise_window` takes all of these. For sm_75 and sm_80 the compiler does
not see that the warps stay together in the loop: it adds a test before each shuffle, and code, with registers
for it, that never runs.
"""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.conv.depthwise import plan
from gpuconv.cuda.conv.depthwise.kernel import SLIDING
from gpuconv.cuda.conv.depthwise.plan import outweighs_sharing, too_large
from gpuconv.spec import PRECISIONS
from gpuconv.spec.dtypes import FLOAT32

KERNELS = tuple(SLIDING.values())
ALGORITHM = Algorithm(
    "conv_depthwise",
    takes={"dtype": (FLOAT32,), "precision": PRECISIONS},
    unsupported=plan.unsupported,
    worth=plan.worth,
    plan=plan.plan,
    fast_for="one input channel a group, 3x3, and 5x5 or 7x7 over many pixels (predicted)",
)

__all__ = ["ALGORITHM", "KERNELS", "outweighs_sharing", "too_large"]
