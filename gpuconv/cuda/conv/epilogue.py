"""A convolution whose results go through an activation, or are added to a residual: afterwards, in place.

    y = the convolution, with its bias        by the first of the list that is fast for it
    y = activation(y + residual)              one thread for each result

Of 16 bits the sums go to memory of our own, in float32, as many as a workspace may hold at a time: so they
are rounded once, behind the activation. Of complex numbers and integers there are residuals alone.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, AllBut, plan_by, refused_by_all
from gpuconv.cuda.conv.pieces import pieces_of
from gpuconv.cuda.device.elements import OPERANDS, SCALARS, inlined
from gpuconv.cuda.device.outputs import THREADS, blocks_of, locate, too_many
from gpuconv.cuda.language import int32, int64, libdevice, types, uint64
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.cuda.runtime.passes import Parts, Step
from gpuconv.spec import PRECISIONS, ConvLayouts, ConvSpec, Dtype, Layout, Layouts, without_epilogue
from gpuconv.spec.dtypes import (
    BYTES,
    CONVOLVED,
    FLOAT32,
    FLOAT64,
    FLOATS,
    INT32,
    SIXTEEN_BITS,
    SUMMED,
)
from gpuconv.spec.epilogue import ACTIVATIONS, NO_EPILOGUE
from gpuconv.spec.layouts import ALIGNED, packed
from gpuconv.workspace import workspace_limit

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


@inlined
def unchanged(value, activation, slope):
    return value


def make_function(dtype: Dtype) -> Callable[..., None]:
    element, scalar = OPERANDS[dtype], SCALARS[dtype.arithmetic]
    widen, narrow = element.widen, element.narrow
    wide = int64 if dtype == INT32 else scalar  # of an integer that is stored the lower half is taken
    activate = make_activate(scalar) if dtype.arithmetic in FLOATS else unchanged
    from_bits = double_of_bits if dtype == FLOAT64 else number_of_bits

    def finish(
        sums, residual, y,
        sums_n, sums_k, sums_p, sums_q, residual_n, residual_k, residual_p, residual_q,  # strides in elements
        y_n, y_k, y_p, y_q,
        N, K, P, Q, is_added, activation, slope_bits,
    ):  # fmt: skip
        n, k, p, q = locate(K, P, Q)
        if n < int64(N):
            value = sums[n * sums_n + k * sums_k + int64(p) * sums_p + int64(q) * sums_q]
            if is_added:
                place = n * residual_n + k * residual_k + int64(p) * residual_p + int64(q) * residual_q
                value = wide(value + widen(residual[place]))
            at = n * y_n + k * y_k + int64(p) * y_p + int64(q) * y_q
            y[at] = narrow(activate(value, activation, from_bits(slope_bits)))

    return finish


def make_kernel(dtype: Dtype) -> Kernel:
    sums, stored = (types.CPointer(kind) for kind in (SCALARS[dtype.arithmetic], OPERANDS[dtype].stored))
    strides = " ".join(f"{array}_{axis}" for array in ("sums", "residual", "y") for axis in "nkpq")
    pointers: dict[Any, str] = (
        {sums: "sums residual y"} if sums == stored else {sums: "sums", stored: "residual y"}
    )
    types_of = {**pointers, int64: strides, uint64: "slope_bits"}
    return Kernel(f"conv_epilogue {dtype}", partial(make_function, dtype), types_of, THREADS, 4)


KERNEL_OF = {dtype: make_kernel(dtype) for dtype in (*SUMMED, INT32)}
KERNELS = tuple(KERNEL_OF.values())


def unsupported(convolutions: Algorithms, spec: ConvSpec, layouts: Layouts, gpu: Gpu) -> str | None:
    if reason := refused_by_all(convolutions, *_before(spec, layouts), gpu):
        return f"no algorithm can run the convolution: {reason}"
    return too_many(spec.out_shape)


def worth(spec: ConvSpec, layouts: Layouts, gpu: Gpu) -> bool:
    return True


def plan(convolutions: Algorithms, spec: ConvSpec, layouts: Layouts, gpu: Gpu) -> Parts:
    places = {name: place for place, name in enumerate(layouts._fields)}
    is_apart = spec.dtype in SIXTEEN_BITS  # sums are in memory of our own
    results = workspace_limit() // FLOAT32.itemsize if is_apart else math.prod(spec.out_shape)
    found, between = [], 0
    for part, seen, begins in pieces_of(spec, layouts, results):
        before, arrays = _before(part, seen)
        sums = (len(layouts), 0) if is_apart else (places["y"], begins["y"])
        taken = (*((places[name], begins[name]) for name in ("x", "w", "bias")), sums)
        found.append(Step(plan_by(convolutions, before, arrays, gpu), taken))
        given = sums, (places.get("residual"), begins.get("residual", 0)), (places["y"], begins["y"])
        found.append(Step(_finish(part, arrays.y, seen), given))
        between = max(between, math.prod(part.out_shape) if is_apart else 0)
    return Parts(tuple(found), len(layouts), -(-between // ALIGNED) * ALIGNED)


def _before(spec: ConvSpec, layouts: Layouts) -> tuple[ConvSpec, ConvLayouts]:
    """The convolution, and how its arrays lie: of 16 bits its results are sums, side by side."""
    plain, arrays = without_epilogue(spec, layouts)
    if spec.dtype not in SIXTEEN_BITS:
        return plain, arrays
    return replace(plain, unrounded=True), arrays._replace(y=packed(spec.out_shape, FLOAT32.numpy))


def _finish(spec: ConvSpec, sums: Layout, layouts: Layouts) -> Launch:
    """What is done with the sums, which for all but 16 bits are y."""
    residual, epilogue = getattr(layouts, "residual", None), spec.epilogue
    N, K, P, Q = spec.out_shape
    slope = np.array(epilogue.parameter or 0, FLOAT64.numpy if spec.dtype == FLOAT64 else FLOAT32.numpy)
    scalars = {
        **steps(
            sums_nkpq=sums.elements, residual_nkpq=residual.elements if residual else (0, 0, 0, 0),
            y_nkpq=layouts.y.elements,
        ),
        "N": N, "K": K, "P": P, "Q": Q, "is_added": int(epilogue.residual),
        "activation": NONE if epilogue.activation is None else ACTIVATIONS.index(epilogue.activation),
        "slope_bits": int(slope.view(f"u{slope.itemsize}")),
    }  # fmt: skip
    return Launch(KERNEL_OF[spec.result], blocks_of(spec.out_shape), 0, scalars)


def over(convolutions: Algorithms, **takes: Collection[Any]) -> Algorithm:
    """The algorithm that finishes what one of `convolutions` has computed; `takes` is what they take, too."""
    return Algorithm(
        "conv_then_epilogue",
        {
            "dtype": CONVOLVED, "weight_dtype": (None, *BYTES), "precision": PRECISIONS, **takes,
            "epilogue": AllBut({NO_EPILOGUE}),
        },
        partial(unsupported, convolutions), worth, partial(plan, convolutions),
        fast_for="an activation or a residual, after what a plain convolution is fast for",
    )  # fmt: skip
