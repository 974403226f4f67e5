"""How a pool is cut into tiles of pixels, for `pool_channels`."""

from typing import NamedTuple

import numpy as np

from gpuconv.cpu.engine.layout import in_planes, is_contiguous, reshaped
from gpuconv.cpu.pool.reduction import LEVELS, TERMS
from gpuconv.cpu.simd import LANES
from gpuconv.spec import PoolSpec
from gpuconv.spec.layouts import Layout, PoolLayouts
from gpuconv.spec.windows import Windows, windows_of

TILE = 16384  # elements of the rows of a task, if no more are needed: they lie in the L1 cache
WIDE_TILE = 65536  # and of as many channels and columns as one row of outputs needs: in the L2 cache
FEW_TAPS = 4  # of windows that overlap, up to which nothing is kept for the next


class Tiles(NamedTuple):
    """How a problem is cut into tasks.

    Attributes
    ----------
    x, y, indices : Layout
        Planes of all images may count as those of one.
    channels, block, across : int
        Channels of a task, rows of outputs, and columns of these.
    turned : bool
        The channels are planes, which are turned into pixels.
    flat : bool
        The pixels of a row of x follow each other, if they have all the channels of a task.
    few : bool
        Windows have few taps, which are reduced in registers.
    one_row, one_column : bool
        Each window has one row; or one column, and its rows are reduced as they lie.
    doubled : pair of bool
        Whether windows of 2 n taps come from windows of n, of rows and of columns.
    sizes : dict
        Elements of each workspace.
    image_places : int64 array
        Where each pixel of a plane that is turned goes.
    """

    x: Layout
    y: Layout
    indices: Layout | None
    channels: int
    block: int
    across: int
    turned: bool
    flat: bool
    few: bool
    one_row: bool
    one_column: bool
    doubled: tuple[bool, bool]
    tasks: int
    sizes: dict[str, int]
    image_places: np.ndarray


