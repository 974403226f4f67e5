"""The matrix of windows: one thread copies one of its elements.

    y[n, (c R + r) S + s, p Q + q] = x[n, c, p stride + r dilation - top, q stride + s dilation - left]

with zero where x is read outside of its image. Elements are numbered flat, and a block takes THREADS
consecutive ones: lanes lie along q, so the stores of a warp are contiguous, and its loads too at stride 1.
What windows share is read again from the first-level cache. Numbers are copied as they are, by their size.
"""

import functools
from collections.abc import Callable

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.device.division import divide
from gpuconv.cuda.device.elements import ELEMENTS
from gpuconv.cuda.device.outputs import THREADS, blocks_of, locate
from gpuconv.cuda.language import int64, types, uint32
from gpuconv.cuda.ptx.memory import load_if
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import MAX_BLOCKS, Launch, steps
from gpuconv.spec import PatchesSpec, PlainLayouts
from gpuconv.spec.dtypes import FLOAT16, FLOAT32, FLOAT64
from gpuconv.spec.patches import UNFOLD


def make_function(dtype: str) -> Callable[..., None]:
    """The function for elements of the size that this dtype has."""
    stored = ELEMENTS[dtype].stored

    def unfold(
        x, y, x_n, x_c, x_h, x_w, y_n, y_k, y_l,  # strides in elements
        N, C, H, W, R, S, P, Q, top, left, stride_h, stride_w, dilation_h, dilation_w,
    ):  # fmt: skip
        n, k, p, q = locate(uint32(C * R * S), P, Q)
        if n < int64(N):
            rest, s = divide(uint32(k), S)
            c, r = divide(rest, R)
            h = uint32(p * stride_h + r * dilation_h - top)
            w = uint32(q * stride_w + s * dilation_w - left)
            place = n * x_n + int64(c) * x_c + int64(h) * x_h + int64(w) * x_w
            value = load_if((h < H) & (w < W), x, place, stored(0))
            y[n * y_n + int64(k) * y_k + (int64(p) * int64(Q) + int64(q)) * y_l] = value

    return unfold


def make_kernel(dtype: str) -> Kernel:
    """The kernel for elements of the size that this dtype has."""
    types_of = {
        types.CPointer(ELEMENTS[dtype].stored): "x y",
        int64: "x_n x_c x_h x_w y_n y_k y_l",
    }
    return Kernel(f"unfold {dtype}", functools.partial(make_function, dtype), types_of, THREADS, 4)


KERNEL_OF = {ELEMENTS[dtype].size: make_kernel(dtype) for dtype in (FLOAT32, FLOAT64, FLOAT16)}
KERNELS = tuple(KERNEL_OF.values())


def too_large(spec: PatchesSpec) -> str | None:
    """Why 32 bits do not number the rows, columns and planes of a problem."""
    padded = max(
        max(axis.padded, outputs * axis.stride) + axis.reach
        for axis, outputs in zip(spec.axes, (spec.P, spec.Q), strict=True)
    )
    if padded >= 2**31:
        return "the padded image has a side of 2^31 or more"
    if spec.N >= 2**32 or spec.matrix_shape[1] >= 2**32:
        return "there are 2^32 images or rows or more"
    if max(spec.P * spec.Q, spec.H * spec.W) >= 2**31:
        return "a plane has 2^31 elements or more"
    if blocks_of(spec.out_shape) > MAX_BLOCKS:
        return "the output needs more blocks than a grid has"
    return None


def unsupported(spec: PatchesSpec, layouts: PlainLayouts, gpu: Gpu) -> str | None:
    return too_large(spec)


def worth(spec: PatchesSpec, layouts: PlainLayouts, gpu: Gpu) -> bool:
    return True


def geometry(spec: PatchesSpec) -> dict[str, int]:
    """The arguments of a kernel that are of the problem."""
    return {
        "N": spec.N, "C": spec.C, "H": spec.H, "W": spec.W, "R": spec.R, "S": spec.S, "P": spec.P,
        "Q": spec.Q, "top": spec.pads[0][0], "left": spec.pads[1][0], "dilation_h": spec.dilation[0],
        "dilation_w": spec.dilation[1],
    }  # fmt: skip


def plan(spec: PatchesSpec, layouts: PlainLayouts, gpu: Gpu) -> Launch:
    scalars = {
        **steps(x_nchw=layouts.x.elements, y_nkl=layouts.y.elements), **geometry(spec),
        "stride_h": spec.stride[0], "stride_w": spec.stride[1],
    }  # fmt: skip
    blocks = blocks_of(spec.out_shape)
    return Launch(KERNEL_OF[spec.itemsize], blocks, 0, scalars)


ALGORITHM = Algorithm(
    "unfold",
    takes={"direction": (UNFOLD,), "dtype": tuple(ELEMENTS)},
    unsupported=unsupported,
    worth=worth,
    plan=plan,
    fast_for="every such problem",
)
