"""The gradient by the weight in tiles of taps x vectors of output channels, for few input channels.

    dw[k, c, r, s] = sum over n, p, q of dy[n, k, p, q] * x[n, c, p stride + r dilation - top, ..]

A task is a panel, of up to VECTORS vectors of output channels of a group, and all its taps (c, r, s), or
those of some input channels. A block of rows of outputs at a time, the panel's planes of dy are turned into
vectors of one pixel each, and what the block sees of x is copied with zeros around it (see `conv.bands`), so
that a tap is a constant offset:

    vectors                    [d0][d1][d2] ..    of the panel's channels, pixel after pixel
    band + offsets, ROWS taps   x   x   x   ..    each spread over a vector

and ROWS x VECTORS sums stay in registers while the block's pixels pass (`simd.pixels`). What it does badly:
fewer output channels than lanes.

Measured as in `channels`, in ms beside PyTorch 2.13, on one thread and on two:

    C -> K @ size, stride, N         this   torch     this   torch
    7x7   3 -> 64 @ 224, 2, N 8      14.3    18.9      8.4    10.4
    3x3   3 -> 64 @ 224,    N 2       4.3     8.3      2.9     3.9
    3x3   1 -> 64 @ 256,    N 1       2.0     4.8      1.3     2.0
"""

from functools import lru_cache

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.conv.bands import Bands, load_band
from gpuconv.cpu.conv_weight.channels import put, turn
from gpuconv.cpu.conv_weight.taken import TAKEN
from gpuconv.cpu.conv_weight.tiles import Panels, panels_of, rows_within, sums_of
from gpuconv.cpu.engine.compiled import TASKS, kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_planes
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import LANES, ROWS, VECTORS, claim, lanes, pointer
from gpuconv.cpu.simd.lines import LINE
from gpuconv.cpu.simd.pixels import pixel_product
from gpuconv.spec import ConvSpec, WeightGradientLayouts
from gpuconv.workspace import beyond_limit


def _signature(scalar):
    numbers, table = numba.int64, workspace(numba.int64)
    pair = numba.types.UniTuple(numbers, 2)
    arrays = source(scalar, 4), source(scalar, 4), target(scalar, 4)
    buffers = [workspace(scalar)] * 3
    return (
        *arrays, *[numbers] * 4, pair, pair, *[numbers] * 5, table, table, numba.boolean, *buffers, table,
        *TASKS,
    )  # fmt: skip


@kernel(_signature)
def sum_outputs(
    x, dy, y, groups, width, chunk, rows, stride, pads, seen, band_width, pitch, plane, channel, offsets,
    places, dy_in_planes, vectors, band, sums, dy_lines, counter, tasks,
):  # fmt: skip
    N, K, P, Q = dy.shape
    C_group, R, S = y.shape[1:]
    K_group, L, taps = K // groups, lanes(vectors), R * S
    panels, chunks = -(-K_group // width), -(-C_group // chunk)
    columns, size = VECTORS * L, (rows * Q + L) * L

    while True:
        task = claim(counter)  # = (g * panels + panel) * chunks + c_chunk
        if task >= tasks:
            break
        g, panel = task // chunks // panels, task // chunks % panels
        k_begin, k_end = panel * width, min((panel + 1) * width, K_group)
        c_begin = task % chunks * chunk
        some = min(c_begin + chunk, C_group) - c_begin
        sums[: taps * chunk * columns] = 0

        for n in range(N):
            for p in range(0, P, rows):
                count = min(rows, P - p)
                for k in range(k_begin, k_end, L):
                    turn(
                        dy, n, g * K_group + k, min(L, k_end - k), p, (0, count * Q), places, vectors,
                        (k - k_begin) // L * size, dy_lines, dy_in_planes,
                    )  # fmt: skip
                for c in range(some):
                    load_band(
                        band, c * channel, x[n, g * C_group + c_begin + c], p * stride[0] - pads[0], -pads[1],
                        seen - (rows - count) * stride[0], band_width, stride, pitch, plane,
                    )  # fmt: skip
                for d in range(0, some * taps, ROWS):
                    pixel_product(
                        min(ROWS, some * taps - d), -(-(k_end - k_begin) // L), 1, count, Q, pointer(band, 0),
                        pointer(offsets, d), 0, pitch, 1, pointer(vectors, 0), size, 0, Q * L,
                        pointer(sums, d * columns), columns,
                    )  # fmt: skip

        first, last = g * K_group + k_begin, g * K_group + k_end
        for d in range(some * taps):
            t = d % taps
            put(sums, d * columns, y[first:last, c_begin + d // taps, t // S, t % S])


def bands_of(spec: ConvSpec, rows: int) -> Bands:
    """How what so many rows of outputs see of one plane lies in memory."""
    reach_h, reach_w = (
        (taps - 1) * dilation // stride
        for taps, dilation, stride in zip((spec.R, spec.S), spec.dilation, spec.stride, strict=True)
    )
    pitch = -(-(spec.Q + reach_w) // LANES[spec.dtype]) * LANES[spec.dtype]
    plane = (rows + reach_h) * pitch
    return Bands(rows, spec.Q, spec.Q + reach_w, pitch, plane, plane * spec.stride[0] * spec.stride[1])


@lru_cache(maxsize=256)
def blocking(spec: ConvSpec, threads: int) -> tuple[Panels, int, tuple[int, int, int]]:
    """Panels, rows of outputs of a block, and elements of the vectors, the band and the sums."""
    taps, L = spec.R * spec.S, LANES[spec.dtype]
    of_one, panels = (
        panels_of(spec.K_group, spec.C_group, taps, spec.groups, spec.dtype, count) for count in (1, threads)
    )

    def sizes(rows: int, chunk: int) -> tuple[int, int]:
        vectors = (rows * spec.Q + L) * -(-panels.width // L) * L
        return vectors, bands_of(spec, rows).size * chunk

    rows = rows_within(spec, lambda rows: sum(sizes(rows, of_one.chunk)) * spec.itemsize)
    return panels, rows, (*sizes(rows, panels.chunk), sums_of(panels, taps, spec.dtype))


def unsupported(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> str | None:
    return beyond_limit(sum(blocking(spec, device.threads)[2]) * spec.itemsize)


def worth(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> bool:
    return True  # of what `conv_weight_direct` takes, which follows


def plan(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> Run:
    panels, rows, (vectors, band, sums) = blocking(spec, device.threads)
    bands, L = bands_of(spec, rows), LANES[spec.dtype]
    taps = [bands.row(spec, r) + bands.column(spec, s) for r in range(spec.R) for s in range(spec.S)]
    offsets = np.add.outer(np.arange(panels.chunk) * bands.size, np.array(taps, np.int64)).reshape(-1)
    return bind(
        sum_outputs, spec.dtype, panels.tasks, spec.flops // 2,
        constants={
            "groups": spec.groups, "width": panels.width, "chunk": panels.chunk, "rows": rows,
            "stride": spec.stride, "pads": (spec.pads[0][0], spec.pads[1][0]),
            "seen": (rows - 1) * spec.stride[0] + (spec.R - 1) * spec.dilation[0] + 1,
            "band_width": bands.width, "pitch": bands.pitch, "plane": bands.plane, "channel": bands.size,
            "offsets": offsets, "places": np.arange(rows * spec.Q + L) * L,
            "dy_in_planes": in_planes(layouts.dy),
        },
        workspaces={"vectors": vectors, "band": band, "sums": sums},
        tables={"dy_lines": LINE * L},
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_weight_outputs", TAKEN, unsupported, worth, plan,
    fast_for="few input channels in a group",
)  # fmt: skip
