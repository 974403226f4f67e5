"""Convolutions of int8 and uint8, exact: as floats, of so few products that each sum is one, added in int32.

    x, w  8 bits  ->  float32  ->  sums of the products of some channels, below 2^24  ->  added to y, int32

Sums of whole numbers below 2^24 are exact in float32, in any order: of at least 258 products of two numbers
of 8 bits, 1024 if both have a sign. So many are summed by the convolutions of float32, the fastest that there
are here, and these sums are added up in int32, modulo 2^32. Where a kernel alone has more taps, it is float64
that is summed in, where all sums of fewer than 2^37 products are exact.

Where the processor multiplies bytes four at a time, `quads` is faster, but for few output channels.

Measured on 2026-11-29 on one core of an Intel Xeon (Sapphire Rapids), idle, in ms for a batch of 8, uint8 by
int8 and uint8 by uint8, beside ConvInteger of ONNX Runtime 1.32, which multiplies bytes four at a time:

    7x7    3 ->   64 @ 224, 2   15.7  ONNX 71.4   15.1  ONNX 14.2
    1x1   64 ->  256 @ 56        8.0  ONNX 24.8    7.4  ONNX  4.5
    3x3   64 ->   64 @ 56       14.0  ONNX 55.3   14.8  ONNX 11.3
    1x1 1024 ->  256 @ 14        7.5  ONNX 21.4    7.9  ONNX  4.5
    3x3  512 ->  512 @ 7        16.1  ONNX 50.8   17.6  ONNX 14.2
    3x3  144 depthwise @ 56      3.1  ONNX 38.4    3.0  ONNX  5.4
"""

from dataclasses import replace

import numba
import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms
from gpuconv.cpu.engine import lowered
from gpuconv.cpu.engine.compiled import TASKS, Kernel, inlined, inner, kernel, source, target, workspace
from gpuconv.cpu.engine.lowered import WHOLE, Lowering, Weights, of_channels, take_channels
from gpuconv.cpu.engine.planes import PLANES, ROWS, SMALL, make_read, plane_at, shared
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.cpu.simd import claim, pointer
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import BYTES, FLOAT32, FLOAT64, INT8, UINT8, Dtype

GREATEST: dict[Dtype, int] = {INT8: 128, UINT8: 255}  # magnitudes
EXACT = 1 << 24  # up to which every whole number is a float32


def _signed(scalar):
    return source(numba.int8, 4), workspace(scalar), numba.int64, numba.int64, *TASKS


def _unsigned(scalar):
    return source(numba.uint8, 4), workspace(scalar), numba.int64, numba.int64, *TASKS


def _adds(scalar):
    arrays = target(numba.int32, 4), workspace(scalar), source(numba.int32, 1), numba.boolean
    return *arrays, numba.int64, numba.int64, *TASKS


@inlined
def widened(value):
    return numba.float32(value)


_READ = make_read(widened)


@kernel(_signed)
def read_int8(x, values, block, together, counter, tasks):
    _READ(x, values, block, together, counter, tasks)


@kernel(_unsigned)
def read_uint8(x, values, block, together, counter, tasks):
    _READ(x, values, block, together, counter, tasks)


