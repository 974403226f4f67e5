"""Direct convolution: the defining sum, one output row at a time. Takes every case; made to be read.

    y[n, k, p, q] = bias[k] + sum over c, r, s of
                    w[k, c, r, s] * x[n, g C/G + c, p stride + r dilation - top, q stride + s dilation - left]

with zero where x is read outside of its image, and g the group of k. A task is one output row p of up to
BLOCK_K channels of one image, computed in tiles of up to BLOCK_Q columns:

    row  [BLOCK_Q + ..]      what the taps (c, r) read of x for these columns, zeros included, so that nothing
                             below asks for borders; at a stride, what one tap (c, r, s) reads, so that
                             nothing below asks for strides
    acc  [BLOCK_K, BLOCK_Q]  its products with the weights of each output channel, summed over BLOCK_C
                             input channels
    y    [.., Q]             receives acc after each block of channels, which keeps the rounding error small

Everything that the inner loop touches lies in the first-level cache, whatever the problem. Zero padding is
multiplied like any value, so a NaN or infinite weight shows at the borders too.
"""

import numba

from gpuconv.algorithm import Algorithm, always
from gpuconv.cpu.conv.taken import FINISHED, remark
from gpuconv.cpu.engine.borders import taps_between
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, workspace
from gpuconv.cpu.engine.cost import Amounts, from_memory, priced
from gpuconv.cpu.engine.epilogue import convolved, epilogue_of, finish_pixels, start
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import LANES, claim
from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ConvLayouts

BLOCK_K = 16  # output channels that share one copied row
BLOCK_Q = 512
BLOCK_C = 16  # input channels summed before the sum is added to y


def _signature(scalar):
    return (*convolved(scalar), *[numba.int64] * 7, workspace(scalar), workspace(scalar), *TASKS)


@kernel(_signature)
def convolve_rows(
    x, w, bias, residual, y, epilogue, groups, top, left, stride_h, stride_w, dilation_h, dilation_w, row,
    acc, counter, tasks,
):  # fmt: skip
    K, C_group, R, S = w.shape
    P, Q = y.shape[2:]
    K_group = K // groups
    blocks = -(-K_group // BLOCK_K)  # of output channels in one group
    reach = (S - 1) * dilation_w
    one_copy = stride_w == 1 and reach <= BLOCK_Q  # of a row serves all of its taps
    tile_q = min(Q, BLOCK_Q)
    row = row[: tile_q + (reach if one_copy else 0)]
    acc = acc[: BLOCK_K * tile_q].reshape(BLOCK_K, tile_q)

    while True:
        task = claim(counter)  # = ((n * groups + g) * blocks + block) * P + p
        if task >= tasks:
            break
        p, rest = task % P, task // P
        block, rest = rest % blocks, rest // blocks
        g, n = rest % groups, rest // groups
        k_begin = g * K_group + block * BLOCK_K
        k_end = min(k_begin + BLOCK_K, (g + 1) * K_group)
        for k in range(k_begin, k_end):
            y[n, k, p, :] = start(bias, k)

        for q_begin in range(0, Q, BLOCK_Q):
            q_end = min(q_begin + BLOCK_Q, Q)
            for c_begin in range(0, C_group, BLOCK_C):
                acc[:] = 0
                for c in range(c_begin, min(c_begin + BLOCK_C, C_group)):
                    image = x[n, g * C_group + c]
                    for r in range(R):
                        h = p * stride_h + r * dilation_h - top
                        v = q_begin * stride_w - left  # the first column
                        if one_copy:
                            load_row(row, image, h, v, 1)
                        for s in range(S):
                            tap = row[s * dilation_w :] if one_copy else row
                            tap = tap[: q_end - q_begin]
                            if not one_copy:
                                load_row(tap, image, h, v + s * dilation_w, stride_w)
                            for k in range(k_begin, k_end):
                                add_product(acc[k - k_begin], w[k, c, r, s], tap)
                for k in range(k_begin, k_end):
                    for q in range(q_begin, q_end):
                        y[n, k, p, q] += acc[k - k_begin, q - q_begin]
        finish_pixels(residual, y, n, k_begin, k_end, p * Q, Q, epilogue)


@inner
def load_row(row, image, h, first, stride):
    """row[i] = image[h, first + i stride], zero outside of the image."""
    H, W = image.shape
    begin, end = 0, 0
    if 0 <= h < H:
        begin, end = taps_between(first, row.size, stride, 0, W)
    row[:begin] = 0
    for i in range(begin, end):
        row[i] = image[h, first + i * stride]
    row[end:] = 0


@inner
def add_product(acc, weight, row):
    """acc[q] += weight * row[q]: one-dimensional arrays, so that LLVM vectorises it."""
    for q in range(row.size):
        acc[q] += weight * row[q]


def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
    return None


def amounts(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Amounts:
    """What it does, on one thread (`engine.cost`): rows of outputs, once for each tap."""
    rows = spec.N * spec.P * spec.C_group * spec.R * spec.S
    copies = rows * spec.groups * -(-spec.K_group // BLOCK_K) // (spec.S if spec.stride[1] == 1 else 1)
    return {
        "call": 1,
        "rows": rows * spec.K,
        "products": rows * spec.K * spec.Q / LANES[spec.dtype],
        "copies": copies,
        "elements": copies * spec.Q,
        "memory": from_memory(spec),
    }


def plan(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    (top, _), (left, _) = spec.pads
    return bind(
        convolve_rows, spec.dtype,
        tasks=spec.N * spec.groups * -(-spec.K_group // BLOCK_K) * spec.P,
        work=spec.flops // 2,
        constants={
            "epilogue": epilogue_of(spec, layouts), "groups": spec.groups, "top": top, "left": left,
            "stride_h": spec.stride[0], "stride_w": spec.stride[1],
            "dilation_h": spec.dilation[0], "dilation_w": spec.dilation[1],
        },
        workspaces={"row": 2 * BLOCK_Q, "acc": BLOCK_K * BLOCK_Q},
        twice=not spec.epilogue.residual,
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_direct", FINISHED, unsupported, always, plan,
    fast_for="reading, and where no memory may be used",
    remark=remark, cost=priced("conv_direct", amounts),
)  # fmt: skip
