"""Deformable convolution: what each tap sees is sampled into columns, of which 1x1 kernels make the results.

    columns[n, (c, r, s), p, q] = mask * x[n, c] between the four pixels around where the tap (r, s) lies
    y[n, k, p, q] = bias[k] + sum over d = (c, r, s) of w[k, d] * columns[n, d, p, q]

Some images, or some rows of outputs of one, at a time, so that the columns fit into a cache. A task samples a
tap for all channels of a group of offsets: where the taps lie and what the four pixels count is worked out
once, and then read for each channel. The product is a convolution of its own, which is chosen anew.
"""

import itertools
import math
from functools import partial

import numba
import numpy as np

from gpuconv.algorithm import ANY, Algorithm, Algorithms, plan_by
from gpuconv.cpu.conv.taken import TAKEN
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.cpu.simd import claim, pointer
from gpuconv.spec import ConvLayouts, ConvSpec, DeformedLayouts
from gpuconv.spec.layouts import packed

BLOCK = 1 << 19  # elements of columns: 2 MiB of float32
NONE = -(1 << 62)  # the place of a pixel that there is not
WORK = 8  # multiply-adds that take as long as to sample an element


def _signature(scalar):
    numbers, table = numba.int64, workspace(numba.int64)
    arrays = [source(scalar, 4)] * 3
    return (*arrays, target(scalar, 4), *[numbers] * 10, workspace(scalar), table, *TASKS)


