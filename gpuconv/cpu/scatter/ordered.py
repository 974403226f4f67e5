"""Values put where their indices say, in the order of the values. Takes every case.

A task is a band of rows of an output plane, or some planes that are small. A band is filled with zeros; then
the values pass, and each whose index lies in it is added, or put, there while it is in a cache:

    x, indices   [p, q] ->           of windows, those whose rows meet the band; else all of the plane
    y            [band, W]           or, where its rows do not follow each other, sums in a workspace  ->  y

Without windows a plane is one band, unless it is larger than what an algorithm may work in. The task of its
first band looks at all indices of a plane before anything is put there: each is a place of the plane, or -1.
The result is a new one, of which nobody has seen anything when wrong indices are told.

Measured on 2026-11-29 on one core of an Intel Xeon (Ice Lake), not idle, in us beside PyTorch 2.13, which
does not look at indices before it uses them:

    planes of the result, window / stride           here    PyTorch
    8 x 64 x 112 x 112   3 / 2     sum, windows     5430       6990
    8 x 128 x 56 x 56    3 / 2     sum, windows     2510       3370
    8 x 128 x 56 x 56    3 / 1     sum, windows     6380       5760
    8 x 512 x 7 x 7      3 / 2     sum, windows      250        110
    8 x 64 x 112 x 112   2 / 2     last             4700       7120
    8 x 512 x 7 x 7      2 / 2     last              250        200
"""

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_planes, in_rows
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.rows import clear_row, put_rows
from gpuconv.cpu.simd import LANES, claim, pointer
from gpuconv.spec import ScatterLayouts, ScatterSpec
from gpuconv.spec.dtypes import FLOATS
from gpuconv.workspace import workspace_limit

BAND = 1 << 14  # elements, where windows say which values meet a band
GROUP = 1 << 12  # elements of the planes of a task

TAKEN = {"combine": ("sum", "last"), "dtype": FLOATS}


def _signature(scalar):
    wrong = workspace(numba.int64)
    arrays = source(scalar, 4), source(numba.int64, 4), target(scalar, 4), wrong
    return *arrays, *[numba.boolean] * 5, *[numba.int64] * 6, workspace(scalar), *TASKS


@kernel(_signature)
def scatter(
    x, indices, y, wrong, add, is_windowed, indices_in_planes, y_in_rows, y_in_planes, reach, top, stride,
    band, bands, group, sums, counter, tasks,
):  # fmt: skip
    N, C, P = x.shape[:3]
    H, W = y.shape[2:]
    while True:
        task = claim(counter)  # = group of planes * bands + band
        if task >= tasks:
            break
        first_plane, begin = task // bands * group, task % bands * band
        end = min(begin + band, H)
        first, last = 0, P
        if is_windowed:  # p stride - top + reach > begin, and p stride - top < end
            first = min(max((begin + top - reach) // stride + 1, 0), P)
            last = min(max((end - 1 + top) // stride + 1, first), P)
        for plane in range(first_plane, min(first_plane + group, N * C)):
            n, c = plane // C, plane % C
            if begin == 0 and not are_places(indices[n, c], H * W, indices_in_planes):
                wrong[0] = 1
            to = pointer(y[n, c], begin * W) if y_in_planes else pointer(sums, 0)
            clear_row(to, 0, (end - begin) * W)
            put(
                x[n, c], indices[n, c], first, last, to, begin * W, end * W, W, add, is_windowed, reach, top,
                stride,
            )  # fmt: skip
            if not y_in_planes:
                put_rows(sums, W, y, n, c, begin, end, y_in_rows)


@inner
def are_places(indices, size, in_order):
    """All are one of `size` places, or -1."""
    wrong = False
    if in_order:
        place = pointer(indices, 0)
        for i in range(indices.size):
            wrong |= np.uint64(place[i] + 1) > np.uint64(size)
    else:
        for p in range(indices.shape[0]):
            for q in range(indices.shape[1]):
                wrong |= np.uint64(indices[p, q] + 1) > np.uint64(size)
    return not wrong


@inner
def put(x, indices, first, last, to, begin, end, W, add, is_windowed, reach, top, stride):
    """Those of rows first <= p < last whose index is in begin <= index < end, and in its window's rows."""
    for p in range(first, last):
        low, high = begin, end
        if is_windowed:
            h = p * stride - top
            low, high = max(begin, h * W), min(end, (h + reach) * W)
        for q in range(x.shape[1]):
            index = indices[p, q]
            if low <= index < high:
                at = index - begin
                to[at] = to[at] + x[p, q] if add else x[p, q]


def band_of(spec: ScatterSpec) -> int:
    """Rows of a band."""
    most = workspace_limit() // spec.itemsize
    if spec.is_windowed:
        most = min(most, BAND)
    return max(1, min(spec.H, most // max(spec.W, 1)))


def unsupported(spec: ScatterSpec, layouts: ScatterLayouts, device: Processor) -> str | None:
    return None


def worth(spec: ScatterSpec, layouts: ScatterLayouts, device: Processor) -> bool:
    return True


def plan(spec: ScatterSpec, layouts: ScatterLayouts, device: Processor) -> Run:
    rows = spec.rows
    band = band_of(spec)
    bands = max(1, -(-spec.H // band))
    y_in_planes = in_planes(layouts.y)
    planes = spec.N * spec.C
    group = max(1, min(GROUP // max(spec.H * spec.W, 1), planes // (4 * device.threads)))
    work = planes * (2 * spec.P * spec.Q + spec.H * spec.W)
    fill = bind(
        scatter, spec.dtype, -(-planes // group) * bands, work,
        constants={
            "add": spec.combine == "sum", "is_windowed": spec.is_windowed,
            "indices_in_planes": in_planes(layouts.places), "y_in_rows": in_rows(layouts.y),
            "y_in_planes": y_in_planes, "reach": rows.reach, "top": rows.pads[0], "stride": rows.stride,
            "band": band, "bands": bands, "group": group,
        },
        workspaces={"sums": 0 if y_in_planes else band * spec.W + LANES[spec.dtype]},
    )  # fmt: skip
    size = spec.H * spec.W

    def run(x: np.ndarray, indices: np.ndarray, y: np.ndarray) -> None:
        wrong = np.zeros(1, np.int64)
        fill(x, indices, y, wrong)
        if wrong[0]:
            first = indices[(indices < -1) | (indices >= size)][0]
            raise ValueError(
                f"indices must be of places of a plane of {spec.H}x{spec.W}, from 0 to {size - 1}, or -1 for "
                f"none; got {first}"
            )

    return run


ALGORITHM = Algorithm(
    "scatter_ordered", TAKEN, unsupported, worth, plan, fast_for="every such problem"
)  # fmt: skip
