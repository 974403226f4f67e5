"""Direct pooling: one window after the other, as the definition reads. Takes every case; made to be read.

A task is one output row. Of a window only the taps inside the image are visited:

    max   the greatest of them, a NaN counting as the greatest, and the flat index h W + v of the first such;
          -inf and -1 where there is none
    mean  their sum over a divisor: the taps of the window inside the padded image (count_include_pad), or
          those inside the image, or divisor_override; 0 where there is none; long sums are added pairwise
"""

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.compiled import TASKS, kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.pool.reduction import LEVELS, TERMS, complete_number, push_number
from gpuconv.cpu.pool.taken import TAKEN
from gpuconv.cpu.simd import claim
from gpuconv.spec import PoolSpec
from gpuconv.spec.layouts import PoolLayouts


def _max_signature(scalar):
    arrays = source(scalar, 4), target(scalar, 4), target(numba.int64, 4)
    return (*arrays, *[numba.int64] * 8, *TASKS)


@kernel(_max_signature)
def max_rows(
    x, y, indices, R, S, top, left, stride_h, stride_w, dilation_h, dilation_w, counter, tasks
):  # fmt: skip
    H, W = x.shape[2:]
    C, P, Q = y.shape[1:]
    with_indices = indices.size > 0

    while True:
        task = claim(counter)  # = (n * C + c) * P + p
        if task >= tasks:
            break
        p, rest = task % P, task // P
        c, n = rest % C, rest // C
        for q in range(Q):
            best, index = -np.inf, -1
            for r in range(R):
                h = p * stride_h + r * dilation_h - top
                if 0 <= h < H:
                    for s in range(S):
                        v = q * stride_w + s * dilation_w - left  # the column
                        if 0 <= v < W:
                            value = x[n, c, h, v]
                            greater = value > best or (value != value and best == best)
                            if greater or index < 0:
                                best, index = value, h * W + v
            y[n, c, p, q] = best
            if with_indices:
                indices[n, c, p, q] = index


def _mean_signature(scalar):
    divisor = numba.boolean, numba.int64
    return (source(scalar, 4), target(scalar, 4), *[numba.int64] * 10, *divisor, workspace(scalar), *TASKS)


@kernel(_mean_signature)
def mean_rows(
    x, y, R, S, top, bottom, left, right, stride_h, stride_w, dilation_h, dilation_w, count_pads,
    divisor_override, waiting, counter, tasks,
):  # fmt: skip
    H, W = x.shape[2:]
    C, P, Q = y.shape[1:]

    while True:
        task = claim(counter)  # = (n * C + c) * P + p
        if task >= tasks:
            break
        p, rest = task % P, task // P
        c, n = rest % C, rest // C
        for q in range(Q):
            total, terms, blocks, inside, counted = x.dtype.type(0), 0, 0, 0, 0
            for r in range(R):
                h = p * stride_h + r * dilation_h - top
                for s in range(S):
                    v = q * stride_w + s * dilation_w - left  # the column
                    if h < H + bottom and v < W + right:
                        counted += 1
                    if 0 <= h < H and 0 <= v < W:
                        if terms == TERMS:
                            blocks, total, terms = push_number(waiting, blocks, total), x.dtype.type(0), 0
                        total += x[n, c, h, v]
                        terms, inside = terms + 1, inside + 1
            total = complete_number(waiting, blocks, total)
            divisor = divisor_override
            if divisor == 0:
                divisor = counted if count_pads else inside
            y[n, c, p, q] = total / x.dtype.type(divisor) if inside > 0 else 0


def unsupported(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> str | None:
    return None


def worth(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> bool:
    return True


def plan(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> Run:
    (top, bottom), (left, right) = spec.pads
    tasks = spec.N * spec.C * spec.P
    geometry = {
        "R": spec.R, "S": spec.S, "top": top, "left": left,
        "stride_h": spec.stride[0], "stride_w": spec.stride[1],
        "dilation_h": spec.dilation[0], "dilation_w": spec.dilation[1],
    }  # fmt: skip
    if spec.reduction == "mean":
        divisor = {"count_pads": spec.count_include_pad, "divisor_override": spec.divisor_override or 0}
        constants = {**geometry, "bottom": bottom, "right": right, **divisor}
        return bind(mean_rows, spec.dtype, tasks, spec.flops, constants, {"waiting": LEVELS})
    maxima = bind(max_rows, spec.dtype, tasks, spec.flops, geometry)
    if spec.return_indices:
        return maxima
    none = np.empty((0, 0, 0, 0), np.int64)
    return lambda x, y: maxima(x, y, none)


ALGORITHM = Algorithm(
    "pool_direct", {**TAKEN, "return_indices": (False, True)}, unsupported, worth, plan,
    fast_for="indices, and reading",
)  # fmt: skip
