"""The shares of the windows that have a place, added up: one thread computes one place of the input.

    y[n, c, h, w] = sum over the windows (p, q) that have (h, w) of x[n, c, p, q] / divisor of (p, q)

The windows that have a place follow each other (`device/windows.py`). Runs of
RUN shares of a row of windows are added up plainly, and the runs with what rounding lost.

Places are numbered flat, ((n C + c) H + h) W + w, and a block takes THREADS consecutive ones, so that lanes
lie along w: the stores of a warp are contiguous, and lanes that are of one window load the same number.
"""

import functools
import itertools
from collections.abc import Callable

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.device.elements import ELEMENTS
from gpuconv.cuda.device.outputs import THREADS, blocks_of, locate
from gpuconv.cuda.device.reduction import RUN, reduction_of
from gpuconv.cuda.device.windows import WINDOWS
from gpuconv.cuda.language import int32, int64, types, uint32
from gpuconv.cuda.pool.means import mean_divisors
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import MAX_BLOCKS, Launch, steps
from gpuconv.spec import MeanGradientSpec, PlainLayouts


def make_function(dtype: str, windows: str) -> Callable[..., None]:
    """The function for windows of a kind."""
    element = ELEMENTS[dtype]
    scalar, widen, narrow = element.scalar, element.widen, element.narrow
    gather = reduction_of("mean", element.arithmetic).gather
    _, covering, counted_by = WINDOWS[windows]

    def add_shares(
        x, y, x_n, x_c, x_p, x_q, y_n, y_c, y_h, y_w,  # strides in elements
        N, C, H, W, P, Q, R, S, top, left, stride_h, stride_w, rows_from, rows_to, columns_from, columns_to,
        counted, divisor_override,
    ):  # fmt: skip
        n, c, h, w = locate(C, H, W)
        if n < int64(N):
            p_first, p_last = covering(h, top, R, stride_h, P, H)
            q_first, q_last = covering(w, left, S, stride_w, Q, W)
            total, lost = scalar(0), scalar(0)
            divisor = scalar(divisor_override)
            for p in range(p_first, p_last):
                rows = counted_by(uint32(p), top, R, stride_h, P, H, rows_from, rows_to)
                place = n * x_n + c * x_c + int64(p) * x_p
                for first in range(q_first, q_last, uint32(RUN)):
                    part = scalar(0)
                    for q in range(first, min(q_last, uint32(first + uint32(RUN)))):
                        if counted != uint32(0):
                            columns = counted_by(uint32(q), left, S, stride_w, Q, W, columns_from, columns_to)
                            divisor = scalar(int64(rows) * int64(columns))
                        part += widen(x[place + int64(q) * x_q]) / divisor
                    total, lost = gather(total, lost, part)
            y[n * y_n + c * y_c + int64(h) * y_h + int64(w) * y_w] = narrow(total)

    return add_shares


def make_kernel(dtype: str, windows: str) -> Kernel:
    """The kernel for a dtype and windows of a kind."""
    types_of = {
        types.CPointer(ELEMENTS[dtype].stored): "x y",
        int64: "x_n x_c x_p x_q y_n y_c y_h y_w",
        int32: "rows_from rows_to columns_from columns_to divisor_override",
    }
    return Kernel(
        f"pool_shares {dtype} {windows}",
        functools.partial(make_function, dtype, windows),
        types_of,
        THREADS,
        blocks_per_sm=3 if windows == "regular" else 2,  # whose divisions of 64 bits would spill on sm_120
    )


KERNEL_OF = {key: make_kernel(*key) for key in itertools.product(ELEMENTS, WINDOWS)}
KERNELS = tuple(KERNEL_OF.values())


def too_large(spec: MeanGradientSpec) -> str | None:
    """Why 32 bits do not number the places of a problem."""
    padded = (size + sum(sides) for size, sides in zip((spec.H, spec.W), spec.pads, strict=True))
    strides = zip((spec.P, spec.Q), spec.stride, strict=True)
    if max(*padded, *[count * stride for count, stride in strides]) + max(spec.R, spec.S) >= 2**31:
        return "the padded image has a side of 2^31 or more"
    if max(spec.N, spec.C) >= 2**32:
        return "there are 2^32 images or channels or more"
    if spec.H * spec.W >= 2**31:
        return "a plane has 2^31 elements or more"
    if blocks_of(spec.out_shape) > MAX_BLOCKS:
        return "the output needs more blocks than a grid has"
    return None


def unsupported(spec: MeanGradientSpec, layouts: PlainLayouts, gpu: Gpu) -> str | None:
    return too_large(spec)


def worth(spec: MeanGradientSpec, layouts: PlainLayouts, gpu: Gpu) -> bool:
    return True


def plan(spec: MeanGradientSpec, layouts: PlainLayouts, gpu: Gpu) -> Launch:
    (top, _), (left, _) = spec.pads
    scalars = {
        **steps(x_ncpq=layouts.x.elements, y_nchw=layouts.y.elements),
        "N": spec.N, "C": spec.C, "H": spec.H, "W": spec.W, "P": spec.P, "Q": spec.Q, "R": spec.R,
        "S": spec.S, "top": top, "left": left, "stride_h": spec.stride[0], "stride_w": spec.stride[1],
        **mean_divisors(spec),
    }  # fmt: skip
    blocks = blocks_of(spec.out_shape)
    return Launch(KERNEL_OF[spec.dtype, spec.windows], blocks, 0, scalars)


ALGORITHM = Algorithm(
    "pool_shares",
    takes={"windows": tuple(WINDOWS), "dtype": tuple(ELEMENTS)},
    unsupported=unsupported,
    worth=worth,
    plan=plan,
    fast_for="every such problem",
)
