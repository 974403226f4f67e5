"""Direct pooling: one thread computes one output from the taps of its window that lie inside the image.

    max   the greatest tap, a NaN counting as the greatest, and the flat index h W + w of the first such;
          -inf and -1 where no tap is inside
    avg   the sum of the taps over a divisor: the taps of the window inside the padded image
          (count_include_pad), or those inside the image, or divisor_override; 0 where no tap is inside

Outputs are numbered flat, ((n C + c) P + p) Q + q, and a block takes THREADS consecutive ones, so that lanes
lie along q: at stride 1 and 2 their loads share cache lines, and the stores of a warp are contiguous. Rows
that windows share are read again from the first-level cache. Coordinates are unsigned and wrap, so that one
comparison checks both borders. No shared memory.

Not yet run on a GPU: the tests execute its compiled PTX; speed is not measured.
"""

import functools
import math

from numba import cuda, int32, int64, types, uint32

from gpuconv.algorithm import Algorithm
from gpuconv.arrays import DeviceArray
from gpuconv.cuda.device.elements import ELEMENTS
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.launch import MAX_BLOCKS, Launch
from gpuconv.spec import PoolSpec

THREADS = 256


@cuda.jit(device=True, inline="always")
def locate(C, P, Q):
    """(n, c, p, q) of this thread's output: 64-bit division once per block, 32-bit within it."""
    first = int64(cuda.blockIdx.x) * THREADS
    outputs = int64(P) * int64(Q)
    plane = first // outputs
    place = uint32(first - plane * outputs) + uint32(cuda.threadIdx.x)
    if outputs < int64(2**31):
        plane += int64(place // uint32(outputs))
        place = uint32(place % uint32(outputs))
    return plane // int64(C), plane % int64(C), uint32(place // Q), uint32(place % Q)


def make_max_kernel(dtype: str, with_indices: bool) -> Kernel:
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
                        v = uint32(w_origin + q * stride_w + uint32(s) * dilation_w)
                        if v < W:
                            value = widen(x[plane + int64(h) * x_h + int64(v) * x_w])
                            greater = value > best or (value != value and best == best)
                            if greater or index < int64(0):
                                best, index = value, int64(h) * int64(W) + int64(v)
            y[n * y_n + c * y_c + int64(p) * y_p + int64(q) * y_q] = narrow(best)
            if with_indices:
                indices[n * i_n + c * i_c + int64(p) * i_p + int64(q) * i_q] = index

    pointers = *[types.CPointer(element.stored)] * 2, types.CPointer(int64)
    kind = "argmax" if with_indices else "max"
    arguments = (*pointers, *[int64] * 12, *[uint32] * 14)
    return Kernel(f"pool_direct {dtype} {kind}", max_window, arguments, THREADS, blocks_per_sm=4)


def make_avg_kernel(dtype: str) -> Kernel:
    element = ELEMENTS[dtype]
    scalar, widen, narrow = element.scalar, element.widen, element.narrow

    def avg_window(
        x, y, x_n, x_c, x_h, x_w, y_n, y_c, y_p, y_q,  # strides in elements
        N, C, H, W, R, S, P, Q, h_origin, w_origin, stride_h, stride_w, H_padded, W_padded, count_pads,
        divisor_override,
    ):  # fmt: skip
        n, c, p, q = locate(C, P, Q)
        if n < int64(N):
            total, inside = scalar(0), uint32(0)
            plane = n * x_n + c * x_c
            for r in range(R):
                h = uint32(h_origin + p * stride_h + uint32(r))
                if h < H:
                    row = scalar(0)  # summed by rows, which keeps the rounding error of large windows small
                    for s in range(S):
                        v = uint32(w_origin + q * stride_w + uint32(s))
                        if v < W:
                            row += widen(x[plane + int64(h) * x_h + int64(v) * x_w])
                            inside += uint32(1)
                    total += row
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

    pointers = [types.CPointer(element.stored)] * 2
    arguments = (*pointers, *[int64] * 8, *[uint32] * 15, int32)
    blocks_per_sm = 4 if element.pair is None else 3  # 16 bits would spill on sm_120
    return Kernel(f"pool_direct {dtype} avg", avg_window, arguments, THREADS, blocks_per_sm)


MAX_KERNELS = {(dtype, flag): make_max_kernel(dtype, flag) for dtype in ELEMENTS for flag in (False, True)}
AVG_KERNELS = {dtype: make_avg_kernel(dtype) for dtype in ELEMENTS}
KERNELS = (*MAX_KERNELS.values(), *AVG_KERNELS.values())


def unsupported(spec: PoolSpec) -> str | None:
    padded = (size + sum(sides) for size, sides in zip((spec.H, spec.W), spec.pads, strict=True))
    strides = zip((spec.P, spec.Q), spec.stride, strict=True)
    if max(*padded, *[count * stride for count, stride in strides]) + max(spec.R, spec.S) >= 2**31:
        return "the padded image has a side of 2^31 or more"
    if max(spec.N, spec.C) >= 2**32:
        return "there are 2^32 images or channels or more"
    if spec.P * spec.Q >= 2**31:
        return "an output plane has 2^31 elements or more"
    if -(-math.prod(spec.out_shape) // THREADS) > MAX_BLOCKS:
        return "the output needs more blocks than a grid has"
    return None


def worth(spec: PoolSpec) -> bool:
    return True


@functools.lru_cache(maxsize=1024)
def plan(
    spec: PoolSpec,
    x_strides: tuple[int, ...],
    y_strides: tuple[int, ...],
    indices_strides: tuple[int, ...] | None,
) -> Launch:
    """The launch for a problem and the byte strides of its arrays."""
    (top, bottom), (left, right) = spec.pads
    strides = [step // spec.itemsize for step in (*x_strides, *y_strides)]
    geometry = (spec.N, spec.C, spec.H, spec.W, spec.R, spec.S, spec.P, spec.Q, -top, -left, *spec.stride)
    blocks = -(-math.prod(spec.out_shape) // THREADS)
    if spec.op == "avg":
        padded = spec.H + top + bottom, spec.W + left + right
        divisor = int(spec.count_include_pad), spec.divisor_override or 0
        return Launch(AVG_KERNELS[spec.dtype], blocks, 0, (*strides, *geometry, *padded, *divisor))
    strides += [step // 8 for step in indices_strides or (0, 0, 0, 0)]
    kernel = MAX_KERNELS[spec.dtype, indices_strides is not None]
    return Launch(kernel, blocks, 0, (*strides, *geometry, *spec.dilation))


def run(spec: PoolSpec, x: DeviceArray, y: DeviceArray, indices: DeviceArray | None) -> Launch:
    launch = plan(spec, x.strides, y.strides, None if indices is None else indices.strides)
    return launch.start(y, x, y, *[] if spec.op == "avg" else [indices])


ALGORITHM = Algorithm("pool_direct", unsupported, worth, run)
