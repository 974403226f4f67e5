"""Windows over vectors of channels, where these are adjacent; or of planes, which are turned into such.

    y[n, c, p, q] = max, or sum / divisor, over h, v in the window (p, q) of x[n, c, h, v]; and h W + v of
                    the first maximum, if it is asked for

A task is a block of rows of outputs, of some channels, the lanes of its vectors:

    x      [W pixels][channels]    each row that a window has, as it lies; or planes turned, see below
              |  horizontally: windows along the row (`along`), of vectors of the same pixel
    rows   [rows][Q][channels]     in a cache
              |  vertically: windows of rows, of vectors of all of their pixels
    y      [rows][Q][channels]     sums are divided, once

A row is reduced from left to right, and then rows from above: so among equals the first is found, its place
beside it and its sign if it is a zero, without a second look. At stride 1 the windows of a row are one item
of all of their pixels and channels, so that few channels fill vectors, too. Windows of many taps that
overlap come from those of 1, 2, 4 .. taps.

Windows of few taps side by side are reduced in registers (`few`), and windows of one column in height alone.

The planes of NCHW are turned in registers into vectors of one pixel each, LANES at a time, and their results
back (`turned`); or, where there are only a few, each is an image of one channel, which is slow.

Measured on 2026-11-30 on one core of an AMD EPYC (Zen 5, AVX-512), float32, in us beside PyTorch 2.13 on the
same channels-last arrays; but the last two on contiguous ones, beside `pool_argmax`:

    planes, window / stride              here    PyTorch    others of this list
    mean 8 x 128 x 56 x 56    2 / 2       256        276
         8 x 64 x 56 x 56     56           84        105    pool_global 880
         8 x 87 x 51 x 73     42 x 2 / 1 1111       4259    pool_separable 14042
    max  8 x 64 x 112 x 112   3 / 2      1476       2413    pool_separable 24513
    with indices
         1 x 64 x 112 x 112   15 / 1     1861     153560    pool_argmax 3310
         1 x 2048 x 7 x 7     7            70         85    pool_argmax 415
"""

from typing import Any

import numba

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.compiled import TASKS, Kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.pool.along import double_windows, reduce_windows
from gpuconv.cpu.pool.direct import divisors
from gpuconv.cpu.pool.few import reduce_pixels
from gpuconv.cpu.pool.pixels import reduce_rows, seen
from gpuconv.cpu.pool.taken import TAKEN
from gpuconv.cpu.pool.tiles import cut_tiles, lies, taps_of
from gpuconv.cpu.pool.turned import element_strides, finish_tile, number_columns, turn_rows
from gpuconv.cpu.simd import LANES, claim, pointer, pointer_after
from gpuconv.cpu.simd.lines import LINE
from gpuconv.cpu.simd.places import behind, place_of
from gpuconv.spec import PoolSpec
from gpuconv.spec.layouts import PoolLayouts
from gpuconv.spec.windows import REGULAR, WINDOWS, windows_of
from gpuconv.workspace import beyond_limit

NARROW = 20  # columns of an image, up to which planes are turned, also where no indices are asked for
FEW_ROWS = 5  # of an image in windows that are taller, which `pool_separable` reduces one by one


def _signature(divisors, places):
    """Argument types of `pool_pixels`, where `divisors` or `places` are arrays, or None."""

    def signature(scalar):
        number, flag, table = numba.int64, numba.boolean, workspace(numba.int64)
        indices = target(number, 4) if places else numba.none
        counts = [table if divisors else numba.none] * 2
        spots = [workspace(scalar) if places else numba.none] * 4
        pair = numba.types.UniTuple
        return (
            source(scalar, 4), target(scalar, 4), indices, *[table] * 7, pair(flag, 2), pair(number, 2),
            *[number] * 3, *[flag] * 5, *[pair(flag, 3)] * 2, *counts, *spots, *[workspace(scalar)] * 5,
            table, *TASKS,
        )  # fmt: skip

    return signature


