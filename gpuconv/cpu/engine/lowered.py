"""A convolution of one dtype by convolutions of another, which a list of algorithms computes: by blocks.

    x [images, channels, rows, columns]  ->  values  ->  convolution in the lower dtype  ->  sums  ->  y

A block is several images, or where one alone would be more than BLOCK bytes in the lower dtype, that one, or
if the workspace has no room for it some of its rows, those that some outputs see (`native.pieces`). What is
converted stays near the processor so, and the workspace small. The weights are converted once for each call.
"""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gpuconv.algorithm import Algorithms, select
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.native import FEW, Piece, pieces, views
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import ConvLayouts, ConvSpec
from gpuconv.spec.layouts import packed
from gpuconv.workspace import workspace_limit

BLOCK = 16 << 20  # bytes of what is converted at a time

Weights = tuple[np.ndarray, np.ndarray]


class Lowering(NamedTuple):
    """How a convolution becomes one of another dtype.

    Attributes
    ----------
    name : str
        Of the algorithm, and of its workspaces.
    lower : callable
        `lower(spec)` is the problem in the other dtype.
    weights : callable
        `weights(spec, w, bias)`, those of the lowered problem.
    read, write : callable
        `read(spec, x, values)` fills a row with the lowered x; `write(spec, sums, y)` makes y of what came
        of it.
    """

    name: str
    lower: Callable[[ConvSpec], ConvSpec]
    weights: Callable[[ConvSpec, np.ndarray, np.ndarray], Weights]
    read: Callable[[ConvSpec, np.ndarray, np.ndarray], None]
    write: Callable[[ConvSpec, np.ndarray, np.ndarray], None]


def plan(
    lowering: Lowering, algorithms: Algorithms, spec: ConvSpec, layouts: ConvLayouts, device: Processor
) -> Run:
    cut = functools.partial(pieces, spec, True, True, elements_of_block(lowering, spec))
    few = tuple(itertools.islice(cut(), FEW))
    planned = functools.cache(functools.partial(plan_part, lowering, algorithms, device))
    for each in few:
        planned(each.spec)

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, y: np.ndarray) -> None:
        weights = lowering.weights(spec, w, bias)
        for piece in few if len(few) < FEW else cut():
            compute_piece(lowering, planned(piece.spec), piece, weights, *views(piece, {"x": x, "y": y}))

    return run


def compute_piece(
    lowering: Lowering, convolve: Run, piece: Piece, weights: Weights, x: np.ndarray, y: np.ndarray
) -> None:
    part: ConvSpec = piece.spec  # type: ignore[assignment]
    lowered = lowering.lower(part)
    sizes = int(np.prod(lowered.in_shape)), int(np.prod(lowered.out_shape))
    values, sums = reserve(lowering.name, lowered.dtype, *sizes)
    lowering.read(part, x, values)
    convolve(values.reshape(lowered.in_shape), *weights, sums.reshape(lowered.out_shape))
    lowering.write(part, sums, y)


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


def problem_of(lowered: ConvSpec, device: Processor) -> tuple[ConvSpec, ConvLayouts, Processor]:
    """The lowered problem: its arrays have no gaps."""
    kind = lowered.dtype.numpy
    shapes = lowered.in_shape, lowered.weight_shape, lowered.out_shape
    x, w, y = (packed(shape, kind) for shape in shapes)
    return lowered, ConvLayouts(x, w, packed((lowered.out_shape[1],), kind), y), device


def by_which(lowering: Lowering, algorithms: Algorithms, spec: ConvSpec, device: Processor) -> str:
    """The name of the algorithm that computes the first block, for `explain`."""
    cut = pieces(spec, True, True, elements_of_block(lowering, spec))
    part = next((piece.spec for piece in cut), spec)
    return select(algorithms, *problem_of(lowering.lower(part), device)).name  # type: ignore[arg-type]