@kernel(_signature)
def sample(
    x, offset, mask, sampled, groups, R, S, first, top, left, stride_h, stride_w, dilation_h, dilation_w,
    factors, corners, counter, tasks,
):  # fmt: skip
    C = x.shape[1]
    P, Q = offset.shape[2:]
    per_group, masked = C // groups, mask.size > 0
    row, column = x.strides[2] // x.itemsize, x.strides[3] // x.itemsize
    while True:
        task = claim(counter)  # = ((n * groups + g) * R + r) * S + s
        if task >= tasks:
            break
        s, rest = task % S, task // S
        r, rest = rest % R, rest // R
        g, n = rest % groups, rest // groups
        tap = (g * R + r) * S + s
        for p in range(P):
            for q in range(Q):
                h = x.dtype.type((first + p) * stride_h + r * dilation_h - top) + offset[n, 2 * tap, p, q]
                v = x.dtype.type(q * stride_w + s * dilation_w - left) + offset[n, 2 * tap + 1, p, q]
                weight = mask[n, tap, p, q] if masked else x.dtype.type(1)
                find_corners(factors, corners, 4 * (p * Q + q), h, v, weight, x.shape[2:], row, column)
        for c in range(g * per_group, (g + 1) * per_group):
            place = n * (x.strides[0] // x.itemsize) + c * (x.strides[1] // x.itemsize)
            gather(pointer(x, place), sampled[n, (c * R + r) * S + s], factors, corners)


@inner
def find_corners(factors, corners, at, h, v, weight, size, row, column):
    """The four pixels around (h, v), in elements from the first one, and what each counts; NONE is none."""
    H, W = size
    zero, one = factors.dtype.type(0), factors.dtype.type(1)
    for i in range(4):
        corners[at + i], factors[at + i] = NONE, zero
    if h != h or v != v:
        factors[at] = weight * (h + v)  # which is no number
    elif h > -one and v > -one and h < H and v < W:
        low_h, low_v = math.floor(h), math.floor(v)
        i_h, i_v = int(low_h), int(low_v)
        down, right = h - factors.dtype.type(low_h), v - factors.dtype.type(low_v)
        for i in range(4):
            below, behind = i // 2, i % 2
            if 0 <= i_h + below < H and 0 <= i_v + behind < W:
                corners[at + i] = (i_h + below) * row + (i_v + behind) * column
            share_h = down if below else one - down
            share_v = right if behind else one - right
            factors[at + i] = share_h * share_v
        if weight != one:
            for i in range(4):
                factors[at + i] *= weight
    else:
        factors[at] = weight * zero


@inner
def gather(plane, sampled, factors, corners):
    """sampled[p, q] = the sum of four pixels of a plane times what they count."""
    P, Q = sampled.shape
    for p in range(P):
        for q in range(Q):
            total, at = sampled.dtype.type(0), 4 * (p * Q + q)
            for i in range(4):
                place = corners[at + i]
                total += factors[at + i] * (plane[place] if place != NONE else sampled.dtype.type(0))
            sampled[p, q] = total


def unsupported(spec: ConvSpec, layouts: DeformedLayouts, device: Processor) -> str | None:
    return None


def worth(spec: ConvSpec, layouts: DeformedLayouts, device: Processor) -> bool:
    return True


def plan(convolutions: Algorithms, spec: ConvSpec, layouts: DeformedLayouts, device: Processor) -> Run:
    depth = spec.C * spec.R * spec.S
    image = max(1, depth * spec.P * spec.Q)
    images = max(1, min(spec.N, BLOCK // image))
    rows = max(1, min(spec.P, BLOCK // max(1, depth * spec.Q)))
    blocks = [*itertools.product(range(0, spec.N, images), range(0, spec.P, rows))]
    counts = {(min(images, spec.N - n), min(rows, spec.P - p)) for n, p in blocks}
    products = {each: _plan_product(convolutions, spec, layouts, device, *each) for each in counts}
    samples = {
        (n, p): _plan_sample(spec, p, min(images, spec.N - n), min(rows, spec.P - p)) for n, p in blocks
    }

    def run(
        x: np.ndarray, offset: np.ndarray, w: np.ndarray, bias: np.ndarray, mask: np.ndarray, y: np.ndarray
    ) -> None:
        merged = w.reshape(spec.K, spec.C_group * spec.R * spec.S, 1, 1)
        if any(step % x.itemsize for step in x.strides):  # as in an array of structures
            x = x.copy()
        for n, p in blocks:
            part = slice(n, n + images), slice(None), slice(p, p + rows)
            target = y[part]
            shape = target.shape[0], depth, *target.shape[2:]
            (columns,) = reserve("deform_columns", spec.dtype, math.prod(shape))
            columns = columns.reshape(shape)
            samples[n, p](x[n : n + images], offset[part], mask[part] if mask.size else mask, columns)
            products[target.shape[0], target.shape[2]](columns, merged, bias, target)

    return run


def _plan_sample(spec: ConvSpec, first: int, images: int, rows: int) -> Run:
    """The columns of so many images, of rows of outputs from `first` on."""
    (top, _), (left, _) = spec.pads
    return bind(
        sample, spec.dtype, images * spec.offset_groups * spec.R * spec.S,
        WORK * images * spec.C * spec.R * spec.S * rows * spec.Q,
        constants={
            "groups": spec.offset_groups, "R": spec.R, "S": spec.S, "first": first, "top": top,
            "left": left, "stride_h": spec.stride[0], "stride_w": spec.stride[1],
            "dilation_h": spec.dilation[0], "dilation_w": spec.dilation[1],
        },
        workspaces={"factors": 4 * rows * spec.Q}, tables={"corners": 4 * rows * spec.Q},
    )  # fmt: skip


def _plan_product(
    convolutions: Algorithms, spec: ConvSpec, layouts: DeformedLayouts, device: Processor, images: int,
    rows: int,
) -> Run:  # fmt: skip
    """How the columns are multiplied with the weights."""
    depth = spec.C * spec.R * spec.S
    product = ConvSpec(
        images, depth, rows, spec.Q, spec.K, 1, 1, groups=spec.groups, dtype=spec.dtype, precision="ieee"
    )
    x, w = (packed(shape, spec.dtype.numpy) for shape in (product.in_shape, product.weight_shape))
    y = layouts.y._replace(shape=product.out_shape)
    problem = product, ConvLayouts(x, w, layouts.bias, y), device
    return plan_by(convolutions, *problem)


def over(convolutions: Algorithms) -> Algorithm:
    """The algorithm that multiplies its columns by one of `convolutions`."""
    return Algorithm(
        "deform_columns", {**TAKEN, "offset_groups": ANY}, unsupported, worth, partial(plan, convolutions),
        fast_for="sampled columns, and what 1x1 kernels are fast for",
    )  # fmt: skip
