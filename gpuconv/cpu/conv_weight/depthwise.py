"""The gradient by the weight of depthwise convolutions of small images: the lanes of a vector are channels.

    dw[c, 0, r, s] = sum over n, p, q of dy[n, c, p, q] * x[n, c, p stride + r dilation - top, ..]

A task is LANES channels in all images. A block of rows of outputs at a time, what they see of x is turned
into vectors of one pixel each, with zeros around them (see `conv.lines`), and so is dy. Then a tap is a
constant offset, and a row of outputs one long row of vectors, every LANES-th product of the same channel:

    vectors + offsets[r, s]   [x0][x1][x2] ..     ROWS taps
    turned                    [d0][d1][d2] ..     every vector is loaded once for them (`simd.pixels`)

All lanes are at work whatever the width of the image, which pays for the turning. What it does badly: images
so wide that vectors of pixels are as full (see `rows`).

Measured on 2026-11-29 on one core of an Intel Xeon (Ice Lake), not idle, float32, N 8, in ms beside `rows`
and PyTorch 2.13:

       C @ size, window    this   rows   torch
     960 @   7,  3x3       0.74   2.26    1.32
     576 @  14,  3x3       1.24   1.79    1.93
     576 @  14,  3x3/2     0.64   1.52    1.52
     144 @  56,  3x3       3.3    6.5    11.5
      32 @ 112,  3x3       3.6    4.4     7.3
     512 @   7,  5x5       0.60   1.91   14.7
"""

from functools import lru_cache

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.conv.lines import Spread, spread
from gpuconv.cpu.conv_weight.channels import turn
from gpuconv.cpu.conv_weight.taken import TAKEN
from gpuconv.cpu.conv_weight.tiles import one_channel, rows_within
from gpuconv.cpu.engine.compiled import TASKS, kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_planes
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import LANES, ROWS, claim, lanes, pointer
from gpuconv.cpu.simd.lines import LINE
from gpuconv.cpu.simd.pixels import pixel_dots
from gpuconv.spec import ConvSpec, WeightGradientLayouts
from gpuconv.workspace import beyond_limit


def _signature(scalar):
    numbers, table = numba.int64, workspace(numba.int64)
    pair = numba.types.UniTuple(numbers, 2)
    arrays = source(scalar, 4), source(scalar, 4), target(scalar, 4)
    flags, buffers = [numba.boolean] * 3, [workspace(scalar)] * 3
    return *arrays, *[numbers] * 3, pair, *[table] * 3, numbers, *flags, *buffers, table, *TASKS


@kernel(_signature)
def sum_planes(
    x, dy, y, rows, stride, top, seen, places, dy_places, offsets, pitch, x_in_planes, dy_in_planes, clear,
    vectors, turned, sums, lines, counter, tasks,
):  # fmt: skip
    N, C, P, Q = dy.shape
    R, S = y.shape[2:]
    taps, L = R * S, lanes(vectors)
    block_sums, all_sums = sums[: taps * L], sums[taps * L : 2 * taps * L]
    if clear:
        vectors[:] = 0
    while True:
        task = claim(counter)
        if task >= tasks:
            break
        c = task * L
        some = min(L, C - c)
        all_sums[:] = 0
        for n in range(N):
            for p in range(0, P, rows):
                count = min(rows, P - p)
                turn(x, n, c, some, p * stride - top, seen, places, vectors, 0, lines, x_in_planes)
                turn(dy, n, c, some, p, (0, count * Q), dy_places, turned, 0, lines, dy_in_planes)
                block_sums[:] = 0
                for t in range(0, taps, ROWS):
                    pixel_dots(
                        min(ROWS, taps - t), count, Q * L, pointer(vectors, 0), pointer(offsets, t),
                        pitch * L, pointer(turned, 0), Q * L, pointer(block_sums, t * L),
                    )  # fmt: skip
                for i in range(taps * L):
                    all_sums[i] += block_sums[i]
        for t in range(taps):
            for lane in range(some):
                y[c + lane, 0, t // S, t % S] = all_sums[t * L + lane]


@lru_cache(maxsize=256)
def blocking(spec: ConvSpec) -> tuple[int, dict[str, int]]:
    """Rows of outputs of a block, and elements of each workspace."""
    L = LANES[spec.dtype]

    def sizes(rows: int) -> dict[str, int]:
        turned = (rows * spec.Q + L) * L
        return {"vectors": _spread(spec, rows).size, "turned": turned, "sums": 2 * spec.R * spec.S * L}

    rows = rows_within(spec, lambda rows: sum(sizes(rows).values()) * spec.itemsize)
    return rows, sizes(rows)


def _spread(spec: ConvSpec, rows: int) -> Spread:
    return spread(one_channel(spec), rows)


def unsupported(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> str | None:
    if spec.C_group != 1 or spec.K_group != 1:
        return f"it takes groups of one channel, not of {spec.C_group} to {spec.K_group}"
    return beyond_limit(sum(blocking(spec)[1].values()) * spec.itemsize)


def worth(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> bool:
    # `conv_weight_rows`' time / this one's, measured as below: 3x3, 32 channels @20 1.5, @112 1.2, @224 0.9,
    # @512 0.7; 7x7 @256 1.2; 17 channels @28 0.8, 9 @20 1.05; of float64, 32 @14 1.4, @112 0.5
    L = LANES[spec.dtype]
    is_full = 1.2 * _filled(spec.C, L) >= _filled(spec.Q, L)
    return is_full and (spec.Q <= 8 * L or spec.R * spec.S >= 49)


def _filled(count: int, L: int) -> float:
    """The part of the lanes of vectors of so many elements that is at work."""
    return count / (-(-count // L) * L) if count else 0.0


def plan(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> Run:
    rows, sizes = blocking(spec)
    planes, L = _spread(spec, rows), LANES[spec.dtype]
    return bind(
        sum_planes, spec.dtype, -(-spec.C // L), spec.flops // 2,
        constants={
            "rows": rows, "stride": spec.stride[0], "top": spec.pads[0][0], "seen": planes.seen,
            "places": planes.places, "dy_places": np.arange(rows * spec.Q + L) * L, "offsets": planes.offsets,
            "pitch": planes.bands.pitch, "x_in_planes": in_planes(layouts.x),
            "dy_in_planes": in_planes(layouts.dy), "clear": planes.zeros,
        },
        workspaces=sizes,
        tables={"lines": LINE * L},
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_weight_depthwise", TAKEN, unsupported, worth, plan, fast_for="groups of one channel, small images"
)  # fmt: skip
