"""How `conv_depthwise` loads a row of the image, and makes windows of it.

Functions for the kernel, compiled into it with an odd square window, a stride of 1 or 2, and the number of
outputs that a lane owns as constants. A lane owns COLUMNS columns of each row; LEFT columns before them, and
some after them, it gets from the lanes beside it, going round at both ends of the warp.
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.device.elements import ELEMENTS, make_loader
from gpuconv.cuda.device.limits import ALL_LANES
from gpuconv.cuda.language import cuda, float32, int32, uint32
from gpuconv.cuda.ptx.memory import load2_if, load_if
from gpuconv.spec.dtypes import FLOAT32


def row_loader(columns: int) -> Callable[..., Any]:
    """load(rows, begin, x, place, x_w, row_inside, inside, pairs): a lane's columns of a row, 0 outside."""
    load_all = make_loader(ELEMENTS[FLOAT32], columns, 0.0)

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
