"""The matrix filled tap by tap, in slices of images. Takes numbers of any kind, and any layout."""

import numpy as np

from gpuconv.algorithm import ANY, Algorithm
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.processor import Processor
from gpuconv.spec import PatchesSpec, PlainLayouts
from gpuconv.spec.axis import Axis
from gpuconv.spec.patches import UNFOLD


def inside(axis: Axis, tap: int, outputs: int) -> tuple[slice, slice]:
    """The outputs whose tap lies in the image, and where it lies."""
    start = tap * axis.dilation - axis.pads[0]
    first = min(max(-(start // axis.stride), 0), outputs)
    last = max(min(-((start - axis.size) // axis.stride), outputs), first)
    if first == last:
        return slice(0, 0), slice(0, 0)
    begin = start + first * axis.stride
    return slice(first, last), slice(begin, start + (last - 1) * axis.stride + 1, axis.stride)


def unsupported(spec: PatchesSpec, layouts: PlainLayouts, device: Processor) -> str | None:
    return None


def worth(spec: PatchesSpec, layouts: PlainLayouts, device: Processor) -> bool:
    return True


def plan(spec: PatchesSpec, layouts: PlainLayouts, device: Processor) -> Run:
    rows, columns = spec.axes
    high = [inside(rows, r, spec.P) for r in range(spec.R)]
    wide = [inside(columns, s, spec.Q) for s in range(spec.S)]
    shape = spec.N, spec.C, spec.R, spec.S, spec.P, spec.Q
    bits = np.dtype(f"u{spec.itemsize}") if spec.dtype.is_narrow else spec.dtype.numpy

    def run(x: np.ndarray, y: np.ndarray) -> None:
        images, matrix = x.view(bits), y.view(bits).reshape(shape)
        for r, (to_rows, from_rows) in enumerate(high):
            for s, (to_columns, from_columns) in enumerate(wide):
                target = matrix[:, :, r, s]
                if (to_rows, to_columns) != (slice(0, spec.P), slice(0, spec.Q)):
                    target[...] = 0
                target[:, :, to_rows, to_columns] = images[:, :, from_rows, from_columns]

    return run


ALGORITHM = Algorithm(
    "unfold_slices", {"direction": (UNFOLD,), "dtype": ANY}, unsupported, worth, plan,
    fast_for="what is no float32 or float64, or lies in no rows",
)  # fmt: skip
