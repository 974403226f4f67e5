"""Where a thread of `pool_rows` finds its work, and how it loads its rows into registers."""

from gpuconv.cuda.device.division import quotient_and_rest
from gpuconv.cuda.device.elements import Element, Function, inlined, make_loader
from gpuconv.cuda.device.limits import LANES
from gpuconv.cuda.language import cuda, uint32
from gpuconv.cuda.pool.rows.tiles import THREADS, RowsTile


def make_locate(tile: RowsTile) -> Function:
    """locate(items, plane_items, vectors, channels, h_origin, w_origin): this thread's work.

    (inside, n, c, p, q, h, w, at_left, at_right): whether it computes anything, its first output and the
    first of its own columns in the image, and whether it loads the columns beside them as well.
    """
    STRIDE, TILE_P, OUTPUTS, LEFT = tile.window.stride, tile.tile_p, tile.outputs, tile.left

    def locate(items, plane_items, vectors, channels, h_origin, w_origin):
        thread = uint32(cuda.threadIdx.x)
        item = uint32(uint32(cuda.blockIdx.x) * uint32(THREADS) + thread)
        plane, place = quotient_and_rest(item, plane_items)
        tile, vector = quotient_and_rest(place, vectors)
        n, c = quotient_and_rest(plane, channels)
        lane = thread % uint32(LANES)
        at_left = (lane == uint32(0)) | (vector == uint32(0))
        at_right = (lane == uint32(LANES - 1)) | (uint32(vector + uint32(1)) == vectors[0])
        p, q = uint32(tile * uint32(TILE_P)), uint32(vector * uint32(OUTPUTS))
        h = uint32(p * uint32(STRIDE) + h_origin)
        w = uint32(q * uint32(STRIDE) + w_origin + uint32(LEFT))
        return item < items, n, c, p, q, h, w, at_left, at_right

    return inlined(locate)


def make_columns_loader(element: Element, tile: RowsTile, identity: float) -> Function:
    """load(row, at, condition, x, place, x_w, w, W): the thread's own columns of a row."""
    COLUMNS = tile.columns
    load_one, load_all = (make_loader(element, count, identity) for count in (1, COLUMNS))

    def narrow(row, at, condition, x, place, x_w, w, W):
        for j in range(COLUMNS):
            load_one(row, at + j, condition & (uint32(w + uint32(j)) < W), x, place + j * x_w)

    def wide(row, at, condition, x, place, x_w, w, W):
        load_all(row, at, condition & (w < W), x, place)

    return inlined(wide if tile.wide else narrow)


def make_rows_loader(element: Element, tile: RowsTile, identity: float) -> Function:
    """load(row, edge_left, edge_right, x, place, x_h, x_w, inside, at_left, at_right, h, w, H, W).

    The thread's own columns of all of its rows, from `place` on, and the columns beside them where it has no
    neighbour; `identity` outside of the image.
    """
    ROWS, COLUMNS, LEFT, RIGHT = tile.rows, tile.columns, tile.left, tile.right
    load_columns, load_one = make_columns_loader(element, tile, identity), make_loader(element, 1, identity)

    def load(row, edge_left, edge_right, x, place, x_h, x_w, inside, at_left, at_right, h, w, H, W):
        for i in range(ROWS):
            wanted = inside & (uint32(h + uint32(i)) < H)
            load_columns(row, i * COLUMNS, wanted, x, place, x_w, w, W)
            if LEFT > 0:
                loads = wanted & at_left & (uint32(w - uint32(1)) < W)
                load_one(edge_left, i, loads, x, place - x_w)
            if RIGHT > 0:
                loads = wanted & at_right & (uint32(w + uint32(COLUMNS)) < W)
                load_one(edge_right, i, loads, x, place + COLUMNS * x_w)
            place += x_h

    return inlined(load)