@kernel(_adds)
def add_sums(y, sums, bias, first, block, together, counter, tasks):
    """y = sums + bias, or y + sums if they are not the first."""
    N, K, P, Q = y.shape
    while True:
        task = claim(counter)
        if task >= tasks:
            break
        for plane in range(task * block, min((task + 1) * block, N * K)):
            n, k = plane // K, plane % K
            begin = plane_at(y, plane)
            runs, length = (1, P * Q) if together >= PLANES else (P, Q)
            for p in range(runs):
                part = pointer(sums, plane * P * Q + p * length)
                if together >= ROWS:
                    row = pointer(y, begin + p * (y.strides[2] // y.itemsize))
                    if first:
                        start_row(row, part, length, bias[k])
                    else:
                        add_row(row, part, length)
                else:
                    for q in range(length):
                        before = bias[k] if first else y[n, k, p, q]
                        y[n, k, p, q] = before + numba.int64(part[q])


@inner
def start_row(row, part, length, bias):
    for i in range(length):
        row[i] = bias + whole(part[i])


@inner
def add_row(row, part, length):
    for i in range(length):
        row[i] += whole(part[i])


@inlined
def whole(value):
    """An int32; of a sum in float64, which may be more, what is left modulo 2^32."""
    return numba.int32(numba.int64(value))


READ: dict[Dtype, Kernel] = {INT8: read_int8, UINT8: read_uint8}
KERNELS: tuple[Kernel, ...] = (*READ.values(), add_sums)


def most_products(spec: ConvSpec) -> int:
    """How many products are surely less than EXACT together."""
    return EXACT // (GREATEST[spec.dtype] * GREATEST[spec.dtype_of_weights])


def lower(spec: ConvSpec) -> ConvSpec:
    """The problem of some channels, in floats; no sum but that of the definition is exact."""
    return replace(spec, dtype=floats_of(spec), weight_dtype=None, precision="ieee")


def floats_of(spec: ConvSpec) -> Dtype:
    """What the sums of one channel at least are exact in."""
    return FLOAT32 if most_products(spec) >= spec.R * spec.S else FLOAT64


def terms(spec: ConvSpec) -> tuple[slice, ...]:
    """The channels of a group, so few at a time that their sums are exact."""
    channels = spec.C_group if spec.direction == "forward" else spec.K_group
    most = most_products(spec) // (spec.R * spec.S)
    if most == 0 or channels <= most:
        return WHOLE
    step = -(-channels // -(-channels // most))
    return tuple(slice(first, first + step) for first in range(0, channels, step))


def weights(spec: ConvSpec, w: np.ndarray, bias: np.ndarray) -> list[Weights]:
    dtype, outputs = floats_of(spec), spec.out_shape[1]
    values, zeros = reserve("conv_integers, weights", dtype, w.size, outputs)
    zeros[:] = 0
    found, begin = [], 0
    for channels in terms(spec):
        shape = of_channels(spec, channels).weight_shape
        if spec.direction == "forward":
            some = w[:, channels]
        else:
            rows = w.reshape(1, spec.K, spec.C_group, spec.R * spec.S)
            some = take_channels(rows, channels, spec.groups).reshape(shape)
        part = values[begin : begin + some.size]
        read_as_floats(spec.dtype_of_weights, dtype, some, part)
        found.append((part.reshape(shape), zeros))
        begin += some.size
    return found


def read_bytes(spec: ConvSpec, x: np.ndarray, values: np.ndarray) -> None:
    read_as_floats(spec.dtype, floats_of(spec), x, values)


def read_as_floats(dtype: Dtype, floats: Dtype, x: np.ndarray, values: np.ndarray) -> None:
    if x.size <= SMALL:
        values.reshape(x.shape)[...] = x
    else:
        shared(READ[dtype], floats, x, values)


def write(spec: ConvSpec, sums: np.ndarray, bias: np.ndarray, y: np.ndarray, first: bool) -> None:
    shared(add_sums, floats_of(spec), y, sums, bias, first)


LOWERING = Lowering("conv_integers", lower, weights, read_bytes, write, terms)


def over(algorithms: Algorithms, direction: str = "forward") -> Algorithm:
    """The algorithm that sums with the first of `algorithms` that is fast for it."""
    return lowered.over(
        LOWERING, algorithms,
        {"dtype": BYTES, "weight_dtype": (None, *BYTES), "direction": (direction,)}, "integers of 8 bits",
        remark,
    )  # fmt: skip


def remark(spec: ConvSpec, name: str) -> str:
    count = len(terms(spec))
    return f"exact in {floats_of(spec)} by {name}" + (f", in {count} parts" if count > 1 else "")
