"""The matrix row by row: each row of a window's outputs is a row of the image, shifted, with zeros beside it.

A task is a row of the matrix, (n, c, r, s). At stride 1 it is copied vector by vector, otherwise element by
element.

Measured on 2026-11-29 on one core of a virtual Intel Xeon with AVX-512, not idle, float32, in us beside
PyTorch 2.13:

    images, window / stride        here    PyTorch
    8 x 64 x 28 x 28     3 / 1      916       4984
    8 x 64 x 28 x 28     3 / 2      980       1844
    8 x 3 x 224 x 224   16 / 16    1394       2009
"""

import numba

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.borders import taps_between
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, source, target
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.rows import clear_row
from gpuconv.cpu.simd import claim, lanes, load, load_part, pointer, store, store_part, zeros
from gpuconv.spec import PatchesSpec, PlainLayouts
from gpuconv.spec.dtypes import FLOATS
from gpuconv.spec.layouts import Layout
from gpuconv.spec.patches import UNFOLD


def _signature(scalar):
    pair = numba.types.UniTuple(numba.int64, 2)
    return source(scalar, 4), target(scalar, 3), *[pair] * 5, *TASKS


@kernel(_signature)
def copy_rows(x, y, kernel_size, outputs, pads, stride, dilation, counter, tasks):
    H, W = x.shape[2:]
    (R, S), (P, Q) = kernel_size, outputs
    rows = y.shape[1]
    step = x.strides[2] // x.itemsize
    while True:
        task = claim(counter)  # = n * rows + (c * R + r) * S + s
        if task >= tasks:
            break
        n, row = task // rows, task % rows
        s, r, c = row % S, row // S % R, row // S // R
        left = s * dilation[1] - pads[1]
        first, last = taps_between(left, Q, stride[1], 0, W)
        for p in range(P):
            h, to = p * stride[0] + r * dilation[0] - pads[0], pointer(y[n, row], p * Q)
            if first == last or h < 0 or h >= H:
                clear_row(to, 0, Q)
                continue
            clear_row(to, 0, first)
            if stride[1] == 1:
                copy_row(pointer(x[n, c], h * step + left), to, first, last)
            else:
                for q in range(first, last):
                    y[n, row, p * Q + q] = x[n, c, h, q * stride[1] + left]
            clear_row(to, last, Q)


@inner
def copy_row(source, to, first, last):
    """to[q] = source[q] for first <= q < last."""
    full = last - (last - first) % lanes(to)
    for q in range(first, full, lanes(to)):
        store(to, q, load(source, q))
    if full < last:
        store_part(to, full, load_part(source, full, last - full, zeros(to)), last - full)


def lies_in_rows(layout: Layout) -> bool:
    """The elements of the last axis lie side by side, and all strides are multiples of an element."""
    size = layout.dtype.itemsize
    return layout.strides[-1] == size and not any(step % size for step in layout.strides)


def unsupported(spec: PatchesSpec, layouts: PlainLayouts, device: Processor) -> str | None:
    if not (lies_in_rows(layouts.x) and lies_in_rows(layouts.y)):
        return "the elements of a row do not lie side by side"
    return None


def worth(spec: PatchesSpec, layouts: PlainLayouts, device: Processor) -> bool:
    return True


def plan(spec: PatchesSpec, layouts: PlainLayouts, device: Processor) -> Run:
    N, rows, columns = spec.matrix_shape
    return bind(
        copy_rows, spec.dtype, N * rows, N * rows * columns,
        constants={
            "kernel_size": (spec.R, spec.S), "outputs": (spec.P, spec.Q),
            "pads": (spec.pads[0][0], spec.pads[1][0]), "stride": spec.stride, "dilation": spec.dilation,
        },
    )  # fmt: skip


ALGORITHM = Algorithm(
    "unfold_rows", {"direction": (UNFOLD,), "dtype": FLOATS}, unsupported, worth, plan,
    fast_for="rows whose elements lie side by side",
)  # fmt: skip
