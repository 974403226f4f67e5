"""The gradient by the weight as the definition reads: one tap after the other. Takes every case.

A task is one tap (k, c, r, s): the products of all outputs that it reaches, a row of outputs at a time, which
keeps the rounding error small. What the borders hold is zero, and multiplied like any value, so that a NaN or
infinite gradient shows in every tap.
"""

import numba

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.conv_weight.taken import TAKEN
from gpuconv.cpu.engine.compiled import TASKS, kernel, source, target
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import claim
from gpuconv.spec import ConvSpec, WeightGradientLayouts


def _signature(scalar):
    return source(scalar, 4), source(scalar, 4), target(scalar, 4), *[numba.int64] * 7, *TASKS


@kernel(_signature)
def sum_taps(x, dy, y, groups, top, left, stride_h, stride_w, dilation_h, dilation_w, counter, tasks):
    H, W = x.shape[2:]
    N, K, P, Q = dy.shape
    C_group, R, S = y.shape[1:]
    K_group = K // groups
    while True:
        task = claim(counter)  # = ((k * C_group + c) * R + r) * S + s
        if task >= tasks:
            break
        s, rest = task % S, task // S
        r, rest = rest % R, rest // R
        c, k = rest % C_group, rest // C_group
        channel, total = k // K_group * C_group + c, x.dtype.type(0)
        for n in range(N):
            for p in range(P):
                h, row = p * stride_h + r * dilation_h - top, x.dtype.type(0)
                for q in range(Q):
                    v = q * stride_w + s * dilation_w - left  # the column
                    inside = 0 <= h < H and 0 <= v < W
                    row += dy[n, k, p, q] * (x[n, channel, h, v] if inside else x.dtype.type(0))
                total += row
        y[k, c, r, s] = total


def unsupported(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> str | None:
    return None


def worth(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> bool:
    return True


def plan(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> Run:
    (top, _), (left, _) = spec.pads
    return bind(
        sum_taps, spec.dtype, spec.K * spec.C_group * spec.R * spec.S, spec.flops // 2,
        constants={
            "groups": spec.groups, "top": top, "left": left,
            "stride_h": spec.stride[0], "stride_w": spec.stride[1],
            "dilation_h": spec.dilation[0], "dilation_w": spec.dilation[1],
        },
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_weight_direct", TAKEN, unsupported, worth, plan,
    fast_for="reading, and where no memory may be used",
)  # fmt: skip
