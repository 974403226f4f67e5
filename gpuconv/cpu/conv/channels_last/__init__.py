"""Convolution of channels-last arrays as they lie: the lanes of a vector are output channels.

    y[n, p, q, k] = bias[k] + sum over d of x[n, h(p, r), v(q, s), c] * w[d, k]          d = (r, s, c)

A task is CHANNELS or more output channels of a group and some pixels. Its weights are turned, once, into

    weights [blocks of COLUMNS channels][d][COLUMNS]

and what PIXELS pixels see of x is copied, a row of the window or a few at a time: a run of channels for each
pixel, with zeros where the window is over the border. Of a 1x1 kernel pixels of a row are read as they lie.
Then a tile is

    panel [pixels][d]  x  weights [d][COLUMNS]     summed in registers (`simd.product`), ROWS pixels at a time

and added to y after DEPTH products at most, which keeps the rounding error of long sums small. Taps that are
over the border for all of the pixels are left out where all weights are finite: else zeros are multiplied, so
that a NaN shows.

What it does badly: few output channels a group, whose lanes lie idle; and 3x3 kernels for which Winograd's
transforms save products. Then `conv_relaid` turns the images.

Measured beside PyTorch 2.13 (channels-last, too) on one core of an AMD EPYC (Zen 5), 30 November 2026, beside
other work, torch's time / this one's, batches of 8: 1x1 64 -> 256 @56 1.9 to 2.8, 256 -> 64 @56 1.9 to 2.4,
512 -> 2048 @7 2.3 to 4.4; of 3x3 64 -> 64 @56 0.8, where `conv_relaid` has 1.3.
"""

import numba
import numpy as np

from gpuconv.algorithm import Algorithm, always
from gpuconv.cpu.conv.channels_last.panels import PLACE, copy_windows, fetch_runs, locate, taps_seen
from gpuconv.cpu.conv.depthwise_channels import all_finite
from gpuconv.cpu.conv.lines import load_lines, set_line
from gpuconv.cpu.conv.taken import FINISHED, remark
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, workspace
from gpuconv.cpu.engine.cost import SECOND_LEVEL, Amounts, cycles_of, from_memory, priced
from gpuconv.cpu.engine.epilogue import convolved, epilogue_of, finish_pixels
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_channels, pixels_follow
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import (
    LANES,
    ROWS,
    VECTORS,
    claim,
    lanes,
    load,
    pointer,
    pointer_after,
    store,
    store_part,
)
from gpuconv.cpu.simd.lines import LINE
from gpuconv.cpu.simd.product import tile_sum
from gpuconv.spec import ConvSpec
from gpuconv.spec.checks import axes_of
from gpuconv.spec.layouts import ConvLayouts
from gpuconv.workspace import beyond_limit

PIXELS = 32 // ROWS * ROWS  # for which a block of weights is read once
DEPTH = 128  # products that are summed before the sum is added to y
TABLE = 1024  # weights of an output channel that are turned at a time, in whole input channels
WEIGHTS = SECOND_LEVEL // 8  # of a task, if one block of channels is not more: half of that cache
WAY = 2048  # bytes: pixels that lie so far apart drive each other out of the first-level cache
LEAST = 256  # pixels of a task, which are worth turning the weights


def _signature(scalar):
    number, flag, pair = numba.int64, numba.boolean, numba.types.UniTuple(numba.int64, 2)
    return (
        *convolved(scalar), *[pair] * 4, *[number] * 3, *[flag] * 4, workspace(number),
        *[workspace(scalar)] * 4, *[workspace(number)] * 2, *TASKS,
    )  # fmt: skip


