"""A convolution whose results go through an activation, or are added to a residual: in place, plane by plane.

y = the convolution, with its bias        by the first of the list that is fast for it
y = activation(y + residual)              a plane at a time, shared among the threads
"""

import math
from collections.abc import Collection
from functools import partial
from typing import Any

import numba
import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, AllBut, plan_by, refused_by_all
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, merged, source, target
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import is_contiguous
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import claim
from gpuconv.spec import PRECISIONS, ConvSpec, Layouts, without_epilogue
from gpuconv.spec.dtypes import BYTES, COMPLEX, FLOATS
from gpuconv.spec.epilogue import ACTIVATIONS, NO_EPILOGUE

RELU, RELU6, LEAKY_RELU, SIGMOID, TANH, GELU, GELU_TANH, SILU, HARDSWISH = range(len(ACTIVATIONS))
NONE = -1
BLOCK = 1 << 14  # elements of a task
WORK = {SIGMOID: 16, TANH: 16, GELU: 16, GELU_TANH: 16, SILU: 16}  # of an element, in multiply-adds


def _strided(scalar):
    return source(scalar, 4), target(scalar, 4), numba.boolean, numba.int64, scalar, *TASKS


def _flat(scalar):
    residual, y = (numba.types.Array(scalar, 1, "C", readonly, aligned=False) for readonly in (True, False))
    return residual, y, numba.boolean, numba.int64, scalar, *TASKS


@kernel(_strided)
def finish_planes(residual, y, is_added, activation, parameter, counter, tasks):
    K, P = y.shape[1:3]
    while True:
        task = claim(counter)  # = (n * K + k) * P + p
        if task >= tasks:
            break
        p, rest = task % P, task // P
        k, n = rest % K, rest // K
        finish(residual[n, k, p], y[n, k, p], is_added, activation, parameter)


@kernel(_flat)
def finish_elements(residual, y, is_added, activation, parameter, counter, tasks):
    while True:
        begin = claim(counter) * BLOCK
        if begin >= tasks * BLOCK:
            break
        end = min(begin + BLOCK, y.size)
        finish(residual[begin:end], y[begin:end], is_added, activation, parameter)


@inner
def finish(residual, row, is_added, activation, parameter):
    """Sums in a row become results."""
    zero, one, half = row.dtype.type(0), row.dtype.type(1), row.dtype.type(0.5)
    six, three = row.dtype.type(6), row.dtype.type(3)
    if is_added:
        for i in range(row.size):
            row[i] += residual[i]
    if activation == RELU:
        for i in range(row.size):
            row[i] = zero if row[i] <= zero else row[i]
    elif activation == RELU6:
        for i in range(row.size):
            row[i] = between(row[i], zero, six)
    elif activation == LEAKY_RELU:
        for i in range(row.size):
            row[i] = row[i] * (one if row[i] > zero else parameter)
    elif activation == SIGMOID:
        for i in range(row.size):
            row[i] = one / (one + math.exp(-row[i]))
    elif activation == TANH:
        for i in range(row.size):
            row[i] = math.tanh(row[i])
    elif activation == GELU:
        for i in range(row.size):
            row[i] = half * row[i] * (one + math.erf(row[i] * row.dtype.type(0.7071067811865476)))
    elif activation == GELU_TANH:
        for i in range(row.size):
            cubic = row[i] + row.dtype.type(0.044715) * row[i] * row[i] * row[i]
            row[i] = half * row[i] * (one + math.tanh(row.dtype.type(0.7978845608028654) * cubic))
    elif activation == SILU:
        for i in range(row.size):
            row[i] = row[i] / (one + math.exp(-row[i]))
    elif activation == HARDSWISH:
        for i in range(row.size):
            row[i] = row[i] * between(row[i] + three, zero, six) / six


@merged
def between(value, least, most):
    """The value, or what of least and most is nearer; a NaN stays one."""
    value = least if value <= least else value
    return most if value >= most else value


def unsupported(convolutions: Algorithms, spec: ConvSpec, layouts: Layouts, device: Processor) -> str | None:
    reason = refused_by_all(convolutions, *without_epilogue(spec, layouts), device)
    return reason and f"no algorithm can run the convolution: {reason}"


def worth(spec: ConvSpec, layouts: Layouts, device: Processor) -> bool:
    return True


def plan(convolutions: Algorithms, spec: ConvSpec, layouts: Layouts, device: Processor) -> Run:
    problem = *without_epilogue(spec, layouts), device
    convolve, finished = plan_by(convolutions, *problem), _plan_finish(spec, layouts)

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, *others: np.ndarray) -> None:
        *residual, y = others
        convolve(x, w, bias, y)
        finished(*residual or (y,), y)

    return run


def _plan_finish(spec: ConvSpec, layouts: Layouts) -> Run:
    """run(residual or y, y); of integers and complex numbers there are residuals alone."""
    if spec.dtype not in FLOATS:
        return _add
    epilogue, residual = spec.epilogue, getattr(layouts, "residual", None)
    taken = [layouts.y] if residual is None else [layouts.y, residual]
    activation = NONE if epilogue.activation is None else ACTIVATIONS.index(epilogue.activation)
    size, is_flat = math.prod(spec.out_shape), all(map(is_contiguous, taken))
    finish = bind(
        finish_elements if is_flat else finish_planes, spec.dtype,
        tasks=-(-size // BLOCK) if is_flat else math.prod(spec.out_shape[:3]),
        work=size * WORK.get(activation, 1),
        constants={
            "is_added": epilogue.residual, "activation": activation, "parameter": epilogue.parameter or 0.0,
        },
    )  # fmt: skip
    if not is_flat:
        return finish
    return lambda residual, y: finish(residual.reshape(-1), y.reshape(-1))


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
