"""A convolution of one dtype by convolutions of another, which a list of algorithms computes: by blocks.

    x [images, channels, rows, columns]  ->  values  ->  convolution in the lower dtype  ->  sums  ->  y

A block is several images, or where one alone would be more than BLOCK bytes in the lower dtype, that one, or
if the workspace has no room for it some of its rows, those that some outputs see (`native.pieces`). What is
converted stays near the processor so, and the workspace small. The weights are converted once for each call.
"""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gpuconv.algorithm import Algorithms, select
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.native import FEW, pieces, views
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import ConvSpec, Layouts, conv_layouts
from gpuconv.spec.layouts import packed
from gpuconv.workspace import workspace_limit

BLOCK = 16 << 20  # bytes of what is converted at a time

Weights = tuple[np.ndarray, np.ndarray]
WHOLE = (slice(None),)


class Lowering(NamedTuple):
    """How a convolution becomes one of another dtype, or several whose results are added up.

    Attributes
    ----------
    name : str
        Of the algorithm, and of its workspaces.
    lower : callable
        `lower(spec)` is a problem in the other dtype.
    weights : callable
        `weights(spec, w, bias)`, those of each lowered problem.
    read : callable
        `read(spec, x, values)` fills a row with the lowered x.
    write : callable
        `write(spec, sums, bias, y, first)` makes y of what came of it: of the first or only one, or added.
    terms : callable
        `terms(spec)` are the channels of a group that are summed in each of the lowered problems.
    """

    name: str
    lower: Callable[[ConvSpec], ConvSpec]
    weights: Callable[[ConvSpec, np.ndarray, np.ndarray], list[Weights]]
    read: Callable[[ConvSpec, np.ndarray, np.ndarray], None]
    write: Callable[[ConvSpec, np.ndarray, np.ndarray, np.ndarray, bool], None]
    terms: Callable[[ConvSpec], tuple[slice, ...]] = lambda spec: WHOLE


def plan(
    lowering: Lowering, algorithms: Algorithms, spec: ConvSpec, layouts: Layouts, device: Processor
) -> Run:
    cut = functools.partial(pieces, spec, True, True, elements_of_block(lowering, spec))
    few = tuple(itertools.islice(cut(), FEW))
    planned = functools.cache(functools.partial(plan_part, lowering, algorithms, device))
    for each, channels in itertools.product(few, lowering.terms(spec)):
        planned(of_channels(each.spec, channels))  # type: ignore[arg-type]

    names = [name for name in layouts._fields if name in ("residual", "y")]

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, *others: np.ndarray) -> None:
        weights = lowering.weights(spec, w, bias)
        for piece in few if len(few) < FEW else cut():
            given = views(piece, {"x": x, **dict(zip(names, others, strict=True))})
            for number, channels in enumerate(lowering.terms(spec)):
                part = of_channels(piece.spec, channels)  # type: ignore[arg-type]
                lowered = lowering.lower(part)
                sizes = math.prod(lowered.in_shape), *[math.prod(lowered.out_shape)] * len(names)
                values, *results = reserve(lowering.name, lowered.dtype, *sizes)
                lowering.read(part, take_channels(given["x"], channels, spec.groups), values)
                for name, added in zip(names[:-1], results, strict=False):
                    lowering.read(part, given[name], added)
                arrays = (each.reshape(lowered.out_shape) for each in results)
                planned(part)(values.reshape(lowered.in_shape), *weights[number], *arrays)
                lowering.write(part, results[-1], bias, given["y"], number == 0)

    return run


def of_channels(spec: ConvSpec, channels: slice) -> ConvSpec:
    """The part of a problem that sums some channels of each group."""
    if channels == slice(None):
        return spec
    is_forward = spec.direction == "forward"
    count = len(range(spec.C_group if is_forward else spec.K_group)[channels]) * spec.groups
    return replace(spec, C=count) if is_forward else replace(spec, K=count)


def take_channels(x: np.ndarray, channels: slice, groups: int) -> np.ndarray:
    """Some channels of each group of x (N, C, H, W)."""
    if groups == 1 or channels == slice(None):
        return x[:, channels]
    N, C, *plane = x.shape
    taken = x.reshape(N, groups, C // groups, *plane)[:, :, channels]
    return taken.reshape(N, groups * taken.shape[2], *plane)


def elements_of_block(lowering: Lowering, spec: ConvSpec) -> int:
    """Elements of x and y that a block may have: those of one image, if the workspace has room for them."""
    lowered = lowering.lower(spec)
    image = (np.prod(spec.in_shape[1:]) + np.prod(spec.out_shape[1:])) or 1
    each = lowered.itemsize * (np.prod(lowered.in_shape[1:]) + np.prod(lowered.out_shape[1:])) / image
    return int(min(workspace_limit(), max(BLOCK, each * image)) // max(each, 1))


def plan_part(lowering: Lowering, algorithms: Algorithms, device: Processor, part: ConvSpec) -> Run:
    """How a block is computed: by the first of `algorithms` that is fast for it."""
    problem = problem_of(lowering.lower(part), device)
    return select(algorithms, *problem).plan(*problem)


def problem_of(lowered: ConvSpec, device: Processor) -> tuple[ConvSpec, Layouts, Processor]:
    """The lowered problem: its arrays have no gaps."""
    kind = lowered.dtype.numpy
    shapes = lowered.in_shape, lowered.weight_shape, lowered.out_shape
    x, w, y = (packed(shape, kind) for shape in shapes)
    bias = packed((lowered.out_shape[1],), kind)
    return lowered, conv_layouts(x, w, bias, y if lowered.epilogue.residual else None, y), device


def by_which(lowering: Lowering, algorithms: Algorithms, spec: ConvSpec, device: Processor) -> str:
    """The name of the algorithm that computes the first block, for `explain`."""
    cut = pieces(spec, True, True, elements_of_block(lowering, spec))
    part: Any = next((piece.spec for piece in cut), spec)
    part = of_channels(part, lowering.terms(spec)[0])
    return select(algorithms, *problem_of(lowering.lower(part), device)).name
