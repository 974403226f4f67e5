"""Convolutions of int8 and uint8 whose bytes are multiplied four at a time, into sums of int32.

    y[k, j] = start[k] + sum over d of w[k, d] * b[d, j]         d = (c, r, s),  j = (n, p, q)

The matrix product of `implicit_gemm`, over the same panels, whose elements are bytes:

    x  --copied, borders masked-->  rows  [d][COLUMNS]  --four interleaved-->  panel  [d / 4][COLUMNS][4]
    w, ROWS of its rows as they lie in memory, four bytes at a time           x panel -->  int32 tile of y

A kernel of 1x1 at stride 1 without padding has its rows ready in x. Weights are copied only where a row is
not of a multiple of four bytes, which makes it one of zeros.

The processor's instruction multiplies bytes without a sign by bytes with one. If x and w are of two kinds,
either way, these are they. If they are of one kind, the first bit of each byte of x is turned over: x + 128
without a sign, or x - 128 with one, and

    sum of w x  =  sum of w (x + 128) - 128 sum of w        or  sum of w (x - 128) + 128 sum of w

of which the last term goes into start[k], with the bias. A zero around the image counts as such a byte, too.
All sums are those of int32, modulo 2^32, so none of this rounds.

A task's panels are so many as the cache holds, so that rows of y are written in long runs: a 1x1 layer of 64
channels takes 0.55 to 0.63 of the time that it takes with four.

What it does badly: few output channels, where copying takes longer than the products, as in depthwise
problems; they are left to `conv_integers`. It needs AVX512-VNNI. Measured on 2026-11-29 on one core of an
Intel Xeon (Ice Lake server, 2.8 GHz, a virtual machine that others use too), in ms for a batch of 8: medians
of 15 calls, in turns in one process, of this, of `conv_integers`, and of ConvInteger of ONNX Runtime 1.32, by
the kinds of x and w:

    C -> K @ size, stride     uint8, int8          uint8, uint8         int8, int8           int8, uint8
    7x7    3 ->   64 @ 224, 2  7.3  20.6  106.6     7.6  23.6  23.3      8.5  21.9  115.0     7.3  21.7  13.1
    1x1   64 ->  256 @ 56      3.1  12.2   35.3     3.3  13.1   6.7      3.3  13.2   34.9     3.2  13.3   4.0
    3x3   64 ->   64 @ 56      5.4  19.7   81.6     5.3  20.7  15.4      5.1  17.3   79.9     5.2  19.6   7.9
    1x1 1024 ->  256 @ 14      2.0  12.0   29.4     2.0  12.0   5.8      2.0   9.1   29.1     1.8  11.9   2.4
    3x3  512 ->  512 @ 7       4.3  20.0   70.9     4.3  21.9  17.7      4.6  18.9   71.6     4.3  21.4   9.7
    3x3  144 depthwise @ 56   18.7   7.5   64.6    19.1   8.1   9.2     25.3   7.9   80.8    26.3   7.7   9.7
"""

from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.conv.implicit_gemm import LEAST_CHUNK, MOST_CHUNK, PANELS, cut_panel, is_inside, scatter
from gpuconv.cpu.conv.quads.panels import copy_rows, interleave_rows
from gpuconv.cpu.conv.quads.weights import DTYPES, bytes_of_row, is_flipped, plan_weights, prepare_weights
from gpuconv.cpu.engine.compiled import TASKS, Kernel, inner, kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_planes, in_rows, is_contiguous, reshaped
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import LANES, QUADS, ROWS, VECTORS, claim, lanes, pointer
from gpuconv.cpu.simd.quads import WIDTH, bytes_of, quad_product
from gpuconv.spec import PRECISIONS, ConvSpec
from gpuconv.spec.dtypes import BYTES, INT8, INT32
from gpuconv.spec.layouts import ConvLayouts
from gpuconv.workspace import beyond_limit

COLUMNS = VECTORS * LANES[INT32]
CACHED = 256 << 10  # bytes of the panels of a task
BLOCK = 1152  # rows of a panel that are copied at a time, in whole quads of channels
LEAST_OUTPUTS = 12  # of a group, which are worth the copies that a kernel beyond 1x1 takes
FEW_COPIED = 20_000  # elements, which are copied in less time than `conv_integers` takes to begin
FLIP = -0x7F7F7F80  # the first bit of each of four bytes


