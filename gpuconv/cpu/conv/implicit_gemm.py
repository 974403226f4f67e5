"""Convolution as a matrix product whose right factor is never stored whole, for any geometry.

    y[k, j] = bias[k] + sum over d of w[k, d] * b[d, j]          d = (c, r, s),  j = (n, p, q)

b is what the taps read of x, the zeros around it included. The product of one group of channels is cut into
tiles of ROWS output channels x COLUMNS outputs, which stay in vector registers while d runs:

                              a task: up to PANELS panels of COLUMNS outputs, some or all k
                              | panel 0 | panel 1 | ..    of b, BLOCK values of d at a time
     w, ROWS of its rows    --+---------+---------+---
     as they lie in memory    | tile    | tile    | ..    added to y after each DEPTH products

The weights need no copy: a tile reads an element of each of its rows for each d. b is copied panel by panel,
[d][COLUMNS], vector by vector with the borders masked. It is copied even where it lies ready in x, for a 1x1
kernel at stride 1 without padding, but for few output channels: its rows lie a plane apart, in a page each,
and drive each other out of the cache where that is a power of two. What a tile is added to is fetched while
its products are summed. Outputs are counted across images, so that small images fill the tiles too; where a
panel does not lie whole in one image of y, its tiles are [k][COLUMNS] in a workspace, and scattered when they
are complete. Adding up DEPTH products at a time keeps the rounding error of long sums small.

What it does badly: few output channels, where copying b takes longer than the products. Measured beside
PyTorch 2.13 (oneDNN) on one core, batches of 8, GFLOP/s: of an AMD EPYC (Zen 5) whose peak is 281, before
rows were copied and results fetched, 22 November 2026; of an Intel Xeon (Ice Lake), the best of 15 beside
other work, 29 November 2026:

    C -> K @ size, stride   Zen 5: this  torch         C -> K @ size, stride   Xeon: this  torch
    1x1   64 ->  256 @ 56           185     84         1x1   64 ->  256 @ 56          115     86
    1x1  512 ->  256 @ 28           205     96         1x1  512 ->  256 @ 28          142    140
    1x1  256 -> 1024 @ 14           196     91         1x1  256 -> 1024 @ 14          137    124
    3x3  128 ->  128 @ 56, 2        188    167         3x3  128 ->  128 @ 56, 2       121     76
    3x3  256 ->  256 @ 28, 2        204    188         1x1  144 ->   32 @ 56           89     94
    1x1  256 ->  512 @ 56, 2        198    158         1x1  128 ->  128 @ 128         120     56
"""

from functools import lru_cache

import numba

from gpuconv.algorithm import Algorithm, always
from gpuconv.cpu.conv.taken import FINISHED, remark
from gpuconv.cpu.engine.borders import taps_between
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, workspace
from gpuconv.cpu.engine.cost import Amounts, from_memory, priced, steps_of, weights_again
from gpuconv.cpu.engine.epilogue import (
    convolved,
    epilogue_of,
    finish_pixels,
    in_registers,
    starts,
)
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import column_step, in_planes, in_rows
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import (
    LANES,
    ROWS,
    VECTORS,
    claim,
    even,
    lanes,
    load,
    load_apart,
    load_between,
    noinline,
    pointer,
    pointer_after,
    prefetch,
    splat,
    store,
    store_part,
)
from gpuconv.cpu.simd.product import finished_product
from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ConvLayouts, Layout
from gpuconv.workspace import beyond_limit

PANELS = 4  # for which a block of weights is read once
BLOCK = 576  # rows of a panel that are copied at a time, in whole channels: four panels take 432 KiB
PAGE = 4096  # bytes
AHEAD = 8  # rows of x that are fetched before they are copied: they lie pages apart
DEPTH = 128  # products that are summed before the sum is added to y
LEAST_CHUNK, MOST_CHUNK = 32, 512  # output channels of a task, which are worth a copy of its panels


