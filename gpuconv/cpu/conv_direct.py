"""Direct convolution: the defining sum, one output row at a time. Takes every case; made to be read.

    y[n, k, p, q] = bias[k] + sum over c, r, s of
                    w[k, c, r, s] * x[n, g C/G + c, p stride + r dilation - top, q stride + s dilation - left]

with zero where x is read outside of its image, and g the group of k. A task is one output row p of up to
BLOCK_K channels of one image:

    row  [span]        one input row, padded with zeros on both sides, so that nothing below asks for borders
    acc  [BLOCK_K, Q]  its products with the taps (r, s) of each output channel, summed over BLOCK_C channels
    y    [.., Q]       receives acc after each block of channels, which keeps the rounding error small

Everything that the inner loop touches lies in the first-level cache. Zero padding is multiplied like any
value, so a NaN or infinite weight shows at the borders too.
"""

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.compiled import kernel, source, target
from gpuconv.spec import ConvSpec
from gpuconv.threads import share

BLOCK_K = 16  # output channels that share one copied row
BLOCK_C = 16  # input channels summed before the sum is added to y


def _signature(scalar):
    arrays = source(scalar, 4), source(scalar, 4), source(scalar, 1), target(scalar, 4)
    return (*arrays, *[numba.int64] * 9)


@kernel(_signature)
def convolve_rows(
    x, w, bias, y, groups, top, left, stride_h, stride_w, dilation_h, dilation_w, begin, end
):  # fmt: skip
    H, W = x.shape[2:]
    K, C_group, R, S = w.shape
    P, Q = y.shape[2:]
    K_group = K // groups
    blocks = -(-K_group // BLOCK_K)  # of output channels in one group
    row = np.zeros((Q - 1) * stride_w + (S - 1) * dilation_w + 1, x.dtype)
    first, last = min(left, row.size), min(left + W, row.size)  # the part of `row` that x fills
    acc = np.empty((BLOCK_K, Q), x.dtype)

    for task in range(begin, end):  # task = ((n * groups + g) * blocks + block) * P + p
        p, rest = task % P, task // P
        block, rest = rest % blocks, rest // blocks
        g, n = rest % groups, rest // groups
        k_begin = g * K_group + block * BLOCK_K
        k_end = min(k_begin + BLOCK_K, (g + 1) * K_group)
        for k in range(k_begin, k_end):
            y[n, k, p, :] = bias[k]

        for c_begin in range(0, C_group, BLOCK_C):
            acc[:] = 0
            for c in range(c_begin, min(c_begin + BLOCK_C, C_group)):
                for r in range(R):
                    h = p * stride_h + r * dilation_h - top
                    if 0 <= h < H:
                        row[first:last] = x[n, g * C_group + c, h, : last - first]
                    else:
                        row[first:last] = 0
                    for k in range(k_begin, k_end):
                        for s in range(S):
                            add_product(acc[k - k_begin], w[k, c, r, s], row[s * dilation_w :], stride_w)
            for k in range(k_begin, k_end):
                for q in range(Q):
                    y[n, k, p, q] += acc[k - k_begin, q]


@numba.njit(inline="always")
def add_product(acc, weight, row, stride):
    """acc[q] += weight * row[q * stride]; the branch lets LLVM vectorise the contiguous case."""
    if stride == 1:
        for q in range(acc.size):
            acc[q] += weight * row[q]
    else:
        for q in range(acc.size):
            acc[q] += weight * row[q * stride]


def unsupported(spec: ConvSpec) -> str | None:
    return None


def worth(spec: ConvSpec) -> bool:
    return True


def run(spec: ConvSpec, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, y: np.ndarray) -> None:
    if bias is None:
        bias = np.zeros(spec.K, spec.dtype)
    (top, _), (left, _) = spec.pads
    compiled = convolve_rows[spec.dtype]

    def compute(begin: int, end: int) -> None:
        compiled(x, w, bias, y, spec.groups, top, left, *spec.stride, *spec.dilation, begin, end)

    blocks = -(-spec.K_group // BLOCK_K)
    share(compute, spec.N * spec.groups * blocks * spec.P, spec.flops // 2)


ALGORITHM = Algorithm("conv_direct", unsupported, worth, run)
