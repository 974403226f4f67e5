"""What the kernels of `pool_rows` have in common: how threads share the work, load columns and store rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numba import cuda, uint32

from gpuconv.cuda.division import quotient
from gpuconv.cuda.ptx.predicated import load2_if, load4_if, load_if
from gpuconv.cuda.ptx.vectors import store2, store4

THREADS = 128
BLOCKS_PER_SM = {"float32": 4, "float64": 3}
VECTOR_BYTES = 16
ALL_LANES = 0xFFFFFFFF


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
        most = 2 * self.window.stride if self.kind == "argmax" else VECTOR_BYTES  # two indices fill 16 bytes
        return min(VECTOR_BYTES // self.itemsize, most)

    @property
    def outputs(self) -> int:
        return self.columns // self.window.stride

    @property
    def tile_p(self) -> int:
        return self.window.tile_p_indices if self.kind == "argmax" else self.window.tile_p

    @property
    def left(self) -> int:
        """Columns that windows reach to the left of the thread's own."""
        return int(self.window.R == 3)

    @property
    def right(self) -> int:
        return self.window.R - self.window.stride - self.left


@cuda.jit(device=True, inline="always")
def add(a, b):
    return a + b


@cuda.jit(device=True, inline="always")
def locate(items, plane_items, plane_by, plane_shift, vectors, vectors_by, vectors_shift, C, C_by, C_shift):
    """(inside, n, c, tile of rows, vector of columns) of this thread."""
    item = uint32(uint32(cuda.blockIdx.x) * uint32(THREADS) + uint32(cuda.threadIdx.x))
    plane = quotient(item, plane_by, plane_shift)
    place = uint32(item - plane * plane_items)
    tile = quotient(place, vectors_by, vectors_shift)
    n = quotient(plane, C_by, C_shift)
    return item < items, n, uint32(plane - n * C), tile, uint32(place - tile * vectors)


def row_loader(tile: Tile) -> Callable[..., Any]:
    """load(row, at, condition, x, place, x_w, w, W, nothing): the thread's own columns of a row."""
    COLUMNS = tile.columns

    def narrow(row, at, condition, x, place, x_w, w, W, nothing):
        for j in range(COLUMNS):
            row[at + j] = load_if(condition & (uint32(w + uint32(j)) < W), x, place + j * x_w, nothing)

    def wide2(row, at, condition, x, place, x_w, w, W, nothing):
        row[at], row[at + 1] = load2_if(condition & (w < W), x, place, nothing)

    def wide4(row, at, condition, x, place, x_w, w, W, nothing):
        row[at], row[at + 1], row[at + 2], row[at + 3] = load4_if(condition & (w < W), x, place, nothing)

    chosen = {2: wide2, 4: wide4}[COLUMNS] if tile.wide else narrow
    return cuda.jit(device=True, inline="always")(chosen)


def row_storer(outputs: int) -> Callable[..., Any]:
    """store(row, target, place, step, whole, count): the first `count` outputs, at once if `whole`."""

    def apart(row, target, place, step, whole, count):
        for j in range(outputs):
            if uint32(j) < count:
                target[place + j * step] = row[j]

    def pair(row, target, place, step, whole, count):
        if whole:
            store2(target, place, row[0], row[1])
        else:
            apart_inlined(row, target, place, step, whole, count)

    def four(row, target, place, step, whole, count):
        if whole:
            store4(target, place, row[0], row[1], row[2], row[3])
        else:
            apart_inlined(row, target, place, step, whole, count)

    apart_inlined = cuda.jit(device=True, inline="always")(apart)
    return cuda.jit(device=True, inline="always")({1: apart, 2: pair, 4: four}[outputs])


def kernel_name(dtype: str, tile: Tile) -> str:
    width = "wide" if tile.wide else "narrow"
    return f"pool_rows {dtype} {tile.kind} {tile.window.R}/{tile.window.stride} {width}"
