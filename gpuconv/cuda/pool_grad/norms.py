"""The gradient of a pool of norms: one thread computes one place of the input.

    y[n, c, h, w] = image[n, c, h, w]^(norm - 1)  sum over the windows (p, q) that have (h, w) of
                    x[n, c, p, q] result[n, c, p, q]^(1 - norm) R S / (places that the window has)

A window whose norm is 0 shares nothing, as in PyTorch. Windows are regular, without padding; what else there
is to say of them, and of threads and sums, is said in `shares`. For norms of 2 no power is computed.
"""

import functools
import itertools
from collections.abc import Callable

from gpuconv.algorithm import ANY, Algorithm
from gpuconv.cuda.device.division import overlap
from gpuconv.cuda.device.elements import ELEMENTS
from gpuconv.cuda.device.outputs import THREADS, blocks_of, locate
from gpuconv.cuda.device.powers import POWER, bits_of
from gpuconv.cuda.device.reduction import reduction_of
from gpuconv.cuda.device.windows import regular_windows
from gpuconv.cuda.language import int32, int64, libdevice, types, uint32
from gpuconv.cuda.pool_grad.shares import too_large
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.spec import MeanGradientSpec, NormGradientLayouts

KINDS = ("square", "any")


def make_function(dtype: str, kind: str) -> Callable[..., None]:
    """The function for norms of a kind."""
    element = ELEMENTS[dtype]
    scalar, widen, narrow = element.scalar, element.widen, element.narrow
    gather = reduction_of("mean", element.arithmetic).gather
    power, is_square = POWER[element.arithmetic], kind == "square"

    def norm_shares(
        x, image, result, y,
        x_n, x_c, x_p, x_q, i_n, i_c, i_h, i_w, r_n, r_c, r_p, r_q, y_n, y_c, y_h, y_w,  # strides in elements
        N, C, H, W, P, Q, R, S, stride_h, stride_w, exponent_bits,
    ):  # fmt: skip
        n, c, h, w = locate(C, H, W)
        if n < int64(N):
            exponent = scalar(libdevice.longlong_as_double(exponent_bits))  # norm - 1
            p_first, p_last = regular_windows(h, uint32(0), R, stride_h, P, H)
            q_first, q_last = regular_windows(w, uint32(0), S, stride_w, Q, W)
            total, lost = scalar(0), scalar(0)
            taps = scalar(int64(R) * int64(S))
            for p in range(p_first, p_last):
                rows = overlap(int32(uint32(p) * stride_h), int32(R), int32(0), int32(H))
                x_row = n * x_n + c * x_c + int64(p) * x_p
                r_row = n * r_n + c * r_c + int64(p) * r_p
                part = scalar(0)
                for q in range(q_first, q_last):
                    norm = widen(result[r_row + int64(q) * r_q])
                    shares_nothing = norm == scalar(0)
                    if not shares_nothing:
                        columns = overlap(int32(uint32(q) * stride_w), int32(S), int32(0), int32(W))
                        given = widen(x[x_row + int64(q) * x_q]) * taps / scalar(int64(rows) * int64(columns))
                        part += given / norm if is_square else given * power(norm, -exponent)
                total, lost = gather(total, lost, part)
            value = widen(image[n * i_n + c * i_c + int64(h) * i_h + int64(w) * i_w])
            value = value if is_square else power(value, exponent)
            y[n * y_n + c * y_c + int64(h) * y_h + int64(w) * y_w] = narrow(total * value)

    return norm_shares


def make_kernel(dtype: str, kind: str) -> Kernel:
    """The kernel for a dtype and norms of a kind."""
    strides = " ".join(f"{array}_{axis}" for array in ("x", "r") for axis in "ncpq")
    strides += " " + " ".join(f"{array}_{axis}" for array in ("i", "y") for axis in "nchw")
    types_of = {
        types.CPointer(ELEMENTS[dtype].stored): "x image result y",
        int64: f"{strides} exponent_bits",
    }
    return Kernel(
        f"norm_shares {dtype} {kind}", functools.partial(make_function, dtype, kind), types_of, THREADS, 2
    )


KERNEL_OF = {key: make_kernel(*key) for key in itertools.product(ELEMENTS, KINDS)}
KERNELS = tuple(KERNEL_OF.values())


def unsupported(spec: MeanGradientSpec, layouts: NormGradientLayouts, gpu: Gpu) -> str | None:
    return "it takes norms, not means" if spec.norm is None else too_large(spec)


def worth(spec: MeanGradientSpec, layouts: NormGradientLayouts, gpu: Gpu) -> bool:
    return True


def plan(spec: MeanGradientSpec, layouts: NormGradientLayouts, gpu: Gpu) -> Launch:
    norm: float = spec.norm  # type: ignore[assignment]
    x, image, result, y = (each.elements for each in layouts)
    scalars = {
        **steps(x_ncpq=x, i_nchw=image, r_ncpq=result, y_nchw=y),
        "N": spec.N, "C": spec.C, "H": spec.H, "W": spec.W, "P": spec.P, "Q": spec.Q, "R": spec.R,
        "S": spec.S, "stride_h": spec.stride[0], "stride_w": spec.stride[1],
        "exponent_bits": bits_of(norm - 1),
    }  # fmt: skip
    blocks = blocks_of(spec.out_shape)
    return Launch(KERNEL_OF[spec.dtype, "square" if norm == 2 else "any"], blocks, 0, scalars)


ALGORITHM = Algorithm(
    "norm_shares",
    takes={"windows": ("regular",), "dtype": tuple(ELEMENTS), "norm": ANY},
    unsupported=unsupported,
    worth=worth,
    plan=plan,
    fast_for="norms",
)