def _signature(scalar):
    pair = numba.types.UniTuple(numba.int64, 2)
    return (
        *convolved(scalar), *[pair] * 4, *[numba.int64] * 2,
        *[numba.boolean] * 3, numba.int64, numba.int64, workspace(scalar), workspace(scalar),
        workspace(numba.int64), *TASKS,
    )  # fmt: skip


@kernel(_signature)
def multiply_panels(
    x, w, bias, residual, y, epilogue, window, pads, stride, dilation, groups, x_step, copied_in_rows,
    read_as_it_lies, y_in_planes, group_panels, chunk, panels, tiles, pieces, counter, tasks,
):  # fmt: skip
    N, K, P, Q = y.shape
    C_group, K_group = x.shape[1] // groups, K // groups
    y_image, y_channel = y.strides[0] // y.itemsize, y.strides[1] // y.itemsize
    taps = window[0] * window[1]
    w_row = C_group * taps
    columns = VECTORS * lanes(pointer(panels, 0))
    outputs = N * P * Q
    all_panels = -(-outputs // columns)
    chunks, panel_groups = -(-K_group // chunk), -(-all_panels // group_panels)

    mode, apart, slope, most = in_registers(residual, y, epilogue)
    while True:
        task = claim(counter)  # = (g * panel_groups + panel_group) * chunks + k_chunk
        if task >= tasks:
            break
        g, panel_group = task // chunks // panel_groups, task // chunks % panel_groups
        k_begin = g * K_group + task % chunks * chunk
        k_end = min(k_begin + chunk, (g + 1) * K_group)
        first = panel_group * group_panels
        last = min(first + group_panels, all_panels)

        for c_begin in range(0, C_group, max(1, BLOCK // taps)):
            c_end = min(c_begin + max(1, BLOCK // taps), C_group)
            depth = (c_end - c_begin) * taps
            part = -(-depth // -(-depth // DEPTH))
            together = copied_in_rows and is_inside(first * columns, (last - first) * columns, P * Q)
            if together:
                c = g * C_group + c_begin
                copy_rows(x, panels, first * columns, P * Q, last - first, c, depth, columns)
            for panel in range(first, last):
                in_x = read_as_it_lies and is_inside(panel * columns, columns, P * Q)
                if not (together or in_x):
                    number = cut_panel(
                        pieces, y, panel * columns, columns, lanes(pointer(panels, 0)), stride, pads
                    )
                    copy_panel(
                        x, panels, (panel - first) * depth * columns, columns, pieces, number,
                        g * C_group + c_begin, g * C_group + c_end, window, stride, dilation, x_step,
                    )  # fmt: skip
            for k in range(k_begin, k_end, ROWS):
                for panel in range(first, last):
                    j = panel * columns
                    n, pixel = j // (P * Q), j % (P * Q)
                    b, b_row = pointer(panels, (panel - first) * depth * columns), columns
                    if read_as_it_lies and is_inside(j, columns, P * Q):
                        b = pointer(x[n, g * C_group + c_begin], pixel)
                        b_row = x.strides[1] // x.itemsize
                    scratch = ((panel - first) * chunk + k - k_begin) * columns
                    tile, tile_row = pointer(tiles, scratch), columns
                    in_y = y_in_planes and is_inside(j, columns, P * Q)
                    if in_y:
                        tile, tile_row = pointer(y, n * y_image + k * y_channel + pixel), y_channel
                    if in_y and c_begin == 0:
                        fetch_rows(tile, tile_row, min(ROWS, k_end - k), columns)
                    if in_y and epilogue.is_added:
                        place = pointer(residual[n, k], pixel)
                        step = residual.strides[1] // residual.itemsize
                        fetch_rows(place, step, min(ROWS, k_end - k), columns)
                    for d in range(0, depth, part):
                        is_last = in_y and c_end == C_group and d + part >= depth
                        finished_product(
                            min(ROWS, k_end - k), min(columns, outputs - j), min(part, depth - d),
                            pointer(w, k * w_row + c_begin * taps + d), w_row,
                            pointer_after(b, d * b_row), b_row, tile, tile_row, starts(bias, k),
                            c_begin + d == 0, (mode if is_last else 0, apart, slope, most),
                        )  # fmt: skip
                    if in_y and c_end == C_group and mode == 0:
                        k_some = min(k + ROWS, k_end)
                        finish_pixels(residual, y, n, k, k_some, pixel, columns, epilogue)

        for panel in range(first, last):
            if not (y_in_planes and is_inside(panel * columns, columns, P * Q)):
                at = (panel - first) * chunk * columns
                j = panel * columns
                count = min(columns, outputs - j)
                scatter(y, tiles, at, columns, j, count, k_begin, k_end, y_in_planes)
                while count > 0:
                    n, pixel = j // (P * Q), j % (P * Q)
                    some = min(P * Q - pixel, count)
                    finish_pixels(residual, y, n, k_begin, k_end, pixel, some, epilogue)
                    j, count = j + some, count - some


@inner
def fetch_rows(place, step, rows, columns):
    """Have what a tile is added to fetched while its products are summed."""
    for i in range(rows):
        for j in range(0, columns, lanes(place)):
            prefetch(place, i * step + j)
        prefetch(place, i * step + columns - 1)


@inner
def is_inside(j, count, image):
    """The outputs j .. j + count - 1 are of one image of `image` outputs."""
    return j % image + count <= image


@inner
def copy_rows(x, panels, j, image, number, c_begin, depth, columns):
    """`number` whole panels of one image from output j on, where b is x: rows of them all, side by side."""
    noinline()
    channel = x.strides[1] // x.itemsize
    place = pointer(x, j // image * (x.strides[0] // x.itemsize) + c_begin * channel + j % image)
    to = pointer(panels, 0)
    for d in range(depth):
        for i in range(number):
            for column in range(0, columns, lanes(to)):
                prefetch(place, (d + AHEAD) * channel + i * columns + column)
                value = load(place, d * channel + i * columns + column)
                store(to, (i * depth + d) * columns + column, value)


@inner
def cut_panel(pieces, y, j, count, width, stride, pads):
    """Cut the outputs j .. j + count - 1 into pieces (i, length, n, h, v), and return their number.

    A piece is no longer than a vector, lies in one row of y, and begins with output j + i, whose first tap
    reads x[n, :, h, v].
    """
    N, _, P, Q = y.shape
    n, p, q = j // (P * Q), j // Q % P, j % Q
    i = number = 0
    while i < count and n < N:
        length = min(Q - q, count - i, width)
        pieces[5 * number], pieces[5 * number + 1], pieces[5 * number + 2] = i, length, n
        pieces[5 * number + 3], pieces[5 * number + 4] = p * stride[0] - pads[0], q * stride[1] - pads[1]
        number += 1
        i += length
        q += length
        if q == Q:
            p, q = p + 1, 0
        if p == P:
            n, p = n + 1, 0
    return number


@inner
def copy_panel(x, panels, at, columns, pieces, number, c_begin, c_end, window, stride, dilation, x_step):
    """panels[at + (c, r, s) columns + i] = what tap (c, r, s) of the panel's output i reads."""
    H, W = x.shape[2:]
    R, S = window
    width = lanes(pointer(panels, 0))
    for piece in range(0, 5 * number, 5):
        i, length, n = pieces[piece], pieces[piece + 1], pieces[piece + 2]
        for r in range(R):
            h = pieces[piece + 3] + r * dilation[0]
            for s in range(S):
                v = pieces[piece + 4] + s * dilation[1]
                begin = end = 0
                if 0 <= h < H:
                    begin, end = taps_between(v, length, stride[1], 0, W)
                copy_piece(
                    x, n, c_begin, c_end, h, v, stride[1], begin, end, panels, at + (r * S + s) * columns + i,
                    R * S * columns, min(width, columns - i), x_step,
                )  # fmt: skip


@inner
def copy_piece(x, n, c_begin, c_end, h, v, stride, begin, end, panels, at, step, room, x_step):
    """A vector a channel: x[n, c, h, v + lane stride] in the lanes begin <= lane < end, zero elsewhere.

    Columns lie x_step elements apart, or 0: then bytes, one by one.
    """
    width = lanes(pointer(panels, 0))
    place = pointer(panels, at)
    channel = x.strides[1] // x.itemsize
    row = n * (x.strides[0] // x.itemsize) + c_begin * channel + h * (x.strides[2] // x.itemsize)
    source = pointer(x, row + v * x_step)
    if begin == end:
        zeros = splat(panels.dtype.type(0))
        for c in range(c_end - c_begin):
            store_part(place, c * step, zeros, room)
    elif x_step == 1 and stride == 1:
        for c in range(c_end - c_begin):
            store_part(place, c * step, load_between(source, c * channel, begin, end), room)
    elif x_step == 1 and stride == 2:
        for c in range(c_end - c_begin):
            first = load_between(source, c * channel, 2 * begin, 2 * end - 1)
            second = load_between(source, c * channel + width, 2 * begin - width, 2 * end - 1 - width)
            store_part(place, c * step, even(first, second), room)
    elif x_step != 0:
        for c in range(c_end - c_begin):
            vector = load_apart(source, c * channel, stride * x_step, begin, end)
            store_part(place, c * step, vector, room)
    else:
        for c in range(c_begin, c_end):
            for lane in range(min(width, room)):
                inside = begin <= lane < end
                value = x[n, c, h, v + lane * stride] if inside else panels.dtype.type(0)
                panels[at + (c - c_begin) * step + lane] = value


@inner
def scatter(y, tiles, at, columns, j, count, k_begin, k_end, in_planes):
    """y of output j + i in channel k = tiles[at + (k - k_begin) columns + i] for i < count."""
    P, Q = y.shape[2:]
    i = 0
    while i < count:
        n, pixel = (j + i) // (P * Q), (j + i) % (P * Q)
        p, q = pixel // Q, pixel % Q
        length = min((P * Q - pixel) if in_planes else (Q - q), count - i)
        for k in range(k_begin, k_end):
            begin = at + (k - k_begin) * columns + i
            if in_planes:
                y_plane = pointer(y, n * (y.strides[0] // y.itemsize) + k * (y.strides[1] // y.itemsize))
                for lane in range(0, length, lanes(y_plane)):
                    store_part(y_plane, pixel + lane, load(pointer(tiles, begin), lane), length - lane)
            else:
                for lane in range(length):
                    y[n, k, p, q + lane] = tiles[begin + lane]
        i += length


@lru_cache(maxsize=1024)
def blocking(spec: ConvSpec, threads: int) -> tuple[int, int, int, tuple[int, int]]:
    """Panels and output channels of a task, tasks, and elements of its panels and tiles.

    There are about four tasks a thread: where the panels are few, they are shared out by output channels.
    """
    columns = VECTORS * LANES[spec.dtype]
    all_panels = max(1, -(-spec.N * spec.P * spec.Q // columns))
    panels = -(-all_panels // -(-all_panels // PANELS))
    panel_groups = -(-all_panels // panels) * spec.groups
    chunks = max(1, -(-4 * threads // panel_groups)) if threads > 1 else 1
    chunk = -(-spec.K_group // chunks // ROWS) * ROWS
    chunk = min(max(chunk, LEAST_CHUNK), MOST_CHUNK, max(1, spec.K_group))
    taps = spec.R * spec.S
    depth = min(max(1, BLOCK // taps), max(1, spec.C_group)) * taps
    tasks = panel_groups * -(-spec.K_group // chunk)
    return panels, chunk, tasks, (panels * depth * columns, panels * chunk * columns + LANES[spec.dtype])


def is_plain(spec: ConvSpec) -> bool:
    """b is x: each output sees one pixel of each channel, and there are as many of both."""
    return spec.is_pointwise and spec.stride == (1, 1) and spec.pads == ((0, 0), (0, 0))


def is_read_seldom(spec: ConvSpec, x: Layout) -> bool:
    """Rows of b that are ready in x are read so seldom that copying them takes longer.

    Rows that lie a multiple of a page apart drive each other out of the cache, and must not be read twice.
    Measured on an Intel Xeon (Ice Lake) on 2026-11-29: 1.1 to 1.4 times as fast for 2 to 16 output channels.
    """
    return spec.K_group <= ROWS or (spec.K_group <= 2 * ROWS and x.strides[1] % PAGE != 0)


def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
    if spec.C_group == 0:
        return "there are no input channels"
    return beyond_limit(sum(blocking(spec, 1)[3]) * spec.itemsize)


def amounts(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Amounts:
    """What it does, on one thread (`engine.cost`): vectors of a row of outputs are copied for each tap."""
    lanes = LANES[spec.dtype]
    columns, outputs = VECTORS * lanes, spec.N * spec.P * spec.Q
    group_panels, chunk, tasks, _ = blocking(spec, 1)
    panels, chunks = max(1, -(-outputs // columns)), -(-spec.K_group // chunk)
    taps = spec.R * spec.S
    depth, parts = spec.C_group * taps, -(-spec.C_group // max(1, BLOCK // taps))
    whole, rest = divmod(outputs, columns)
    cycles, pieces = steps_of(spec.K_group, VECTORS)
    cycles = whole * cycles + (steps_of(spec.K_group, -(-rest // lanes))[0] if rest else 0)
    number = (spec.N * spec.P * -(-spec.Q // lanes) + panels - 1) * chunks * spec.groups
    is_read = is_plain(spec) and in_planes(layouts.x) and is_read_seldom(spec, layouts.x)
    copied = 0 if is_read else number * depth
    apart = not in_rows(layouts.x) or spec.stride[1] > 2
    image = spec.P * spec.Q
    apart_in_y = min(1, columns / image) if image % columns else 0  # the share of panels of two images
    weights, again = spec.K_group * depth * spec.itemsize, -(-panels // group_panels) * spec.groups
    return {
        "call": 1,
        "tasks": tasks,
        "tiles": panels * pieces * spec.groups * max(parts, -(-depth // DEPTH)),
        "near": cycles * depth * spec.groups,
        "copied": copied,
        "elements": outputs * depth * chunks * spec.groups if apart and copied else 0,
        "cut": number * taps * parts if copied else 0,
        "scattered": apart_in_y * outputs * spec.K / min(image, lanes),
        "weights": weights_again(weights, again),
        "weights near": weights * again,
        "memory": from_memory(spec),
    }


def plan(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    x, y = layouts.x, layouts.y
    x_is_b = is_plain(spec) and in_planes(x)
    is_read = x_is_b and is_read_seldom(spec, x)
    group_panels, chunk, tasks, (panels, tiles) = blocking(spec, device.threads)
    (top, _), (left, _) = spec.pads
    return bind(
        multiply_panels, spec.dtype, tasks, spec.flops // 2,
        constants={
            "epilogue": epilogue_of(spec, layouts), "window": (spec.R, spec.S), "pads": (top, left),
            "stride": spec.stride, "dilation": spec.dilation, "groups": spec.groups, "x_step": column_step(x),
            "copied_in_rows": x_is_b and not is_read, "read_as_it_lies": is_read,
            "y_in_planes": in_planes(y), "group_panels": group_panels, "chunk": chunk,
        },
        workspaces={"panels": panels, "tiles": tiles},
        tables={"pieces": 5 * VECTORS * LANES[spec.dtype]},
        twice=not spec.epilogue.residual,
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_implicit_gemm", FINISHED, unsupported, always, plan,
    fast_for="all that the others leave: 1 to 2.5 times as fast as PyTorch (AMD Zen 5, November 2026)",
    remark=remark, cost=priced("conv_implicit_gemm", amounts),
)  # fmt: skip
