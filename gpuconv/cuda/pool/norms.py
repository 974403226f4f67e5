"""Pools of norms: one thread computes one output, and powers of its window's values as it meets them.

    y[n, c, p, q] = (R S / places * sum over the places of the window of x[n, c, h, w]^norm)^(1 / norm)

as PyTorch has it: R S are all places of the window, `places` those inside the image, which are fewer where
ceil_mode lets one reach beyond. The norm inf is the greatest magnitude, and -inf the least. Runs of RUN
values of a row are added up plainly, and the runs with what rounding lost. What there is to say of threads is
said in `direct`. For a norm of 2 no power is computed.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

from gpuconv.algorithm import ANY, Algorithm
from gpuconv.cuda.device.elements import ELEMENTS
from gpuconv.cuda.device.outputs import THREADS, blocks_of, locate
from gpuconv.cuda.device.powers import POWER, ROOT, bits_of
from gpuconv.cuda.device.reduction import RUN, reduction_of
from gpuconv.cuda.device.windows import regular_places
from gpuconv.cuda.language import int64, libdevice, types, uint32
from gpuconv.cuda.pool.direct import unsupported
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.spec import PoolSpec
from gpuconv.spec.dtypes import Dtype
from gpuconv.spec.layouts import PoolLayouts

KINDS = "square", "any", "greatest", "least"
STRIDES = "x_n x_c x_h x_w y_n y_c y_p y_q"


def make_sum_function(dtype: Dtype, kind: str) -> Callable[..., None]:
    """The function for norms that are sums."""
    element, is_square = ELEMENTS[dtype], kind == "square"
    scalar, widen, narrow = element.scalar, element.widen, element.narrow
    gather = reduction_of("mean", element.arithmetic).gather
    power, root = POWER[element.arithmetic], ROOT[element.arithmetic]

    def norm_window(
        x, y, x_n, x_c, x_h, x_w, y_n, y_c, y_p, y_q,  # strides in elements
        N, C, H, W, R, S, P, Q, stride_h, stride_w, exponent_bits, inverse_bits,
    ):  # fmt: skip
        n, c, p, q = locate(C, P, Q)
        if n < int64(N):
            exponent = scalar(libdevice.longlong_as_double(exponent_bits))
            h_first, h_last = regular_places(p, uint32(0), R, stride_h, uint32(1), P, H)
            w_first, w_last = regular_places(q, uint32(0), S, stride_w, uint32(1), Q, W)
            total, lost = scalar(0), scalar(0)
            plane = n * x_n + c * x_c
            for h in range(h_first, h_last):
                for first in range(w_first, w_last, uint32(RUN)):
                    part = scalar(0)
                    for w in range(first, min(w_last, uint32(first + uint32(RUN)))):
                        value = widen(x[plane + int64(h) * x_h + int64(w) * x_w])
                        part += value * value if is_square else power(value, exponent)
                    total, lost = gather(total, lost, part)
            taps = int64(R) * int64(S)
            places = int64(h_last - h_first) * int64(w_last - w_first)
            if places < taps:
                total = total * (scalar(taps) / scalar(places))
            norm = root(total)
            if not is_square:
                norm = power(total, scalar(libdevice.longlong_as_double(inverse_bits)))
            y[n * y_n + c * y_c + int64(p) * y_p + int64(q) * y_q] = narrow(norm)

    return norm_window


def make_magnitude_function(dtype: Dtype, kind: str) -> Callable[..., None]:
    """The function for the greatest magnitudes, or for the least."""
    element, is_least = ELEMENTS[dtype], kind == "least"
    scalar, widen, narrow = element.scalar, element.widen, element.narrow
    combine = reduction_of("max", element.arithmetic).in_order
    lowest = -math.inf

    def magnitude_window(
        x, y, x_n, x_c, x_h, x_w, y_n, y_c, y_p, y_q,  # strides in elements
        N, C, H, W, R, S, P, Q, stride_h, stride_w,
    ):  # fmt: skip
        n, c, p, q = locate(C, P, Q)
        if n < int64(N):
            h_first, h_last = regular_places(p, uint32(0), R, stride_h, uint32(1), P, H)
            w_first, w_last = regular_places(q, uint32(0), S, stride_w, uint32(1), Q, W)
            best = scalar(lowest)
            plane = n * x_n + c * x_c
            for h in range(h_first, h_last):
                for w in range(w_first, w_last):
                    value = abs(widen(x[plane + int64(h) * x_h + int64(w) * x_w]))
                    best = combine(best, -value if is_least else value)
            y[n * y_n + c * y_c + int64(p) * y_p + int64(q) * y_q] = narrow(abs(best))

    return magnitude_window


def make_kernel(dtype: Dtype, kind: str) -> Kernel:
    """The kernel for a dtype and norms of a kind."""
    make, bits = make_magnitude_function, ""
    if kind in ("square", "any"):
        make, bits = make_sum_function, " exponent_bits inverse_bits"
    types_of = {types.CPointer(ELEMENTS[dtype].stored): "x y", int64: STRIDES + bits}
    return Kernel(f"pool_norms {dtype} {kind}", functools.partial(make, dtype, kind), types_of, THREADS, 2)


KERNEL_OF = {key: make_kernel(*key) for key in itertools.product(map(Dtype, ELEMENTS), KINDS)}
KERNELS = tuple(KERNEL_OF.values())


def kind_of(norm: float) -> str:
    """Which of the kernels computes a norm."""
    return {2.0: "square", math.inf: "greatest", -math.inf: "least"}.get(norm, "any")


def worth(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> bool:
    return True


def plan(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> Launch:
    norm: Any = spec.norm
    kind = kind_of(norm)
    scalars = {
        **steps(x_nchw=layouts.x.elements, y_ncpq=layouts.y.elements),
        "N": spec.N, "C": spec.C, "H": spec.H, "W": spec.W, "R": spec.R, "S": spec.S, "P": spec.P,
        "Q": spec.Q, "stride_h": spec.stride[0], "stride_w": spec.stride[1],
    }  # fmt: skip
    if kind in ("square", "any"):
        scalars |= {"exponent_bits": bits_of(norm), "inverse_bits": bits_of(1 / norm)}
    return Launch(KERNEL_OF[spec.dtype, kind], blocks_of(spec.out_shape), 0, scalars)


ALGORITHM = Algorithm(
    "pool_norms",
    takes={"reduction": ("norm",), "norm": ANY, "dtype": tuple(ELEMENTS)},
    unsupported=unsupported,
    worth=worth,
    plan=plan,
    fast_for="norms",
)
