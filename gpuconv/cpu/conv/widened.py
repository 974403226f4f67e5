"""Convolutions of float16 and bfloat16: a block is widened to float32, convolved there, and rounded.

    x  16 bits  ->  float32  ->  bias + sum of w x, in float32  ->  16 bits  y

`engine.lowered` cuts a problem into blocks, and `engine.planes` converts, in all threads. Products of two
numbers of 16 bits are exact in float32; they are summed there, the bias is added there, a residual and an
activation follow there, and the result is rounded once, to the nearest, of two equally near to the even one.
Gradients by the input are computed so too.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from gpuconv.algorithm import ANY, Algorithm, Algorithms
from gpuconv.cpu.engine.lowered import Lowering, Weights, by_which, plan
from gpuconv.cpu.engine.planes import narrow_planes, widen_planes
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import PRECISIONS, ConvLayouts, ConvSpec
from gpuconv.spec.dtypes import FLOAT32, SIXTEEN_BITS
from gpuconv.threads import get_num_threads


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


LOWERING = Lowering("conv_widened", lower, widen_weights, read, write)


def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
    return None


def worth(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> bool:
    return True


def over(algorithms: Algorithms, direction: str = "forward") -> Algorithm:
    """The algorithm that computes blocks with the first of `algorithms` that is fast for them."""
    return Algorithm(
        LOWERING.name,
        {"dtype": SIXTEEN_BITS, "precision": PRECISIONS, "direction": (direction,), "epilogue": ANY},
        unsupported, worth, partial(plan, LOWERING, algorithms), fast_for="numbers of 16 bits",
        remark=partial(remark, algorithms),
    )  # fmt: skip


def remark(algorithms: Algorithms, spec: ConvSpec) -> str:
    name = by_which(LOWERING, algorithms, spec, Processor(get_num_threads()))
    return f"summed in {FLOAT32} by {name}, and rounded once"
