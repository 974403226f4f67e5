"""Depthwise convolution, and filters of one-channel images: each output channel sees one input channel.

    y[n, k, p, q] = bias[k] + sum over r, s of
            w[k, 0, r, s] * x[n, k // K_group, p stride + r dilation - top, q stride + s dilation - left]

Windows of 3x3, 5x5 and 7x7 slide over images whose rows are contiguous (`slide_over_images`). A task is a few
channels of an image, or a block of rows of one. Down a strip of one or two vectors of columns, each row of x
is read once, and serves every output row whose window it is in; those are at work in registers (see
`simd.stream`):

    x row i    [  v  ][  v  ]    * w[2, s] -> y row i - 2, complete
    at column q + s,             * w[1, s] -> y row i - 1
    s = 0, 1, 2                  * w[0, s] -> y row i, begins

Borders are read under masks, so x needs no padded copy. Where two images fit into one vector they share it,
for they share their weights. The rows that come a few kilobytes later are fetched ahead, without which
memory's latency would double the time.

Every other window, stride, dilation and memory layout goes over bands (`slide_over_bands`, see `bands`): a
block of one channel is copied with zeros around it, in such a way that no stride is left, and summed in
tiles of several rows (see `simd.window`). There, products are added up PRODUCTS at a time, which keeps the
error of large windows small.

What no window covers is never multiplied, so a NaN reaches the outputs of its windows alone.
"""

from functools import lru_cache
from itertools import pairwise
from math import gcd

import numba
import numpy as np

from gpuconv.algorithm import Algorithm, always
from gpuconv.cpu.conv.bands import (
    COLUMNS,
    Bands,
    block_of,
    blocks_along,
    copied_by,
    cut,
    even_share,
    load_band,
)
from gpuconv.cpu.conv.taken import FINISHED, remark
from gpuconv.cpu.engine.compiled import TASKS, kernel, workspace
from gpuconv.cpu.engine.cost import LATENCY, Amounts, by_distance, from_memory, priced
from gpuconv.cpu.engine.epilogue import (
    convolved,
    epilogue_of,
    finish_block,
    finish_pixels,
    in_registers,
    start,
    starts,
)
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_rows
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import LANES, TILE, claim, lanes, pointer, pointer_after
from gpuconv.cpu.simd.stream import STREAM_VECTORS, STREAMED, stream_windows
from gpuconv.cpu.simd.window import GROUP, WINDOW_ROWS, WINDOW_TAPS, WINDOW_VECTORS, window_product
from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ConvLayouts
from gpuconv.workspace import beyond_limit

PRODUCTS = 128  # that are summed before the sum is added to y
TASK_WORK = 200_000  # multiply-adds of a task, about 2 microseconds: claiming one must cost little beside it
BLOCK_BYTES = 16 << 10  # of x, of the planes that one task reads strip by strip
LARGE_BYTES = 128 << 10  # of a plane of x that is cut into blocks of rows, or of such a block
AHEAD_BYTES = 4096  # before they are needed, x and y are fetched from memory

_numbers, _pair, _table = numba.int64, numba.types.UniTuple(numba.int64, 2), workspace(numba.int64)


def _signature_of_images(scalar):
    return (*convolved(scalar), _numbers, *[_pair] * 5, _numbers, _numbers, workspace(scalar), *TASKS)


