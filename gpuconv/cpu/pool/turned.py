"""Tiles of pixels, [rows][columns][width]: made of planes, divided, and stored. See `pool_channels`.

A tile whose width is LANES is turned in registers from planes and into planes (`simd/lines.py`).
"""

from gpuconv.cpu.conv.lines import load_lines, set_line, store_lines
from gpuconv.cpu.engine.compiled import inner, merged
from gpuconv.cpu.simd import (
    filled,
    lanes,
    load,
    load_part,
    noinline,
    pointer,
    pointer_after,
    store,
    store_part,
    zeros,
)
from gpuconv.cpu.simd.places import number_at, numbered


@inner
def turn_rows(x, n, c, count, h_begin, h_end, image, lines, places):
    """image[h - h_begin][v][lane] = x[n, c + lane, h, v]; lanes that are too many are as the last."""
    W, c_step = x.shape[3], x.strides[1] // x.itemsize
    elements = (h_end - h_begin) * W
    for lane in range(lanes(image)):
        set_line(lines, lane, min(lane, count - 1) * c_step, 0, elements)
    place = pointer(x, n * (x.strides[0] // x.itemsize) + c * c_step + h_begin * W)
    load_lines(place, lines, (0, elements), 0, elements, pointer(image, 0), pointer(places, 0))


@inner
def number_columns(columns, W, width):
    """columns[v][e] = v."""
    noinline()
    place = pointer(columns, 0)
    for v in range(W):
        for e in range(0, width, lanes(place)):
            store_part(place, v * width + e, numbered(place, v), width - e)


@inner
def divide_pixels(tile, pitch, width, p_begin, p_end, q_begin, q_end, row_counts, column_counts):
    """Sums become means, of which no zero is negative; rows of the tile lie `pitch` elements apart."""
    noinline()
    L, zero = lanes(tile), zeros(tile)
    for p in range(p_begin, p_end):
        at = (p - p_begin) * pitch
        for q in range(q_begin, q_end):
            divisor, e, end = filled(tile, row_counts[p] * column_counts[q]), at, at + width
            while e + L <= end:
                store(tile, e, (load(tile, e) + zero) / divisor)
                e += L
            if e < end:
                store_part(tile, e, (load_part(tile, e, end - e, zero) + zero) / divisor, end - e)
            at = end


@inner
def finish_tile(
    result, pitch, width, y, indices, n, c, count, rows_of, columns_of, y_lies, indices_lie, row_counts,
    column_counts, is_divided, in_place, outputs, found, turned, lines,
):  # fmt: skip
    """Sums divided, and the tile written to y unless it is `in_place`; its places likewise."""
    p_begin, p_end = rows_of
    q_begin, q_end = columns_of
    if column_counts is not None and not is_divided:
        divide_pixels(result, pitch, width, p_begin, p_end, q_begin, q_end, row_counts, column_counts)
    if not in_place:
        store_pixels(
            outputs, width, y, n, c, count, p_begin, p_end, q_begin, q_end, y_lies[1], y_lies[2], lines
        )  # fmt: skip
    if indices is not None:
        store_places(
            found, width, indices, n, c, count, p_begin, p_end, q_begin, q_end, indices_lie[1],
            indices_lie[2], lines, turned,
        )  # fmt: skip


@merged
def element_strides(array):
    """The strides of four axes, in elements."""
    size = array.itemsize
    n, c, h, v = array.strides
    return n // size, c // size, h // size, v // size


@inner
def store_pixels(
    tile, width, y, n, c, count, p_begin, p_end, q_begin, q_end, in_pixels, in_planes, lines
):  # fmt: skip
    """y[n, c + e, p, q] = tile[p - p_begin][q - q_begin][e], for e < count."""
    noinline()
    Q, columns, place = y.shape[3], q_end - q_begin, pointer(tile, 0)
    n_step, c_step, p_step, q_step = element_strides(y)
    if in_planes and columns == Q and width == lanes(place):
        pixels = (p_end - p_begin) * Q
        for lane in range(width):
            set_line(lines, lane, lane * c_step, 0, pixels if lane < count else 0)
        to = pointer(y, n * n_step + c * c_step + p_begin * Q)
        store_lines(place, to, lines, (0, pixels if count == width else 0), pixels)
        return
    for p in range(p_begin, p_end):
        to = pointer(y, n * n_step + c * c_step + p * p_step + q_begin * q_step)
        row = (p - p_begin) * columns * width
        if in_pixels:
            for q in range(columns):
                for e in range(0, count, lanes(place)):
                    vector = load_part(place, row + q * width + e, count - e, zeros(place))
                    store_part(to, q * q_step + e, vector, count - e)
        else:
            for e in range(count):
                for q in range(columns):
                    to[e * c_step + q * q_step] = tile[row + q * width + e]


@inner
def store_places(
    tile, width, indices, n, c, count, p_begin, p_end, q_begin, q_end, in_pixels, in_planes, lines, turned
):  # fmt: skip
    """indices[n, c + e, p, q] = the number in tile[p - p_begin][q - q_begin][e]; `turned` has room."""
    noinline()
    Q, columns, place = indices.shape[3], q_end - q_begin, pointer(tile, 0)
    n_step, c_step, p_step, q_step = element_strides(indices)
    if in_planes and columns == Q and width == lanes(place):
        pixels = (p_end - p_begin) * Q
        for lane in range(width):
            set_line(lines, lane, lane * pixels, 0, pixels)
        store_lines(place, pointer(turned, 0), lines, (0, pixels), pixels)
        for lane in range(count):
            to = pointer(indices, n * n_step + (c + lane) * c_step + p_begin * Q)
            copy_numbers(pointer(turned, lane * pixels), to, pixels)
        return
    for p in range(p_begin, p_end):
        to = pointer(indices, n * n_step + c * c_step + p * p_step + q_begin * q_step)
        row = (p - p_begin) * columns * width
        if in_pixels:
            for q in range(columns):
                copy_numbers(pointer_after(place, row + q * width), pointer_after(to, q * q_step), count)
        else:
            for e in range(count):
                for q in range(columns):
                    to[e * c_step + q * q_step] = number_at(place, row + q * width + e)


@merged
def copy_numbers(source, to, count):
    """to[e] = the number in source[e]."""
    for e in range(count):
        to[e] = number_at(source, e)
