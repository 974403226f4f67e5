"""Convolution as a product of matrices, the second of which is gathered while it is multiplied.

    y[k, pixel] = bias[k] + sum over taps of w[k, tap] * x[base(pixel) + place(tap)]

K output channels by N P Q pixels, over the C R S taps of each group. `kernel.py` has the kernel and the
picture of its tile, `load.py`, `load_weights.py` and `store.py` how it loads and stores, `gather.py` says how
taps are found, `tiles.py` which tile a problem takes on a GPU.

A 1x1 kernel over images whose pixels lie side by side, 16-byte aligned, needs no gather: it is loaded 16
bytes at a time. Outputs are stored so where they lie so. Where there are few pixels and many taps, several
blocks share the depth, and `conv/split.py` adds up their sums in order.

Zero padding is multiplied like any value, so a NaN or infinite weight shows at the borders too. It takes any
strides of x, the bias and y. What it cannot do: weights whose taps are not side by side, images so large that
the place of a tap does not fit 32 bits, and float64. Before sm_80, loads do not overlap with arithmetic.

One kernel, three algorithms, by how they multiply; u is 2^-24, and every bound times the sum of |w||x|:

    conv_implicit_gemm           one chain of fused multiply-adds             taps u
    conv_implicit_gemm_3xtf32    tensor cores; factors split in two           (28 + taps / 8) u
    conv_implicit_gemm_tf32      tensor cores; factors rounded to 11 bits     2^-10 + 3 taps u

In the norm the error of the second is within twice that of the first for N(0, 1), and where rows are scaled;
within 5 times where taps are, so that few products decide; by a model that cuts off within tensor cores
(`tests/cuda/conv/test_tensor_cores.py`). Its bound holds where no lower part is rounded as a subnormal
number: for factors of 2^-114 and more, or 0. Below that a factor is off by as much as 2^-136, whatever its
size, which is why it does not take "ieee". On the GPU nothing of tensor cores has been measured: rates are
those of `runtime/gpu.py`. Predicted by `profiling.model` on an H200, 64 -> 64 3x3 @56 N 32: 145, 70 and 70
us, the last two limited by loads of 4 bytes.
"""

from collections.abc import Callable, Collection
from functools import partial

from gpuconv.algorithm import Algorithm, remark_of_precision
from gpuconv.cuda.conv.implicit_gemm import plan
from gpuconv.cuda.conv.implicit_gemm.kernel import KERNELS_BY_TILE
from gpuconv.cuda.conv.implicit_gemm.plan import too_large
from gpuconv.cuda.conv.implicit_gemm.tiles import FLOAT32_SUMS, TF32, THREE_TF32, Arithmetic, least_cost
from gpuconv.spec import PRECISIONS, ConvSpec
from gpuconv.spec.dtypes import FLOAT32

KERNELS = tuple(KERNELS_BY_TILE.values())


def _algorithm(
    arithmetic: Arithmetic,
    precisions: Collection[str | None],
    fast_for: str,
    remark: Callable[[ConvSpec], str] = remark_of_precision,
) -> Algorithm:
    return Algorithm(
        arithmetic.algorithm,
        {"dtype": (FLOAT32,), "precision": precisions},
        partial(plan.unsupported, arithmetic),
        partial(plan.worth, arithmetic),
        partial(plan.plan, arithmetic),
        fast_for=fast_for,
        remark=remark,
        cost=partial(plan.seconds, arithmetic),
    )


def _remark_of_split(spec: ConvSpec) -> str:
    return "each product is three of tf32, with the error of float32 in the norm"


def _remark_of_rounded(spec: ConvSpec) -> str:
    return "factors are rounded to 11 bits, as precision='tf32' allows"


ALGORITHM = _algorithm(FLOAT32_SUMS, PRECISIONS, "more than 4 output channels in a group (predicted)")
SPLIT_TF32 = _algorithm(
    THREE_TF32,
    (None, "tf32"),
    "32 input channels or more, where tensor cores have more than 3 times the rate of float32 (predicted)",
    _remark_of_split,
)
ROUNDED_TF32 = _algorithm(
    TF32, ("tf32",), "what tensor cores take less time for than multiply-adds (predicted)", _remark_of_rounded
)

__all__ = ["ALGORITHM", "KERNELS", "ROUNDED_TF32", "SPLIT_TF32", "least_cost", "too_large"]
