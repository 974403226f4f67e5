"""The gradient by the weight of small groups: vectors of pixels are multiplied, and added up at the end.

    dw[k, c, r, s] = sum over n, p, q of dy[n, k, p, q] * x[n, g C/G + c, p stride + r dilation - top, ..]

A task is an input channel and an output channel of its group, in all images. What a block of rows of outputs
sees of x is copied with zeros around it (see `conv.bands`), so that a tap is a constant offset, and up to
ROWS taps share what they read of dy:

    band + offsets[r, s]   [x0 x1 x2 ..][..]     a vector of outputs' inputs, at any stride
    dy                     [d0 d1 d2 ..][..]     where it lies

What it does badly: groups of many channels, of which it reads every plane for every other; rows shorter than
a vector (see `depthwise`).

Measured as in `channels`, depthwise 3x3, N 8, in ms beside PyTorch 2.13, on one thread and on two:

     C @ size, stride    this   torch     this   torch
    32 @ 112             2.6     5.4      1.4     2.8
    96 @ 112, 2          5.5    11.2      3.2     5.7
   144 @  56             3.6     6.7      2.1     3.6
   384 @  14             0.59    0.95     0.62    0.59
   960 @   7             0.86    0.56     0.96    0.47
"""

from functools import lru_cache

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.conv.bands import load_band
from gpuconv.cpu.conv_weight.outputs import bands_of
from gpuconv.cpu.conv_weight.taken import TAKEN
from gpuconv.cpu.conv_weight.tiles import rows_within
from gpuconv.cpu.engine.compiled import TASKS, kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_rows
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import LANES, ROWS, claim, lanes, pointer
from gpuconv.cpu.simd.pixels import pixel_dots
from gpuconv.spec import ConvSpec, WeightGradientLayouts
from gpuconv.workspace import beyond_limit

PAIRS = 16  # of channels of a group, up to which reading planes again and again is quicker than turning them


def _signature(scalar):
    numbers, table = numba.int64, workspace(numba.int64)
    pair = numba.types.UniTuple(numbers, 2)
    arrays = source(scalar, 4), source(scalar, 4), target(scalar, 4)
    return (
        *arrays, numbers, numbers, pair, pair, *[numbers] * 4, table, workspace(scalar), workspace(scalar),
        *TASKS,
    )  # fmt: skip


@kernel(_signature)
def sum_rows(
    x, dy, y, groups, rows, stride, pads, seen, width, pitch, plane, offsets, band, sums, counter, tasks
):  # fmt: skip
    N, K, P, Q = dy.shape
    C_group, R, S = y.shape[1:]
    K_group, taps, L = K // groups, R * S, lanes(band)
    dy_n, dy_k = dy.strides[0] // dy.itemsize, dy.strides[1] // dy.itemsize
    dy_p = dy.strides[2] // dy.itemsize
    while True:
        task = claim(counter)  # = k * C_group + c
        if task >= tasks:
            break
        c, k = task % C_group, task // C_group
        image_sums, all_sums = sums[: taps * L], sums[taps * L : 2 * taps * L]
        all_sums[:] = 0
        for n in range(N):
            image_sums[:] = 0
            for p in range(0, P, rows):
                count = min(rows, P - p)
                load_band(
                    band, 0, x[n, k // K_group * C_group + c], p * stride[0] - pads[0], -pads[1],
                    seen - (rows - count) * stride[0], width, stride, pitch, plane,
                )  # fmt: skip
                for t in range(0, taps, ROWS):
                    pixel_dots(
                        min(ROWS, taps - t), count, Q, pointer(band, 0), pointer(offsets, t), pitch,
                        pointer(dy, n * dy_n + k * dy_k + p * dy_p), dy_p, pointer(image_sums, t * L),
                    )  # fmt: skip
            for i in range(taps * L):
                all_sums[i] += image_sums[i]
        for t in range(taps):
            total = x.dtype.type(0)
            for lane in range(L):
                total += all_sums[t * L + lane]
            y[k, c, t // S, t % S] = total


@lru_cache(maxsize=256)
def blocking(spec: ConvSpec) -> tuple[int, int, int]:
    """Rows of outputs of a block, and elements of the band and of the sums."""
    rows = rows_within(spec, lambda rows: bands_of(spec, rows).size * spec.itemsize)
    return rows, bands_of(spec, rows).size, 2 * spec.R * spec.S * LANES[spec.dtype]


def unsupported(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> str | None:
    if not in_rows(layouts.dy):
        return "the rows of grad_output do not lie side by side"
    return beyond_limit(sum(blocking(spec)[1:]) * spec.itemsize)


def worth(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> bool:
    return spec.C_group * spec.K_group <= PAIRS


def plan(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> Run:
    rows, band, sums = blocking(spec)
    bands = bands_of(spec, rows)
    taps = [bands.row(spec, r) + bands.column(spec, s) for r in range(spec.R) for s in range(spec.S)]
    return bind(
        sum_rows, spec.dtype, spec.K * spec.C_group, spec.flops // 2,
        constants={
            "groups": spec.groups, "rows": rows, "stride": spec.stride,
            "pads": (spec.pads[0][0], spec.pads[1][0]),
            "seen": (rows - 1) * spec.stride[0] + (spec.R - 1) * spec.dilation[0] + 1,
            "width": bands.width, "pitch": bands.pitch, "plane": bands.plane,
            "offsets": np.array(taps, np.int64),
        },
        workspaces={"band": band, "sums": sums},
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_weight_rows", TAKEN, unsupported, worth, plan,
    fast_for="groups of few channels",
)  # fmt: skip
