"""Windows of any places that lie side by side, as adaptive ones: reduced in height first, then in width.

    y[n, c, p, q] = max, or sum / divisor, over h, v in the window (p, q) of x[n, c, h, v]

Tables say which rows and which columns the windows have (`spec/windows.py`). A task is some rows of windows
of some planes, one row after the other:

    x      [rows, W]        of one row of windows, of each plane
             |  vertically: vectors of columns, three rows at a time (`rows.load_lines`)
    lines  [planes][W]
             |  horizontally: windows of as many columns as the narrowest has, by vectors of lines shifted
             |  against each other (`lines.widen`), and from them each window, and the rest of it
    y      [planes, Q]

Maxima may come with the sign of any zero of their window, and are looked at again where there is a negative
one (see `zeros`). It gives no indices.

"""

import numba

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.compiled import TASKS, Kernel, inner, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_rows
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.pool.lines import widen
from gpuconv.cpu.pool.reduction import LEVELS, TERMS
from gpuconv.cpu.pool.rows import load_lines
from gpuconv.cpu.pool.zeros import first_zero
from gpuconv.cpu.simd import LANES, claim
from gpuconv.spec import PoolSpec
from gpuconv.spec.dtypes import FLOATS
from gpuconv.spec.layouts import PoolLayouts
from gpuconv.spec.windows import ADAPTIVE, windows_of
from gpuconv.workspace import beyond_limit

BLOCK = 8192  # elements of the lines of a task


def _signature(divisors):
    """Argument types, where `divisors(scalar)` is the type of what columns of windows count."""
    return lambda scalar: (
        source(scalar, 4), target(scalar, 4), *[workspace(numba.int64)] * 5, divisors(scalar), numba.boolean,
        *[numba.int64] * 3, *[workspace(scalar)] * 3, *TASKS,
    )  # fmt: skip


def pool_windows(
    x, y, rows_from, rows_to, columns_from, columns_to, row_counts, divisors, x_in_rows, narrowest, block,
    group, lines, spare, waiting, counter, tasks,
):  # fmt: skip
    """Maxima if `divisors` is None; else means."""
    C, W = x.shape[1], x.shape[3]
    P = y.shape[2]
    blocks = -(-P // block)
    while True:
        task = claim(counter)  # = group of planes * blocks + block of rows
        if task >= tasks:
            break
        first, begin = task // blocks * group, task % blocks * block
        planes = min(group, x.shape[0] * C - first)
        for p in range(begin, min(begin + block, P)):
            taps = rows_to[p] - rows_from[p]
            negative_zeros = load_lines(
                lines, W, 0, 1, x, first, planes, rows_from[p], 1, 1, taps, W, x_in_rows, divisors, waiting
            )
            if narrowest > 1:
                widen(lines, spare, narrowest, 1, planes * W - narrowest + 1, divisors)
            for plane in range(planes):
                n, c, at = (first + plane) // C, (first + plane) % C, plane * W
                narrow = spare if narrowest > 1 else lines
                finish(
                    y[n, c, p], lines, narrow, at, columns_from, columns_to, narrowest, divisors,
                    row_counts[p],
                )  # fmt: skip
                if negative_zeros:
                    settle(x[n, c], y[n, c, p], rows_from[p], taps, columns_from, columns_to)


max_windows = Kernel(pool_windows, _signature(lambda scalar: numba.none))
mean_windows = Kernel(pool_windows, _signature(workspace))


@inner
def finish(y, lines, narrow, at, columns_from, columns_to, narrowest, divisors, row_count):
    """A row of y from windows that are `narrowest` columns wide, and the columns that follow these."""
    for q in range(y.size):
        total = narrow[at + columns_from[q]]
        for v in range(columns_from[q] + narrowest, columns_to[q]):
            value = lines[at + v]
            if divisors is not None:
                total += value
            elif value > total or value != value:
                total = value
        y[q] = total if divisors is None else (total + 0) / (row_count * divisors[q])


@inner
def settle(image, y, h, rows, columns_from, columns_to):
    """Each zero of a row of maxima becomes the first zero of its window of the image."""
    for q in range(y.size):
        if y[q] == 0:
            columns = columns_to[q] - columns_from[q]
            y[q] = first_zero(image, h, columns_from[q], rows, columns, 1, 1)


def unsupported(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> str | None:
    return beyond_limit(sum(_sizes(spec, 1).values()) * spec.itemsize)


def _sizes(spec: PoolSpec, group: int) -> dict[str, int]:
    """Elements of each workspace."""
    width = LANES[spec.dtype]
    sizes = {"lines": group * spec.W + 4 * width, "spare": group * spec.W + 4 * width, "waiting": 0}
    if spec.reduction == "mean" and spec.R > TERMS:  # lines: a block of rows, and a sum of each level
        sizes["waiting"] = max((1 + (-(-spec.R // TERMS)).bit_length()) * spec.W + width, LEVELS)
    return sizes


def worth(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> bool:
    return True


def plan(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> Run:
    if 0 in spec.out_shape:
        return lambda x, y: None
    rows, columns = windows_of(spec)
    planes, threads = spec.N * spec.C, device.threads
    group = max(1, min(BLOCK // spec.W, planes // (4 * threads)))
    groups = -(-planes // group)
    blocks = min(spec.P, max(1, -(-4 * threads // groups))) if threads > 1 else 1
    block = -(-spec.P // blocks)
    is_max = spec.reduction == "max"
    return bind(
        max_windows if is_max else mean_windows, spec.dtype, groups * -(-spec.P // block),
        work=planes * spec.H * spec.W,
        constants={
            "rows_from": rows.first, "rows_to": rows.last, "columns_from": columns.first,
            "columns_to": columns.last, "row_counts": rows.counted,
            "divisors": None if is_max else columns.counted.astype(spec.dtype),
            "x_in_rows": in_rows(layouts.x),
            "narrowest": int(columns.places.min()), "block": block, "group": group,
        },
        workspaces=_sizes(spec, group),
    )  # fmt: skip


ALGORITHM = Algorithm(
    "pool_adaptive", {"reduction": ("max", "mean"), "dtype": FLOATS, "windows": (ADAPTIVE,)}, unsupported,
    worth, plan, fast_for="adaptive windows",
)  # fmt: skip
