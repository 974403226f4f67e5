"""Convolution of batches of small images with few channels: the lanes of a vector are images.

    y[n, k, p, q] = bias[k] + sum over d = (c, r, s) of w[k, d] * x[n, g C/G + c, p stride + r dilation -
    top, ..]

A task is LANES items: images, or blocks of rows of images where these are few or large. All that they see, of
all input channels, is turned into vectors of one pixel each, with zeros around them (see `lines`). Then a tap
is a constant offset, and a weight serves LANES items at once:

    vectors + offsets[0]    . . [v0][v1][v2] . .        * w[k, 0]     for up to ROWS output channels k and
    vectors + offsets[1]    . . . [v0][v1][v2] .        * w[k, 1]     VECTORS outputs, which may be pixels of
    ..                                                                different rows, summed in registers

The outputs are turned back on their way to y. On AVX-512 turning takes about 4 cycles a vector each way,
beside R S K / 2 and R S C / 2 cycles for its products. In `conv_small` the lanes are columns, and rows of 10
outputs leave 6 of 16 idle; `conv_implicit_gemm` copies what each tap sees. Sums of more than DEPTH products
are added up piece by piece, which keeps their rounding error small.

What it does badly: single images; 1x1 windows, which need no copy; more channels than a second-level cache
holds for LANES items; arrays whose planes are not contiguous, which are turned element by element. Measured
beside PyTorch 2.13 (oneDNN) on one core of an AMD EPYC (Zen 5), 22 November 2026, float32, ms:

    N  C -> K @ size, stride     this   torch      N  C -> K @ size, stride          this   torch
    64  5x5  6 -> 16 @ 14       0.153   0.190      64  3x3 16 ->  32 @ 14           0.559   0.600
    64  5x5 16 -> 120 @ 5       0.112   0.278       8  3x3 16 ->  32 @ 14           0.080   0.109
    64  5x5 32 -> 64 @ 14        6.1     5.6       64  3x3 32 ->  32 @ 14, 2        0.342   0.340
    64  3x3 16 -> 32 @ 7        0.148   0.176       8  3x3 128 -> 128 @ 56, 32 groups  2.6  7.4
"""

from functools import lru_cache

import numba
import numpy as np

from gpuconv.algorithm import Algorithm, always
from gpuconv.cpu.conv.lines import (
    Spread,
    common,
    load_lines,
    load_plane,
    seen_rows,
    set_line,
    spread,
    spread_bands,
    store_lines,
    store_plane,
    table_bytes,
)
from gpuconv.cpu.conv.taken import FINISHED, remark
from gpuconv.cpu.engine.compiled import TASKS, kernel, merged, workspace
from gpuconv.cpu.engine.cost import (
    SECOND_LEVEL,
    Amounts,
    by_distance,
    from_memory,
    priced,
    steps_of,
    weights_again,
)
from gpuconv.cpu.engine.epilogue import convolved, epilogue_of, finish_pixels, starts
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_planes
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import LANES, ROWS, VECTORS, claim, lanes, pointer
from gpuconv.cpu.simd.gather import gathered_product
from gpuconv.cpu.simd.lines import LINE
from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ConvLayouts
from gpuconv.workspace import beyond_limit, workspace_limit

DEPTH = 160  # products that are summed before the sum is added to the tile
SPREAD_BYTES = 640 << 10  # of what the items of a task see: what a second-level cache of 1 MiB has room for
WAY_BYTES = 4096  # a first-level cache has 8 or more places for what lies so far apart


def _signature(scalar):
    numbers, flag = numba.int64, numba.boolean
    pair, table = numba.types.UniTuple(numbers, 2), workspace(numbers)
    return (
        *convolved(scalar), *[numbers] * 4, pair, *[table] * 3, numbers, *[flag] * 3, workspace(scalar),
        workspace(scalar), table, table, *TASKS,
    )  # fmt: skip