def _multiplies(scalar):
    pair, number, bit = numba.types.UniTuple(numba.int64, 2), numba.int64, numba.boolean
    arrays = source(numba.uint8, 4), source(numba.uint8, 1), source(numba.int32, 1), target(numba.int32, 4)
    return (
        *arrays, *[pair] * 4, number, number, bit, numba.int32, *[bit] * 3, *[number] * 3,
        *[workspace(numba.int32)] * 3, workspace(number), *TASKS,
    )  # fmt: skip


@kernel(_multiplies, DTYPES)
def multiply_quads(
    x, w, bias, y, window, pads, stride, dilation, groups, w_row, w_signed, flipped, x_in_rows, x_is_b,
    y_in_planes, group_panels, block, chunk, panels, rows, tiles, pieces, counter, tasks,
):  # fmt: skip
    N, K, P, Q = y.shape
    C_group, K_group = x.shape[1] // groups, K // groups
    y_image, y_channel = y.strides[0] // y.itemsize, y.strides[1] // y.itemsize
    taps = window[0] * window[1]
    columns = VECTORS * lanes(pointer(panels, 0))
    outputs = N * P * Q
    all_panels = -(-outputs // columns)
    chunks, panel_groups = -(-K_group // chunk), -(-all_panels // group_panels)
    copied = bytes_of(pointer(rows, 0))

    while True:
        task = claim(counter)  # = (g * panel_groups + panel_group) * chunks + k_chunk
        if task >= tasks:
            break
        g, panel_group = task // chunks // panel_groups, task // chunks % panel_groups
        k_begin = g * K_group + task % chunks * chunk
        k_end = min(k_begin + chunk, (g + 1) * K_group)
        first = panel_group * group_panels
        last = min(first + group_panels, all_panels)

        for c_begin in range(0, C_group, block):
            c_end = min(c_begin + block, C_group)
            depth = (c_end - c_begin) * taps
            quads = -(-depth // 4)
            for panel in range(first, last):
                place = pointer(panels, (panel - first) * quads * columns)
                c = g * C_group + c_begin
                if x_is_b and is_inside(panel * columns, columns, P * Q):
                    n, pixel = panel * columns // (P * Q), panel * columns % (P * Q)
                    channel = x.strides[1]
                    at = pointer(x, n * x.strides[0] + c * channel + pixel)
                    interleave_rows(at, channel, depth, place, columns, flipped)
                else:
                    width = WIDTH // 2 if stride[1] == 2 else WIDTH
                    number = cut_panel(pieces, y, panel * columns, columns, width, stride, pads)
                    copy_rows(
                        x, copied, columns, pieces, number, c, c + c_end - c_begin, window, stride, dilation,
                        x_in_rows,
                    )  # fmt: skip
                    interleave_rows(copied, columns, depth, place, columns, flipped)
            for k in range(k_begin, k_end, ROWS):
                for panel in range(first, last):
                    j = panel * columns
                    n, pixel = j // (P * Q), j % (P * Q)
                    number = tile_number(panel, n, first, columns, P * Q, y_in_planes)
                    tile, tile_row = pointer(tiles, (number * chunk + k - k_begin) * columns), columns
                    if y_in_planes and pixel + columns <= P * Q:
                        tile, tile_row = pointer(y, n * y_image + k * y_channel + pixel), y_channel
                    quad_product(
                        min(ROWS, k_end - k), min(columns, outputs - j), quads,
                        pointer(w, k * w_row + c_begin * taps), w_row,
                        pointer(panels, (panel - first) * quads * columns), columns, tile, tile_row,
                        pointer(bias, k), c_begin == 0, w_signed,
                    )  # fmt: skip

        for panel in range(first, last):
            if not (y_in_planes and is_inside(panel * columns, columns, P * Q)):
                j = panel * columns
                at = tile_number(panel, j // (P * Q), first, columns, P * Q, y_in_planes) * chunk * columns
                scatter(y, tiles, at, columns, j, min(columns, outputs - j), k_begin, k_end, y_in_planes)


@inner
def tile_number(panel, n, first, columns, image, in_planes):
    """Which of the tiles is the panel's, if it is not whole: of an image of a panel or more, its last is."""
    return n - first * columns // image if in_planes and image >= columns else panel - first


class Blocking(NamedTuple):
    """How a problem is cut: panels, channels and output channels of a task, tasks, and its workspaces."""

    panels: int
    channels: int
    chunk: int
    tasks: int
    elements: dict[str, int]  # of each workspace, in int32


@lru_cache(maxsize=1024)
def blocking(spec: ConvSpec, in_planes: bool, threads: int) -> Blocking:
    """There are about four tasks a thread: where the panels are few, they are shared out by output channels.

    y is written in runs of a task's panels: the longer, the fewer pages are open at a time. Where panels are
    whole, they are as many as the cache holds.
    """
    taps, image = spec.R * spec.S, spec.P * spec.Q
    channels = max(4, BLOCK // taps // 4 * 4)
    quads = -(-min(channels, max(1, spec.C_group)) * taps // 4)
    all_panels = max(1, -(-spec.N * image // COLUMNS))
    are_whole = in_planes and image >= COLUMNS
    panels = PANELS
    if are_whole:
        most = all_panels // (4 * threads) if threads > 1 else all_panels
        panels = max(PANELS, min(CACHED // (4 * quads * COLUMNS), most))
    panels = -(-all_panels // -(-all_panels // panels))
    panel_groups = -(-all_panels // panels) * spec.groups
    chunks = max(1, -(-4 * threads // panel_groups)) if threads > 1 else 1
    chunk = -(-spec.K_group // chunks // ROWS) * ROWS
    chunk = min(max(chunk, LEAST_CHUNK), MOST_CHUNK, max(1, spec.K_group))
    tiles = min(panels, panels * COLUMNS // image + 2) if are_whole else panels
    return Blocking(
        panels, channels, chunk, panel_groups * -(-spec.K_group // chunk),
        {
            "panels": panels * quads * COLUMNS, "rows": quads * COLUMNS,
            "tiles": tiles * chunk * COLUMNS + LANES[INT32],
        },
    )  # fmt: skip


def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
    if not QUADS:
        return "the processor, or what Numba may use of it, has no AVX512-VNNI"
    if spec.C_group == 0:
        return "there are no input channels"
    weights = spec.K * (bytes_of_row(spec) + INT32.itemsize)
    panels = sum(blocking(spec, in_planes(layouts.y), 1).elements.values()) * INT32.itemsize
    return beyond_limit(max(panels, weights))


def worth(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> bool:
    copied = spec.N * spec.P * spec.Q * spec.C * spec.R * spec.S
    return spec.is_pointwise or spec.K_group >= LEAST_OUTPUTS or copied <= FEW_COPIED


def plan(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    x, y = layouts.x, layouts.y
    is_plain = spec.is_pointwise and spec.stride == (1, 1) and spec.pads == ((0, 0), (0, 0))
    long_rows = is_plain and is_contiguous(x) and is_contiguous(y)
    if long_rows:  # a plane as one long row: fewer pieces
        x, y = (reshaped(each, *each.shape[:2], 1, spec.P * spec.Q) for each in (x, y))
    cut = blocking(spec, in_planes(y), device.threads)
    (top, _), (left, _) = spec.pads
    weights = plan_weights(spec)
    multiply = bind(
        multiply_quads, INT32, cut.tasks, spec.flops // 8,
        constants={
            "window": (spec.R, spec.S), "pads": (top, left), "stride": spec.stride, "dilation": spec.dilation,
            "groups": spec.groups, "w_row": bytes_of_row(spec), "w_signed": spec.dtype_of_weights == INT8,
            "flipped": FLIP if is_flipped(spec) else 0, "x_in_rows": in_rows(x),
            "x_is_b": is_plain and in_planes(x), "y_in_planes": in_planes(y), "group_panels": cut.panels,
            "block": cut.channels, "chunk": cut.chunk,
        },
        workspaces=cut.elements,
        tables={"pieces": 5 * COLUMNS},
    )  # fmt: skip

    def run(x_array: np.ndarray, w: np.ndarray, bias: np.ndarray, y_array: np.ndarray) -> None:
        seen, made = x_array.view(np.uint8), y_array
        if long_rows:
            seen, made = seen.reshape(x.shape), made.reshape(y.shape)
        multiply(seen, *weights(w, bias), made)

    return run


ALGORITHM = Algorithm(
    "conv_quads", {"dtype": BYTES, "weight_dtype": (None, *BYTES), "precision": PRECISIONS},
    unsupported, worth, plan,
    fast_for="integers of 8 bits with AVX512-VNNI: 2.7 to 6.7 times as fast as conv_integers, 1.2 times as "
    "fast as ONNX Runtime 1.32, or more (Intel Ice Lake, November 2026)",
    remark=lambda spec: "exact in int32, four bytes at a time",
)  # fmt: skip
KERNELS: tuple[Kernel, ...] = (multiply_quads, prepare_weights)
