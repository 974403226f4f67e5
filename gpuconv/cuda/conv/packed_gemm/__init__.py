"""Convolution of 16 and 8 bits as a product of matrices by tensor cores, over channels that lie side by side.

    y[k, pixel] = bias[k] + sum over taps (r, s, c) of w[k, tap] * x[pixel + (r, s), c]

`pack.py` brings the channels of each pixel and the taps of each output channel side by side, in pieces of 16
bytes: 8 numbers of 16 bits or 16 of 8. A channels-last input whose pieces are whole is read as it lies.
`kernel.py` has the kernel and the picture of its tile, `load.py` and `store.py` how it loads and stores,
`tiles.py` which tile a problem takes on a GPU. Where there are few pixels and many taps, several blocks share
the depth, and `conv/split.py` adds up their sums in order.

Products of 16 bits are exact, and added up in float32; integers in int32, and wrap. Zero padding is
multiplied like any value, so a NaN or infinite weight shows at the borders too. It takes any strides. What it
cannot do: a GPU before sm_80, and an image that does not fit the workspace when it is packed.

Predicted by `profiling.model` on an H200, with its packing, float16, 3x3 @56 N 32: 64 -> 64 47 us, 256 -> 256
252 us, both limited by the cache behind the multiprocessors.
"""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.conv.packed_gemm import pack, plan
from gpuconv.cuda.conv.packed_gemm.kernel import KERNELS_BY_TILE
from gpuconv.spec import PRECISIONS
from gpuconv.spec.dtypes import BYTES, SIXTEEN_BITS

KERNELS = (*KERNELS_BY_TILE.values(), *pack.PIXELS_KERNELS.values(), *pack.WEIGHTS_KERNELS.values())
ALGORITHM = Algorithm(
    "conv_packed_gemm",
    takes={
        "dtype": (*SIXTEEN_BITS, *BYTES),
        "weight_dtype": (None, *BYTES),
        "unrounded": (False, True),
        "precision": PRECISIONS,
    },
    unsupported=plan.unsupported,
    worth=plan.worth,
    plan=plan.plan,
    fast_for="16 and 8 bits, of more than a few channels in a group (predicted)",
)

__all__ = ["ALGORITHM", "KERNELS"]
