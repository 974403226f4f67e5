"""Depthwise convolution of channels-last arrays: a vector holds LANES channels of a pixel, as they lie.

    y[n, k, p, q] = bias[k] + sum over r, s of w[k, 0, r, s] * x[n, k, p stride + r dilation - top, ..]

A task is a block of output rows of one image, and some channels, CHUNK at a time. Where all of a tile's
windows lie in the image, they are read as they lie, and what the next rows see is fetched meanwhile. What
the others see is copied into a band with zeros around it. Both ways a tap is a constant offset, and what two
rows of outputs see is loaded once for both (see `simd.channels`):

    x [h][v][C], or band [h][v][CHUNK],  + offsets[r, s]     [x0][x1] ..  * w[r, s]   ->   y [p][q][C]

Rows of zeros around the image are left out where all weights are finite. The last vector of the channels ends
with the last of them, and computes some twice. Sums of more than PRODUCTS are added up piece by piece, which
keeps the error of large windows small. It takes one output channel for each of the input, and does badly
fewer channels than lanes.

Measured beside PyTorch 2.13 (channels-last, too), one core of an AMD EPYC (Zen 3), 30 November 2026, beside
other work, torch's time / this one's, batches of 8; in brackets when all was copied, a vector at a time:
3x3 32 @112 0.8 (0.6), 96 @112 stride 2 0.53 (0.51), 144 @56 0.6 (0.8), 192 @28 0.85 (0.9), 384 @14 1.05
(0.75), 576 @14 1.0 (0.8), 960 @7 1.0 (0.7); 7x7 384 @14 1.7 (1.6).
"""

import numba
import numpy as np

from gpuconv.algorithm import Algorithm, always
from gpuconv.cpu.conv.depthwise_channels import PRODUCTS, all_finite, parts_of_rows, rows_of
from gpuconv.cpu.conv.lines import load_lines, seen_rows, set_line
from gpuconv.cpu.conv.taken import FINISHED, remark
from gpuconv.cpu.engine.borders import taps_between
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, workspace
from gpuconv.cpu.engine.cost import SECOND_LEVEL, Amounts, from_memory, priced
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
    pointer_after,
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

CHUNK = 64  # channels: whole lines of the cache
BAND = SECOND_LEVEL // 2  # bytes of a band, if one row of outputs does not see more
NEXT = 16  # elements of a line of the cache, or of half of one


def _signature(scalar):
    number, table, buffer = numba.int64, workspace(numba.int64), workspace(scalar)
    pair = numba.types.UniTuple(number, 2)
    return (
        *convolved(scalar), *[number] * 3, *[pair] * 2, number, *[table] * 5, *[number] * 3, numba.boolean,
        *[buffer] * 4, table, *TASKS,
    )  # fmt: skip


