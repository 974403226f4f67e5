"""Tiled direct convolution: input tile with halo and weights in shared memory, outputs in registers.

    y[n, k, p, q] = bias[k] + sum over c, r, s of
                    w[k, c, r, s] * x[n, g C/G + c, p stride + r dilation - top, q stride + s dilation - left]

A block computes TILE_K output channels of one group at tile_p x tile_q pixels of one image. It walks over
the input channels in stages; for each, shared memory holds (`tiles.py` lays it out)

    offsets [taps] int64     where tap t = (c, r, s) lies in the weights
    table   [taps] uint32    where tap t begins in the input tile
            [tile_w] uint32  where each column of the input tile is kept
    x tile  [stage_c][tile_h][pitch]   what the tile's windows cover, zero outside of the image
    w tile  [taps][PITCH_K]

and a thread sums THREAD_K channels x THREAD_PIXELS pixels in registers: per tap THREAD_K + THREAD_PIXELS
loads from shared memory for THREAD_K * THREAD_PIXELS products. Lanes lie along q, warps along k and pixels:

      pixels ->                   TILE_K = THREAD_K * WARPS_K channels
    k |  warp 0   warp 4          tile_p * tile_q = threads of a k * THREAD_PIXELS pixels,
      |  warp 1   warp 5          with tile_q from 8 to 64, chosen per problem
      |  warp 2   warp 6
      v  warp 3   warp 7

A stage is summed on its own and then added to the total, which keeps the rounding error of long sums small.
Coordinates are unsigned and wrap, so that one comparison checks both borders. Zero padding is multiplied like
any value, so a NaN or infinite weight shows at the borders too.

It takes any strides of every array. Where an epilogue follows, sums of 16 bits are stored unrounded. It
cannot use tensor cores or overlap loads with arithmetic, and wastes lanes where a group has few channels or
an image few pixels.
"""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.conv.tiled import plan
from gpuconv.cuda.conv.tiled.kernel import KERNELS_BY_TILE
from gpuconv.cuda.conv.tiled.tiles import least_cycles
from gpuconv.spec import CONJUGATED, PRECISIONS
from gpuconv.spec.dtypes import BYTES, CONVOLVED

KERNELS = tuple(KERNELS_BY_TILE.values())
ALGORITHM = Algorithm(
    "conv_tiled",
    takes={
        "dtype": CONVOLVED,
        "weight_dtype": (None, *BYTES),
        "conjugate": (None, *CONJUGATED),
        "unrounded": (False, True),
        "precision": PRECISIONS,
    },
    unsupported=plan.unsupported,
    worth=plan.worth,
    plan=plan.plan,
    fast_for="few channels in a group, and whatever no other algorithm takes (predicted)",
)

__all__ = ["ALGORITHM", "KERNELS", "least_cycles"]
