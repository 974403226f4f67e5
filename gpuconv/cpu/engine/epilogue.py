"""What is done to a sum of products beside adding it up: the bias, a residual, an activation.

A sum may be added up in blocks of products, each block to what y holds. Where the bias comes in, and when
sums become results:

    family                                     the sum begins with      is finished
    conv_direct                                the bias, in y           with its task: some rows
    conv_depthwise on images (`stream`)        the bias, in registers   in registers, or with its task: planes
    conv_depthwise on bands (`window`)         `start`, in the first    with its task: a band
    conv_depthwise_channels (`channels`)       block of a tile:         with its image, of LANES channels
    conv_batch, conv_small (`gather`)          y = start + sums,        with ROWS channels of its task
    conv_implicit_gemm (`product`)             then y = y + sums        in registers, or with its tile
    conv_depthwise_pixels (`channels`)         as for channels above    with its task: some rows
    conv_channels_last (`product`)             the bias, in the tile    with its pixels
    conv_winograd                              nothing                  in registers, or with its row of tiles
    conv_fft                                   nothing                  behind it all, in a pass of its own

So a bias costs no step of its own, except in the last, where rows of vectors are `completed`. What registers
do is `MODES`, with a residual that lies as y does. All else is `finish_pixels`, while y is in a cache: one
function for all kernels, compiled once, which they call by its address.

Measured on 2026-11-29 on one core of an Intel Xeon with AVX-512, in processor time, beside others at work:
relu takes 0 to 4 % of the convolution's time where it is done in registers, and 8 to 14 % where it is not
(5x5 and 3x3 depthwise @14 and @7); a residual takes as long as to read it, 4 % of a 3x3 layer of 64 channels
@56 and 60 % of a depthwise one.
"""

import math
from typing import Any, NamedTuple

import numba

from gpuconv.cpu.engine.activations import NONE, finish_vectors
from gpuconv.cpu.engine.compiled import inner, kernel, merged, source, target
from gpuconv.cpu.simd import (
    STACKED,
    fma,
    lanes,
    load,
    load_between,
    noinline,
    pointer,
    stacked,
    store,
    store_part,
)
from gpuconv.cpu.simd.addresses import call_at
from gpuconv.cpu.simd.finish import ADDED, LEAST, MOST, SLOPED, bytes_apart
from gpuconv.spec import ConvSpec, Layout, Layouts
from gpuconv.spec.epilogue import ACTIVATIONS, NO_EPILOGUE

# what registers can do; a mode of 0 is left to `finish_pixels`
MODES = {None: 0, "relu": LEAST, "relu6": LEAST | MOST, "leaky_relu": SLOPED}


class InKernel(NamedTuple):
    """An epilogue as kernels are given it.

    `address` is that of `finish_plane`, or 0 where nothing is to be done. `mode` is what can be done in
    registers, with `parameter` as the slope, and `most` (`simd.finish`); 0 where that is not all.
    """

    address: int
    is_added: bool
    activation: int
    parameter: float
    mode: int
    most: float


NOTHING = InKernel(0, False, NONE, 0.0, 0, 0.0)


def convolved(scalar):
    """The types of the arrays of a convolution: x, w, bias, residual and y, and of its epilogue."""
    arrays = source(scalar, 4), source(scalar, 4), source(scalar, 1), source(scalar, 4), target(scalar, 4)
    return *arrays, epilogue_type(scalar)


def epilogue_type(scalar):
    """The Numba type of what a kernel is told of an epilogue, an `InKernel`."""
    return numba.types.NamedTuple(
        (numba.int64, numba.boolean, numba.int64, scalar, numba.int64, scalar), InKernel
    )


def epilogue_of(spec: ConvSpec, layouts: Layouts) -> InKernel:
    """What a kernel is told of the problem's epilogue."""
    if spec.epilogue == NO_EPILOGUE:
        return NOTHING
    residual, activation, parameter = spec.epilogue
    number = NONE if activation is None else ACTIVATIONS.index(activation)
    address = finish_plane.address(spec.dtype)
    mode = MODES.get(activation, 0)
    if residual and activation in MODES:
        mode = mode | ADDED if lie_alike(residual_of(layouts), layouts.y) else 0
    most = 6.0 if activation == "relu6" else math.inf
    return InKernel(address, residual, number, 0.0 if parameter is None else parameter, mode, most)


def residual_of(layouts: Layouts) -> Layout:
    """How the residual lies, or where there is none y, which stands in."""
    given: Any = layouts
    return getattr(layouts, "residual", given.y)


def lie_alike(residual: Layout, y: Layout) -> bool:
    """The elements of both lie equally far apart."""
    axes = zip(y.shape, residual.strides, y.strides, strict=True)
    return all(extent <= 1 or stride == other for extent, stride, other in axes)


@merged
def start(bias, k):
    """What the sum of output channel k begins with."""
    return bias[k]


