"""Rows of the matrix added up where their windows lie, tap by tap. Takes every case.

A task is a band of rows of one plane. It begins as zeros in a workspace that stays in a cache; then the rows
of the matrix that are of the plane pass in their order, (r, s), and of each what meets the band is added
there: vector by vector at stride 1, with zeros between them at stride 2, otherwise element by element.

Measured on 2026-11-29 on one core of a virtual Intel Xeon with AVX-512, not idle, float32, in us beside
PyTorch 2.13:

    images, window / stride        here    PyTorch
    8 x 64 x 28 x 28     3 / 1     1132       5652
    8 x 64 x 28 x 28     3 / 2      652       1590
    8 x 3 x 224 x 224   16 / 16    1624       2187
"""

import numba

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.borders import taps_between
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_rows
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.rows import clear, put_rows
from gpuconv.cpu.simd import (
    LANES,
    claim,
    first_pairs,
    lanes,
    last_pairs,
    load,
    load_part,
    pointer,
    store,
    store_part,
    zeros,
)
from gpuconv.cpu.unfold.rows import lies_in_rows
from gpuconv.spec import PatchesSpec, PlainLayouts
from gpuconv.spec.dtypes import FLOATS
from gpuconv.spec.patches import FOLD

BAND, SPARSE = 1 << 13, 1 << 16  # elements of a band, and where windows lie apart: in the L1 or L2 cache

TAKEN = {"direction": (FOLD,), "dtype": FLOATS}


def _signature(scalar):
    pair, flags = numba.types.UniTuple(numba.int64, 2), [numba.boolean] * 2
    return (
        source(scalar, 3), target(scalar, 4), *[pair] * 5, *flags, numba.int64, numba.int64,
        workspace(scalar), *TASKS,
    )  # fmt: skip


@kernel(_signature)
def add_rows(
    x, y, kernel_size, outputs, pads, stride, dilation, x_in_rows, y_in_rows, band, bands, sums, counter,
    tasks,
):  # fmt: skip
    C, H, W = y.shape[1:]
    (R, S), (P, Q) = kernel_size, outputs
    while True:
        task = claim(counter)  # = (n * C + c) * bands + band
        if task >= tasks:
            break
        n, c = task // bands // C, task // bands % C
        begin = task % bands * band
        end = min(begin + band, H)
        clear(sums, (end - begin) * W)
        for r in range(R):
            top = r * dilation[0] - pads[0]
            low, high = taps_between(top, P, stride[0], begin, end)
            for s in range(S):
                left = s * dilation[1] - pads[1]
                first, last = taps_between(left, Q, stride[1], 0, W)
                row = x[n, (c * R + r) * S + s]
                for p in range(low, high):
                    at = (p * stride[0] + top - begin) * W + left
                    add_row(row, p * Q, sums, at, first, last, stride[1], x_in_rows)
        put_rows(sums, W, y, n, c, begin, end, y_in_rows)


@inner
def add_row(row, begin, sums, at, first, last, stride, in_rows):
    """sums[at + q stride] += row[begin + q] for first <= q < last."""
    if in_rows and stride == 2:
        add_pairs(pointer(row, begin + first), pointer(sums, at + 2 * first), last - first)
        return
    if not in_rows or stride > 1:
        for q in range(first, last):
            sums[at + q * stride] += row[begin + q]
        return
    to, place = pointer(sums, at), pointer(row, begin)
    full = last - (last - first) % lanes(to)
    for q in range(first, full, lanes(to)):
        store(to, q, load(to, q) + load(place, q))
    if full < last:
        rest = last - full
        store_part(to, full, load(to, full) + load_part(place, full, rest, zeros(to)), rest)


@inner
def add_pairs(place, to, count):
    """to[2 q] += place[q] for q < count, and a zero is added to what lies between."""
    full, nothing = count - count % lanes(to), zeros(to)
    for q in range(0, full, lanes(to)):
        value = load(place, q)
        store(to, 2 * q, load(to, 2 * q) + first_pairs(value, nothing))
        at = 2 * q + lanes(to)
        store(to, at, load(to, at) + last_pairs(value, nothing))
    for q in range(full, count):
        to[2 * q] += place[q]


def unsupported(spec: PatchesSpec, layouts: PlainLayouts, device: Processor) -> str | None:
    return None


def worth(spec: PatchesSpec, layouts: PlainLayouts, device: Processor) -> bool:
    return True


def plan(spec: PatchesSpec, layouts: PlainLayouts, device: Processor) -> Run:
    N, rows, columns = spec.matrix_shape
    band = max(1, min(spec.H, (BAND if spec.stride == (1, 1) else SPARSE) // spec.W))
    bands = -(-spec.H // band)
    return bind(
        add_rows, spec.dtype, N * spec.C * bands, N * rows * columns,
        constants={
            "kernel_size": (spec.R, spec.S), "outputs": (spec.P, spec.Q),
            "pads": (spec.pads[0][0], spec.pads[1][0]), "stride": spec.stride, "dilation": spec.dilation,
            "x_in_rows": lies_in_rows(layouts.x), "y_in_rows": in_rows(layouts.y), "band": band,
            "bands": bands,
        },
        workspaces={"sums": band * spec.W + LANES[spec.dtype]},
    )  # fmt: skip


ALGORITHM = Algorithm("fold_rows", TAKEN, unsupported, worth, plan, fast_for="every such problem")
