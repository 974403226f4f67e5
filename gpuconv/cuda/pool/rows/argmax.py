"""Maxima with their indices, by rows in registers: an index travels beside its value (`pool/indices.py`).

A window meets its elements in the order of their indices, and keeps the first of equals. The keys of both
zeros are one; where a thread of the warp has met a -0, a maximum that is zero is read again (`zeros.py`).
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.device.elements import ELEMENTS, INDEX, Function, inlined
from gpuconv.cuda.device.limits import ALL_LANES
from gpuconv.cuda.device.ordered import INTEGERS, KEY, VALUE
from gpuconv.cuda.device.zeros import IS_NEGATIVE_ZERO
from gpuconv.cuda.language import cuda, int32, int64, uint32
from gpuconv.cuda.pool.indices import first_of
from gpuconv.cuda.pool.rows.load import make_locate, make_rows_loader
from gpuconv.cuda.pool.rows.store import make_row_storer
from gpuconv.cuda.pool.rows.tiles import RowsTile
from gpuconv.cuda.pool.rows.windows import make_line, make_watch
from gpuconv.cuda.pool.rows.zeros import make_zero_signer


def make_keys(tile: RowsTile, key: Function) -> Function:
    """fill(keys, keys_left, keys_right, row, edge_left, edge_right, h, w, H, W): of all that is loaded."""
    ROWS, COLUMNS, LEFT, RIGHT = tile.rows, tile.columns, tile.left, tile.right
    SPACING = int(not tile.wide)  # an aligned vector lies inside of the image with its first column

    def fill(keys, keys_left, keys_right, row, edge_left, edge_right, h, w, H, W):
        for i in range(ROWS):
            in_image = uint32(h + uint32(i)) < H
            for j in range(COLUMNS):
                known = in_image & (uint32(w + uint32(j * SPACING)) < W)
                keys[i * COLUMNS + j] = key(row[i * COLUMNS + j], known)
            if LEFT > 0:
                known = in_image & (uint32(w - uint32(1)) < W)
                keys_left[i] = key(edge_left[i], known)
            if RIGHT > 0:
                known = in_image & (uint32(w + uint32(COLUMNS)) < W)
                keys_right[i] = key(edge_right[i], known)

    return inlined(fill)


def make_indexed_windows(tile: RowsTile, integer: Any) -> Function:
    """windows(out, where, keys, keys_left, keys_right, at_left, at_right, h, w, W): all of a thread."""
    R, STRIDE, TILE_P, OUTPUTS = tile.window.R, tile.window.stride, tile.tile_p, tile.outputs
    ROWS, ACROSS, LINE = tile.rows, tile.rows * tile.outputs, tile.left + tile.columns + tile.right
    LEFT, fill = tile.left, make_line(tile, integer)

    def windows(out, where, keys, keys_left, keys_right, at_left, at_right, h, w, W):
        line = cuda.local.array(LINE, integer)
        across, places = cuda.local.array(ACROSS, integer), cuda.local.array(ACROSS, uint32)
        for i in range(ROWS):
            fill(line, keys, i, keys_left, keys_right, at_left, at_right)
            corner = uint32(uint32(uint32(h + uint32(i)) * W) + uint32(w - uint32(LEFT)))
            for j in range(OUTPUTS):
                e = j * STRIDE
                best, index = line[e], uint32(corner + uint32(e))
                best, index = first_of(best, index, line[e + 1], uint32(corner + uint32(e + 1)))
                if R > 2:  # no loop, which a compiler may leave as one
                    best, index = first_of(best, index, line[e + 2], uint32(corner + uint32(e + 2)))
                across[i * OUTPUTS + j], places[i * OUTPUTS + j] = best, index
        for i in range(TILE_P):
            for j in range(OUTPUTS):
                e = i * STRIDE * OUTPUTS + j
                best, index = across[e], places[e]
                best, index = first_of(best, index, across[e + OUTPUTS], places[e + OUTPUTS])
                if R > 2:
                    best, index = first_of(best, index, across[e + 2 * OUTPUTS], places[e + 2 * OUTPUTS])
                out[i * OUTPUTS + j], where[i * OUTPUTS + j] = best, index

    return inlined(windows)


def make_argmax_function(dtype: str, tile: RowsTile) -> Callable[..., None]:
    """The kernel for a dtype and a tile."""
    element = ELEMENTS[dtype]
    scalar, arithmetic = element.scalar, element.arithmetic
    TILE_P, OUTPUTS, ALL = tile.tile_p, tile.outputs, tile.tile_p * tile.outputs
    ROWS, OWN = tile.rows, tile.rows * tile.columns
    integer, value_of = INTEGERS[arithmetic], VALUE[arithmetic]
    locate, load = make_locate(tile), make_rows_loader(element, tile, 0.0)
    meets, fill = make_watch(tile, IS_NEGATIVE_ZERO[arithmetic]), make_keys(tile, KEY[arithmetic])
    windows, sign_zeros = make_indexed_windows(tile, integer), make_zero_signer(element, tile)
    store, store_indices = make_row_storer(element, OUTPUTS), make_row_storer(INDEX, OUTPUTS)

    def pool_rows_argmax(
        x, y, indices, x_n, x_c, x_h, x_w, y_n, y_c, y_p, y_q, i_n, i_c, i_p, i_q,  # strides in elements
        items, plane_items, plane_items_multiplier, plane_items_shift,
        vectors, vectors_multiplier, vectors_shift, C, C_multiplier, C_shift,
        H, W, P, Q, h_origin, w_origin, y_vectors,
    ):  # fmt: skip
        row, keys = cuda.local.array(OWN, scalar), cuda.local.array(OWN, integer)
        edge_left, edge_right = cuda.local.array(ROWS, scalar), cuda.local.array(ROWS, scalar)
        keys_left, keys_right = cuda.local.array(ROWS, integer), cuda.local.array(ROWS, integer)
        best, where = cuda.local.array(ALL, integer), cuda.local.array(ALL, uint32)
        out, out_where = cuda.local.array(OUTPUTS, scalar), cuda.local.array(OUTPUTS, int64)

        # locate
        inside, n, c, p_first, q, h, w, at_left, at_right = locate(
            items, (plane_items, plane_items_multiplier, plane_items_shift),
            (vectors, vectors_multiplier, vectors_shift), (C, C_multiplier, C_shift), h_origin, w_origin,
        )  # fmt: skip

        # load
        plane = int64(n) * x_n + int64(c) * x_c
        place = plane + int64(int32(h)) * x_h + int64(int32(w)) * x_w
        load(row, edge_left, edge_right, x, place, x_h, x_w, inside, at_left, at_right, h, w, H, W)
        signs = inside & cuda.any_sync(ALL_LANES, meets(row, edge_left, edge_right))

        # accumulate
        fill(keys, keys_left, keys_right, row, edge_left, edge_right, h, w, H, W)
        windows(best, where, keys, keys_left, keys_right, at_left, at_right, h, w, W)

        # store
        place = int64(n) * y_n + int64(c) * y_c + int64(p_first) * y_p + int64(q) * y_q
        place_i = int64(n) * i_n + int64(c) * i_c + int64(p_first) * i_p + int64(q) * i_q
        whole = (y_vectors != uint32(0)) & (uint32(q + uint32(OUTPUTS)) <= Q)
        for i in range(TILE_P):
            for j in range(OUTPUTS):
                e = i * OUTPUTS + j
                out[j], out_where[j] = value_of(best[e]), int64(where[e])
            if inside & (uint32(p_first + uint32(i)) < P):
                store(out, y, place, y_q, whole, uint32(Q - q))
                store_indices(out_where, indices, place_i, i_q, whole, uint32(Q - q))
            place += y_p
            place_i += i_p
        if signs:
            places = plane, place - TILE_P * y_p, place_i - TILE_P * i_p
            steps = x_h, x_w, y_p, y_q, i_p, i_q
            sign_zeros(x, y, indices, places, steps, uint32(P - p_first), uint32(Q - q), W)

    return pool_rows_argmax
