"""Maxima with their indices, by rows in registers: an index travels beside its value (`pool/indices.py`)."""

from collections.abc import Callable

from gpuconv.cuda.device.elements import ELEMENTS, INDEX, Function, inlined
from gpuconv.cuda.device.limits import ALL_LANES
from gpuconv.cuda.device.ordered import INTEGERS, KEY, VALUE
from gpuconv.cuda.language import cuda, int32, int64, uint32
from gpuconv.cuda.pool.indices import first_greatest
from gpuconv.cuda.pool.rows.load import make_locate, make_rows_loader
from gpuconv.cuda.pool.rows.store import make_row_storer
from gpuconv.cuda.pool.rows.tiles import RowsTile


@inlined
def next_row(best, index, key, place):
    """The greater key; of equals that of the row above."""
    greater = key > best
    return key if greater else best, place if greater else index


def make_picker(R: int) -> Function:
    """pick(keys, at, step, place, W): the greatest of R elements of a column, and where it lies."""

    def pick(keys, at, step, place, W):
        best, index = next_row(keys[at], place, keys[at + step], uint32(place + W))
        if R > 2:  # no loop, which a compiler may leave as one
            best, index = next_row(best, index, keys[at + 2 * step], uint32(place + W + W))
        return best, index

    return inlined(pick)


def make_argmax_function(dtype: str, tile: RowsTile) -> Callable[..., None]:
    """The kernel for a dtype and a tile."""
    element = ELEMENTS[dtype]
    scalar, arithmetic = element.scalar, element.arithmetic
    R, STRIDE, TILE_P = tile.window.R, tile.window.stride, tile.tile_p
    COLUMNS, OUTPUTS, LEFT, RIGHT = tile.columns, tile.outputs, tile.left, tile.right
    ROWS, OWN, LINE = tile.rows, tile.rows * tile.columns, LEFT + COLUMNS + RIGHT
    SPACING = int(not tile.wide)  # an aligned vector lies inside of the image with its first column
    integer, key, value_of = INTEGERS[arithmetic], KEY[arithmetic], VALUE[arithmetic]
    locate, load, pick = make_locate(tile), make_rows_loader(element, tile, 0.0), make_picker(R)
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
        line, where = cuda.local.array(LINE, integer), cuda.local.array(LINE, uint32)
        out, out_where = cuda.local.array(OUTPUTS, scalar), cuda.local.array(OUTPUTS, int64)

        # locate
        inside, n, c, p_first, q, h, w, at_left, at_right = locate(
            items, (plane_items, plane_items_multiplier, plane_items_shift),
            (vectors, vectors_multiplier, vectors_shift), (C, C_multiplier, C_shift), h_origin, w_origin,
        )  # fmt: skip

        # load
        place = int64(n) * x_n + int64(c) * x_c + int64(int32(h)) * x_h + int64(int32(w)) * x_w
        load(row, edge_left, edge_right, x, place, x_h, x_w, inside, at_left, at_right, h, w, H, W)
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

        # accumulate and store
        place = int64(n) * y_n + int64(c) * y_c + int64(p_first) * y_p + int64(q) * y_q
        place_i = int64(n) * i_n + int64(c) * i_c + int64(p_first) * i_p + int64(q) * i_q
        whole = (y_vectors != uint32(0)) & (uint32(q + uint32(OUTPUTS)) <= Q)
        for i in range(TILE_P):
            first = i * STRIDE
            corner = uint32(uint32(h + uint32(first)) * W + w)
            for j in range(COLUMNS):
                line[LEFT + j], where[LEFT + j] = pick(
                    keys, first * COLUMNS + j, COLUMNS, uint32(corner + uint32(j)), W
                )
            if LEFT > 0:
                best, index = pick(keys_left, first, 1, uint32(corner - uint32(1)), W)
                near = cuda.shfl_up_sync(ALL_LANES, line[LEFT + COLUMNS - 1], 1)
                near_index = cuda.shfl_up_sync(ALL_LANES, int32(where[LEFT + COLUMNS - 1]), 1)
                line[0] = best if at_left else near
                where[0] = index if at_left else uint32(near_index)
            if RIGHT > 0:
                best, index = pick(keys_right, first, 1, uint32(corner + uint32(COLUMNS)), W)
                near = cuda.shfl_down_sync(ALL_LANES, line[LEFT], 1)
                near_index = cuda.shfl_down_sync(ALL_LANES, int32(where[LEFT]), 1)
                line[LINE - 1] = best if at_right else near
                where[LINE - 1] = index if at_right else uint32(near_index)
            for j in range(OUTPUTS):
                e = j * STRIDE
                best, index = first_greatest(line[e], where[e], line[e + 1], where[e + 1])
                if R > 2:
                    best, index = first_greatest(best, index, line[e + 2], where[e + 2])
                out[j], out_where[j] = value_of(best), int64(index)
            if inside & (uint32(p_first + uint32(i)) < P):
                store(out, y, place, y_q, whole, uint32(Q - q))
                store_indices(out_where, indices, place_i, i_q, whole, uint32(Q - q))
            place += y_p
            place_i += i_p

    return pool_rows_argmax
