"""Activations of sums that lie in rows of whole vectors, and the residual that is added before them.

    y[i, j] = activation(y[i, j] + residual[i, j])       i < rows, j < count

Which one is known when a kernel runs, not when it is compiled: it is asked for once for all rows.
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cpu.engine.compiled import inlined, inner, merged
from gpuconv.cpu.simd import (
    at_least,
    at_most,
    filled,
    fma,
    if_positive,
    lanes,
    load,
    noinline,
    splat,
    store,
    zeros,
)
from gpuconv.cpu.simd.exponential import normal, sigmoid, tangent
from gpuconv.spec.epilogue import ACTIVATIONS

RELU, RELU6, LEAKY_RELU, SIGMOID, TANH, GELU, GELU_TANH, SILU, HARDSWISH = range(len(ACTIVATIONS))
NONE = -1
WORK = {SIGMOID: 4, TANH: 4, GELU: 4, GELU_TANH: 4, SILU: 4}  # of an element, in multiply-adds


def make_walk(apply: Callable[..., Any]) -> Any:
    """The walk over rows that applies the function to each vector."""

    @inlined
    def walk(y, y_step, residual, residual_step, rows, count, is_added, parameter):
        for i in range(rows):
            at, other = i * y_step, i * residual_step
            for j in range(0, count, lanes(y)):
                value = load(y, at + j)
                if is_added:
                    value = value + load(residual, other + j)
                store(y, at + j, apply(y, value, parameter))

    return walk


@merged
def as_it_is(y, v, parameter):
    return v


@merged
def relu(y, v, parameter):
    return at_least(v, zeros(y))


@merged
def relu6(y, v, parameter):
    return at_most(at_least(v, zeros(y)), filled(y, 6.0))


@merged
def leaky_relu(y, v, parameter):
    return if_positive(v, v, v * splat(parameter))


@merged
def logistic(y, v, parameter):
    return sigmoid(v)


@merged
def hyperbolic(y, v, parameter):
    return tangent(v)


@merged
def gelu(y, v, parameter):
    return v * normal(v)


@merged
def gelu_tanh(y, v, parameter):
    """(1 + tanh(u)) / 2 is sigmoid(2 u)."""
    cubic = fma(v * v * v, filled(y, 0.044715), v)
    return v * sigmoid(cubic * filled(y, 1.5957691216057308))


@merged
def silu(y, v, parameter):
    return v * sigmoid(v)


@merged
def hardswish(y, v, parameter):
    shifted = at_most(at_least(v + filled(y, 3.0), zeros(y)), filled(y, 6.0))
    return v * (shifted * filled(y, 1 / 6))


_add, _relu, _relu6, _leaky_relu, _sigmoid, _tanh, _gelu, _gelu_tanh, _silu, _hardswish = map(
    make_walk,
    (as_it_is, relu, relu6, leaky_relu, logistic, hyperbolic, gelu, gelu_tanh, silu, hardswish),
)


@inner
def finish_vectors(y, y_step, residual, residual_step, rows, count, epilogue):
    """Sums become results, in rows of a multiple of LANES elements."""
    noinline()
    is_added, activation, parameter = epilogue.is_added, epilogue.activation, epilogue.parameter
    if activation == NONE:
        _add(y, y_step, residual, residual_step, rows, count, is_added, parameter)
    elif activation == RELU:
        _relu(y, y_step, residual, residual_step, rows, count, is_added, parameter)
    elif activation == RELU6:
        _relu6(y, y_step, residual, residual_step, rows, count, is_added, parameter)
    elif activation == LEAKY_RELU:
        _leaky_relu(y, y_step, residual, residual_step, rows, count, is_added, parameter)
    elif activation == SIGMOID:
        _sigmoid(y, y_step, residual, residual_step, rows, count, is_added, parameter)
    elif activation == TANH:
        _tanh(y, y_step, residual, residual_step, rows, count, is_added, parameter)
    elif activation == GELU:
        _gelu(y, y_step, residual, residual_step, rows, count, is_added, parameter)
    elif activation == GELU_TANH:
        _gelu_tanh(y, y_step, residual, residual_step, rows, count, is_added, parameter)
    elif activation == SILU:
        _silu(y, y_step, residual, residual_step, rows, count, is_added, parameter)
    elif activation == HARDSWISH:
        _hardswish(y, y_step, residual, residual_step, rows, count, is_added, parameter)
