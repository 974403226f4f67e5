"""A convolution whose results go through an activation, or are added to a residual, by a pass of its own.

For what convolutions do not do as they store (`engine.epilogue`): of integers, of complex numbers, and of
gradients by the input.

y = the convolution, with its bias        by the first of the list that is fast for it
y = activation(y + residual)              a plane at a time, shared among the threads
"""

from collections.abc import Collection
from functools import partial
from typing import Any

import numba
import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, AllBut, plan_by, refused_by_all
from gpuconv.cpu.engine.activations import WORK
from gpuconv.cpu.engine.compiled import TASKS, kernel, source, target
from gpuconv.cpu.engine.epilogue import epilogue_of, epilogue_type, finish_pixels, residual_of
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import is_contiguous
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import claim
from gpuconv.spec import PRECISIONS, ConvSpec, Layouts, without_epilogue
from gpuconv.spec.dtypes import BYTES, COMPLEX, FLOATS
from gpuconv.spec.epilogue import NO_EPILOGUE

BLOCK = 1 << 14  # elements of a task


def _signature(scalar):
    return source(scalar, 4), target(scalar, 4), epilogue_type(scalar), numba.int64, *TASKS


@kernel(_signature)
def finish_planes(residual, y, epilogue, block, counter, tasks):
    K, P, Q = y.shape[1:]
    blocks = -(-P * Q // block)
    while True:
        task = claim(counter)  # = (n * K + k) * blocks + number
        if task >= tasks:
            break
        pixel, rest = task % blocks * block, task // blocks
        k, n = rest % K, rest // K
        finish_pixels(residual, y, n, k, k + 1, pixel, min(block, P * Q - pixel), epilogue)


def unsupported(convolutions: Algorithms, spec: ConvSpec, layouts: Layouts, device: Processor) -> str | None:
    reason = refused_by_all(convolutions, *without_epilogue(spec, layouts), device)
    return reason and f"no algorithm can run the convolution: {reason}"


def worth(spec: ConvSpec, layouts: Layouts, device: Processor) -> bool:
    return True


def plan(convolutions: Algorithms, spec: ConvSpec, layouts: Layouts, device: Processor) -> Run:
    problem = *without_epilogue(spec, layouts), device
    convolve, finished = plan_by(convolutions, *problem), plan_finish(spec, layouts)

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, *others: np.ndarray) -> None:
        *residual, y = others
        convolve(x, w, bias, y)
        finished(*residual or (y,), y)

    return run


def plan_finish(spec: ConvSpec, layouts: Layouts) -> Run:
    """run(residual or y, y); of integers and complex numbers there are residuals alone."""
    if spec.dtype not in FLOATS:
        return _add
    shape, epilogue = spec.out_shape, epilogue_of(spec, layouts)
    is_flat = is_contiguous(layouts.y) and is_contiguous(residual_of(layouts))
    if is_flat:
        shape = 1, 1, 1, int(np.prod(shape))
    size = shape[2] * shape[3]
    finish = bind(
        finish_planes, spec.dtype,
        tasks=shape[0] * shape[1] * -(-size // BLOCK),
        work=shape[0] * shape[1] * size * WORK.get(epilogue.activation, 1),
        constants={"epilogue": epilogue, "block": BLOCK},
    )  # fmt: skip
    if not is_flat:
        return finish
    return lambda residual, y: finish(residual.reshape(shape), y.reshape(shape))


def _add(residual: np.ndarray, y: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        np.add(y, residual, out=y)


def over(convolutions: Algorithms, **takes: Collection[Any]) -> Algorithm:
    """The algorithm that finishes what one of `convolutions` has computed; `takes` is what they take, too."""
    return Algorithm(
        "conv_then_epilogue",
        {
            "dtype": (*FLOATS, *COMPLEX, *BYTES), "weight_dtype": (None, *BYTES), "precision": PRECISIONS,
            **takes, "epilogue": AllBut({NO_EPILOGUE}),
        },
        partial(unsupported, convolutions), worth, partial(plan, convolutions),
        fast_for="an activation or a residual, after what a plain convolution is fast for",
    )  # fmt: skip
