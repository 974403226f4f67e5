"""The two steps of `pool_separable` that reduce: rows of the tile, then columns of what they come to.

Functions for the kernels, compiled into them; their items are numbered flat, and a thread takes every
THREADS-th.
"""

from collections.abc import Callable
from typing import Any

from numba import cuda, int32, int64, uint32

from gpuconv.cuda.device.division import overlap, quotient_and_rest
from gpuconv.cuda.device.elements import inlined
from gpuconv.cuda.pool.separable.chains import make_apart, make_chain
from gpuconv.cuda.pool.separable.tiles import COUNT, THREADS
from gpuconv.cuda.ptx.shared_vectors import put_shared
from gpuconv.cuda.ptx.vectors import store2, store4
from gpuconv.cuda.ptx.wide_product import add_product


def make_row_pass(scalar: Any, both: Callable[..., Any]) -> Callable[..., Any]:
    """reduce_rows(...): COUNT windows of a row of the tile to a thread, into `lines`; nothing outside."""
    SIZE, chain, apart = scalar.bitwidth // 8, make_chain(scalar, both, 1), make_apart(scalar, both, 1)

    def reduce_rows(
        chained, base, thread, h, H, planes, rows, groups, layout, step, lead, S, dilation, lines, nothing
    ):  # fmt: skip
        out = cuda.local.array(COUNT, scalar)
        begin, lines_pitch = lines
        count, lanes, by, shift = groups
        items = uint32(uint32(planes * rows[0]) * lanes)
        item = thread
        while item < items:
            line, group = quotient_and_rest(item, (lanes, by, shift))
            row = quotient_and_rest(line, rows)[1]
            place = uint32(uint32(line * layout[0]) + uint32(uint32(group * uint32(COUNT)) * step))
            address = uint32(base + uint32(place * uint32(SIZE)))
            for j in range(COUNT):
                out[j] = nothing
            if (uint32(h + row) < H) & (group < count):
                if chained != uint32(0):
                    chain(out, uint32(address + uint32(lead * uint32(SIZE))), uint32(SIZE), S, nothing)
                else:
                    apart(out, address, uint32(step * uint32(SIZE)), lead, S, dilation, layout, nothing)
            target = uint32(begin + uint32(uint32(line * lines_pitch) + uint32(group * uint32(COUNT))))
            for j in range(COUNT):
                put_shared(
                    group < count, uint32(base + uint32(uint32(target + uint32(j)) * uint32(SIZE))), (out[j],)
                )
            item = uint32(item + uint32(THREADS))

    return inlined(reduce_rows)


def make_store(width: int) -> Callable[..., Any]:
    """store(y, place, out, at): `width` neighbouring outputs."""

    def one(y, place, out, at):
        y[place] = out[at]

    def two(y, place, out, at):
        store2(y, place, out[at], out[at + 1])

    def four(y, place, out, at):
        store4(y, place, out[at], out[at + 1], out[at + 2], out[at + 3])

    return inlined({1: one, 2: two, 4: four}[width])


def make_column_pass(
    scalar: Any, both: Callable[..., Any], width: int, divided: Callable[..., Any] | None
) -> Callable[..., Any]:
    """reduce_columns(...): COUNT windows of `width` columns of the lines to a thread, into y.

    Sums are `divided` by the product of what their rows and columns count; maxima are not.
    """
    chain, apart, store = make_chain(scalar, both, width), make_apart(scalar, both, width), make_store(width)
    AVERAGE, SIZE, OUTPUTS = divided is not None, scalar.bitwidth // 8, COUNT * width

    def reduce_columns(
        chained, base, thread, y, place, steps, P, Q, planes, strips, vectors, rows, lines, R, S, stride,
        dilation, h, w, divisor, nothing,
    ):  # fmt: skip
        out, columns = cuda.local.array(OUTPUTS, scalar), cuda.local.array(width, scalar)
        begin, lines_pitch = lines
        y_plane, y_p, y_q = steps
        rows_from, rows_to, columns_from, columns_to, counted, override = divisor
        flat = lines_pitch, uint32(0), uint32(0), uint32(0)
        step = uint32(stride[0] * uint32(lines_pitch * uint32(SIZE)))  # from window to window
        count, lanes, by, shift = vectors
        items = uint32(uint32(planes * strips[0]) * lanes)
        item = thread
        while item < items:
            line, vector = quotient_and_rest(item, (lanes, by, shift))
            plane, strip = quotient_and_rest(line, strips)
            p, q = uint32(strip * uint32(COUNT)), uint32(vector * uint32(width))
            if (p < P) & (q < Q) & (vector < count):
                line = uint32(uint32(plane * rows[0]) + uint32(p * stride[0]))
                first = uint32(begin + uint32(uint32(line * lines_pitch) + q))
                address = uint32(base + uint32(first * uint32(SIZE)))
                if chained != uint32(0):
                    chain(out, address, step, R, nothing)
                else:
                    tap = uint32(dilation * lines_pitch)
                    apart(out, address, step, uint32(0), R, tap, flat, nothing)
                target = add_product(add_product(place, int32(p), y_p), int32(q), y_q)
                target = add_product(target, int32(plane), y_plane)
                if AVERAGE:  # where no pixel counts, the sum of nothing is divided by 1
                    for j in range(width):
                        corner = uint32(w + uint32(uint32(q + uint32(j)) * stride[1]))
                        taps = max(overlap(corner, S, columns_from, columns_to), int32(1))
                        columns[j] = scalar(int32(taps * counted + (int32(1) - counted)))
                for i in range(COUNT):
                    if AVERAGE:
                        corner = uint32(h + uint32(uint32(p + uint32(i)) * stride[0]))
                        taps = max(overlap(corner, R, rows_from, rows_to), int32(1))
                        of_rows = scalar(int32(taps * counted + override))
                        for j in range(width):
                            out[i * width + j] = divided(out[i * width + j], of_rows * columns[j])
                    if uint32(p + uint32(i)) < P:
                        store(y, target, out, i * width)
                    target += int64(y_p)
            item = uint32(item + uint32(THREADS))

    return inlined(reduce_columns)
