"""What the kernels of `pool_rows` have in common: how threads share the work, load columns and store rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numba import cuda, uint32

from gpuconv.cuda.device.division import quotient_and_rest
from gpuconv.cuda.device.elements import Element, inlined, make_loader, make_storer
from gpuconv.cuda.device.limits import LANES, VECTOR_BYTES

THREADS = 128
BLOCKS_PER_SM = {"float32": 4, "float64": 3, "float16": 4, "bfloat16": 4}

# Two indices fill an access; eight outputs in each of seven rows are more than the compiler unrolls.
MOST_OUTPUTS = {"max": 4, "avg": 4, "argmax": 2}


@dataclass(frozen=True, slots=True)
class Window:
    """A window of R x R and its stride: what is compiled in."""

    R: int
    stride: int
    tile_p: int  # rows of output that a thread computes
    tile_p_indices: int  # and with indices, which take registers of their own


WINDOWS = {(3, 1): Window(3, 1, 7, 7), (3, 2): Window(3, 2, 4, 4), (2, 2): Window(2, 2, 4, 4)}


@dataclass(frozen=True, slots=True)
class Tile:
    """What a thread computes: `outputs` outputs in each of `tile_p` rows, from `columns` of its own."""

    window: Window
    kind: str  # "max", "argmax" or "avg"
    itemsize: int
    wide: bool

    @property
    def columns(self) -> int:
        if not self.wide:
            return self.window.stride
        return min(VECTOR_BYTES // self.itemsize, MOST_OUTPUTS[self.kind] * self.window.stride)

    @property
    def outputs(self) -> int:
        return self.columns // self.window.stride

    @property
    def tile_p(self) -> int:
        return self.window.tile_p_indices if self.kind == "argmax" else self.window.tile_p

    @property
    def rows(self) -> int:
        """Rows of the image that the thread loads."""
        return (self.tile_p - 1) * self.window.stride + self.window.R

    @property
    def left(self) -> int:
        """Columns that windows reach to the left of the thread's own."""
        return int(self.window.R == 3)

    @property
    def right(self) -> int:
        return self.window.R - self.window.stride - self.left


def make_locate(tile: Tile) -> Callable[..., Any]:
    """locate(...): what this thread computes, from where, and whether it has neighbours.

    (inside, n, c, p, q, h, w, at_left, at_right): whether it computes anything, its first output and the
    first of its own columns in the image, and whether it loads the columns beside them as well.
    """
    STRIDE, TILE_P, OUTPUTS, LEFT = tile.window.stride, tile.tile_p, tile.outputs, tile.left

    def locate(
        items, plane_items, plane_by, plane_shift, vectors, vectors_by, vectors_shift, C, C_by, C_shift,
        h_origin, w_origin,
    ):  # fmt: skip
        thread = uint32(cuda.threadIdx.x)
        item = uint32(uint32(cuda.blockIdx.x) * uint32(THREADS) + thread)
        plane, place = quotient_and_rest(item, (plane_items, plane_by, plane_shift))
        tile, vector = quotient_and_rest(place, (vectors, vectors_by, vectors_shift))
        n, c = quotient_and_rest(plane, (C, C_by, C_shift))
        lane = thread % uint32(LANES)
        at_left = (lane == uint32(0)) | (vector == uint32(0))
        at_right = (lane == uint32(LANES - 1)) | (uint32(vector + uint32(1)) == vectors)
        p, q = uint32(tile * uint32(TILE_P)), uint32(vector * uint32(OUTPUTS))
        h = uint32(p * uint32(STRIDE) + h_origin)
        w = uint32(q * uint32(STRIDE) + w_origin + uint32(LEFT))
        return item < items, n, c, p, q, h, w, at_left, at_right

    return inlined(locate)


def make_columns_loader(element: Element, tile: Tile, nothing: float) -> Callable[..., Any]:
    """load(row, at, condition, x, place, x_w, w, W): the thread's own columns of a row."""
    COLUMNS = tile.columns
    load_one, load_all = (make_loader(element, count, nothing) for count in (1, COLUMNS))

    def narrow(row, at, condition, x, place, x_w, w, W):
        for j in range(COLUMNS):
            load_one(row, at + j, condition & (uint32(w + uint32(j)) < W), x, place + j * x_w)

    def wide(row, at, condition, x, place, x_w, w, W):
        load_all(row, at, condition & (w < W), x, place)

    return inlined(wide if tile.wide else narrow)


def make_rows_loader(element: Element, tile: Tile, nothing: float) -> Callable[..., Any]:
    """load(row, edge_left, edge_right, x, place, x_h, x_w, inside, at_left, at_right, h, w, H, W).

    The thread's own columns of all of its rows, from `place` on, and the columns beside them where it has no
    neighbour; `nothing` outside of the image.
    """
    ROWS, COLUMNS, LEFT, RIGHT = tile.rows, tile.columns, tile.left, tile.right
    load_columns, load_one = make_columns_loader(element, tile, nothing), make_loader(element, 1, nothing)

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


def make_row_storer(element: Element, outputs: int) -> Callable[..., Any]:
    """store(row, target, place, step, whole, count): the first `count` outputs, at once if `whole`."""
    narrow, store_all = element.narrow, make_storer(element, outputs)

    def apart(row, target, place, step, whole, count):
        for j in range(outputs):
            if uint32(j) < count:
                target[place + j * step] = narrow(row[j])

    def at_once(row, target, place, step, whole, count):
        if whole:
            store_all(target, place, row)
        else:
            apart_inlined(row, target, place, step, whole, count)

    apart_inlined = inlined(apart)
    return apart_inlined if outputs == 1 else inlined(at_once)


def kernel_name(dtype: str, tile: Tile) -> str:
    width = "wide" if tile.wide else "narrow"
    return f"pool_rows {dtype} {tile.kind} {tile.window.R}/{tile.window.stride} {width}"
