"""How a thread of `pool_rows` reduces its windows: along the rows of the image, then down its columns.

In this order the elements of a window combine as they follow each other in the image, so that of equal ones
the first can be kept. Columns beside a thread's own come from its neighbours.
"""

from typing import Any

from gpuconv.cuda.device.elements import Function, inlined
from gpuconv.cuda.device.shuffles import make_shuffles
from gpuconv.cuda.language import cuda
from gpuconv.cuda.pool.rows.tiles import RowsTile


def make_line(tile: RowsTile, kind: Any) -> Function:
    """fill(line, row, i, edge_left, edge_right, at_left, at_right): what windows cover of row i."""
    COLUMNS, LEFT, RIGHT = tile.columns, tile.left, tile.right
    LINE, shuffles = LEFT + COLUMNS + RIGHT, make_shuffles(kind)
    before, behind = shuffles.before, shuffles.behind

    def fill(line, row, i, edge_left, edge_right, at_left, at_right):
        for j in range(COLUMNS):
            line[LEFT + j] = row[i * COLUMNS + j]
        if LEFT > 0:
            near = before(row[i * COLUMNS + COLUMNS - 1])
            line[0] = edge_left[i] if at_left else near
        if RIGHT > 0:
            near = behind(row[i * COLUMNS])
            line[LINE - 1] = edge_right[i] if at_right else near

    return inlined(fill)


def make_windows(tile: RowsTile, scalar: Any, combine: Function) -> Function:
    """windows(out, row, edge_left, edge_right, at_left, at_right): all windows of a thread."""
    R, STRIDE, TILE_P, OUTPUTS = tile.window.R, tile.window.stride, tile.tile_p, tile.outputs
    ROWS, ACROSS, LINE = tile.rows, tile.rows * tile.outputs, tile.left + tile.columns + tile.right
    fill = make_line(tile, scalar)

    def windows(out, row, edge_left, edge_right, at_left, at_right):
        line, across = cuda.local.array(LINE, scalar), cuda.local.array(ACROSS, scalar)
        for i in range(ROWS):
            fill(line, row, i, edge_left, edge_right, at_left, at_right)
            for j in range(OUTPUTS):
                value = line[j * STRIDE]
                for s in range(R - 1):  # a loop that counts from 1 is not unrolled for sm_100
                    value = combine(value, line[j * STRIDE + 1 + s])
                across[i * OUTPUTS + j] = value
        for i in range(TILE_P):
            for j in range(OUTPUTS):
                value = across[i * STRIDE * OUTPUTS + j]
                for r in range(R - 1):
                    value = combine(value, across[(i * STRIDE + 1 + r) * OUTPUTS + j])
                out[i * OUTPUTS + j] = value

    return inlined(windows)


def make_watch(tile: RowsTile, is_negative_zero: Function) -> Function:
    """meets(row, edge_left, edge_right): whether a thread has loaded a -0."""
    ROWS, OWN, LEFT, RIGHT = tile.rows, tile.rows * tile.columns, tile.left, tile.right

    def meets(row, edge_left, edge_right):
        met = False
        for i in range(OWN):
            met |= is_negative_zero(row[i])
        for i in range(ROWS):
            if LEFT > 0:
                met |= is_negative_zero(edge_left[i])
            if RIGHT > 0:
                met |= is_negative_zero(edge_right[i])
        return met

    return inlined(meets)
