"""Direct pooling: one thread computes one output from the places of its window that lie inside the image.

    max   the greatest, a NaN counting as the greatest, and the flat index h W + w of the first such; the
          lowest number and -1 where there is none
    min   the greatest of what has the other sign, with the other sign; of integers their complement
    mean  the sum over a divisor: the places of the window inside the padded image (count_include_pad), or
          those inside the image, or divisor_override; 0 where there is none. Runs of RUN values of a row are
          added up plainly, and the runs with what rounding lost

Windows are regular or adaptive (`device/windows.py`). Outputs are numbered flat, ((n C + c) P + p) Q + q, and
a block takes THREADS consecutive ones, so that lanes lie along q: at stride 1 and 2 their loads share cache
lines, and the stores of a warp are contiguous. Rows that windows share are read again from the first-level
cache. No shared memory.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.device.elements import COMPARED, ELEMENTS, inlined, same
from gpuconv.cuda.device.outputs import THREADS, blocks_of, locate
from gpuconv.cuda.device.reduction import RUN, reduction_of
from gpuconv.cuda.device.windows import WINDOWS
from gpuconv.cuda.language import int32, int64, types, uint32
from gpuconv.cuda.pool.means import mean_divisors
from gpuconv.cuda.pool.taken import TAKEN
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import MAX_BLOCKS, Launch, steps
from gpuconv.spec import PoolSpec
from gpuconv.spec.dtypes import Dtype
from gpuconv.spec.layouts import PoolLayouts
from gpuconv.spec.windows import ADAPTIVE, REGULAR

WINDOWS_OF = {REGULAR: ("max", "argmax", "min", "mean"), ADAPTIVE: ("max", "argmax", "mean")}


@inlined
def negative(value):
    return -value


def make_complement(scalar: Any) -> Callable[..., Any]:
    """What reverses the order of integers, and overflows nowhere."""

    def complement(value):
        return scalar(~value)

    return inlined(complement)


def lowest_of(dtype: Dtype, result: str) -> float:
    """What no number is below, in the order in which the kernel compares."""
    if dtype in ELEMENTS:
        return -math.inf
    limits = np.iinfo(dtype)
    if result != "min":
        return int(limits.min)
    return int(np.invert(np.array(limits.max, dtype.arithmetic)))


def make_extreme_function(dtype: Dtype, result: str, windows: str) -> Callable[..., None]:
    """Maxima or minima; without indices it takes no notice of where they would go."""
    element, with_indices = COMPARED[dtype], result == "argmax"
    scalar, widen, narrow = element.scalar, element.widen, element.narrow
    lowest, places, turned = lowest_of(dtype, result), WINDOWS[windows].places, same
    if result == "min":
        turned = negative if dtype in ELEMENTS else make_complement(scalar)

    def extreme_window(
        x, y, indices, x_n, x_c, x_h, x_w, y_n, y_c, y_p, y_q, i_n, i_c, i_p, i_q,  # strides in elements
        N, C, H, W, R, S, P, Q, top, left, stride_h, stride_w, dilation_h, dilation_w,
    ):  # fmt: skip
        n, c, p, q = locate(C, P, Q)
        if n < int64(N):
            h, h_last = places(p, top, R, stride_h, dilation_h, P, H)
            w_first, w_last = places(q, left, S, stride_w, dilation_w, Q, W)
            best, index = scalar(lowest), int64(-1)
            plane = n * x_n + c * x_c
            while h < h_last:
                w = w_first
                while w < w_last:
                    value = turned(widen(x[plane + int64(h) * x_h + int64(w) * x_w]))
                    greater = best == best and not value <= best  # or the first NaN
                    if greater or index < int64(0):
                        best, index = value, int64(h) * int64(W) + int64(w)
                    w = uint32(w + dilation_w)
                h = uint32(h + dilation_h)
            y[n * y_n + c * y_c + int64(p) * y_p + int64(q) * y_q] = narrow(turned(best))
            if with_indices:
                indices[n * i_n + c * i_c + int64(p) * i_p + int64(q) * i_q] = int64(index)

    return extreme_window


def make_mean_function(dtype: Dtype, result: str, windows: str) -> Callable[..., None]:
    """Means."""
    element = ELEMENTS[dtype]
    scalar, widen, narrow = element.scalar, element.widen, element.narrow
    reduction = reduction_of("mean", element.arithmetic)
    combine, gather, identity = reduction.combine, reduction.gather, reduction.identity
    places, _, counted_by = WINDOWS[windows]

    def mean_window(
        x, y, x_n, x_c, x_h, x_w, y_n, y_c, y_p, y_q,  # strides in elements
        N, C, H, W, R, S, P, Q, top, left, stride_h, stride_w, rows_from, rows_to, columns_from, columns_to,
        counted, divisor_override,
    ):  # fmt: skip
        n, c, p, q = locate(C, P, Q)
        if n < int64(N):
            h_first, h_last = places(p, top, R, stride_h, uint32(1), P, H)
            w_first, w_last = places(q, left, S, stride_w, uint32(1), Q, W)
            total, lost = scalar(identity), scalar(0)
            plane = n * x_n + c * x_c
            for h in range(h_first, h_last):
                for first in range(w_first, w_last, uint32(RUN)):
                    part = scalar(identity)
                    for w in range(first, min(w_last, uint32(first + uint32(RUN)))):
                        part = combine(part, widen(x[plane + int64(h) * x_h + int64(w) * x_w]))
                    total, lost = gather(total, lost, part)
            divisor = scalar(divisor_override)
            if counted != uint32(0):
                rows = counted_by(p, top, R, stride_h, P, H, rows_from, rows_to)
                columns = counted_by(q, left, S, stride_w, Q, W, columns_from, columns_to)
                divisor = scalar(int64(rows) * int64(columns))
            mean = scalar(0)
            if h_first < h_last and w_first < w_last:
                mean = total / divisor
            y[n * y_n + c * y_c + int64(p) * y_p + int64(q) * y_q] = narrow(mean)

    return mean_window


def make_kernel(dtype: Dtype, result: str, windows: str) -> Kernel:
    """The kernel for "max", "argmax" (the maxima and where they lie), "min" or "mean"."""
    element, strides = COMPARED[dtype], "x_n x_c x_h x_w y_n y_c y_p y_q"
    pointer = types.CPointer(element.stored)
    if result == "mean":
        make: Callable[..., Any] = make_mean_function
        types_of = {
            pointer: "x y", int64: strides,
            int32: "rows_from rows_to columns_from columns_to divisor_override",
        }  # fmt: skip
    else:
        make = make_extreme_function
        types_of = {
            pointer: "x y",
            types.CPointer(int64): "indices",
            int64: f"{strides} i_n i_c i_p i_q",
        }
        if element.stored is int64:
            types_of = {pointer: "x y indices", int64: f"{strides} i_n i_c i_p i_q"}
    name = f"pool_direct {dtype} {'' if windows == REGULAR else f'{windows} '}{result}"
    return Kernel(name, functools.partial(make, dtype, result, windows), types_of, THREADS, 2)


KERNEL_OF = {
    (dtype, result, windows): make_kernel(Dtype(dtype), result, windows)
    for (windows, results), dtype in itertools.product(WINDOWS_OF.items(), COMPARED)
    for result in results
    if dtype in ELEMENTS or result != "mean"
}
KERNELS = tuple(KERNEL_OF.values())


def unsupported(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> str | None:
    padded = (size + sum(sides) for size, sides in zip((spec.H, spec.W), spec.pads, strict=True))
    strides = zip((spec.P, spec.Q), spec.stride, strict=True)
    if max(*padded, *[count * stride for count, stride in strides]) + max(spec.R, spec.S) >= 2**31:
        return "the padded image has a side of 2^31 or more"
    if max(spec.N, spec.C) >= 2**32:
        return "there are 2^32 images or channels or more"
    if spec.P * spec.Q >= 2**31:
        return "an output plane has 2^31 elements or more"
    if blocks_of(spec.out_shape) > MAX_BLOCKS:
        return "the output needs more blocks than a grid has"
    return None


def worth(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> bool:
    return True


def plan(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> Launch:
    (top, _), (left, _) = spec.pads
    x, y, indices = layouts
    scalars = {
        **steps(x_nchw=x.elements, y_ncpq=y.elements),
        "N": spec.N, "C": spec.C, "H": spec.H, "W": spec.W,
        "R": spec.R, "S": spec.S, "P": spec.P, "Q": spec.Q,
        "top": top, "left": left, "stride_h": spec.stride[0], "stride_w": spec.stride[1],
    }  # fmt: skip
    result = spec.reduction
    if result == "mean":
        scalars |= mean_divisors(spec)
    else:
        result = result if indices is None else "argmax"
        scalars |= steps(i_ncpq=(0, 0, 0, 0) if indices is None else indices.elements)
        scalars |= {"dilation_h": spec.dilation[0], "dilation_w": spec.dilation[1]}
    blocks = blocks_of(spec.out_shape)
    return Launch(KERNEL_OF[spec.dtype, result, spec.windows], blocks, 0, scalars)


ALGORITHM = Algorithm(
    "pool_direct",
    takes={
        **TAKEN, "reduction": ("max", "min", "mean"), "dtype": tuple(COMPARED), "windows": tuple(WINDOWS),
    },
    unsupported=unsupported,
    worth=worth,
    plan=plan,
    fast_for="small windows that share few taps; it takes every pool but norms",
)  # fmt: skip