@kernel(_signature)
def slide_over_pixels(
    x, w, bias, residual, y, epilogue, block, channels, chunk, pads, stride, dilation, seen_columns,
    border_columns, w_places, offsets, x_offsets, width, rows, lag, clear, band, tile, weights, start, lines,
    counter, tasks,
):  # fmt: skip
    N, C, H, W = x.shape
    R, S = w.shape[2:]
    P, Q = y.shape[2:]
    taps, L = R * S, lanes(band)
    blocks = -(-P // block)
    columns = -(-Q // -(-Q // CHANNEL_COLUMNS))
    y_image, y_row, y_pixel = (
        y.strides[0] // y.itemsize, y.strides[2] // y.itemsize, y.strides[3] // y.itemsize,
    )  # fmt: skip
    x_row, x_pixel = x.strides[2] // x.itemsize, x.strides[3] // x.itemsize
    reach = width - (Q - 1) * stride[1]
    if clear:
        band[:] = 0
    while True:
        task = claim(counter)  # = (part of the channels * N + n) * blocks + block of rows
        if task >= tasks:
            break
        n, p_begin = task // blocks % N, task % blocks * block
        c_begin = task // blocks // N * channels
        c_end, count = min(c_begin + channels, C), min(block, P - p_begin)
        first = p_begin * stride[0] - pads[0]
        seen = (count - 1) * stride[0] + (R - 1) * dilation + 1
        for c_chunk in range(c_begin, c_end, chunk):
            c = max(c_begin, min(c_chunk, c_end - L))
            some = min(chunk, c_end - c)
            turn_weights(w, bias, c, some, weights, start, w_places, lines)
            finite = all_finite(weights, -(-some // L) * taps)
            direct = finite or (first >= 0 and first + seen <= H)
            load_pixels(
                x, n, c, some, first, seen, border_columns if direct else seen_columns, pads[1], band, width,
                chunk,
            )  # fmt: skip

            for p in range(0, count, rows):
                begin, end = 0, taps + lag * (min(rows, count - p) - 1)
                if finite:
                    r, r_end = taps_between(first + p * stride[0], end // S, dilation, 0, H)
                    begin, end = r * S, r_end * S
                for q in range(0, Q, columns):
                    number, v = min(columns, Q - q), q * stride[1] - pads[1]
                    source = pointer(band, (p * stride[0] * width + q * stride[1]) * chunk)
                    step, table = stride[1] * chunk, pointer(offsets, 0)
                    if direct and v >= 0 and v + (number - 1) * stride[1] + reach <= W:
                        source = pointer(x[n, c], (first + p * stride[0]) * x_row + v * x_pixel)
                        step, table = stride[1] * x_pixel, pointer(x_offsets, 0)
                        below = (rows - 1) * stride[0] + (R - 1) * dilation + 1
                        for t in range(below, below + rows * stride[0]):
                            fetch_pixels(pointer_after(source, t * x_row), x_pixel, number * stride[1], some)
                    to, to_row, to_step = pointer(tile, (p * Q + q) * L), Q * L, L
                    if some >= L:
                        place = n * y_image + (p_begin + p) * y_row + q * y_pixel + c
                        to, to_row, to_step = pointer(y, place), y_row, y_pixel
                    for i in range(0, some, L):
                        lane = max(0, min(i, some - L))
                        for d in range(begin, max(end, begin + 1), PRODUCTS):
                            channel_product(
                                min(rows, count - p), number, d, min(d + PRODUCTS, end), taps, lag,
                                pointer_after(source, lane), step, pointer(weights, i * taps), table,
                                pointer(start, lane), pointer_after(to, lane), to_row, to_step, d == begin,
                            )  # fmt: skip
            if some < L:
                store_pixels(tile, y, n, c, some, p_begin, count)
        finish_pixels(residual, y, n, c_begin, c_end, p_begin * Q, count * Q, epilogue)


@inner
def turn_weights(w, bias, c, count, weights, start, places, lines):
    """The weights of `count` channels from c on, [vector][tap][lane], and what their sums begin with."""
    taps, L = w.shape[2] * w.shape[3], lanes(weights)
    for i in range(0, count, L):
        first = max(0, min(i, count - L))
        for lane in range(L):
            set_line(lines, lane, min(first + lane, count - 1) * taps, 0, taps)
        load_lines(
            pointer(w, c * taps), lines, (0, taps), 0, taps, pointer(weights, i * taps), pointer(places, 0)
        )
        store(pointer(start, 0), first, load_between(pointer(bias, c), first, 0, count - first))


@inner
def load_pixels(x, n, c, count, h, rows, columns, left, band, width, chunk):
    """`count` channels from c on of rows of x from h on, in columns that are seen, `chunk` elements each."""
    H = x.shape[2]
    row, pixel = x.strides[2] // x.itemsize, x.strides[3] // x.itemsize
    to, L = pointer(band, 0), lanes(band)
    for i in range(rows):
        place, inside = pointer(x[n, c], (h + i) * row), 0 <= h + i < H
        for j in range(len(columns)):
            v = columns[j]
            at = (i * width + v + left) * chunk
            if not inside:
                for lane in range(0, chunk, L):
                    store(to, at + lane, zeros(to))
            elif count < L:
                store(to, at, load_between(place, v * pixel, 0, count))
            else:
                for lane in range(0, count, L):
                    lane = min(lane, count - L)
                    store(to, at + lane, load(place, v * pixel + lane))
                for lane in range(0, count, NEXT):
                    prefetch(place, v * pixel + count + lane)


@inner
def fetch_pixels(place, pixel, count, channels):
    """Have what the next rows of outputs see fetched."""
    for j in range(count):
        for c in range(0, channels, NEXT):
            prefetch(place, j * pixel + c)


@inner
def store_pixels(tile, y, n, c, count, p, rows):
    """`rows` rows of y from row p on, of `count` channels from c on.

    Of channels that fill no vector whole vectors are stored, too, over pixels that are stored after them.
    """
    Q, L = y.shape[3], lanes(pointer(tile, 0))
    row, pixel = y.strides[2] // y.itemsize, y.strides[3] // y.itemsize
    whole = Q if count == L else 0
    if pixel == count < L:
        whole = max(0, Q - -(-L // pixel) + 1)
    for t in range(rows):
        place, source = pointer(y[n, c], (p + t) * row), pointer(tile, t * Q * L)
        for q in range(whole):
            store(place, q * pixel, load(source, q * L))
        for q in range(whole, Q):
            store_part(place, q * pixel, load(source, q * L), count)


def chunk_of(spec: ConvSpec) -> int:
    """Channels of a band: whole vectors."""
    lanes = LANES[spec.dtype]
    vectors, most = -(-spec.C // lanes), max(1, CHUNK // lanes)
    return -(-vectors // -(-vectors // most)) * lanes


def width_of(spec: ConvSpec) -> int:
    """Columns of a band."""
    return (spec.Q - 1) * spec.stride[1] + (spec.S - 1) * spec.dilation[1] + 1


def rows_of_block(spec: ConvSpec, threads: int) -> int:
    """Rows of outputs of a task: as many as a band has room for, and about four tasks a thread; but not so
    few that what they see is mostly what others see, too, if a workspace has room for it.
    """
    rows, overlap = rows_of(spec)[0], -(-(spec.R - 1) * spec.dilation[0] // spec.stride[0])
    row = width_of(spec) * chunk_of(spec) * spec.itemsize
    most, limit = (
        1 + (size // row - seen_rows(spec, 1)) // spec.stride[0] for size in (BAND, workspace_limit() // 2)
    )
    if threads > 1:
        most = min(most, -(-spec.P * spec.N // (4 * threads)))
    most = max(1, min(max(most, overlap), limit))
    blocks = -(-spec.P // most)
    return min(spec.P, -(-spec.P // blocks // rows) * rows)


def _sizes(spec: ConvSpec, block: int) -> dict[str, int]:
    """Elements of each workspace, behind which are vectors that are read or written, but of no use."""
    lanes, chunk = LANES[spec.dtype], chunk_of(spec)
    return {
        "band": seen_rows(spec, block) * width_of(spec) * chunk, "tile": (block * spec.Q + lanes) * lanes,
        "weights": (spec.R * spec.S * chunk // lanes + lanes) * lanes, "start": chunk + lanes,
    }  # fmt: skip


def columns_seen(spec: ConvSpec, only_at_borders: bool = False) -> np.ndarray:
    """The columns of the image that windows meet: all, or tiles some of whose columns are zeros around it."""
    first = np.arange(spec.Q) * spec.stride[1] - spec.pads[1][0]
    seen = first[:, None] + np.arange(spec.S) * spec.dilation[1]
    if only_at_borders:
        columns = -(-spec.Q // -(-spec.Q // CHANNEL_COLUMNS))
        outside = ((seen < 0) | (seen >= spec.W)).any(1)
        tiles = np.arange(spec.Q) // columns
        seen = seen[np.isin(tiles, tiles[outside])]
    return np.intersect1d(seen, np.arange(spec.W))


def offsets_of(spec: ConvSpec, row: int, column: int) -> np.ndarray:
    """Where each tap finds its first element, of the rows of taps of `rows_of` together."""
    rows, lag = rows_of(spec)
    r, s = np.divmod(np.arange(spec.R * spec.S + (rows - 1) * lag), spec.S)
    return r * spec.dilation[0] * row + s * spec.dilation[1] * column


def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
    if (spec.C_group, spec.K_group) != (1, 1):
        return f"it takes one channel in and out of each group, not {spec.C_group} and {spec.K_group}"
    if not (in_channels(layouts.x) and in_channels(layouts.y)):
        return "it takes x and y whose channels lie side by side"
    return beyond_limit(sum(_sizes(spec, 2).values()) * spec.itemsize)


def amounts(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Amounts:
    """What it does, on one thread (`engine.cost`)."""
    lanes, together, taps = LANES[spec.dtype], rows_of(spec)[0], spec.R * spec.S
    block, chunks, vectors = rows_of_block(spec, 1), -(-spec.C // chunk_of(spec)), -(-spec.C // lanes)
    bands = spec.N * -(-spec.P // block)
    pixels = bands * seen_rows(spec, block) * columns_seen(spec).size
    parts, cycles = parts_of_rows(spec, block)
    return {
        "call": 1,
        "tasks": bands * chunks,
        "turned": bands * vectors * -(-taps // lanes),
        "pixels": pixels * chunks,
        "copied": pixels * vectors,
        "tiles": bands * vectors * parts * -(-block // together) * -(-taps // PRODUCTS),
        "near": bands * vectors * parts * cycles,
        "memory": from_memory(spec),
    }


def plan(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    block, chunk, lanes, threads = (
        rows_of_block(spec, device.threads),
        chunk_of(spec),
        LANES[spec.dtype],
        device.threads,
    )
    rows, lag = rows_of(spec)
    blocks, chunks = spec.N * -(-spec.P // block), -(-spec.C // chunk)
    parts = min(chunks, -(-4 * threads // max(1, blocks))) if threads > 1 else 1  # of the channels
    channels = -(-chunks // parts) * chunk
    (top, _), (left, _) = spec.pads
    return bind(
        slide_over_pixels, spec.dtype,
        tasks=blocks * -(-spec.C // channels),
        work=spec.flops // 2,
        constants={
            "epilogue": epilogue_of(spec, layouts), "block": block, "channels": channels, "chunk": chunk,
            "pads": (top, left), "stride": spec.stride, "dilation": spec.dilation[0],
            "seen_columns": columns_seen(spec), "border_columns": columns_seen(spec, only_at_borders=True),
            "w_places": np.arange(spec.R * spec.S + lanes) * lanes,
            "offsets": offsets_of(spec, width_of(spec) * chunk, chunk),
            "x_offsets": offsets_of(spec, *(step // spec.itemsize for step in layouts.x.strides[2:])),
            "width": width_of(spec), "rows": rows, "lag": lag,
            "clear": spec.pads != ((0, 0), (0, 0)),
        },
        workspaces=_sizes(spec, block),
        tables={"lines": LINE * lanes},
        twice=not spec.epilogue.residual,
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_depthwise_pixels", FINISHED, unsupported, always, plan,
    fast_for="channels-last arrays, one channel in and out of each group: 0.5 to 1.7 times as fast as "
    "PyTorch 2.13 on one core (AMD Zen 3, November 2026)",
    remark=remark, cost=priced("conv_depthwise_pixels", amounts),
)  # fmt: skip