@merged
def starts(bias, k):
    """Where that of channel k lies, and behind it those of the next channels."""
    return pointer(bias, k)


@merged
def in_registers(residual, y, epilogue):
    """The `Finish` of what is done there; its mode is 0 where that is nothing."""
    apart = bytes_apart(residual, y)
    return epilogue.mode, apart, epilogue.parameter, epilogue.most


@merged
def completed(total, scale, offset):
    """A complete sum of what is to be scaled: vectors, `offset` the start of the output channel."""
    return fma(total, scale, offset)


@merged
def finish_pixels(residual, y, n, k, k_end, pixel, count, epilogue):
    """Sums become results: `count` of a plane from number `pixel` on, of channels k to k_end of image n."""
    if epilogue.address != 0:
        call_at(epilogue.address, residual, y, n, k, k_end, pixel, count, epilogue)


def _finished(scalar):
    numbers = [numba.int64] * 5
    return source(scalar, 4), target(scalar, 4), *numbers, epilogue_type(scalar)


@kernel(_finished)
def finish_plane(residual, y, n, k, k_end, pixel, count, epilogue):
    """What `finish_pixels` calls: runs of a plane, or of channels, if both arrays have such."""
    Q, size = y.shape[3], y.itemsize
    y_step, other_step = y.strides[1] // size, residual.strides[1] // size
    y_row, other_row = y.strides[2] // size, residual.strides[2] // size
    y_pixel, other_pixel = y.strides[3] // size, residual.strides[3] // size
    odd = (y.strides[1] | y.strides[2] | residual.strides[1] | residual.strides[2]) % size
    odd |= (y.strides[3] | residual.strides[3]) % size
    in_rows = y_pixel == 1 and other_pixel == 1 and odd == 0
    in_channels = y_step == 1 and other_step == 1 and odd == 0
    in_planes = in_rows and y_row == Q and other_row == Q
    while count > 0:
        p, q = pixel // Q, pixel % Q
        some = count if in_planes else min(count, Q - q)
        if in_rows:
            place = pointer(y[n, k], p * y_row + q)
            other = pointer(residual[n, k], p * other_row + q)
            finish_rows(place, y_step, other, other_step, k_end - k, some, epilogue)
        elif in_channels:
            place = pointer(y[n, k], p * y_row + q * y_pixel)
            other = pointer(residual[n, k], p * other_row + q * other_pixel)
            finish_rows(place, y_pixel, other, other_pixel, some, k_end - k, epilogue)
        else:
            for i in range(k, k_end):
                finish_scattered(residual[n, i, p, q:], y[n, i, p, q:], some, epilogue)
        pixel += some
        count -= some


@merged
def finish_block(residual, y, n, k, k_end, p, p_end, q, columns, epilogue):
    """The same of a rectangle of outputs, rows p to p_end."""
    Q = y.shape[3]
    if columns == Q:
        finish_pixels(residual, y, n, k, k_end, p * Q, (p_end - p) * Q, epilogue)
    else:
        for row in range(p, p_end):
            finish_pixels(residual, y, n, k, k_end, row * Q + q, columns, epilogue)


@inner
def finish_rows(y, y_step, residual, other_step, rows, count, epilogue):
    """The rows y[i y_step + j], j < count."""
    L = lanes(y)
    if y_step == count and other_step == count:  # they follow each other
        rows, count = 1, rows * count
    full = count - count % L
    if full > 0:
        finish_vectors(y, y_step, residual, other_step, rows, full, epilogue)
    if full < count:
        finish_ends(y, y_step, residual, other_step, rows, full, count - full, epilogue)


@inner
def finish_ends(y, y_step, residual, other_step, rows, full, rest, epilogue):
    """The ends of rows, which fill no vector, in vectors of the function's own."""
    noinline()
    L = lanes(y)
    own, others = stacked(y), stacked(residual)
    for first in range(0, rows, STACKED):
        some = min(STACKED, rows - first)
        for i in range(some):
            store(own, i * L, load_between(y, (first + i) * y_step + full, 0, rest))
            if epilogue.is_added:
                store(others, i * L, load_between(residual, (first + i) * other_step + full, 0, rest))
        finish_vectors(own, L, others, L, some, L, epilogue)
        for i in range(some):
            store_part(y, (first + i) * y_step + full, load(own, i * L), rest)


@inner
def finish_scattered(residual, y, count, epilogue):
    """A row whose elements may lie anywhere, by way of vectors of the function's own."""
    noinline()
    own, others = stacked(pointer(y, 0)), stacked(pointer(residual, 0))
    L = lanes(own)
    for begin in range(0, count, STACKED * L):
        some = min(STACKED * L, count - begin)
        for i in range(some):
            own[i] = y[begin + i]
            others[i] = residual[begin + i]
        finish_vectors(own, L, others, L, -(-some // L), L, epilogue)
        for i in range(some):
            y[begin + i] = own[i]
