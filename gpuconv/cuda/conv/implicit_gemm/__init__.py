"""Convolution as a product of matrices, the second of which is gathered while it is multiplied.

    y[k, pixel] = bias[k] + sum over taps of w[k, tap] * x[base(pixel) + place(tap)]

K output channels by N P Q pixels, over the C R S taps of each group. `kernel.py` has the kernel and the
picture of its tile, `load.py`, `load_weights.py` and `store.py` how it loads and stores, `gather.py` says how
taps are found, `tiles.py` which tile a problem takes on a GPU.

A 1x1 kernel over images whose pixels lie side by side, 16-byte aligned, needs no gather: it is loaded 16
bytes at a time. Outputs are stored so where they lie so. Where there are few pixels and many taps, several
blocks share the depth, and `conv/split.py` adds up their sums in order.

Zero padding is multiplied like any value, so a NaN or infinite weight shows at the borders too. A sum is one
chain of fused multiply-adds over its depth. It takes any strides of x, the bias and y. What it cannot do:
weights whose taps are not side by side, images so large that the place of a tap does not fit 32 bits, and
float64. Before sm_80, loads do not overlap with arithmetic.
"""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.conv.implicit_gemm import plan
from gpuconv.cuda.conv.implicit_gemm.kernel import KERNELS_BY_TILE
from gpuconv.cuda.conv.implicit_gemm.plan import too_large
from gpuconv.cuda.conv.implicit_gemm.tiles import least_cost
from gpuconv.spec import PRECISIONS
from gpuconv.spec.dtypes import FLOAT32

KERNELS = tuple(KERNELS_BY_TILE.values())
ALGORITHM = Algorithm(
    "conv_implicit_gemm",
    takes={"dtype": (FLOAT32,), "precision": PRECISIONS},
    unsupported=plan.unsupported,
    worth=plan.worth,
    plan=plan.plan,
    fast_for="more than 4 output channels in a group (predicted)",
)

__all__ = ["ALGORITHM", "KERNELS", "least_cost", "too_large"]
