"""Depthwise convolution of channels-last arrays: a vector holds LANES channels of a pixel, as they lie.

    y[n, k, p, q] = bias[k] + sum over r, s of w[k, 0, r, s] * x[n, k, p stride + r dilation - top, ..]

A task is a block of output rows of one image, and some channels, LANES at a time. What they see is copied
into a band of vectors with zeros around them (see `lines`), so that a tap is a constant offset, and what two
rows of outputs see is loaded once for both (see `simd.channels`); outputs go to y vector by vector:

    x [h, v, LANES of C]  ->  band + offsets[r, s]   [x0][x1][x2] ..  * w[r, s]  ->  y [p, q, LANES of C]

The channels that come next are fetched meanwhile: a pixel's lie beside them, those of the next pixel do
not. To sum straight from x into y, without a band, took 1.3 to 3 times as long: both lie too far apart for
the processor to foresee. Sums of more than PRODUCTS are added up piece by piece, which keeps the error of
large windows small. Rows of zeros around the image are left out where all weights are finite. It takes one
output channel for each of the input, and does badly fewer channels than lanes.

Measured beside PyTorch 2.13 (channels-last, too) on one core of an AMD EPYC (Zen 5), 30 November 2026, beside
other work, torch's time / this one's, batches of 8: 3x3 144 @56 0.92, 96 @112 stride 2 0.85, 32 @112 0.93,
576 @14 0.89, 960 @7 1.02; 7x7 384 @14 1.73.
"""

import numba
import numpy as np

from gpuconv.algorithm import Algorithm, always
from gpuconv.cpu.conv.depthwise_channels import PRODUCTS, all_finite, parts_of_rows, rows_of
from gpuconv.cpu.conv.lines import Spread, load_lines, set_line, spread, spread_bands
from gpuconv.cpu.conv.taken import FINISHED, remark
from gpuconv.cpu.engine.borders import taps_between
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, workspace
from gpuconv.cpu.engine.cost import Amounts, from_memory, priced
from gpuconv.cpu.engine.epilogue import convolved, epilogue_of, finish_pixels
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_channels
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import (
    LANES,
    claim,
    lanes,
    load,
    load_between,
    pointer,
    prefetch,
    store,
    store_part,
    zeros,
)
from gpuconv.cpu.simd.channels import CHANNEL_COLUMNS, channel_product
from gpuconv.cpu.simd.lines import LINE
from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ConvLayouts
from gpuconv.workspace import beyond_limit, workspace_limit

BAND = 1 << 17  # bytes of a band, if one row of outputs does not see more


def _signature(scalar):
    number, table, buffer = numba.int64, workspace(numba.int64), workspace(scalar)
    return (
        *convolved(scalar), *[number] * 5, *[table] * 4, *[number] * 3, numba.boolean, *[buffer] * 4, table,
        *TASKS,
    )  # fmt: skip


