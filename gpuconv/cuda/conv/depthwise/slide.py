"""What a row of the image adds to the sums of `conv_depthwise`, and how many rows of output make a round."""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.ptx.arithmetic import add_products


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


def steps_of_round(extent: int, stride: int, outputs: int) -> int:
    """Rows of output of a round of the loop; a lane has the rows of the image for so many under way.

    Four accesses of 128 bits. Of the narrow ones more, but so many that the rounds of 7 rows of output, with
    the rows before the first is complete, waste little.
    """
    if outputs > 1:
        return 4 // stride
    return 5 if stride == 1 else 4


def row_adders(extent: int, stride: int, outputs: int) -> list[Callable[..., Any]]:
    """add(sums, weight, window) for each row from where windows begin to where the next ones do."""
    return [add_products(products(extent, stride, outputs, row)) for row in range(stride)]
