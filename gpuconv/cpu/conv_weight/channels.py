"""The gradient by the weight in tiles of output channels x vectors of input channels.

    dw[k, c, r, s] = sum over n, p, q of dy[n, k, p, q] * x[n, c, p stride + r dilation - top, ..]

A task is a panel, of up to VECTORS vectors of input channels of a group, and some or all of its output
channels. A block of rows of outputs at a time, or of images if they are small, what these see of the panel's
planes is turned into vectors of one pixel each, with zeros around them (see `conv.lines`). Then a tap is a
constant offset:

    vectors + offsets[r, s]   [x0][x1][x2] ..    of the panel's channels, pixel after pixel
    dy, ROWS of its channels   d   d   d   ..    each spread over a vector, where it lies

and ROWS x VECTORS sums stay in registers while the block's pixels pass (`simd.pixels`). They are added up
block by block, image by image, in an order that depends on the problem alone, and keeps the rounding error
small. What it does badly: fewer input channels than lanes.

Measured on 2026-11-29 on one core of an Intel Xeon (Ice Lake), float32, batches of 8, in GFLOP/s beside
PyTorch 2.13, medians and the best of 13 on a machine not idle:

    C -> K @ size              this       torch
    3x3   64 ->   64 @ 56   108  119      70   73
    3x3  256 ->  256 @ 14   113  143      71   83
    3x3  512 ->  512 @  7    84  118      58   63
    1x1   64 ->  256 @ 56    99  115      81   93
    1x1  256 -> 1024 @ 14    97  102     111  116
    1x1  512 -> 2048 @  7    84  109      99  111
"""

from functools import lru_cache

import numba

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.conv.lines import common, load_lines, load_plane, set_line, spread, spread_bands
from gpuconv.cpu.conv_weight.taken import TAKEN
from gpuconv.cpu.conv_weight.tiles import (
    PIXELS,
    Panels,
    one_channel,
    panels_of,
    rows_within,
    sums_of,
)
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_planes
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import LANES, ROWS, VECTORS, claim, lanes, pointer
from gpuconv.cpu.simd.lines import LINE
from gpuconv.cpu.simd.pixels import pixel_product
from gpuconv.spec import ConvSpec, WeightGradientLayouts
from gpuconv.workspace import beyond_limit

TOGETHER = 32 << 10  # bytes of vectors of several images, which stay in the L1 cache


def _signature(scalar):
    numbers, table = numba.int64, workspace(numba.int64)
    pair = numba.types.UniTuple(numbers, 2)
    arrays = source(scalar, 4), source(scalar, 4), target(scalar, 4)
    buffers = workspace(scalar), workspace(scalar)
    flag = numba.boolean
    return (
        *arrays, *[numbers] * 7, pair, table, table, numbers, numbers, flag, flag, *buffers, table, table,
        *TASKS,
    )  # fmt: skip