@kernel(_signature)
def multiply_items(
    x, w, bias, residual, y, epilogue, groups, rows, stride, top, seen, places, offsets, outputs, channel,
    x_in_planes, y_in_planes, clear, vectors, tile, x_lines, y_lines, counter, tasks,
):  # fmt: skip
    C_group, R, S = w.shape[1:]
    N, K, P, Q = y.shape
    K_group, depth, pixels = K // groups, C_group * R * S, rows * Q
    L = lanes(vectors)
    p_blocks = -(-P // rows)
    items = N * p_blocks
    x_channel, y_channel = x.strides[1] // x.itemsize, y.strides[1] // y.itemsize
    if clear:
        vectors[:] = 0

    while True:
        task = claim(counter)  # = g * item_groups + item_group
        if task >= tasks:
            break
        item_groups = -(-items // L)
        g, first = task // item_groups, task % item_groups * L
        locate(x, y, first, items, p_blocks, rows, stride, top, x_lines, y_lines)

        x_every, y_every = common(x_lines, L), common(y_lines, L)
        for c in range(C_group):
            if x_in_planes:
                place, to = pointer(x, (g * C_group + c) * x_channel), pointer(vectors, c * channel)
                load_lines(place, x_lines, x_every, seen[0], seen[1], to, pointer(places, 0))
                continue
            for lane in range(min(L, items - first)):
                n, p = (first + lane) // p_blocks, (first + lane) % p_blocks * rows
                h, at = p * stride - top, c * channel + lane
                load_plane(x, n, g * C_group + c, h, seen[0], seen[1], vectors, at, places)

        for k in range(g * K_group, (g + 1) * K_group, ROWS):
            some = min(ROWS, (g + 1) * K_group - k)
            for i in range(0, pixels, VECTORS):
                for d in range(0, max(1, depth), DEPTH):
                    gathered_product(
                        some, min(DEPTH, depth - d), pointer(w, k * depth + d), depth, pointer(vectors, 0),
                        pointer(outputs, 3 * i), pointer(offsets, d), pointer(tile, 0), (pixels + L) * L,
                        starts(bias, k), d == 0,
                    )  # fmt: skip
            for i in range(some):
                begin = i * (pixels + L) * L
                if y_in_planes:
                    place = pointer(y, (k + i) * y_channel)
                    store_lines(pointer(tile, begin), place, y_lines, y_every, pixels)
                    continue
                for lane in range(min(L, items - first)):
                    n, p = (first + lane) // p_blocks, (first + lane) % p_blocks * rows
                    store_plane(tile, begin + lane, y, n, k + i, p, min(rows, P - p))
            for item in range(first, min(first + L, items)):
                n, p = item // p_blocks, item % p_blocks * rows
                count = min(rows, P - p) * Q
                finish_pixels(residual, y, n, k, k + some, p * Q, count, epilogue)


@merged
def locate(x, y, first, items, p_blocks, rows, stride, top, x_lines, y_lines):
    """The lines of LANES items: of those that there are not, as of the last, but none of y."""
    H, W = x.shape[2:]
    P, Q = y.shape[2:]
    for lane in range(len(x_lines) // LINE):
        item = min(first + lane, items - 1)
        n, p = item // p_blocks, item % p_blocks * rows
        h = p * stride - top
        set_line(x_lines, lane, n * (x.strides[0] // x.itemsize) + h * W, -h * W, (H - h) * W)
        count = min(rows, P - p) * Q if first + lane < items else 0
        set_line(y_lines, lane, n * (y.strides[0] // y.itemsize) + p * Q, 0, count)


@lru_cache(maxsize=256)
def rows_of(spec: ConvSpec, threads: int, limit: int) -> int:
    """Rows of outputs of an item: those that take the least time, counted in cycles of AVX-512.

    A task needs no more than `limit` bytes, and if possible no more cache than SPREAD_BYTES.
    """
    lanes = LANES[spec.dtype]
    images = spec.C * spec.H * spec.W, spec.K * spec.P * spec.Q
    collide = any(elements * spec.itemsize % WAY_BYTES == 0 for elements in images)

    def cost(rows: int) -> tuple[int, int]:
        blocks = -(-spec.P // rows)
        tasks = spec.groups * -(-spec.N * blocks // lanes)
        turns = 4 * (spec.C_group * seen_rows(spec, rows) * spec.W + spec.K_group * rows * spec.Q)
        if collide and lanes > 8 * blocks:
            turns *= 3  # 3->16 3x3 @32 N 64: 0.54 ms with whole images, 0.34 with halves
        pixels = -(-rows * spec.Q // VECTORS) * VECTORS
        products = spec.K_group * pixels * spec.C_group * spec.R * spec.S
        size = spread_bands(spec, rows).size * lanes * spec.itemsize
        return max(size, SPREAD_BYTES), -(-tasks // threads) * (turns + products // 2)

    choices = {-(-spec.P // blocks) for blocks in range(1, spec.P + 1)}
    return min((rows for rows in choices if _bytes(spec, rows) <= limit), key=cost, default=1)


def outputs_of(spec: ConvSpec, items: Spread) -> np.ndarray:
    """(begin, column, count) of each output of an item, and of those that fill the last tile."""
    t, q = np.divmod(np.arange(items.bands.P * spec.Q), spec.Q)
    outputs = np.zeros((t.size + VECTORS, 3), np.int64)
    outputs[: t.size] = np.stack([t * items.bands.pitch + q, t * spec.Q + q, np.ones_like(t)], axis=1)
    return outputs.ravel() * LANES[spec.dtype]


def _tile_size(spec: ConvSpec, rows: int) -> int:
    """Elements of the outputs of LANES items in ROWS channels, and of the vectors behind that are read."""
    return ROWS * (rows * spec.Q + LANES[spec.dtype]) * LANES[spec.dtype]


def _bytes(spec: ConvSpec, rows: int) -> int:
    """What a thread works in."""
    items = spread_bands(spec, rows).size * LANES[spec.dtype]
    return (items + _tile_size(spec, rows)) * spec.itemsize + table_bytes(spec, rows)


def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
    return beyond_limit(_bytes(spec, 1))


def amounts(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Amounts:
    """What it does, on one thread (`engine.cost`): `turned` are vectors, `elements` one by one.

    Its tasks may be fewer than threads: as much more counts as others would do while those wait.
    """
    rows, lanes = rows_of(spec, 1, workspace_limit()), LANES[spec.dtype]
    idle = _idle(spec, device.threads)
    tasks = idle * spec.groups * -(-spec.N * -(-spec.P // rows) // lanes)
    seen, outputs = seen_rows(spec, rows) * spec.W, rows * spec.Q
    depth, tiles = spec.C_group * spec.R * spec.S, -(-outputs // VECTORS)
    cycles, pieces = steps_of(spec.K_group, VECTORS)
    size = spread_bands(spec, rows).size * lanes * spec.itemsize
    vectors = tasks * spec.C_group * -(-seen // lanes), tasks * spec.K_group * -(-outputs // lanes)
    vectors_of_x, vectors_of_y = vectors
    by_lines = in_planes(layouts.x), in_planes(layouts.y)
    turned = vectors_of_x * by_lines[0] + vectors_of_y * by_lines[1]
    return {
        "call": 1,
        "tasks": tasks,
        "tiles": tasks * tiles * pieces * -(-depth // DEPTH),
        **by_distance(tasks * tiles * cycles * depth, size),
        "turned": turned,
        "turned far": vectors_of_x if by_lines[0] and size > SECOND_LEVEL else 0,
        "elements": (vectors_of_x + vectors_of_y - turned) * lanes,
        "weights": weights_again(spec.K_group * depth * spec.itemsize, round(tasks)),
        "taps": depth,
        "memory": from_memory(spec),
    }


def _idle(spec: ConvSpec, threads: int) -> float:
    """How many times as long as its share of the work the thread with most tasks is busy."""
    rows = rows_of(spec, threads, workspace_limit())
    tasks = spec.groups * -(-spec.N * -(-spec.P // rows) // LANES[spec.dtype])
    return -(-tasks // threads) * threads / tasks


def plan(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    rows, lanes = rows_of(spec, device.threads, workspace_limit()), LANES[spec.dtype]
    items = spread(spec, rows)
    return bind(
        multiply_items, spec.dtype,
        tasks=spec.groups * -(-spec.N * -(-spec.P // rows) // lanes),
        work=spec.flops // 2,
        constants={
            "epilogue": epilogue_of(spec, layouts), "groups": spec.groups, "rows": rows,
            "stride": spec.stride[0], "top": spec.pads[0][0],
            "seen": items.seen, "places": items.places, "offsets": items.offsets,
            "outputs": outputs_of(spec, items), "channel": items.channel,
            "x_in_planes": in_planes(layouts.x), "y_in_planes": in_planes(layouts.y), "clear": items.zeros,
        },
        workspaces={"vectors": items.size, "tile": _tile_size(spec, rows)},
        tables={"x_lines": LINE * lanes, "y_lines": LINE * lanes},
        twice=not spec.epilogue.residual,
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_batch", FINISHED, unsupported, always, plan,
    fast_for="batches of small images with few channels: 0.8 to 3 times as fast as PyTorch 2.13 on one "
    "core (AMD Zen 5, November 2026)",
    remark=remark, cost=priced("conv_batch", amounts),
)  # fmt: skip