@kernel(_signature_of_images)
def slide_over_images(
    x,
    w,
    bias,
    residual,
    y,
    epilogue,
    kind,
    corner,
    stride,
    dilation,
    block,
    ahead,
    c_blocks,
    neighbours,
    zeros,
    counter,
    tasks,
):
    """One task is `neighbours` blocks, each of block[0] channels of an image, and block[1] rows of outputs.

    They lie one after the other, since each has what follows fetched, which another thread must not write to.
    """
    C, H, W = x.shape[1:]
    K, _, R, S = w.shape
    P, Q = y.shape[2:]
    K_group = K // C
    size = x.itemsize
    x_plane, x_row = x.strides[1] // size, x.strides[2] // size
    y_plane, y_row = y.strides[1] // size, y.strides[2] // size
    spread = dilation[0]
    beside = 2 if lanes(zeros) // 2 >= Q else 1
    p_blocks = -(-P // block[1])
    finish = in_registers(residual, y, epilogue)
    zeros[:] = 0
    blocks = -(-x.shape[0] // beside) * c_blocks * p_blocks

    place = end = 0
    while True:
        if place == end:
            task = claim(counter)
            if task >= tasks:
                break
            place, end = task * neighbours, min((task + 1) * neighbours, blocks)
        rest, p = place // p_blocks, place % p_blocks * block[1]  # place = (n, c_block, p_block)
        place += 1
        n, c = rest // c_blocks * beside, rest % c_blocks * block[0]
        x_pair, y_pair = (x.strides[0] // size, y.strides[0] // size) if n + 1 < x.shape[0] else (0, 0)
        planes, rows = min(block[0], C - c), min(block[1], P - p)
        for i in range(K_group * min(spread, rows)):
            k, t = c * K_group + i % K_group, i // K_group
            h = (p + t) * stride[0] - corner[0]
            sizes = (
                planes, (rows - t + spread - 1) // spread, Q, x_row * spread, x_plane, y_row * spread,
                y_plane * K_group, K_group * R * S, K_group, h, spread, H, -corner[1], W, dilation[1],
                *ahead, x_pair, y_pair,
            )  # fmt: skip
            stream_windows(
                pointer(x[n, c], h * x_row - corner[1]), pointer(zeros, 0), pointer(w, k * R * S),
                pointer(y[n, k], (p + t) * y_row), starts(bias, k), kind, sizes, finish,
            )  # fmt: skip
        if epilogue.mode == 0:
            for i in range(n, min(n + beside, x.shape[0])):
                k = c * K_group
                finish_pixels(residual, y, i, k, k + planes * K_group, p * Q, rows * Q, epilogue)


def _signature_of_bands(scalar):
    buffers = workspace(scalar), workspace(scalar)
    return (*convolved(scalar), *[_pair] * 5, *[_table] * 3, _numbers, _pair, numba.boolean, *buffers, *TASKS)


@kernel(_signature_of_bands)
def slide_over_bands(
    x, w, bias, residual, y, epilogue, corner, stride, dilation, steps, block, groups, ends, offsets, width,
    pitches, direct, band, tile, counter, tasks,
):  # fmt: skip
    """One task is one band of one channel: block[0] x block[1] outputs of each of its output channels."""
    C = x.shape[1]
    K, _, R, S = w.shape
    P, Q = y.shape[2:]
    K_group = K // C
    spread, w_rows = steps
    pitch, plane = pitches
    y_row = y.strides[2] // y.itemsize

    while True:
        task = claim(counter)
        if task >= tasks:
            break
        n, c, p, q, rows, columns = block_of(task, C, block, P, Q)
        seen = (rows - 1) * stride[0] + (R - 1) * dilation[0] + 1
        h, v = p * stride[0] - corner[0], q * stride[1] - corner[1]
        load_band(band, 0, x[n, c], h, v, seen, width, stride, pitch, plane)
        for k in range(c * K_group, (c + 1) * K_group):
            to, to_row = pointer(tile, 0), pitch
            if direct:
                to, to_row = pointer(y[n, k, p], q), y_row
            for t in range(min(spread, rows)):
                window_product(
                    (rows - t + spread - 1) // spread, columns, pointer(band, t * pitch), spread * pitch,
                    pointer(w, k * R * S), w_rows * S, pointer_after(to, t * to_row), spread * to_row,
                    start(bias, k), pointer(groups, 0), pointer(ends, 0), ends.size, pointer(offsets, 0),
                )  # fmt: skip
            if not direct:
                for t in range(rows):
                    for j in range(columns):
                        y[n, k, p + t, q + j] = tile[t * pitch + j]
        k = c * K_group
        finish_block(residual, y, n, k, k + K_group, p, p + rows, q, columns, epilogue)


@lru_cache(maxsize=256)
def bands_of(spec: ConvSpec) -> Bands:
    """How `spec` is cut into bands."""
    return cut(spec, WINDOW_ROWS, WINDOW_VECTORS * LANES[spec.dtype])


def steps_of(spec: ConvSpec) -> tuple[int, int]:
    """Rows of outputs from one row of a tile to the next, and rows of the window likewise."""
    common = gcd(spec.stride[0], spec.dilation[0])
    return spec.dilation[0] // common, spec.stride[0] // common


def tables_of(spec: ConvSpec) -> tuple[np.ndarray, ...]:
    """(groups, ends, offsets) of the taps in a band, for `window_product`."""
    bands, (_, row_step) = bands_of(spec), steps_of(spec)
    groups: list[tuple[int, ...]] = []
    ends, products = [0], 0
    for phase in range(min(row_step, spec.R)):
        for r in _chunks(range(phase, spec.R, row_step), WINDOW_TAPS):
            for s in _chunks(range(spec.S), PRODUCTS // len(r)):
                if products + len(r) * len(s) > PRODUCTS:
                    ends.append(0)
                    products = 0
                groups.append((len(r), bands.row(spec, r[0]), r[0] * spec.S + s[0], s[0], len(s)))
                ends[-1] += 1
                products += len(r) * len(s)
    offsets = [bands.column(spec, s) for s in range(spec.S)]
    return tuple(np.array(table, np.int64).ravel() for table in (groups, ends, offsets))


def _chunks(numbers: range, most: int) -> list[range]:
    """Pieces of at most `most`, their lengths differing by one at most."""
    pieces = -(-len(numbers) // most)
    bounds = [len(numbers) * i // pieces for i in range(pieces + 1)]
    return [numbers[begin:end] for begin, end in pairwise(bounds)]


def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
    if spec.C_group != 1:
        return f"it takes one input channel per group, not {spec.C_group}"
    bands = bands_of(spec)
    needed = (bands.size + bands.P * bands.pitch) * spec.itemsize
    return beyond_limit(needed)


def slides_over_images(spec: ConvSpec) -> bool:
    """Is it a window for `stream_windows`? It reads borders under masks, which some CPUs lack."""
    alike = spec.stride[0] == spec.stride[1] and (spec.stride[0] == 1 or spec.dilation == (1, 1))
    wide = spec.R == 7 and spec.Q > COLUMNS  # 7x7 on one 2048x2048 image takes 4.3 ms so, and 3.7 on bands
    return alike and (spec.R, spec.S, spec.stride[0]) in STREAMED and not wide and TILE.bits > 128


def amounts_on_images(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Amounts:
    """What `slide_over_images` does, on one thread (`engine.cost`)."""
    lanes = LANES[spec.dtype]
    planes = (-(-spec.N // 2) if lanes >= 2 * spec.Q else spec.N) * spec.K
    spread = min(spec.dilation[0], spec.P)
    seen = spec.P * spec.stride[0] + (spec.R - 1) * spread
    strips = -(-spec.Q // (STREAM_VECTORS * lanes))
    return {
        "call": 1,
        "planes": planes * strips * spread,
        "streamed": planes * seen * -(-spec.Q // lanes) * spec.R * spec.S / 2,
        "rows": planes * spec.P * spec.stride[0] * strips,
        "memory": from_memory(spec),
    }


def amounts_on_bands(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Amounts:
    """What `slide_over_bands` does, likewise."""
    bands, (spread, _) = bands_of(spec), steps_of(spec)
    lanes, groups = LANES[spec.dtype], tables_of(spec)[0].reshape(-1, GROUP).tolist()
    cycles = tiles = 0.0
    for rows, row_blocks in blocks_along(spec.P, bands.P):
        apart = min(spread, rows)
        for columns, column_blocks in blocks_along(spec.Q, bands.Q):
            one, some = cycles_of_windows(groups, -(-rows // apart), -(-columns // lanes))
            number = row_blocks * column_blocks * apart * spec.N * spec.K
            cycles, tiles = cycles + number * one, tiles + number * some
    return {
        "call": 1,
        "tasks": bands.tasks(spec),
        "windows": bands.tasks(spec) * spec.K_group * min(spread, bands.P),
        "tiles": tiles,
        **by_distance(cycles, bands.size * spec.itemsize),
        **copied_by(spec, bands, in_rows(layouts.x)),
        "stored": 0 if in_rows(layouts.y) else spec.N * spec.K * spec.P * spec.Q,
        "memory": from_memory(spec),
    }


def cycles_of_windows(groups: list[list[int]], rows: int, vectors: int) -> tuple[float, int]:
    """(cycles, tiles) of so many rows and vectors of outputs, as `window_product` cuts them."""
    cycles, tiles = 0.0, 0
    widths = (WINDOW_VECTORS, vectors // WINDOW_VECTORS), (1, vectors % WINDOW_VECTORS)
    for size in (WINDOW_ROWS, 3, 1):
        for width, number in widths:
            count = rows // size * number
            tiles += count
            for taps, _, _, _, columns in groups if count else ():
                loads = (size + taps - 1) * width + taps
                cycles += count * columns * max(size * width * taps / 2, loads / 2, LATENCY * taps)
        rows %= size
    return cycles, tiles


COST_ON_IMAGES = priced("conv_depthwise, on images", amounts_on_images)
COST_ON_BANDS = priced("conv_depthwise, on bands", amounts_on_bands)


def cost(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> float:
    of_kernel = COST_ON_IMAGES if runs_on_images(spec, layouts) else COST_ON_BANDS
    return of_kernel(spec, layouts, device)


def runs_on_images(spec: ConvSpec, layouts: ConvLayouts) -> bool:
    return slides_over_images(spec) and in_rows(layouts.x) and in_rows(layouts.y)


def plan(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    if runs_on_images(spec, layouts):
        return plan_on_images(spec, layouts, device)
    return plan_on_bands(spec, layouts)


def plan_on_images(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    """Down the images themselves: for windows of STREAMED."""
    threads, lanes = device.threads, LANES[spec.dtype]
    wanted = min(8 * threads, -(-spec.flops // 2 // TASK_WORK)) if threads > 1 else 1
    row_bytes = spec.itemsize * max(1, spec.W * spec.stride[0])
    planes = max(1, min(spec.C, BLOCK_BYTES // (row_bytes * spec.P), spec.N * spec.C // max(1, wanted)))
    c_blocks = -(-spec.C // planes)
    most = spec.P if row_bytes * spec.P < LARGE_BYTES else LARGE_BYTES // row_bytes
    rows = even_share(spec.P, max(1, min(most, spec.P * spec.N * c_blocks // max(1, wanted))), WINDOW_ROWS)
    images = -(-spec.N // 2) if lanes >= 2 * spec.Q else spec.N
    blocks = images * c_blocks * -(-spec.P // rows)
    neighbours = max(1, blocks // max(1, wanted))
    (top, _), (left, _) = spec.pads
    return bind(
        slide_over_images, spec.dtype,
        tasks=-(-blocks // neighbours),
        work=spec.flops // 2,
        constants={
            "epilogue": epilogue_of(spec, layouts),
            "kind": STREAMED.index((spec.R, spec.S, spec.stride[0])), "corner": (top, left),
            "stride": spec.stride, "dilation": spec.dilation, "block": (planes, rows),
            "ahead": ahead_of(spec, layouts, rows), "c_blocks": c_blocks, "neighbours": neighbours,
        },
        workspaces={"zeros": (spec.S - 1) * spec.dilation[1] + spec.stride[1] * STREAM_VECTORS * lanes},
        twice=not spec.epilogue.residual,
    )  # fmt: skip


def ahead_of(spec: ConvSpec, layouts: ConvLayouts, rows: int) -> tuple[int, int]:
    """How many elements of x and of y ahead is to be fetched, where a task has so many rows of outputs."""
    (_, x_plane, x_row, _), (_, y_plane, y_row, _) = layouts.x.elements, layouts.y.elements
    if rows < spec.P:
        return rows * spec.stride[0] * x_row, rows * y_row
    row_bytes = spec.itemsize * max(1, spec.W * spec.stride[0])
    distance = -(-AHEAD_BYTES // (row_bytes * spec.P))
    return distance * x_plane, distance * y_plane


def plan_on_bands(spec: ConvSpec, layouts: ConvLayouts) -> Run:
    """Over bands, which are copies: for every window and layout."""
    bands = bands_of(spec)
    groups, ends, offsets = tables_of(spec)
    (top, _), (left, _) = spec.pads
    return bind(
        slide_over_bands, spec.dtype, bands.tasks(spec), spec.flops // 2,
        constants={
            "epilogue": epilogue_of(spec, layouts), "corner": (top, left), "stride": spec.stride,
            "dilation": spec.dilation, "steps": steps_of(spec), "block": (bands.P, bands.Q),
            "groups": groups, "ends": ends, "offsets": offsets, "width": bands.width,
            "pitches": (bands.pitch, bands.plane),
            "direct": in_rows(layouts.y),
        },
        workspaces={"band": bands.size, "tile": bands.P * bands.pitch},
        twice=not spec.epilogue.residual,
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_depthwise", FINISHED, unsupported, always, plan,
    fast_for="one input channel a group: 1 to 5 times as fast as PyTorch 2.13 on one core (AMD Zen 5, "
    "November 2026)",
    remark=remark, cost=cost,
)  # fmt: skip