@kernel(_signature)
def slide_over_pixels(
    x, w, bias, residual, y, epilogue, block, channels, top, stride, dilation, seen_columns, places, w_places,
    offsets, pitch, rows, lag, clear, band, tile, weights, start, lines, counter, tasks,
):  # fmt: skip
    N, C, H = x.shape[:3]
    R, S = w.shape[2:]
    P, Q = y.shape[2:]
    taps, L = R * S, lanes(band)
    blocks = -(-P // block)
    columns = -(-Q // -(-Q // CHANNEL_COLUMNS))
    if clear:
        band[:] = 0
    while True:
        task = claim(counter)  # = (part of the channels * N + n) * blocks + block of rows
        if task >= tasks:
            break
        n, p_begin = task // blocks % N, task % blocks * block
        c_begin = task // blocks // N * channels
        c_end, count = min(c_begin + channels, C), min(block, P - p_begin)
        first = p_begin * stride - top
        for c in range(c_begin, c_end, L):
            some = min(L, c_end - c)
            for lane in range(L):
                set_line(lines, lane, min(lane, some - 1) * taps, 0, taps)
            load_lines(
                pointer(w, c * taps), lines, (0, taps), 0, taps, pointer(weights, 0), pointer(w_places, 0)
            )
            store(pointer(start, 0), 0, load_between(pointer(bias, c), 0, 0, some))
            finite = R > 3 and all_finite(weights, taps)
            seen = (count - 1) * stride + (R - 1) * dilation + 1
            load_pixels(x, n, c, some, first, seen, seen_columns, band, places)

            for p in range(0, count, rows):
                begin, end = 0, taps + lag * (min(rows, count - p) - 1)
                if finite:
                    r, r_end = taps_between(first + p * stride, end // S, dilation, 0, H)
                    begin, end = r * S, r_end * S
                for q in range(0, Q, columns):
                    for d in range(begin, max(end, begin + 1), PRODUCTS):
                        channel_product(
                            min(rows, count - p), min(columns, Q - q), d, min(d + PRODUCTS, end), taps, lag,
                            pointer(band, (p * pitch + q) * L), pointer(weights, 0), pointer(offsets, 0),
                            pointer(start, 0), pointer(tile, (p * Q + q) * L), Q * L, d == begin,
                        )  # fmt: skip
            store_pixels(tile, y, n, c, some, p_begin, count)
        finish_pixels(residual, y, n, c_begin, c_end, p_begin * Q, count * Q, epilogue)


@inner
def load_pixels(x, n, c, count, h, rows, columns, band, places):
    """The vectors of `count` channels from c on of rows of x from h on, in columns that are seen."""
    H, W = x.shape[2:]
    row, pixel = x.strides[2] // x.itemsize, x.strides[3] // x.itemsize
    to, L = pointer(band, 0), lanes(pointer(band, 0))
    nothing = zeros(to)
    for i in range(rows):
        place, inside = pointer(x[n, c], (h + i) * row), 0 <= h + i < H
        if inside and count == L:
            for j in range(len(columns)):
                v = columns[j]
                prefetch(place, v * pixel + L)
                store(to, places[i * W + v], load(place, v * pixel))
        else:
            for j in range(len(columns)):
                v = columns[j]
                value = load_between(place, v * pixel, 0, count) if inside else nothing
                store(to, places[i * W + v], value)


@inner
def store_pixels(tile, y, n, c, count, p, rows):
    """`rows` rows of y from row p on, of `count` channels from c on."""
    Q, L = y.shape[3], lanes(pointer(tile, 0))
    row, pixel = y.strides[2] // y.itemsize, y.strides[3] // y.itemsize
    for t in range(rows):
        place, source = pointer(y[n, c], (p + t) * row), pointer(tile, t * Q * L)
        if count == L:
            for q in range(Q):
                store(place, q * pixel, load(source, q * L))
        else:
            for q in range(Q):
                store_part(place, q * pixel, load(source, q * L), count)


def rows_of_block(spec: ConvSpec, threads: int) -> int:
    """Rows of outputs of a task: as many as a band has room for, and about four tasks a thread; but not so
    few that what they see is mostly what others see, too, if a workspace has room for it.
    """
    rows, overlap = rows_of(spec)[0], -(-(spec.R - 1) * spec.dilation[0] // spec.stride[0])
    most, limit = (rows_with(spec, size // spec.itemsize) for size in (BAND, workspace_limit() // 2))
    if threads > 1:
        most = min(most, -(-spec.P * spec.N // (4 * threads)))
    most = max(1, min(max(most, overlap), limit))
    blocks = -(-spec.P // most)
    return min(spec.P, -(-spec.P // blocks // rows) * rows)


def rows_with(spec: ConvSpec, elements: int) -> int:
    """Rows of outputs whose band has so many elements."""
    one, two = (spread_bands(spec, count).size for count in (1, 2))
    return 1 + (elements // LANES[spec.dtype] - one) // max(1, two - one)


def _sizes(spec: ConvSpec, band: int, block: int) -> dict[str, int]:
    """Elements of each workspace, behind outputs and weights with vectors that are written, but of no use."""
    lanes = LANES[spec.dtype]
    return {
        "band": band, "tile": (block * spec.Q + lanes) * lanes,
        "weights": (spec.R * spec.S + lanes) * lanes, "start": lanes,
    }  # fmt: skip


def columns_seen(spec: ConvSpec) -> np.ndarray:
    """The columns of the image that windows meet."""
    taps = (
        np.arange(spec.Q)[:, None] * spec.stride[1] + np.arange(spec.S) * spec.dilation[1] - spec.pads[1][0]
    )
    return np.intersect1d(taps, np.arange(spec.W))


def _spread(spec: ConvSpec, block: int) -> Spread:
    rows, lag = rows_of(spec)
    return spread(spec, block, (rows - 1) * lag // spec.S)


def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
    if (spec.C_group, spec.K_group) != (1, 1):
        return f"it takes one channel in and out of each group, not {spec.C_group} and {spec.K_group}"
    if not (in_channels(layouts.x) and in_channels(layouts.y)):
        return "it takes x and y whose channels lie side by side"
    band = spread_bands(spec, 2).size * LANES[spec.dtype]
    return beyond_limit(sum(_sizes(spec, band, 2).values()) * spec.itemsize)


def amounts(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Amounts:
    """What it does, on one thread (`engine.cost`)."""
    lanes, together, taps = LANES[spec.dtype], rows_of(spec)[0], spec.R * spec.S
    block = rows_of_block(spec, 1)
    bands = spec.N * -(-spec.C // lanes) * -(-spec.P // block)
    seen = (block - 1) * spec.stride[0] + (spec.R - 1) * spec.dilation[0] + 1
    parts, cycles = parts_of_rows(spec, block)
    return {
        "call": 1,
        "tasks": bands,
        "turned": bands * -(-taps // lanes),
        "copied": bands * (seen * columns_seen(spec).size + block * spec.Q),
        "tiles": bands * parts * -(-block // together) * -(-taps // PRODUCTS),
        "near": bands * parts * cycles,
        "memory": from_memory(spec),
    }


def plan(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    block, lanes, threads = rows_of_block(spec, device.threads), LANES[spec.dtype], device.threads
    planes, (rows, lag) = _spread(spec, block), rows_of(spec)
    blocks, c_groups = spec.N * -(-spec.P // block), -(-spec.C // lanes)
    parts = min(c_groups, -(-4 * threads // max(1, blocks))) if threads > 1 else 1  # of the channels
    channels = -(-c_groups // parts) * lanes
    return bind(
        slide_over_pixels, spec.dtype,
        tasks=blocks * -(-spec.C // channels),
        work=spec.flops // 2,
        constants={
            "epilogue": epilogue_of(spec, layouts), "block": block, "channels": channels,
            "top": spec.pads[0][0], "stride": spec.stride[0], "dilation": spec.dilation[0],
            "seen_columns": columns_seen(spec), "places": planes.places,
            "w_places": np.arange(spec.R * spec.S + lanes) * lanes,
            "offsets": planes.offsets, "pitch": planes.bands.pitch, "rows": rows, "lag": lag,
            "clear": planes.zeros,
        },
        workspaces=_sizes(spec, planes.size, block),
        tables={"lines": LINE * lanes},
        twice=not spec.epilogue.residual,
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_depthwise_pixels", FINISHED, unsupported, always, plan,
    fast_for="channels-last arrays, one channel in and out of each group: 0.85 to 1.7 times as fast as "
    "PyTorch 2.13 on one core (AMD Zen 5, November 2026)",
    remark=remark, cost=priced("conv_depthwise_pixels", amounts),
)  # fmt: skip