def taps_of(
    spec: PoolSpec, rows: Windows, columns: Windows
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Taps of rows and of columns, how many windows of columns follow alike, and which rows are used."""
    row_taps, column_taps = (
        np.maximum(-(-(each.last - each.first) // dilation), 0)
        for each, dilation in zip((rows, columns), spec.dilation, strict=True)
    )
    runs = np.ones(spec.Q, np.int64)
    follows = (np.diff(columns.first) == 1) & (np.diff(column_taps) == 0)
    for q in np.flatnonzero(follows)[::-1]:
        runs[q] = runs[q + 1] + 1
    used = np.zeros(max(spec.H, 1), np.int64)
    for first, taps in zip(rows.first, row_taps, strict=True):
        used[first : first + taps * spec.dilation[0] : spec.dilation[0]] = 1
    return row_taps, column_taps, runs, used


def is_doubled(taps: np.ndarray, places: int) -> bool:
    """Whether windows of all places of an axis, doubled, are fewer items than the taps of its windows."""
    most = int(taps.max(initial=0))
    return most >= 6 and int(taps.sum()) > (2 * most.bit_length() + 1) * places


def seen_by(windows: Windows, taps: np.ndarray, dilation: int, block: int) -> int:
    """The most places of an axis that a block of windows covers."""
    most = 0
    for begin in range(0, taps.size, block):
        some = taps[begin : begin + block] > 0
        first = windows.first[begin : begin + block][some]
        if first.size:
            last = first + (taps[begin : begin + block][some] - 1) * dilation + 1
            most = max(most, int(last.max() - first.min()))
    return most


def lies(layout: Layout, channels: int, turned: bool) -> tuple[bool, bool, bool]:
    """Whether a result lies as the tiles do, with the channels of a pixel adjacent, or in planes."""
    _, C, P, Q = layout.shape
    size = layout.dtype.itemsize
    _, c, p, q = layout.strides
    adjacent = c == size or C == 1
    whole = (
        not turned and (adjacent or channels == 1) and (q == channels * size or Q == 1) and channels in (C, 1)
    )
    planes = (q == size or Q == 1) and (p == Q * size or P == 1)
    return whole, adjacent, planes


def cut_tiles(spec: PoolSpec, layouts: PoolLayouts, threads: int) -> Tiles:
    """The tiles of a problem."""
    x, y, indices = layouts
    L, size = LANES[spec.dtype], spec.itemsize
    N, C = spec.N, spec.C
    adjacent = x.strides[1] == size and C > 1
    turned = not adjacent and in_planes(x) and 2 * N * C >= L
    results = [y] if indices is None else [y, indices]
    if turned and all(map(is_contiguous, [x, *results])):
        x = reshaped(x, 1, N * C, spec.H, spec.W)
        y = reshaped(y, 1, N * C, spec.P, spec.Q)
        indices = indices and reshaped(indices, *y.shape)
        N, C = 1, N * C
    rows, columns = windows_of(spec)
    row_taps, column_taps, *_ = taps_of(spec, rows, columns)
    doubled = is_doubled(row_taps, spec.H), is_doubled(column_taps, spec.W)
    one_column = bool((column_taps == 1).all()) and not (doubled[0] or spec.return_indices)
    one_row = bool((row_taps == 1).all()) and not one_column
    reach = [(taps - 1) * step + 1 for taps, step in zip((spec.R, spec.S), spec.dilation, strict=True)]
    most = int(row_taps.max(initial=0)) * int(column_taps.max(initial=0))
    apart = all(each <= stride for each, stride in zip(reach, spec.stride, strict=True))
    few = most <= (TERMS if apart else FEW_TAPS) and adjacent and C >= L
    few = few and not (spec.return_indices or one_column)
    overlap = not (one_column or few), doubled[1]  # of blocks is computed again
    least = [
        max(1, min(outputs, -(-each // stride) if again else 1))
        for outputs, each, stride, again in zip((spec.P, spec.Q), reach, spec.stride, overlap, strict=True)
    ]
    span = seen_by(rows, row_taps, spec.dilation[0], least[0])
    if turned:
        channels, least[1] = L, spec.Q
    elif not adjacent:
        channels = 1
    elif not all(lies(each, C, False)[1] for each in results):
        channels = min(C, L)
    elif one_column or few or span * least[1] * C <= WIDE_TILE:
        channels = C
    else:
        channels = min(C, max(L, WIDE_TILE // (span * least[1]) // L * L))
    across = min(spec.Q, max(least[1], WIDE_TILE // max(span * channels, 1), 1))
    across = -(-spec.Q // -(-spec.Q // across))
    line = max(across, spec.W if turned else 1)
    wanted = (TILE // (line * channels) - reach[0]) // spec.stride[0] + 1
    groups, strips = -(-C // channels), -(-spec.Q // across)
    block = min(max(least[0], wanted), max(1, -(-spec.P * N * groups // (4 * threads))), spec.P)
    block = -(-spec.P // -(-spec.P // block))
    span = seen_by(rows, row_taps, spec.dilation[0], block)
    columns_seen = seen_by(columns, column_taps, spec.dilation[1], across) if doubled[1] else 0
    flat = adjacent or x.strides[3] == size
    places = np.arange((span * spec.W + L) if turned else 0) * L
    sizes = _sizes(spec, channels, block, span, across, columns_seen, turned)
    tasks = N * groups * -(-spec.P // block) * strips
    return Tiles(
        x, y, indices, channels, block, across, turned, flat, few, one_row, one_column, doubled, tasks, sizes,
        places,
    )  # fmt: skip


def _sizes(
    spec: PoolSpec, channels: int, block: int, span: int, across: int, columns_seen: int, turned: bool
) -> dict[str, int]:
    """Elements of each workspace; what is turned is read and written by squares."""
    L = LANES[spec.dtype]
    line = columns_seen * channels
    rows, outputs = span * across * channels, block * across * channels + L * L
    places = {"columns": spec.W * channels, "line_places": line, "row_places": rows, "found": outputs}
    return {
        **(places if spec.return_indices else {}), "image": (span * spec.W + L) * L if turned else 0,
        "line": line, "rows": max(rows, outputs), "outputs": outputs, "waiting": 4 * LEVELS * L,
    }  # fmt: skip
