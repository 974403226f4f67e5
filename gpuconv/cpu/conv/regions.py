"""Outputs near wide borders: regions that see the same taps inside of the image, each a convolution of these.

    3x3, 24 apart, on 28 columns with 24 zeros on either side

    outputs    0 .. 3          4 .. 23        24 .. 27
    taps          1  2            1            0  1          of three: the others see zeros

The taps that a region leaves out are `simplified` away, where their weights are finite. Rows of outputs are
cut where the taps that they see change, but into PIECES pieces at most, and columns likewise; each region is
computed by the algorithm that is fast for it.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, select
from gpuconv.cpu.conv.taken import FINISHED, remark
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.processor import Processor
from gpuconv.spec import ConvSpec
from gpuconv.spec.axis import Axis, Pair
from gpuconv.spec.checks import axes_of

PIECES = 8  # of an axis
MOST_OUTPUTS = 4096  # of an axis that is looked at: beyond, borders are narrow
SHARE = 0.75  # of the products, which is left at most where it is worthwhile
CALL = 2e-6  # seconds beside each region


class Region(NamedTuple):
    """The inputs (rows, columns) that are seen, the outputs likewise, and the convolution."""

    inputs: tuple[slice, slice]
    outputs: tuple[slice, slice]
    spec: ConvSpec


class Piece(NamedTuple):
    """Of an axis: outputs, the inputs that they see, and zeros before and after these."""

    outputs: slice
    inputs: slice
    pads: Pair


def pieces_of(axis: Axis, outputs: int) -> tuple[list[Piece], float]:
    """How the outputs are cut, and the share of the products that is left."""
    whole = [Piece(slice(0, outputs), slice(0, axis.size), axis.pads)], 1.0
    if axis.taps == 1 or sum(axis.pads) == 0 or outputs > MOST_OUTPUTS:
        return whole
    seen = list(zip(*(each.tolist() for each in axis.taps_inside(outputs)), strict=True))
    changes = [output for output in range(1, outputs) if seen[output] != seen[output - 1]]
    every = -(-(len(changes) + 1) // PIECES)
    bounds = [0, *changes[every - 1 :: every], outputs]
    pieces = [_piece(axis, begin, end) for begin, end in pairwise(bounds)]
    left = sum((end - begin) * _span(seen[begin:end]) for begin, end in pairwise(bounds))
    share = left / (outputs * axis.taps)
    if share > SHARE or any(piece.inputs.stop <= piece.inputs.start for piece in pieces):
        return whole
    return pieces, share


def _span(seen: list[Pair]) -> int:
    some = [taps for taps in seen if taps[1] > taps[0]]
    return max(end for _, end in some) - min(first for first, _ in some) if some else 1


def _piece(axis: Axis, first: int, last: int) -> Piece:
    begin = first * axis.stride - axis.pads[0]
    end = (last - 1) * axis.stride - axis.pads[0] + axis.reach
    inputs = slice(max(begin, 0), min(end, axis.size))
    return Piece(slice(first, last), inputs, (max(-begin, 0), max(end - axis.size, 0)))


@lru_cache(maxsize=256)
def regions_of(spec: ConvSpec) -> tuple[tuple[Region, ...], float]:
    """The regions, and the share of the products that is left."""
    axes = zip(axes_of(spec), (spec.P, spec.Q), strict=True)
    (rows, of_rows), (columns, of_columns) = (pieces_of(*each) for each in axes)
    regions = []
    for high, wide in product(rows, columns):
        inputs = high.inputs, wide.inputs
        H, W = (each.stop - each.start for each in inputs)
        part = replace(spec, H=H, W=W, pads=(high.pads, wide.pads))
        regions.append(Region(inputs, (high.outputs, wide.outputs), part))
    return tuple(regions), of_rows * of_columns


def unsupported(spec: ConvSpec, layouts: Any, device: Processor) -> str | None:
    if 0 in (*spec.in_shape, *spec.out_shape):
        return "there is nothing to cut"
    return None


def worth(spec: ConvSpec, layouts: Any, device: Processor) -> bool:
    return spec.pads != ((0, 0), (0, 0)) and regions_of(spec)[1] <= SHARE


def problems_of(spec: ConvSpec, layouts: Any, device: Processor) -> Iterator[tuple[Region, tuple]]:
    """Each region, and its problem."""
    names = [name for name in ("residual", "y") if name in layouts._fields]
    for region in regions_of(spec)[0]:
        part = replace(region.spec, epilogue=spec.epilogue)  # a slope of 0.0 or of -0.0, which are equal
        shapes = {"x": part.in_shape, **dict.fromkeys(names, part.out_shape)}
        parts = {name: getattr(layouts, name)._replace(shape=shape) for name, shape in shapes.items()}
        yield region, (part, layouts._replace(**parts), device)


def cost(convolutions: Algorithms, spec: ConvSpec, layouts: Any, device: Processor) -> float:
    return sum(
        CALL + (select(convolutions, *problem).cost or _unknown)(*problem)
        for _, problem in problems_of(spec, layouts, device)
    )


def _unknown(*problem: Any) -> float:
    return math.inf


def plan(convolutions: Algorithms, spec: ConvSpec, layouts: Any, device: Processor) -> Run:
    parts = [
        (region, select(convolutions, *problem).plan(*problem))
        for region, problem in problems_of(spec, layouts, device)
    ]

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, *others: np.ndarray) -> None:
        for region, convolve in parts:
            convolve(x[:, :, *region.inputs], w, bias, *(each[:, :, *region.outputs] for each in others))

    return run


def over(convolutions: Algorithms) -> Algorithm:
    """The algorithm that computes each region by one of `convolutions`."""
    return Algorithm(
        "conv_regions", FINISHED, unsupported, worth, partial(plan, convolutions),
        fast_for="borders as wide as the image, beside which most taps see zeros",
        remark=lambda spec: "; ".join(filter(None, (f"{len(regions_of(spec)[0])} regions", remark(spec)))),
        cost=partial(cost, convolutions),
    )  # fmt: skip
