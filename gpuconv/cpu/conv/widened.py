"""Convolutions of float16 and bfloat16: a block is widened to float32, convolved there, and rounded.

    x  16 bits  ->  float32  ->  bias + sum of w x, in float32  ->  16 bits  y

`engine.lowered` cuts a problem into blocks, and `engine.planes` converts, in all threads. Products of two
numbers of 16 bits are exact in float32; they are summed there, the bias is added there, a residual and an
activation follow there, and the result is rounded once, to the nearest, of two equally near to the even one.
Gradients by the input are computed so too.

Measured on 2026-11-29 on one core of an Intel Xeon (Sapphire Rapids), idle, in ms for a batch of 8, beside
PyTorch 2.13 with the same dtype, and `conv2d` with NumPy's casts before and after it. This processor has
matrix units for bfloat16 (AMX), by which PyTorch is two to three times as fast where there are many channels:

    C -> K @ size, stride   float32   float16   casts   PyTorch   bfloat16   casts   PyTorch
    7x7    3 ->   64 @ 224, 2  11.3      13.7    27.1      26.9       13.6    25.7      10.8
    1x1   64 ->  256 @ 56       9.1       7.3    21.5      17.8        7.2    17.1      11.3
    3x3   64 ->   64 @ 56       6.2       7.2    10.8      17.8        7.0     7.8       3.5
    1x1 1024 ->  256 @ 14       5.4       5.8     8.0       8.5        5.8     6.3       2.1
    3x3  512 ->  512 @ 7        9.5       9.8    12.9      17.3        9.5    10.4       3.1
    3x3  144 depthwise @ 56     1.1       2.9    13.8       5.2        2.8     5.9       3.7

Of images of a few hundred pixels a call takes 10 us longer than with the casts.
"""

from dataclasses import replace

import numpy as np

from gpuconv.algorithm import ANY, Algorithm, Algorithms
from gpuconv.cpu.engine import lowered
from gpuconv.cpu.engine.lowered import Lowering, Weights
from gpuconv.cpu.engine.planes import narrow_planes, widen_planes
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import FLOAT32, SIXTEEN_BITS


def lower(spec: ConvSpec) -> ConvSpec:
    """The problem in float32; what "tf32" allows is meant of float32 arrays alone."""
    precision = None if spec.precision == "tf32" else spec.precision
    return replace(spec, dtype=FLOAT32, precision=precision)


def widen_weights(spec: ConvSpec, w: np.ndarray, bias: np.ndarray) -> list[Weights]:
    weights, offsets = reserve("conv_widened, weights", FLOAT32, w.size, bias.size)
    widen_planes(spec.dtype, w, weights)
    widen_planes(spec.dtype, bias.reshape(1, 1, 1, -1), offsets)
    return [(weights.reshape(w.shape), offsets)]


def read(spec: ConvSpec, x: np.ndarray, values: np.ndarray) -> None:
    widen_planes(spec.dtype, x, values)


def write(spec: ConvSpec, sums: np.ndarray, bias: np.ndarray, y: np.ndarray, first: bool) -> None:
    narrow_planes(spec.dtype, sums, y)


LOWERING = Lowering("conv_widened", lower, widen_weights, read, write, one_by_one=True)


def over(algorithms: Algorithms, direction: str = "forward") -> Algorithm:
    """The algorithm that computes blocks with the first of `algorithms` that is fast for them."""
    return lowered.over(
        LOWERING, algorithms,
        {"dtype": SIXTEEN_BITS, "direction": (direction,), "epilogue": ANY}, "numbers of 16 bits",
        lambda spec, name: f"summed in {FLOAT32} by {name}, and rounded once",
    )  # fmt: skip
