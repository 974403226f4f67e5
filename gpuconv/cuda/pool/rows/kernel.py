"""Maxima and means by rows in registers, and the list of all kernels of `pool_rows`."""

import itertools
from collections.abc import Callable

from gpuconv.cuda.device.division import DIVIDED, overlap
from gpuconv.cuda.device.elements import ELEMENTS
from gpuconv.cuda.device.limits import ALL_LANES
from gpuconv.cuda.device.reduction import REDUCTIONS
from gpuconv.cuda.language import cuda, int32, int64, types, uint32
from gpuconv.cuda.pool.rows.argmax import make_argmax_function
from gpuconv.cuda.pool.rows.load import make_locate, make_rows_loader
from gpuconv.cuda.pool.rows.store import make_row_storer
from gpuconv.cuda.pool.rows.tiles import BLOCKS_PER_SM, MOST_OUTPUTS, THREADS, WINDOWS, RowsTile
from gpuconv.cuda.runtime.compiled import Kernel


def make_function(dtype: str, tile: RowsTile) -> Callable[..., None]:
    """Maxima, or means; a maximum takes no notice of the last six arguments."""
    element = ELEMENTS[dtype]
    scalar, divided = element.scalar, DIVIDED[element.arithmetic]
    R, STRIDE, TILE_P = tile.window.R, tile.window.stride, tile.tile_p
    COLUMNS, OUTPUTS, LEFT, RIGHT = tile.columns, tile.outputs, tile.left, tile.right
    ROWS, OWN, LINE = tile.rows, tile.rows * tile.columns, LEFT + COLUMNS + RIGHT
    IS_MEAN, combine = tile.result == "mean", REDUCTIONS[tile.result].combine
    locate, load = make_locate(tile), make_rows_loader(element, tile, REDUCTIONS[tile.result].identity)
    store = make_row_storer(element, OUTPUTS)

    def pool_rows(
        x, y, x_n, x_c, x_h, x_w, y_n, y_c, y_p, y_q,  # strides in elements
        items, plane_items, plane_items_multiplier, plane_items_shift,
        vectors, vectors_multiplier, vectors_shift, C, C_multiplier, C_shift,
        H, W, P, Q, h_origin, w_origin, y_vectors,
        rows_from, rows_to, columns_from, columns_to, counted, divisor_override,
    ):  # fmt: skip
        row = cuda.local.array(OWN, scalar)
        edge_left, edge_right = cuda.local.array(ROWS, scalar), cuda.local.array(ROWS, scalar)
        line, out = cuda.local.array(LINE, scalar), cuda.local.array(OUTPUTS, scalar)

        # locate
        inside, n, c, p_first, q, h, w, at_left, at_right = locate(
            items, (plane_items, plane_items_multiplier, plane_items_shift),
            (vectors, vectors_multiplier, vectors_shift), (C, C_multiplier, C_shift), h_origin, w_origin,
        )  # fmt: skip

        # load
        place = int64(n) * x_n + int64(c) * x_c + int64(int32(h)) * x_h + int64(int32(w)) * x_w
        load(row, edge_left, edge_right, x, place, x_h, x_w, inside, at_left, at_right, h, w, H, W)

        # accumulate and store
        place = int64(n) * y_n + int64(c) * y_c + int64(p_first) * y_p + int64(q) * y_q
        whole = (y_vectors != uint32(0)) & (uint32(q + uint32(OUTPUTS)) <= Q)
        columns = cuda.local.array(OUTPUTS, scalar)  # that the divisors count
        for j in range(OUTPUTS):
            taps = overlap(w + uint32(j * STRIDE - LEFT), R, columns_from, columns_to)
            columns[j] = scalar(int32(taps * counted + (int32(1) - counted)))
        for i in range(TILE_P):
            first = i * STRIDE
            taps = overlap(h + uint32(first), R, rows_from, rows_to)
            rows = scalar(int32(taps * counted + divisor_override))
            for j in range(COLUMNS):
                value = row[first * COLUMNS + j]
                for r in range(1, R):
                    value = combine(value, row[(first + r) * COLUMNS + j])
                line[LEFT + j] = value
            if LEFT > 0:
                value = edge_left[first]
                for r in range(1, R):
                    value = combine(value, edge_left[first + r])
                near = cuda.shfl_up_sync(ALL_LANES, line[LEFT + COLUMNS - 1], 1)
                line[0] = value if at_left else near
            if RIGHT > 0:
                value = edge_right[first]
                for r in range(1, R):
                    value = combine(value, edge_right[first + r])
                near = cuda.shfl_down_sync(ALL_LANES, line[LEFT], 1)
                line[LINE - 1] = value if at_right else near
            p = uint32(p_first + uint32(i))
            for j in range(OUTPUTS):
                value = line[j * STRIDE]
                for s in range(1, R):
                    value = combine(value, line[j * STRIDE + s])
                if IS_MEAN:
                    value = divided(value, rows * columns[j])
                out[j] = value
            if inside & (p < P):
                store(out, y, place, y_q, whole, uint32(Q - q))
            place += y_p

    return pool_rows


def make_kernel(dtype: str, tile: RowsTile) -> Kernel:
    """The kernel of a dtype and a tile."""
    pointer, steps = types.CPointer(ELEMENTS[dtype].stored), "x_n x_c x_h x_w y_n y_c y_p y_q"
    if tile.result == "argmax":
        make = make_argmax_function
        given = {pointer: "x y", types.CPointer(int64): "indices", int64: f"{steps} i_n i_c i_p i_q"}
    else:
        make = make_function
        divisors = "rows_from rows_to columns_from columns_to counted divisor_override"
        given = {pointer: "x y", int64: steps, int32: divisors}
    width = "wide" if tile.wide else "narrow"
    name = f"pool_rows {dtype} {tile.result} {tile.window.R}/{tile.window.stride} {width}"
    return Kernel(name, lambda: make(dtype, tile), given, THREADS, BLOCKS_PER_SM[dtype])


KERNEL_OF = {
    (dtype, tile): make_kernel(dtype, tile)
    for dtype, window, result, wide in itertools.product(
        ELEMENTS, WINDOWS.values(), MOST_OUTPUTS, (True, False)
    )
    for tile in [RowsTile(window, result, ELEMENTS[dtype].size, wide)]
}
