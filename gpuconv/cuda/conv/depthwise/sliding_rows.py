"""What `conv_depthwise` does with one row of the image: load it, make windows of it, multiply; and store.

Functions for the kernel, compiled into it with an odd square kernel, a stride of 1 or 2, and the number of
outputs that a lane owns as constants. A lane owns COLUMNS columns of each row; LEFT columns before them, and
some after them, it gets from the lanes beside it, going round at both ends of the warp.
"""

from collections.abc import Callable
from typing import Any

from numba import cuda, float32, int32, uint32

from gpuconv.cuda.device.elements import ELEMENTS, make_loader
from gpuconv.cuda.device.limits import ALL_LANES
from gpuconv.cuda.ptx.predicated import load2_if, load_if, store2_if, store4_if, store_if
from gpuconv.cuda.ptx.products import add_products


def products(extent: int, stride: int, outputs: int, row: int) -> list[tuple[int, int, int]]:
    """(sum, tap, column of the lane's window) of each product of a row of the image.

    `row` counts from the first row of the windows that began last; `stride` rows later the next begin.
    """
    before = (extent - 1) // stride
    return [
        ((before - r // stride) * outputs + j, r * extent + s, j * stride + s)
        for r in range(row, extent, stride)
        for s in range(extent)
        for j in range(outputs)
    ]


def steps(extent: int, stride: int, outputs: int) -> int:
    """Rows of output of a round of the loop; a lane has the rows of the image for so many under way.

    Four accesses of 128 bits. Of the narrow ones more, but so many that the rounds of 7 rows of output, with
    the rows before the first is complete, waste little.
    """
    if outputs > 1:
        return 4 // stride
    return 5 if stride == 1 else 4


def row_loader(columns: int) -> Callable[..., Any]:
    """load(rows, begin, x, place, x_w, row_inside, inside, pairs): a lane's columns of a row, 0 outside."""

    load_all = make_loader(ELEMENTS["float32"], columns, 0.0)

    def load(rows, begin, x, place, x_w, row_inside, inside, pairs):
        load_all(rows, begin, row_inside & inside[0], x, place)

    def load_pair(rows, begin, x, place, x_w, row_inside, inside, pairs):
        pair = pairs != uint32(0)  # both columns at once, or one after the other
        a, b = load2_if(row_inside & inside[0] & pair, x, place, float32(0))
        rows[begin] = load_if(row_inside & inside[0] & (not pair), x, place, a)
        rows[begin + 1] = load_if(row_inside & inside[1] & (not pair), x, place + x_w, b)

    return cuda.jit(load_pair if columns == 2 else load, device=True, inline="always")


def window_filler(extent: int, stride: int, outputs: int) -> Callable[..., Any]:
    """fill(window, rows, begin, lane): the columns that a lane's windows cover, of the row at `begin`."""
    COLUMNS, LEFT, WIDTH = outputs * stride, (extent - 1) // 2, (outputs - 1) * stride + extent

    def fill(window, rows, begin, lane):
        for j in range(WIDTH):
            distance = (j - LEFT) // COLUMNS
            value = rows[begin + (j - LEFT) % COLUMNS]
            if distance != 0:
                value = cuda.shfl_sync(ALL_LANES, value, int32((lane + uint32(distance)) & uint32(31)))
            window[j] = value

    return cuda.jit(fill, device=True, inline="always")


def row_storer(outputs: int) -> Callable[..., Any]:
    """store(condition, y, place, sums, start): the oldest sums, to which `start` is added."""

    def store4(condition, y, place, sums, start):
        a, b, c, d = sums[0] + start, sums[1] + start, sums[2] + start, sums[3] + start
        store4_if(condition, y, place, a, b, c, d)

    def store2(condition, y, place, sums, start):
        store2_if(condition, y, place, sums[0] + start, sums[1] + start)

    def store1(condition, y, place, sums, start):
        store_if(condition, y, place, sums[0] + start)

    return cuda.jit({4: store4, 2: store2, 1: store1}[outputs], device=True, inline="always")


def row_adders(extent: int, stride: int, outputs: int) -> list[Callable[..., Any]]:
    """add(sums, weight, window) for each row from where windows begin to where the next ones do."""
    return [add_products(products(extent, stride, outputs, row)) for row in range(stride)]
