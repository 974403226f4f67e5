"""Direct pooling: one thread computes one output from the taps of its window that lie inside the image.

    max   the greatest tap, a NaN counting as the greatest, and the flat index h W + w of the first such;
          -inf and -1 where no tap is inside
    mean  the sum of the taps over a divisor: the taps of the window inside the padded image
          (count_include_pad), or those inside the image, or divisor_override; 0 where no tap is inside.
          Runs of RUN taps of a row are added up plainly, and the runs with what rounding lost

Outputs are numbered flat, ((n C + c) P + p) Q + q, and a block takes THREADS consecutive ones, so that lanes
lie along q: at stride 1 and 2 their loads share cache lines, and the stores of a warp are contiguous. Rows
that windows share are read again from the first-level cache. Coordinates are unsigned and wrap, so that one
comparison checks both borders. No shared memory.
"""

import functools
import itertools
import math
from collections.abc import Callable

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.device.elements import ELEMENTS
from gpuconv.cuda.device.outputs import THREADS, blocks_of, locate
from gpuconv.cuda.device.reduction import RUN, reduction_of
from gpuconv.cuda.language import int32, int64, types, uint32
from gpuconv.cuda.pool.taken import TAKEN
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import MAX_BLOCKS, Launch, steps
from gpuconv.spec import PoolSpec
from gpuconv.spec.layouts import PoolLayouts


def make_max_function(dtype: str, with_indices: bool) -> Callable[..., None]:
    """Maxima; without indices it takes no notice of where they would go."""
    element = ELEMENTS[dtype]
    scalar, widen, narrow = element.scalar, element.widen, element.narrow
    lowest = -math.inf

    def max_window(
        x, y, indices, x_n, x_c, x_h, x_w, y_n, y_c, y_p, y_q, i_n, i_c, i_p, i_q,  # strides in elements
        N, C, H, W, R, S, P, Q, h_origin, w_origin, stride_h, stride_w, dilation_h, dilation_w,
    ):  # fmt: skip
        n, c, p, q = locate(C, P, Q)
        if n < int64(N):
            best, index = scalar(lowest), int64(-1)
            plane = n * x_n + c * x_c
            for r in range(R):
                h = uint32(h_origin + p * stride_h + uint32(r) * dilation_h)
                if h < H:
                    for s in range(S):
                        w = uint32(w_origin + q * stride_w + uint32(s) * dilation_w)
                        if w < W:
                            value = widen(x[plane + int64(h) * x_h + int64(w) * x_w])
                            greater = best == best and not value <= best  # or the first NaN
                            if greater or index < int64(0):
                                best, index = value, int64(h) * int64(W) + int64(w)
            y[n * y_n + c * y_c + int64(p) * y_p + int64(q) * y_q] = narrow(best)
            if with_indices:
                indices[n * i_n + c * i_c + int64(p) * i_p + int64(q) * i_q] = int64(index)

    return max_window


def make_mean_function(dtype: str) -> Callable[..., None]:
    """Means."""
    element = ELEMENTS[dtype]
    scalar, widen, narrow = element.scalar, element.widen, element.narrow
    reduction = reduction_of("mean", element.arithmetic)
    combine, gather, identity = reduction.combine, reduction.gather, reduction.identity

    def mean_window(
        x, y, x_n, x_c, x_h, x_w, y_n, y_c, y_p, y_q,  # strides in elements
        N, C, H, W, R, S, P, Q, h_origin, w_origin, stride_h, stride_w, H_padded, W_padded, count_pads,
        divisor_override,
    ):  # fmt: skip
        n, c, p, q = locate(C, P, Q)
        if n < int64(N):
            total, lost, inside = scalar(identity), scalar(0), uint32(0)
            plane = n * x_n + c * x_c
            for r in range(R):
                h = uint32(h_origin + p * stride_h + uint32(r))
                if h < H:
                    for first in range(uint32(0), S, uint32(RUN)):
                        part = scalar(identity)
                        for s in range(first, min(S, uint32(first + uint32(RUN)))):
                            w = uint32(w_origin + q * stride_w + uint32(s))
                            if w < W:
                                part = combine(part, widen(x[plane + int64(h) * x_h + int64(w) * x_w]))
                                inside += uint32(1)
                        total, lost = gather(total, lost, part)
            divisor = scalar(divisor_override)
            if divisor_override == int32(0):
                divisor = scalar(inside)
                if count_pads != uint32(0):
                    rows = min(R, uint32(H_padded - p * stride_h))
                    columns = min(S, uint32(W_padded - q * stride_w))
                    divisor = scalar(int64(rows) * int64(columns))
            mean = scalar(0)
            if inside > uint32(0):
                mean = total / divisor
            y[n * y_n + c * y_c + int64(p) * y_p + int64(q) * y_q] = narrow(mean)

    return mean_window


def make_kernel(dtype: str, result: str) -> Kernel:
    """The kernel for "max", "argmax" (the maxima and where they lie) or "mean"."""
    element, strides = ELEMENTS[dtype], "x_n x_c x_h x_w y_n y_c y_p y_q"
    pointer = types.CPointer(element.stored)
    if result == "mean":
        make = functools.partial(make_mean_function, dtype)
        types_of = {pointer: "x y", int64: strides, int32: "divisor_override"}
        blocks_per_sm = 4 if element.pair is None else 3  # 16 bits would spill on sm_120
    else:
        make = functools.partial(make_max_function, dtype, result == "argmax")
        types_of = {
            pointer: "x y",
            types.CPointer(int64): "indices",
            int64: f"{strides} i_n i_c i_p i_q",
        }
        blocks_per_sm = 4
    return Kernel(f"pool_direct {dtype} {result}", make, types_of, THREADS, blocks_per_sm)


KERNEL_OF = {key: make_kernel(*key) for key in itertools.product(ELEMENTS, ("max", "argmax", "mean"))}
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
    (top, bottom), (left, right) = spec.pads
    x, y, indices = layouts
    scalars = {
        **steps(x_nchw=x.elements, y_ncpq=y.elements),
        "N": spec.N, "C": spec.C, "H": spec.H, "W": spec.W,
        "R": spec.R, "S": spec.S, "P": spec.P, "Q": spec.Q,
        "h_origin": -top, "w_origin": -left, "stride_h": spec.stride[0], "stride_w": spec.stride[1],
    }  # fmt: skip
    if spec.reduction == "mean":
        result = "mean"
        scalars |= {
            "H_padded": spec.H + top + bottom,
            "W_padded": spec.W + left + right,
            "count_pads": int(spec.count_include_pad),
            "divisor_override": spec.divisor_override or 0,
        }
    else:
        result = "max" if indices is None else "argmax"
        scalars |= steps(i_ncpq=(0, 0, 0, 0) if indices is None else indices.elements)
        scalars |= {"dilation_h": spec.dilation[0], "dilation_w": spec.dilation[1]}
    blocks = blocks_of(spec.out_shape)
    return Launch(KERNEL_OF[spec.dtype, result], blocks, 0, scalars)


ALGORITHM = Algorithm(
    "pool_direct",
    takes=TAKEN,
    unsupported=unsupported,
    worth=worth,
    plan=plan,
    fast_for="small windows that share few taps; it takes every pool",
)
