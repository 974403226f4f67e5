"""The gradient by the weight in tiles of output channels x vectors of input channels.

    dw[k, c, r, s] = sum over n, p, q of dy[n, k, p, q] * x[n, c, p stride + r dilation - top, ..]

A task is a panel, of up to VECTORS vectors of input channels of a group, and some or all of its output
channels. A block of rows of outputs at a time, what these see of the panel's planes is turned into vectors of
one pixel each, with zeros around them (see `conv.lines`). Then a tap is a constant offset:

    vectors + offsets[r, s]   [x0][x1][x2] ..    of the panel's channels, pixel after pixel
    dy, ROWS of its channels   d   d   d   ..    each spread over a vector, where it lies

and ROWS x VECTORS sums stay in registers while the block's pixels pass (`simd.pixels`). They are added up
block by block, image by image, in an order that depends on the problem alone, and keeps the rounding error
small. What it does badly: fewer input channels than lanes.

Measured on 2026-11-29 on an Intel Xeon (Sapphire Rapids), float32, batches of 8, in ms beside PyTorch 2.13,
on one thread and on two:

    C -> K @ size, stride      this   torch     this   torch
    3x3   64 ->   64 @ 56      12.6    15.6      6.7     7.8
    3x3  128 ->  128 @ 56, 2   11.7    16.3      8.0    10.3
    3x3  512 ->  512 @  7      16.9    15.0      9.7     8.5
    1x1   64 ->  256 @ 56       6.3     6.3      4.7     6.1
    1x1 1024 ->  256 @ 14       6.2     5.1      3.6     3.9
"""

from functools import lru_cache

import numba

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.conv.lines import common, load_lines, load_plane, set_line, spread, spread_bands
from gpuconv.cpu.conv_weight.taken import TAKEN
from gpuconv.cpu.conv_weight.tiles import Panels, one_channel, panels_of, rows_within, sums_of
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, source, target, workspace
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
    buffers = workspace(scalar), workspace(scalar)
    flag = numba.boolean
    return (
        *arrays, *[numbers] * 6, pair, table, table, numbers, numbers, flag, flag, *buffers, table, table,
        *TASKS,
    )  # fmt: skip


@kernel(_signature)
def sum_channels(
    x, dy, y, groups, width, chunk, rows, stride, top, seen, places, offsets, size, pitch, x_in_planes, clear,
    vectors, sums, x_lines, k_rows, counter, tasks,
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

        for n in range(N):
            for p in range(0, P, rows):
                for c in range(c_begin, c_end, L):
                    turn(
                        x, n, g * C_group + c, min(L, c_end - c), p * stride - top, seen, places, vectors,
                        (c - c_begin) // L * size, x_lines, x_in_planes,
                    )  # fmt: skip
                for t in range(R * S):
                    for i in range(0, some, ROWS):
                        pixel_product(
                            min(ROWS, some - i), -(-(c_end - c_begin) // L), min(rows, P - p), Q,
                            pointer(dy, n * dy_n + p * dy_p), pointer(k_rows, i), dy_p, dy_q,
                            pointer(vectors, offsets[t]), size, pitch * L,
                            pointer(sums, (t * chunk + i) * columns), columns,
                        )  # fmt: skip

        for i in range(some):
            for c in range(c_end - c_begin):
                for t in range(R * S):
                    y[k_begin + i, c_begin + c, t // S, t % S] = sums[(t * chunk + i) * columns + c]


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
def blocking(spec: ConvSpec, threads: int) -> tuple[Panels, int, int]:
    """Panels, rows of outputs of a block, and elements that a thread works in."""
    taps, L = spec.R * spec.S, LANES[spec.dtype]
    panels = panels_of(spec.C_group, spec.K_group, taps, spec.groups, spec.dtype, threads)
    planes = -(-panels.width // L)

    def turned(rows: int) -> int:
        return spread_bands(one_channel(spec), rows).size * L * planes * spec.itemsize

    rows = rows_within(spec, turned)
    return panels, rows, turned(rows) // spec.itemsize + sums_of(panels, taps, spec.dtype)


def unsupported(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> str | None:
    return beyond_limit(blocking(spec, device.threads)[2] * spec.itemsize)


def worth(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> bool:
    return 2 * spec.C_group > LANES[spec.dtype] or spec.C_group >= spec.K_group


def plan(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> Run:
    panels, rows, _ = blocking(spec, device.threads)
    planes, L = spread(one_channel(spec), rows), LANES[spec.dtype]
    return bind(
        sum_channels, spec.dtype, panels.tasks, spec.flops // 2,
        constants={
            "groups": spec.groups, "width": panels.width, "chunk": panels.chunk, "rows": rows,
            "stride": spec.stride[0], "top": spec.pads[0][0], "seen": planes.seen, "places": planes.places,
            "offsets": planes.offsets, "size": planes.size, "pitch": planes.bands.pitch,
            "x_in_planes": in_planes(layouts.x), "clear": planes.zeros,
        },
        workspaces={
            "vectors": planes.size * -(-panels.width // L),
            "sums": sums_of(panels, spec.R * spec.S, spec.dtype),
        },
        tables={"x_lines": LINE * L, "k_rows": panels.chunk},
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_weight_channels", TAKEN, unsupported, worth, plan,
    fast_for="many input channels in a group",
)  # fmt: skip