def pool_pixels(
    x, y, indices, row_starts, row_taps, used, column_starts, column_taps, runs, image_places, doubled,
    dilation, channels, block, across, turned, flat, few, one_row, one_column, y_lies, indices_lie,
    row_counts, column_counts, columns, line_places, row_places, found, image, line, rows, outputs, waiting,
    lines, counter, tasks,
):  # fmt: skip
    """Means, if columns are counted; maxima, with indices if there is an array for them."""
    C, W = x.shape[1], x.shape[3]
    P, Q = y.shape[2:]
    n_step, c_step, h_step, v_step = element_strides(x)
    n_out, c_out, p_out, q_out = element_strides(y)
    groups, blocks, strips, numbered_width = -(-C // channels), -(-P // block), -(-Q // across), 0
    while True:
        task = claim(counter)  # = ((n * groups + group) * blocks + block of rows) * strips + strip
        if task >= tasks:
            break
        strip, rest = task % strips, task // strips
        p_begin, rest = rest % blocks * block, rest // blocks
        n, c, q_begin = rest // groups, rest % groups * channels, strip * across
        p_end, q_end, count = min(p_begin + block, P), min(q_begin + across, Q), min(channels, C - c)
        width = channels if turned else count  # of a pixel in the workspaces
        if columns is not None and width != numbered_width:
            number_columns(columns, W, width)
            numbered_width = width
        h_begin, h_end = seen(row_starts, row_taps, dilation[0], p_begin, p_end)

        place, pitch, step = pointer(x, n * n_step + c * c_step + h_begin * h_step), h_step, v_step
        if turned:
            turn_rows(x, n, c, count, h_begin, h_end, image, lines, image_places)
            place, pitch, step = pointer(image, 0), W * width, width
        flat_here, size = flat and (turned or step == width), (q_end - q_begin) * width
        result, to_step, spots = pointer(outputs, 0), size, place_of(found)
        in_place = y_lies[0] and (found is None or p_out == size)  # but for how far rows are apart
        if in_place:
            result, to_step = pointer(y, n * n_out + c * c_out + p_begin * p_out + q_begin * q_out), p_out
        if few:
            reduce_pixels(
                result, to_step, place, pitch, step, width, row_starts, row_taps, column_starts, column_taps,
                dilation, p_begin, p_end, q_begin, q_end, h_begin, row_counts, column_counts,
            )  # fmt: skip
        elif one_column:
            q = q_begin
            while q < q_end:
                run = min(runs[q], q_end - q) if flat_here else 1
                reduce_windows(
                    pointer_after(result, (q - q_begin) * width), None, to_step,
                    pointer_after(place, column_starts[q] * step), None, pitch, 0, run * width, row_starts,
                    row_taps, runs, False, p_begin, p_end, h_begin, dilation[0], 0, column_counts,
                    pointer(waiting, 0),
                )  # fmt: skip
                q += run
        elif one_row:
            for p in range(p_begin, p_end):
                at, h = p - p_begin, row_starts[p]
                reduce_rows(
                    pointer_after(result, at * to_step), behind(spots, at * size),
                    pointer_after(place, (h - h_begin) * pitch), pitch, step, place_of(columns),
                    pointer(line, 0), place_of(line_places), h, h + 1, W, q_begin, q_end, width, used,
                    column_starts, column_taps, runs, doubled[1], flat_here, dilation[1], column_counts,
                    pointer(waiting, 0),
                )  # fmt: skip
        else:
            row = pointer(rows, 0)
            reduce_rows(
                row, place_of(row_places), place, pitch, step, place_of(columns), pointer(line, 0),
                place_of(line_places), h_begin, h_end, W, q_begin, q_end, width, used, column_starts,
                column_taps, runs, doubled[1], flat_here, dilation[1], column_counts, pointer(waiting, 0),
            )  # fmt: skip
            if doubled[0]:
                double_windows(
                    result, spots, to_step, row, place_of(row_places), h_end - h_begin, size, row_starts,
                    row_taps, p_begin, p_end, h_begin, dilation[0], 0, column_counts,
                )  # fmt: skip
            else:
                reduce_windows(
                    result, spots, to_step, row, place_of(row_places), size, size, size, row_starts, row_taps,
                    runs, False, p_begin, p_end, h_begin, dilation[0], 0, column_counts, pointer(waiting, 0),
                )  # fmt: skip
        finish_tile(
            result, to_step, width, y, indices, n, c, count, (p_begin, p_end), (q_begin, q_end), y_lies,
            indices_lie, row_counts, column_counts, few, in_place, outputs, found, rows, lines,
        )  # fmt: skip


max_pixels = Kernel(pool_pixels, _signature(False, False))
first_pixels = Kernel(pool_pixels, _signature(False, True))
mean_pixels = Kernel(pool_pixels, _signature(True, False))


def unsupported(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> str | None:
    if any(stride % layout.dtype.itemsize for layout in layouts if layout for stride in layout.strides):
        return "it takes arrays whose strides are multiples of an element"
    if spec.H * spec.W >= 2**31:
        return "a plane has 2^31 elements or more"
    if 0 in spec.out_shape:
        return None
    cut = cut_tiles(spec, layouts, 1)
    return beyond_limit(sum(cut.sizes.values()) * spec.itemsize + cut.image_places.nbytes)


def worth(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> bool:
    cut = cut_tiles(spec, layouts, device.threads)
    if not cut.turned:
        return cut.channels > 1
    tall = FEW_ROWS < spec.H < spec.R
    return spec.return_indices or (spec.windows == REGULAR and (spec.W <= NARROW or tall))


def plan(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> Run:
    if 0 in spec.out_shape:
        return lambda *arrays: None
    cut = cut_tiles(spec, layouts, device.threads)
    rows, columns = windows_of(spec)
    row_taps, column_taps, runs, used = taps_of(spec, rows, columns)
    is_mean, with_indices = spec.reduction == "mean", layouts.indices is not None
    counts = divisors(spec, rows.counted, columns.counted) if is_mean else (None, None)
    constants: dict[str, Any] = {
        "row_starts": rows.first, "row_taps": row_taps, "used": used, "column_starts": columns.first,
        "column_taps": column_taps, "runs": runs, "image_places": cut.image_places,
        "doubled": cut.doubled, "dilation": spec.dilation,
        "channels": cut.channels, "block": cut.block, "across": cut.across,
        "turned": cut.turned, "flat": cut.flat, "few": cut.few,
        "one_row": cut.one_row, "one_column": cut.one_column,
        "y_lies": lies(cut.y, cut.channels, cut.turned),
        "indices_lie": lies(cut.indices, cut.channels, cut.turned) if cut.indices else (False,) * 3,
        "row_counts": counts[0], "column_counts": counts[1],
    }  # fmt: skip
    if not spec.return_indices:
        constants |= dict.fromkeys(("columns", "line_places", "row_places", "found"))
    kernel = first_pixels if spec.return_indices else mean_pixels if is_mean else max_pixels
    pool = bind(
        kernel,
        spec.dtype,
        cut.tasks,
        spec.N * spec.C * spec.H * spec.W,
        constants,
        cut.sizes,
        {"lines": LINE * LANES[spec.dtype]},
    )
    if cut.x is layouts.x:
        return pool if with_indices else lambda x, y: pool(x, y, None)
    shapes = cut.x.shape, cut.y.shape
    if with_indices:
        return lambda x, y, indices: pool(
            x.reshape(shapes[0]), y.reshape(shapes[1]), indices.reshape(shapes[1])
        )
    return lambda x, y: pool(x.reshape(shapes[0]), y.reshape(shapes[1]), None)


ALGORITHM = Algorithm(
    "pool_channels", {**TAKEN, "windows": WINDOWS, "return_indices": (False, True)}, unsupported, worth, plan,
    fast_for="channels that are adjacent, maxima with their indices, and narrow images",
)  # fmt: skip
