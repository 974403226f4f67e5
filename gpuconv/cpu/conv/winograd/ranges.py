"""Where the inputs of a tile differ so much that its results would be beyond the bound of precision="tf32".

An input d of a tile reaches all its outputs, and cancels only up to the rounding: what is left is at most
about 20 eps |d| times the greatest weight, also in outputs whose windows do not hold it. So

    tile      the sum of |d| over the t x t inputs, of all channels of the group
    window    the same over the 3 x 3 inputs of one output

tell how far off an output may be: where no tile is more than RANGE times a window in it, by no more than
2^-11 of the window, times the greatest weight. An image of which one is more is computed anew. A window of
zeros alone, as in wide padding or the black around a picture, has the bias for its result, and gets it here.

That is so while the roundings are relative ones. Those of numbers below 2^-126 are not, and the transforms
and the products must not come near: a window has to have LEAST a channel, and an output channel a weight of
LEAST, unless all of them are 0. Another algorithm computes what has less.

A task is a row of tiles of one group: the channels of its t rows are added up, and looked through. Of the
weights it is an output channel, of which most often the first one is enough.
"""

import numba
import numpy as np

from gpuconv.cpu.conv.winograd.spans import tile
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, source, target, workspace
from gpuconv.cpu.engine.epilogue import epilogue_of, epilogue_type, finish_pixels, start
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_rows
from gpuconv.cpu.simd import (
    LANES,
    claim,
    greatest,
    lanes,
    load,
    load_between,
    magnitude,
    noinline,
    pointer,
    splat,
    store,
    store_part,
    zeros,
)
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import FLOAT32
from gpuconv.spec.layouts import ConvLayouts

RANGE = 128  # 2^-11 / (32 eps)
LEAST = 2.0**-60


def _signature(scalar):
    pair = numba.types.UniTuple(numba.int64, 2)
    results = source(scalar, 4), target(scalar, 4), workspace(numba.boolean), epilogue_type(scalar)
    return (
        source(scalar, 4),
        source(scalar, 1),
        *results,
        numba.boolean,
        pair,
        numba.int64,
        numba.int64,
        workspace(scalar),
        *TASKS,
    )


def _weights_signature(scalar):
    return numba.types.Array(scalar, 4, "C", readonly=True, aligned=False), workspace(numba.boolean), *TASKS


