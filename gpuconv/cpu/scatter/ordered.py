"""Values put where their indices say, in the order of the values. Takes every case.

A task is a band of rows of an output plane. It is filled with zeros in a workspace that stays in a cache;
then the values pass, and each whose index lies in the band is added, or put, there:

    x, indices   [p, q] ->           of windows, those whose rows meet the band; else all of the plane
    sums         [band, W]   ->   y

Without windows a plane is one band, unless it is larger than what an algorithm may work in.

Measured on 2026-11-29 on one core of a virtual Intel Xeon with AVX-512, not idle, in us beside
PyTorch 2.13:

    planes of the result, window / stride           here    PyTorch
    8 x 64 x 112 x 112   3 / 2     sum, windows     3916       4306
    8 x 128 x 56 x 56    3 / 2     sum, windows     1599       1307
    8 x 128 x 56 x 56    3 / 1     sum, windows     6750       5154
    8 x 64 x 112 x 112   2 / 2     last             3923       6150
"""

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_rows
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.rows import clear, put_rows
from gpuconv.cpu.scatter.indices import checking
from gpuconv.cpu.simd import LANES, claim, noinline
from gpuconv.spec import ScatterLayouts, ScatterSpec
from gpuconv.spec.dtypes import FLOATS
from gpuconv.workspace import workspace_limit

BAND = 1 << 14  # elements, where windows say which values meet a band

TAKEN = {"combine": ("sum", "last"), "dtype": FLOATS}


def _signature(scalar):
    arrays = source(scalar, 4), source(numba.int64, 4), target(scalar, 4)
    return *arrays, *[numba.boolean] * 3, *[numba.int64] * 5, workspace(scalar), *TASKS


@kernel(_signature)
def scatter(
    x, indices, y, add, is_windowed, y_in_rows, reach, top, stride, band, bands, sums, counter, tasks
):  # fmt: skip
    P = x.shape[2]
    C, H, W = y.shape[1:]
    while True:
        task = claim(counter)  # = (n * C + c) * bands + band
        if task >= tasks:
            break
        n, c = task // bands // C, task // bands % C
        begin = task % bands * band
        end = min(begin + band, H)
        first, last = 0, P
        if is_windowed:  # p stride - top + reach > begin, and p stride - top < end
            first = min(max((begin + top - reach) // stride + 1, 0), P)
            last = min(max((end - 1 + top) // stride + 1, first), P)
        clear(sums, (end - begin) * W)
        put(
            x[n, c], indices[n, c], first, last, sums, begin * W, end * W, W, add, is_windowed, reach, top,
            stride,
        )  # fmt: skip
        put_rows(sums, W, y, n, c, begin, end, y_in_rows)


@inner
def put(x, indices, first, last, sums, begin, end, W, add, is_windowed, reach, top, stride):
    """Those of rows first <= p < last whose index is in begin <= index < end, and in its window's rows."""
    noinline()
    for p in range(first, last):
        low, high = begin, end
        if is_windowed:
            h = p * stride - top
            low, high = max(begin, h * W), min(end, (h + reach) * W)
        for q in range(x.shape[1]):
            index = indices[p, q]
            if low <= index < high:
                at = np.uint64(index - begin)
                sums[at] = sums[at] + x[p, q] if add else x[p, q]


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
    bands = -(-spec.H // band)
    work = spec.N * spec.C * (2 * spec.P * spec.Q + spec.H * spec.W)
    fill = bind(
        scatter, spec.dtype, spec.N * spec.C * bands if spec.W else 0, work,
        constants={
            "add": spec.combine == "sum", "is_windowed": spec.is_windowed, "y_in_rows": in_rows(layouts.y),
            "reach": rows.reach, "top": rows.pads[0], "stride": rows.stride, "band": band, "bands": bands,
        },
        workspaces={"sums": band * spec.W + LANES[spec.dtype]},
    )  # fmt: skip
    check = checking(spec)

    def run(x: np.ndarray, indices: np.ndarray, y: np.ndarray) -> None:
        check(indices)
        fill(x, indices, y)

    return run


ALGORITHM = Algorithm(
    "scatter_ordered", TAKEN, unsupported, worth, plan, fast_for="every such problem"
)  # fmt: skip
