"""Depthwise convolution with any kernel, stride and dilation: a thread sums four outputs below each other.

What `conv_depthwise` runs where its strips do not fit: the formula is there. Threads are numbered flat,
(plane, group of ROWS rows of output, column q), so that lanes lie along q and small planes leave none idle:

              q ->                 thread (plane, 0, q) sums  *  at rows 0, 1, 2, 3
       p   * * * * * *             thread (plane, 1, q) sums  o  at rows 4, 5, 6, 7
       |   * * * * * *
       v   o o o o o o

Per tap a thread loads one weight, the same for all lanes of a plane, and ROWS elements of x, and multiplies
them. Windows that overlap read the same elements again, from the first-level cache as a rule; no shared
memory. The taps of a row are summed on their own, which keeps the rounding error of large windows small.
Coordinates are unsigned and wrap, so that one comparison checks both borders.

Not yet run on a GPU: the tests execute its compiled PTX; speed is not measured.
"""

from numba import cuda, int32, int64, types, uint32

from gpuconv.cuda.compiled import SCALARS, Kernel
from gpuconv.cuda.division import quotient, reciprocal
from gpuconv.cuda.launch import Launch
from gpuconv.cuda.ptx.predicated import load_if, store_if
from gpuconv.spec import ConvSpec

THREADS = 128
ROWS = 4
BLOCKS_PER_SM = {"float32": 6, "float64": 4}


def make_kernel(dtype: str) -> Kernel:
    scalar = SCALARS[dtype]

    def depthwise_window(
        x, w, bias, y,
        x_n, x_c, x_h, x_w, w_k, w_r, w_s, bias_k, y_n, y_k, y_p, y_q,  # strides in elements
        threads, K, H, W, R, S, P, Q, h_origin, w_origin, stride_h, stride_w, dilation_h, dilation_w,
        rows, has_bias, Q_m, Q_s, rows_m, rows_s, K_m, K_s, multiplier_m, multiplier_s,
    ):  # fmt: skip
        zero = scalar(0)

        # locate
        thread = uint32(uint32(cuda.blockIdx.x) * uint32(THREADS) + uint32(cuda.threadIdx.x))
        rest = quotient(thread, Q_m, Q_s)
        q = uint32(thread - rest * Q)
        plane = quotient(rest, rows_m, rows_s)
        p = uint32((rest - plane * rows) * uint32(ROWS))
        n = quotient(plane, K_m, K_s)
        k = uint32(plane - n * K)
        image = int64(n) * x_n + int64(quotient(k, multiplier_m, multiplier_s)) * x_c
        mine = thread < threads
        total = cuda.local.array(ROWS, scalar)
        partial = cuda.local.array(ROWS, scalar)
        inside = cuda.local.array(ROWS, types.boolean)
        place = cuda.local.array(ROWS, int64)
        for i in range(ROWS):
            total[i] = zero

        first = uint32(w_origin + q * stride_w)  # column of the image
        step = int64(dilation_w) * x_w
        for r in range(R):
            for i in range(ROWS):
                h = uint32(h_origin + uint32(p + uint32(i)) * stride_h + uint32(r) * dilation_h)
                inside[i] = mine & (uint32(p + uint32(i)) < P) & (h < H)
                place[i] = image + int64(h) * x_h + int64(int32(first)) * x_w
                partial[i] = zero
            v, place_w = first, int64(k) * w_k + int64(uint32(r)) * w_r
            for _ in range(S):
                weight = load_if(mine, w, place_w, zero)
                for i in range(ROWS):
                    partial[i] += weight * load_if(inside[i] & (v < W), x, place[i], zero)
                    place[i] += step
                v, place_w = uint32(v + dilation_w), place_w + w_s
            for i in range(ROWS):
                total[i] += partial[i]

        start = load_if(mine & (has_bias != uint32(0)), bias, int64(k) * bias_k, zero)
        place_y = int64(n) * y_n + int64(k) * y_k + int64(p) * y_p + int64(q) * y_q
        for i in range(ROWS):
            store_if(mine & (uint32(p + uint32(i)) < P), y, place_y, start + total[i])
            place_y += y_p

    arguments = (*[types.CPointer(scalar)] * 4, *[int64] * 12, *[uint32] * 24)
    return Kernel(f"conv_depthwise {dtype} any", depthwise_window, arguments, THREADS, BLOCKS_PER_SM[dtype])


KERNELS = {dtype: make_kernel(dtype) for dtype in SCALARS}


def plan(spec: ConvSpec, strides: list[int], has_bias: int) -> Launch:
    """The launch for a problem; the strides, in elements, are those of x, w (k, r, s), bias and y."""
    (top, _), (left, _) = spec.pads
    rows = -(-spec.P // ROWS)
    threads = spec.N * spec.K * rows * spec.Q
    scalars = (
        *strides, threads, spec.K, spec.H, spec.W, spec.R, spec.S, spec.P, spec.Q, -top, -left,
        *spec.stride, *spec.dilation, rows, has_bias,
        *[number for divisor in (spec.Q, rows, spec.K, spec.K_group) for number in reciprocal(divisor)],
    )  # fmt: skip
    return Launch(KERNELS[spec.dtype], -(-threads // THREADS), 0, scalars)
