"""The columns of the matrix added up where their windows lie: one thread computes one place of an image.

    y[n, c, h, w] = sum over r, s of x[n, (c R + r) S + s, p Q + q],
                    where h + top = p stride + r dilation, and likewise w

in the order of r and s: those of a row are added up plainly, and the rows with what rounding lost. Places are
numbered flat, and a block takes THREADS consecutive ones, so that lanes lie along w: the stores of a warp are
contiguous, and its loads too at stride 1.
"""

import functools
from collections.abc import Callable

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.device.division import quotient_and_rest, with_reciprocals
from gpuconv.cuda.device.elements import ELEMENTS
from gpuconv.cuda.device.outputs import THREADS, blocks_of, locate
from gpuconv.cuda.device.reduction import reduction_of
from gpuconv.cuda.language import int64, types, uint32
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.cuda.unfold.copies import geometry, too_large
from gpuconv.spec import PatchesSpec, PlainLayouts
from gpuconv.spec.patches import FOLD


def make_function(dtype: str) -> Callable[..., None]:
    """The function for a dtype."""
    element = ELEMENTS[dtype]
    scalar, widen, narrow = element.scalar, element.widen, element.narrow
    gather = reduction_of("mean", element.arithmetic).gather

    def fold(
        x, y, x_n, x_k, x_l, y_n, y_c, y_h, y_w,  # strides in elements
        N, C, H, W, R, S, P, Q, top, left, dilation_h, dilation_w,
        stride_h, stride_h_multiplier, stride_h_shift, stride_w, stride_w_multiplier, stride_w_shift,
    ):  # fmt: skip
        n, c, h, w = locate(C, H, W)
        if n < int64(N):
            total, lost = scalar(0), scalar(0)
            for r in range(R):
                down = uint32(h + top - uint32(r) * dilation_h)  # wraps where the window begins behind
                p, rest = quotient_and_rest(down, (stride_h, stride_h_multiplier, stride_h_shift))
                if down < uint32(2**31) and rest == uint32(0) and p < P:
                    row = (c * int64(R) + int64(r)) * int64(S)
                    place = n * x_n + int64(p) * int64(Q) * x_l
                    part = scalar(0)
                    for s in range(S):
                        across = uint32(w + left - uint32(s) * dilation_w)
                        q, over = quotient_and_rest(across, (stride_w, stride_w_multiplier, stride_w_shift))
                        if across < uint32(2**31) and over == uint32(0) and q < Q:
                            part += widen(x[place + (row + int64(s)) * x_k + int64(q) * x_l])
                    total, lost = gather(total, lost, part)
            y[n * y_n + c * y_c + int64(h) * y_h + int64(w) * y_w] = narrow(total)

    return fold


def make_kernel(dtype: str) -> Kernel:
    """The kernel for a dtype."""
    types_of = {
        types.CPointer(ELEMENTS[dtype].stored): "x y",
        int64: "x_n x_k x_l y_n y_c y_h y_w",
    }
    return Kernel(f"fold {dtype}", functools.partial(make_function, dtype), types_of, THREADS, 3)


KERNEL_OF = {dtype: make_kernel(dtype) for dtype in ELEMENTS}
KERNELS = tuple(KERNEL_OF.values())


def unsupported(spec: PatchesSpec, layouts: PlainLayouts, gpu: Gpu) -> str | None:
    return too_large(spec)


def worth(spec: PatchesSpec, layouts: PlainLayouts, gpu: Gpu) -> bool:
    return True


def plan(spec: PatchesSpec, layouts: PlainLayouts, gpu: Gpu) -> Launch:
    scalars = {
        **steps(x_nkl=layouts.x.elements, y_nchw=layouts.y.elements), **geometry(spec),
        **with_reciprocals({"stride_h": spec.stride[0], "stride_w": spec.stride[1]}),
    }  # fmt: skip
    blocks = blocks_of(spec.out_shape)
    return Launch(KERNEL_OF[spec.dtype], blocks, 0, scalars)


ALGORITHM = Algorithm(
    "fold",
    takes={"direction": (FOLD,), "dtype": tuple(ELEMENTS)},
    unsupported=unsupported,
    worth=worth,
    plan=plan,
    fast_for="every such problem",
)