@kernel(_signature)
def sum_channels(
    x, dy, y, groups, width, chunk, images, rows, stride, top, seen, places, offsets, size, pitch,
    x_in_planes, clear, vectors, sums, x_lines, k_rows, counter, tasks,
):  # fmt: skip
    N, K, P, Q = dy.shape
    C_group, R, S = y.shape[1:]
    K_group, L = K // groups, lanes(vectors)
    panels, chunks = -(-C_group // width), -(-K_group // chunk)
    columns = VECTORS * L
    dy_n, dy_k = dy.strides[0] // dy.itemsize, dy.strides[1] // dy.itemsize
    dy_p, dy_q = dy.strides[2] // dy.itemsize, dy.strides[3] // dy.itemsize
    if clear:
        vectors[:] = 0

    while True:
        task = claim(counter)  # = (g * panels + panel) * chunks + k_chunk
        if task >= tasks:
            break
        g, panel = task // chunks // panels, task // chunks % panels
        c_begin, c_end = panel * width, min((panel + 1) * width, C_group)
        k_begin = g * K_group + task % chunks * chunk
        some = min(k_begin + chunk, (g + 1) * K_group) - k_begin
        for i in range(some):
            k_rows[i] = (k_begin + i) * dy_k
        sums[: R * S * chunk * columns] = 0

        for n in range(0, N, images):
            number = min(images, N - n)
            for p in range(0, P, rows):
                for c in range(c_begin, c_end, L):
                    for image in range(number):
                        turn(
                            x, n + image, g * C_group + c, min(L, c_end - c), p * stride - top, seen, places,
                            vectors, ((c - c_begin) // L * images + image) * size, x_lines, x_in_planes,
                        )  # fmt: skip
                for t in range(R * S):
                    for i in range(0, some, ROWS):
                        pixel_product(
                            min(ROWS, some - i), -(-(c_end - c_begin) // L), number, min(rows, P - p), Q,
                            pointer(dy, n * dy_n + p * dy_p), pointer(k_rows, i), dy_n, dy_p, dy_q,
                            pointer(vectors, offsets[t]), images * size, size, pitch * L,
                            pointer(sums, (t * chunk + i) * columns), columns,
                        )  # fmt: skip

        for i in range(some):
            for t in range(R * S):
                put(sums, (t * chunk + i) * columns, y[k_begin + i, c_begin:c_end, t // S, t % S])


@inner
def put(sums, at, row):
    """row[i] = sums[at + i]."""
    for i in range(row.size):
        row[i] = sums[at + i]


@inner
def turn(x, n, c, count, h, seen, places, vectors, at, lines, are_planes):
    """`count` planes from c on as vectors from `at` on, from row h; lanes behind them hold anything."""
    H, W = x.shape[2:]
    if not are_planes:
        for lane in range(count):
            load_plane(x, n, c + lane, h, seen[0], seen[1], vectors, at + lane, places)
        return
    image, channel = x.strides[0] // x.itemsize, x.strides[1] // x.itemsize
    for lane in range(lanes(vectors)):
        start = n * image + (c + min(lane, count - 1)) * channel + h * W
        set_line(lines, lane, start, -h * W, (H - h) * W)
    every = common(lines, lanes(vectors))
    load_lines(pointer(x, 0), lines, every, seen[0], seen[1], pointer(vectors, at), pointer(places, 0))


@lru_cache(maxsize=256)
def blocking(spec: ConvSpec, threads: int) -> tuple[Panels, int, int, int]:
    """Panels, images and rows of outputs of a block, and elements that a thread works in."""
    taps, L = spec.R * spec.S, LANES[spec.dtype]
    panels = panels_of(spec.C_group, spec.K_group, taps, spec.groups, spec.dtype, threads)
    planes = -(-panels.width // L)

    def turned(rows: int) -> int:
        return spread_bands(one_channel(spec), rows).size * L * planes * spec.itemsize

    rows, images = rows_within(spec, turned), 1
    if rows == spec.P:
        images = max(1, min(spec.N, PIXELS // max(1, spec.P * spec.Q), TOGETHER // max(1, turned(rows))))
    return panels, images, rows, images * turned(rows) // spec.itemsize + sums_of(panels, taps, spec.dtype)


def unsupported(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> str | None:
    return beyond_limit(blocking(spec, device.threads)[3] * spec.itemsize)


def worth(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> bool:
    return 2 * spec.C_group > LANES[spec.dtype] or spec.C_group >= spec.K_group


def plan(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> Run:
    panels, images, rows, _ = blocking(spec, device.threads)
    planes, L = spread(one_channel(spec), rows), LANES[spec.dtype]
    return bind(
        sum_channels, spec.dtype, panels.tasks, spec.flops // 2,
        constants={
            "groups": spec.groups, "width": panels.width, "chunk": panels.chunk, "images": images,
            "rows": rows,
            "stride": spec.stride[0], "top": spec.pads[0][0], "seen": planes.seen, "places": planes.places,
            "offsets": planes.offsets, "size": planes.size, "pitch": planes.bands.pitch,
            "x_in_planes": in_planes(layouts.x), "clear": planes.zeros,
        },
        workspaces={
            "vectors": images * planes.size * -(-panels.width // L),
            "sums": sums_of(panels, spec.R * spec.S, spec.dtype),
        },
        tables={"x_lines": LINE * L, "k_rows": panels.chunk},
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_weight_channels", TAKEN, unsupported, worth, plan,
    fast_for="many input channels in a group",
)  # fmt: skip