@kernel(_weights_signature, (FLOAT32,))
def find_small_weights(w, spoilt, counter, tasks):
    """Every image is spoilt where the weights of an output channel are less than LEAST, and not all 0."""
    _, C, R, S = w.shape
    while True:
        k = claim(counter)
        if k >= tasks:
            break
        most = w.dtype.type(0)
        for i in range(C * R * S):
            most = max(most, abs(w[k, i // (R * S), i // S % R, i % S]))
            if most >= LEAST:
                break
        if 0 < most < LEAST:
            spoilt[:] = True


@kernel(_signature, (FLOAT32,))
def compare_ranges(
    x, bias, residual, y, spoilt, epilogue, x_in_rows, pads, m, groups, magnitudes, counter, tasks
):  # fmt: skip
    """spoilt[n] where a window of image n has less than LEAST a channel, or less than a tile by RANGE.

    y where a window is 0.
    """
    C, K, H, W = x.shape[1] // groups, y.shape[1] // groups, x.shape[2], x.shape[3]
    P, Q = y.shape[2:]
    t, TH, TW = m + 2, -(-P // m), -(-Q // m)
    pitch = TW * m + 2
    columns = max(min(W, pitch - pads[1]), 0)
    while True:
        task = claim(counter)  # = (n * groups + g) * TH + ty
        if task >= tasks:
            break
        ty, g, n = task % TH, task // TH % groups, task // (TH * groups)
        magnitudes[: t * pitch] = 0
        for i in range(t):
            h = ty * m + i - pads[0]
            if 0 <= h < H and columns > 0:
                add_magnitudes(
                    magnitudes, i * pitch + pads[1], x[n, g * C : g * C + C, h], columns, x_in_rows
                )
        if are_alike(magnitudes, pitch, t, min(m, P - ty * m), Q, C * LEAST):
            continue
        for tx in range(TW):
            total = sum_of(magnitudes, tx * m, pitch, t)
            for p in range(ty * m, min(ty * m + m, P)):
                for q in range(tx * m, min(tx * m + m, Q)):
                    window = sum_of(magnitudes, (p - ty * m) * pitch + q, pitch, 3)
                    if window > 0 and (total > RANGE * window or window < C * LEAST):
                        spoilt[n] = True
                    elif window == 0 and not spoilt[n]:
                        for k in range(g * K, g * K + K):
                            y[n, k, p, q] = start(bias, k)
                        finish_pixels(residual, y, n, g * K, g * K + K, p * Q + q, 1, epilogue)


@inner
def add_magnitudes(to, at, rows, count, in_rows):
    """to[at + v] = the sum of |rows[c, v]| over c, for v < count."""
    noinline()
    C = rows.shape[0]
    if not in_rows:
        for c in range(C):
            for v in range(count):
                to[at + v] += abs(rows[c, v])
        return
    place, image, apart = pointer(to, at), pointer(rows, 0), rows.strides[0] // rows.itemsize
    width, pairs = lanes(place), C - C % 2
    full = count - count % width
    for v in range(0, full, width):
        first, second = zeros(place), zeros(place)
        for c in range(0, pairs, 2):
            first = first + magnitude(load(image, c * apart + v))
            second = second + magnitude(load(image, (c + 1) * apart + v))
        if pairs < C:
            first = first + magnitude(load(image, pairs * apart + v))
        store(place, v, first + second)
    if full < count:
        rest, total = count - full, zeros(place)
        for c in range(C):
            total = total + magnitude(load_between(image, c * apart + full, 0, rest))
        store_part(place, full, total, rest)


@inner
def are_alike(magnitudes, pitch, t, rows, count, floor):
    """Of these rows of `count` windows none is below the floor, or a tile by RANGE: as nearly always.

    Behind the t rows there is room for two vectors: the greatest inputs, and the least windows, negative.
    """
    noinline()
    place, end = pointer(magnitudes, 0), t * pitch
    width, most = lanes(place), zeros(place)
    if count < width:
        return False
    for v in range(0, end, width):
        most = greatest(most, load_between(place, v, 0, end - v))
    least = splat(magnitudes.dtype.type(-np.inf))
    for i in range(rows):
        for begin in range(0, count, width):
            at = i * pitch + min(begin, count - width)
            total = zeros(place)
            for v in range(at, at + 3 * pitch, pitch):
                total = total + (load(place, v) + load(place, v + 1) + load(place, v + 2))
            least = greatest(least, zeros(place) - total)
    store(place, end, most)
    store(place, end + width, least)
    greatest_input, window = magnitudes[end], magnitudes[end + width]
    for lane in range(1, width):
        greatest_input = max(greatest_input, magnitudes[end + lane])
        window = max(window, magnitudes[end + width + lane])
    return t * t * greatest_input <= RANGE * -window and (-window >= floor or greatest_input == 0)


@inner
def sum_of(magnitudes, at, pitch, size):
    """The sum of a square of so many rows and columns."""
    total = magnitudes.dtype.type(0)
    for i in range(size):
        for j in range(size):
            total += magnitudes[at + i * pitch + j]
    return total


def size_of(spec: ConvSpec) -> int:
    """Elements of the workspace of a thread: t rows of the tiles' inputs, and two vectors."""
    m = tile(spec)
    return (m + 2) * (-(-spec.Q // m) * m + 2) + 2 * LANES[spec.dtype]


def within_range(convolve: Run, spec: ConvSpec, layouts: ConvLayouts) -> Run:
    """run(x, w, bias, residual, y, spoilt) as of `convolve`; images beyond the range are spoilt, too."""
    m = tile(spec)
    search = bind(find_small_weights, spec.dtype, tasks=spec.K, work=spec.K, constants={})
    compare = bind(
        compare_ranges, spec.dtype,
        tasks=spec.N * spec.groups * -(-spec.P // m),
        work=spec.N * spec.C * spec.H * spec.W,
        constants={
            "epilogue": epilogue_of(spec, layouts), "x_in_rows": in_rows(layouts.x),
            "pads": (spec.pads[0][0], spec.pads[1][0]), "m": m, "groups": spec.groups,
        },
        workspaces={"magnitudes": size_of(spec)},
    )  # fmt: skip

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, *others: np.ndarray) -> None:
        *_, spoilt = others
        search(w, spoilt)
        if not spoilt.all():
            convolve(x, w, bias, *others)
            compare(x, bias, *others)

    return run
