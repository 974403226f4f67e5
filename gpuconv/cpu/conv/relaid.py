"""Convolutions of channels-last arrays by those of planes: a block of images is turned, convolved, and back.

    x [n, h, w, c]  ->  [n, c, h, w]  ->  bias + sum of w x  ->  [n, k, p, q]  ->  y [n, p, q, k]

For what no algorithm does better as the arrays lie: Winograd's transforms and sliding windows take columns in
their lanes. A square of LANES pixels x LANES channels is turned in registers (`simd.lines`); a block is a few
images, so that what is turned stays near the processor (`engine.lowered`).
"""

import math
from dataclasses import replace
from functools import partial

import numba
import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, select
from gpuconv.cpu.conv.taken import FINISHED, TAKEN
from gpuconv.cpu.engine import lowered
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, source, target
from gpuconv.cpu.engine.cost import Amounts, priced
from gpuconv.cpu.engine.layout import in_channels, in_planes
from gpuconv.cpu.engine.lowered import Lowering, Weights
from gpuconv.cpu.engine.planes import WORK, entry
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import LANES, claim, lanes, pointer, prefetch
from gpuconv.cpu.simd.lines import turn
from gpuconv.spec import ConvSpec, Layouts
from gpuconv.threads import share

BLOCK = 1 << 20  # bytes of a block, which a second-level cache holds
LITTLE = 1 << 12  # elements, which take no longer one by one than to be turned
SMALL = 512  # elements, up to which NumPy copies them sooner than a kernel is entered


def _signature(scalar):
    return source(scalar, 4), target(scalar, 4), *[numba.int64] * 2, numba.boolean, *TASKS


@kernel(_signature)
def turn_images(x, y, rows, columns, from_channels, counter, tasks):
    """y = x, of which one has channels side by side, and the other pixels; rows of them follow each other.

    A task is a row of an image.
    """
    C = x.shape[1]
    L = lanes(pointer(y, 0))
    channels, planes = (x.strides, y.strides) if from_channels else (y.strides, x.strides)
    pixel, plane = channels[3] // x.itemsize, planes[1] // x.itemsize
    while True:
        task = claim(counter)
        if task >= tasks:
            break
        n, h = task // rows, task % rows
        x_row = n * (x.strides[0] // x.itemsize) + h * (x.strides[2] // x.itemsize)
        y_row = n * (y.strides[0] // x.itemsize) + h * (y.strides[2] // x.itemsize)
        for w in range(0, columns, L):
            count = min(L, columns - w)
            for c in range(0, C, L):
                some = min(L, C - c)
                side_by_side, apart = w * pixel + c, c * plane + w
                if from_channels:
                    place, to = pointer(x, x_row + side_by_side), pointer(y, y_row + apart)
                    if C > L:
                        fetch(place, pixel, L * pixel)
                    turn(place, pixel, count, to, plane, some)
                else:
                    place, to = pointer(x, x_row + apart), pointer(y, y_row + side_by_side)
                    if C > L:
                        fetch(place, plane, L)
                    turn(place, plane, some, to, pixel, count)


@inner
def fetch(place, step, ahead):
    """Have the lines of the next pixels fetched, which lie too far apart for the processor to foresee."""
    for i in range(lanes(place)):
        prefetch(place, i * step + ahead)


def copy(x: np.ndarray, y: np.ndarray) -> None:
    """y = x; in vectors, if one of them is channels-last, and the other has planes."""
    channels, rows = ([_lies_side_by_side(each, axis) for each in (x, y)] for axis in (1, 3))
    from_channels = channels[0] and rows[1]
    if x.size <= SMALL or not (from_channels or (rows[0] and channels[1])):
        y[...] = x
        return
    N, _, H, W = x.shape
    follow = all(each.strides[2] == W * each.strides[3] for each in (x, y))
    rows_of_image, columns = (1, H * W) if follow else (H, W)
    compiled, tasks = entry(turn_images, x.dtype.name), N * rows_of_image

    def compute(counter: np.ndarray) -> None:
        compiled(x, y, rows_of_image, columns, from_channels, counter, tasks)

    share(compute, tasks, WORK * x.size)


def _lies_side_by_side(x: np.ndarray, axis: int) -> bool:
    return x.strides[axis] == x.itemsize and not any(step % x.itemsize for step in x.strides)


def keep(spec: ConvSpec) -> ConvSpec:
    return spec


def weights(spec: ConvSpec, w: np.ndarray, bias: np.ndarray) -> list[Weights]:
    return [(w, bias)]


def read(spec: ConvSpec, x: np.ndarray, values: np.ndarray) -> None:
    copy(x, values.reshape(x.shape))


def write(spec: ConvSpec, sums: np.ndarray, bias: np.ndarray, y: np.ndarray, first: bool) -> None:
    copy(sums.reshape(y.shape), y)


LOWERING = Lowering("conv_relaid", keep, weights, read, write, block=BLOCK)


def unsupported(spec: ConvSpec, layouts: Layouts, device: Processor) -> str | None:
    if in_channels(layouts.x) or in_channels(layouts.y):
        return None
    return "neither x nor y is channels-last"


def amounts(spec: ConvSpec, layouts: Layouts, device: Processor) -> Amounts:
    """What it does beside the convolution of planes: it turns what lies otherwise, block by block."""
    turned = [each.shape for each in (layouts.x, layouts.y) if not in_planes(each)]
    L = LANES[spec.dtype]
    squares = sum(N * -(-C // L) * -(-H * W // L) for N, C, H, W in turned)
    blocks = min(spec.N, -(-sum(map(math.prod, turned)) * spec.itemsize // BLOCK))
    return {"blocks": blocks, "squares": squares}


_turning = priced("conv_relaid", amounts)


def cost(algorithms: Algorithms, spec: ConvSpec, layouts: Layouts, device: Processor) -> float:
    """Seconds: of turning, and of the convolution of planes."""
    problem = lowered.problem_of(spec, device)
    chosen = select(algorithms, *problem)
    assert chosen.cost is not None
    return _turning(spec, layouts, device) + chosen.cost(*problem)


def beside(algorithm: Algorithm) -> Algorithm:
    """An algorithm of planes, which reads others element by element: of channels-last arrays, small ones."""

    def worth(spec: ConvSpec, layouts: Layouts, device: Processor) -> bool:
        elements = math.prod(spec.in_shape) + math.prod(spec.out_shape)
        lies_so = unsupported(spec, layouts, device) is not None
        return (lies_so or elements <= LITTLE) and algorithm.worth(spec, layouts, device)

    return replace(algorithm, worth=worth)


def over(algorithms: Algorithms, direction: str = "forward") -> Algorithm:
    """The algorithm that computes blocks of planes with the first of `algorithms` that is fast for them."""
    takes = FINISHED if direction == "forward" else TAKEN  # what `algorithms` take
    made = lowered.over(
        LOWERING, algorithms, {**takes, "direction": (direction,)}, "channels-last arrays",
        lambda spec, name: f"turned into planes, and summed by {name}", unsupported,
    )  # fmt: skip
    return replace(made, cost=partial(cost, algorithms)) if direction == "forward" else made