@kernel(_signature)
def multiply_pixels(
    x, w, bias, residual, y, epilogue, window, pads, stride, dilation, groups, chunk, block, in_x,
    in_x_follow, in_y, out_follow, places, weights, panel, sums, starts, lines, pixels, counter, tasks,
):  # fmt: skip
    N, K, P, Q = y.shape
    C, K_group = x.shape[1] // groups, K // groups
    R, S = window
    L = lanes(pointer(weights, 0))
    columns, y_pixel = VECTORS * L, y.strides[3] // y.itemsize
    x_pixel = x.strides[3] // x.itemsize
    depth = R * S * C
    chunks, blocks = -(-K_group // chunk), -(-N * P * Q // block)
    apart_in_x, x_row = stride[1] * x_pixel, x.strides[2] // x.itemsize
    tile, step = pointer(sums, 0), chunk
    while True:
        task = claim(counter)  # = (g * chunks + k_chunk) * blocks + block
        if task >= tasks:
            break
        g, k_begin = task // blocks // chunks, task // blocks % chunks * chunk
        some = min(chunk, K_group - k_begin)
        k = g * K_group + k_begin
        turn_weights(w, k, some, C, R * S, weights, places, lines)
        finite = all_finite(weights, -(-some // columns) * depth * VECTORS)
        for i in range(some):
            starts[i] = bias[k + i]

        begin, end = task % blocks * block, min((task % blocks + 1) * block, N * P * Q)
        for j in range(begin, end, PIXELS):
            count = min(PIXELS, end - j)
            locate(pixels, j, count, P, Q, pads, stride)
            if in_y:
                tile, step = pointer(y, j * y_pixel + k), y_pixel
            start, start_row = pointer(starts, 0), 0
            s, s_end = taps_seen(pixels, count, 1, x.shape[3], S, dilation[1], finite)
            r, r_end = taps_seen(pixels, count, 0, x.shape[2], R, dilation[0], finite)
            length = (s_end - s) * C
            together = 1
            if (s, s_end) == (0, S):  # then the weights of the next rows follow
                together = -(-(r_end - r) // max(1, -(-(r_end - r) * length // DEPTH)))
            if r == r_end or length == 0:
                begin_sums(tile, step, count, start, some)
            while r < r_end and length > 0:
                rows = min(together, r_end - r)
                source, apart = pointer(panel, 0), rows * length
                if in_x and (in_x_follow or j % Q + count <= Q):
                    source = pointer(x[pixels[0], g * C], pixels[1] * x_row + pixels[2] * x_pixel)
                    apart = apart_in_x
                else:
                    copy_windows(x, g * C, C, pixels, count, r, rows, s, s_end, dilation, panel)
                part = -(-rows * length // -(-rows * length // DEPTH))
                for d in range(0, rows * length, part):
                    for column in range(0, some, columns):
                        at = (column // columns * depth + (r * S + s) * C + d) * columns
                        for i in range(0, count, ROWS):
                            if apart == apart_in_x and column == 0:
                                fetch_runs(pointer_after(source, (i + ROWS) * apart + d), apart, ROWS, part)
                            tile_sum(
                                min(ROWS, count - i), min(columns, some - column),
                                min(part, rows * length - d), pointer_after(source, i * apart + d), apart,
                                pointer(weights, at), columns, pointer_after(tile, i * step + column), step,
                                pointer_after(start, i * start_row + column), start_row,
                            )  # fmt: skip
                    start, start_row = tile, step
                r += rows
            if not in_y:
                put(y, pixels, count, k, some, sums, step, out_follow)
            while count > 0:
                n, pixel = j // (P * Q), j % (P * Q)
                few = min(P * Q - pixel, count)
                finish_pixels(residual, y, n, k, k + some, pixel, few, epilogue)
                j, count = j + few, count - few


@inner
def turn_weights(w, k, count, C, taps, weights, places, lines):
    """weights[block of columns][tap, c][column] of output channels from k on; zeros where there is none."""
    L = lanes(pointer(weights, 0))
    depth, columns = C * taps, VECTORS * L
    channels = (len(places) - L) // taps  # turned at a time
    for first in range(0, -(-count // columns) * columns, L):
        last = channels * taps
        for lane in range(L):
            channel = min(first + lane, count - 1)
            set_line(lines, lane, channel * depth, 0, last if first + lane < count else 0)
        every = (0, last if first + L <= count else 0)
        at = first // columns * depth * columns + first % columns
        for start in range(0, C, channels):
            c = min(start, C - channels)
            source, to = pointer(w, k * depth + c * taps), pointer(weights, at + c * columns)
            load_lines(source, lines, every, 0, last, to, pointer(places, 0))


@inner
def begin_sums(tile, step, count, start, channels):
    """The sums of so many pixels that see no tap: whole vectors."""
    for i in range(count):
        for lane in range(0, channels, lanes(tile)):
            store(tile, i * step + lane, load(start, lane))


@inner
def put(y, pixels, count, k, channels, sums, step, follow):
    """So many channels of y from k on, of each of the pixels, from the rows of `sums`.

    Where pixels follow each other, and all that is between them is put, whole vectors are stored over pixels
    that are put after them.
    """
    image, row, pixel = y.strides[0] // y.itemsize, y.strides[2] // y.itemsize, y.strides[3] // y.itemsize
    to = pointer(y[0, k], 0)
    L = lanes(to)
    for i in range(count):
        at = PLACE * i
        place = pointer_after(to, pixels[at] * image + pixels[at + 3] * row + pixels[at + 4] * pixel)
        source = pointer(sums, i * step)
        if channels < L:
            whole = follow and pixel == channels and (count - i) * channels >= L
            store_part(place, 0, load(source, 0), L if whole else channels)
            continue
        for lane in range(0, channels - L + 1, L):
            store(place, lane, load(source, lane))
        if channels % L > 0:  # the last vector ends with the last channel
            store(place, channels - L, load(source, channels - L))


def blocking(spec: ConvSpec, threads: int) -> tuple[int, int]:
    """(output channels, pixels) of a task: about four tasks a thread."""
    columns, pixels = VECTORS * LANES[spec.dtype], spec.N * spec.P * spec.Q
    depth = max(1, spec.C_group * spec.R * spec.S)
    chunk = max(1, WEIGHTS // depth // columns) * columns
    chunks = -(-spec.K_group // chunk)
    chunk = -(-spec.K_group // chunks // columns) * columns
    wanted = 1 if threads == 1 else -(-4 * threads // max(1, spec.groups * chunks))
    blocks = max(1, min(pixels // LEAST, wanted))
    return chunk, max(PIXELS, -(-pixels // blocks // PIXELS) * PIXELS)


def _sizes(spec: ConvSpec) -> dict[str, int]:
    """Elements of each workspace, with room for the vectors that go over the ends."""
    lanes = LANES[spec.dtype]
    columns, chunk = VECTORS * lanes, blocking(spec, 1)[0]
    depth = spec.C_group * spec.R * spec.S
    run = min(depth, DEPTH + spec.S * spec.C_group)  # of some rows of taps: at most one more than DEPTH
    return {
        "weights": (-(-chunk // columns) * depth + lanes) * columns, "panel": PIXELS * run + lanes,
        "sums": PIXELS * chunk, "starts": chunk + lanes,
    }  # fmt: skip


def is_read(spec: ConvSpec, layouts: ConvLayouts) -> bool:
    """Pixels are read as they lie: no window is copied."""
    apart = layouts.x.strides[3] * spec.stride[1]
    return (spec.R, spec.S, spec.pads) == (1, 1, ((0, 0), (0, 0))) and apart % WAY != 0


def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
    if not (in_channels(layouts.x) and in_channels(layouts.y)):
        return "it takes x and y whose channels lie side by side"
    return beyond_limit(sum(_sizes(spec).values()) * spec.itemsize)


def amounts(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Amounts:
    """What it does, on one thread (`engine.cost`)."""
    pixels, lanes = spec.groups * spec.N * spec.P * spec.Q, LANES[spec.dtype]
    inside = [
        axis.taps_inside(outputs) for axis, outputs in zip(axes_of(spec), (spec.P, spec.Q), strict=True)
    ]
    rows, columns = (float(np.mean(end - first)) for first, end in inside)
    run, depth = spec.S * spec.C_group, spec.R * spec.S * spec.C_group
    seen = (
        rows * min(spec.S, 2 * columns) * spec.C_group
    )  # products of a pixel: a tile sees what one of it does
    blocks, rest = divmod(-(-spec.K_group // lanes), VECTORS)
    cycles = blocks * cycles_of(ROWS, VECTORS) + (cycles_of(ROWS, rest) if rest else 0)
    pieces = -(-seen // DEPTH) if run < DEPTH else rows * -(-run // DEPTH)
    copied = not is_read(spec, layouts)
    runs = rows * (1 if spec.dilation[1] == 1 and spec.groups == 1 else spec.S)
    chunks = -(-spec.K_group // blocking(spec, 1)[0])
    return {
        "call": 1,
        "weights": spec.K * depth,
        "pixels": pixels * chunks,
        "runs": pixels * chunks * runs * copied,
        "copied": pixels * chunks * seen / lanes * copied,
        "tiles": pixels / ROWS * pieces * (blocks + (rest > 0)),
        "near": pixels / ROWS * seen * cycles,
        "memory": from_memory(spec),
    }


def places_of(spec: ConvSpec) -> np.ndarray:
    """Where the weights (c, r, s) of some input channels go among those (r, s, c) of all; others aside."""
    lanes, taps = LANES[spec.dtype], spec.R * spec.S
    channels = max(1, min(spec.C_group, TABLE // taps))
    c, tap = np.divmod(np.arange(channels * taps), taps)
    behind = np.full(lanes, spec.C_group * taps)
    return np.append(tap * spec.C_group + c, behind) * VECTORS * lanes


def plan(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    chunk, block = blocking(spec, device.threads)
    in_x = is_read(spec, layouts)
    chunks, blocks = -(-spec.K_group // chunk), -(-spec.N * spec.P * spec.Q // block)
    (top, _), (left, _) = spec.pads
    lanes = LANES[spec.dtype]
    return bind(
        multiply_pixels, spec.dtype,
        tasks=spec.groups * chunks * blocks,
        work=spec.flops // 2,
        constants={
            "epilogue": epilogue_of(spec, layouts), "window": (spec.R, spec.S), "pads": (top, left),
            "stride": spec.stride, "dilation": spec.dilation, "groups": spec.groups, "chunk": chunk,
            "block": block, "in_x": in_x, "in_x_follow": spec.stride == (1, 1) and pixels_follow(layouts.x),
            "in_y": spec.K_group % lanes == 0 and pixels_follow(layouts.y),
            "out_follow": pixels_follow(layouts.y), "places": places_of(spec),
        },
        workspaces=_sizes(spec),
        tables={"lines": LINE * lanes, "pixels": PLACE * PIXELS},
        twice=not spec.epilogue.residual,
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_channels_last", FINISHED, unsupported, always, plan,
    fast_for="channels-last arrays of several channels: 1x1 kernels twice as fast as PyTorch 2.13 on one "
    "core (AMD Zen 5, November 2026)",
    remark=remark, cost=priced("conv_channels_last", amounts),
)  # fmt: skip
