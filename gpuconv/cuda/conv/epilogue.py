"""A convolution whose results go through an activation, or are added to a residual: in place, afterwards.

y = the convolution, with its bias        by the first of the list that is fast for it
y = activation(y + residual)              one thread for each result
"""

import math
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, AllBut, plan_by, refused_by_all
from gpuconv.cuda.device.elements import SCALARS, inlined
from gpuconv.cuda.device.outputs import THREADS, blocks_of, locate, too_many
from gpuconv.cuda.language import int32, int64, libdevice, types, uint64
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.cuda.runtime.passes import Parts, Step
from gpuconv.spec import PRECISIONS, ConvLayouts, ConvSpec, Layouts, without_epilogue
from gpuconv.spec.dtypes import FLOAT32, FLOATS
from gpuconv.spec.epilogue import ACTIVATIONS, NO_EPILOGUE

RELU, RELU6, LEAKY_RELU, SIGMOID, TANH, GELU, GELU_TANH, SILU, HARDSWISH = range(len(ACTIVATIONS))
NONE = len(ACTIVATIONS)


@inlined
def number_of_bits(bits):
    return libdevice.int_as_float(int32(bits))


@inlined
def double_of_bits(bits):
    return libdevice.longlong_as_double(int64(bits))


def make_activate(scalar: Any) -> Callable[..., Any]:
    """activate(value, activation, slope)."""
    zero, one, half, three, six = scalar(0), scalar(1), scalar(0.5), scalar(3), scalar(6)
    root, cube, wide = scalar(math.sqrt(0.5)), scalar(0.044715), scalar(math.sqrt(2 / math.pi))

    @inlined
    def between(value, least, most):
        value = least if value <= least else value
        return most if value >= most else value

    def activate(value, activation, slope):
        result = value
        if activation == RELU:
            result = zero if value <= zero else value
        elif activation == RELU6:
            result = between(value, zero, six)
        elif activation == LEAKY_RELU:
            result = value if value > zero else value * slope
        elif activation == SIGMOID:
            result = one / (one + math.exp(-value))
        elif activation == TANH:
            result = math.tanh(value)
        elif activation == GELU:
            result = half * value * (one + math.erf(value * root))
        elif activation == GELU_TANH:
            result = half * value * (one + math.tanh(wide * (value + cube * value * value * value)))
        elif activation == SILU:
            result = value / (one + math.exp(-value))
        elif activation == HARDSWISH:
            result = value * between(value + three, zero, six) / six
        return result

    return inlined(activate)


def make_function(dtype: str) -> Callable[..., None]:
    scalar, activate = SCALARS[dtype], make_activate(SCALARS[dtype])
    from_bits = number_of_bits if dtype == FLOAT32 else double_of_bits

    def finish(
        residual, y,
        residual_n, residual_k, residual_p, residual_q, y_n, y_k, y_p, y_q,  # strides in elements
        N, K, P, Q, is_added, activation, slope_bits,
    ):  # fmt: skip
        n, k, p, q = locate(K, P, Q)
        if n < int64(N):
            at = n * y_n + k * y_k + int64(p) * y_p + int64(q) * y_q
            value = y[at]
            if is_added:
                place = n * residual_n + k * residual_k + int64(p) * residual_p + int64(q) * residual_q
                value = scalar(value + residual[place])
            y[at] = activate(value, activation, from_bits(slope_bits))

    return finish


def make_kernel(dtype: str) -> Kernel:
    pointer = types.CPointer(SCALARS[dtype])
    strides = "residual_n residual_k residual_p residual_q y_n y_k y_p y_q"
    types_of = {pointer: "residual y", int64: strides, uint64: "slope_bits"}
    return Kernel(f"conv_epilogue {dtype}", partial(make_function, dtype), types_of, THREADS, 4)


KERNEL_OF = {dtype: make_kernel(dtype) for dtype in FLOATS}
KERNELS = tuple(KERNEL_OF.values())


def unsupported(convolutions: Algorithms, spec: ConvSpec, layouts: Layouts, gpu: Gpu) -> str | None:
    if reason := refused_by_all(convolutions, *without_epilogue(spec, layouts), gpu):
        return f"no algorithm can run the convolution: {reason}"
    return too_many(spec.out_shape)


def worth(spec: ConvSpec, layouts: Layouts, gpu: Gpu) -> bool:
    return True


def plan(convolutions: Algorithms, spec: ConvSpec, layouts: Layouts, gpu: Gpu) -> Parts:
    problem = *without_epilogue(spec, layouts), gpu
    places = {name: place for place, name in enumerate(layouts._fields)}
    arrays = tuple((places[name], 0) for name in ConvLayouts._fields)
    finished = (places.get("residual"), 0), (places["y"], 0)
    convolve = plan_by(convolutions, *problem)
    return Parts((Step(convolve, arrays), Step(_finish(spec, layouts), finished)), len(layouts))


def _finish(spec: ConvSpec, layouts: Layouts) -> Launch:
    residual, activation = getattr(layouts, "residual", None), spec.epilogue.activation
    N, K, P, Q = spec.out_shape
    slope = np.array(spec.epilogue.parameter or 0, spec.dtype.numpy).view(f"u{spec.itemsize}")
    scalars = {
        **steps(
            residual_nkpq=residual.elements if residual else (0, 0, 0, 0), y_nkpq=layouts.y.elements,
        ),
        "N": N, "K": K, "P": P, "Q": Q, "is_added": int(spec.epilogue.residual),
        "activation": NONE if activation is None else ACTIVATIONS.index(activation),
        "slope_bits": int(slope),
    }  # fmt: skip
    return Launch(KERNEL_OF[spec.dtype], blocks_of(spec.out_shape), 0, scalars)


def over(convolutions: Algorithms, **takes: Collection[Any]) -> Algorithm:
    """The algorithm that finishes what one of `convolutions` has computed; `takes` is what they take, too."""
    return Algorithm(
        "conv_then_epilogue",
        {"dtype": FLOATS, "precision": PRECISIONS, **takes, "epilogue": AllBut({NO_EPILOGUE})},
        partial(unsupported, convolutions), worth, partial(plan, convolutions),
        fast_for="an activation or a residual, after what a plain convolution is fast for",
    )  # fmt: skip
