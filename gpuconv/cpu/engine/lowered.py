"""A convolution of one dtype by convolutions of another, which a list of algorithms computes: by blocks.

    x [images, channels, rows, columns]  ->  values  ->  convolution in the lower dtype  ->  sums  ->  y

A block is several images, or where one alone would be more than its bytes in the lower dtype, that one, or
if the workspace has no room for it some of its rows, those that some outputs see (`native.pieces`). What is
converted stays near the processor so, and the workspace small. The weights are converted once for each call.
"""

import functools
import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, plan_by, select
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.layout import in_channels
from gpuconv.cpu.engine.native import FEW, Piece, pieces, views
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import PRECISIONS, ConvSpec, Layouts, conv_layouts
from gpuconv.spec.layouts import channels_last, packed
from gpuconv.threads import get_num_threads
from gpuconv.workspace import workspace_limit

BLOCK = 16 << 20  # bytes of what is converted at a time

Weights = tuple[np.ndarray, np.ndarray]
ALL = slice(None)
WHOLE = (ALL,)


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
    block : int
        Bytes of what is converted at a time.
    one_by_one : bool
        Elements are read and written one by one, wherever they lie: of channels-last arrays `read` and
        `write` see (N, H, W, C), and what is lowered is channels-last, too.
    """

    name: str
    lower: Callable[[ConvSpec], ConvSpec]
    weights: Callable[[ConvSpec, np.ndarray, np.ndarray], list[Weights]]
    read: Callable[[ConvSpec, np.ndarray, np.ndarray], None]
    write: Callable[[ConvSpec, np.ndarray, np.ndarray, np.ndarray, bool], None]
    terms: Callable[[ConvSpec], tuple[slice, ...]] = lambda spec: WHOLE
    block: int = BLOCK
    one_by_one: bool = False


class Part(NamedTuple):
    """The sums of some channels of a block: the problem, the lowered one, and what computes it."""

    channels: slice
    spec: ConvSpec
    lowered: ConvSpec
    shapes: tuple[tuple[int, ...], tuple[int, ...]]  # of the lowered x and y
    sizes: tuple[int, ...]
    convolve: Run


def unsupported(spec: ConvSpec, layouts: Layouts, device: Processor) -> str | None:
    return None


def worth(spec: ConvSpec, layouts: Layouts, device: Processor) -> bool:
    return True


def plan(
    lowering: Lowering, algorithms: Algorithms, spec: ConvSpec, layouts: Layouts, device: Processor
) -> Run:
    cut = functools.partial(pieces, spec, True, True, elements_of_block(lowering, spec))
    few = tuple(itertools.islice(cut(), FEW))
    last = lowering.one_by_one and in_channels(layouts.x) and in_channels(layouts.y)
    parts_of = functools.cache(functools.partial(plan_parts, lowering, algorithms, device, last))
    blocks = [(piece, piece.spec == spec, parts_of(piece.spec)) for piece in few]

    def rest() -> Iterator[tuple[Piece, bool, tuple[Part, ...]]]:
        for piece in itertools.islice(cut(), FEW, None) if len(few) == FEW else ():
            yield piece, False, parts_of(piece.spec)

    names = [name for name in layouts._fields if name in ("residual", "y")]

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, *others: np.ndarray) -> None:
        weights = lowering.weights(spec, w, bias)
        for piece, is_all, parts in itertools.chain(blocks, rest()):
            whole = {"x": x, **dict(zip(names, others, strict=True))}
            given = whole if is_all else views(piece, whole)
            for number, part in enumerate(parts):
                values, *results = reserve(lowering.name, part.lowered.dtype, *part.sizes)
                seen = take_channels(given["x"], part.channels, spec.groups)
                lowering.read(part.spec, in_order(seen, last), values)
                for name, added in zip(names[:-1], results, strict=False):
                    lowering.read(part.spec, in_order(given[name], last), added)
                into = (shaped(each, part.shapes[1], last) for each in results)
                part.convolve(shaped(values, part.shapes[0], last), *weights[number], *into)
                lowering.write(part.spec, results[-1], bias, in_order(given["y"], last), number == 0)

    return run


def in_order(array: np.ndarray, last: bool) -> np.ndarray:
    """The array with its axes in the order of memory."""
    return array.transpose(0, 2, 3, 1) if last else array


def shaped(values: np.ndarray, shape: tuple[int, ...], last: bool) -> np.ndarray:
    """A row of values as an array (N, C, H, W), whose channels are the last axis in memory or not."""
    if not last:
        return values.reshape(shape)
    N, C, H, W = shape
    return values.reshape(N, H, W, C).transpose(0, 3, 1, 2)


def plan_parts(
    lowering: Lowering, algorithms: Algorithms, device: Processor, last: bool, block: ConvSpec
) -> tuple[Part, ...]:
    """How a block is computed, part by part: by the first of `algorithms` that is fast for it."""
    parts = []
    for channels in lowering.terms(block):
        spec = of_channels(block, channels)
        problem = lowered, *_ = problem_of(lowering.lower(spec), device, last)
        shapes = lowered.in_shape, lowered.out_shape
        sizes = math.prod(shapes[0]), *[math.prod(shapes[1])] * (1 + lowered.epilogue.residual)
        convolve = plan_by(algorithms, *problem)
        parts.append(Part(channels, spec, lowered, shapes, sizes, convolve))
    return tuple(parts)


def of_channels(spec: ConvSpec, channels: slice) -> ConvSpec:
    """The part of a problem that sums some channels of each group."""
    if channels == ALL:
        return spec
    is_forward = spec.direction == "forward"
    count = len(range(spec.C_group if is_forward else spec.K_group)[channels]) * spec.groups
    return replace(spec, C=count) if is_forward else replace(spec, K=count)


def take_channels(x: np.ndarray, channels: slice, groups: int) -> np.ndarray:
    """Some channels of each group of x (N, C, H, W)."""
    if channels == ALL:
        return x
    if groups == 1:
        return x[:, channels]
    N, C, *plane = x.shape
    taken = x.reshape(N, groups, C // groups, *plane)[:, :, channels]
    return taken.reshape(N, groups * taken.shape[2], *plane)


def elements_of_block(lowering: Lowering, spec: ConvSpec) -> int:
    """Elements of x and y that a block may have: those of one image, if the workspace has room for them."""
    lowered = lowering.lower(spec)
    image, converted = (
        math.prod(each.in_shape[1:]) + math.prod(each.out_shape[1:]) for each in (spec, lowered)
    )
    converted += math.prod(lowered.out_shape[1:]) * lowered.epilogue.residual
    allowed = min(workspace_limit(), max(lowering.block, lowered.itemsize * converted))
    return allowed * image // max(lowered.itemsize * converted, 1)


def problem_of(
    lowered: ConvSpec, device: Processor, last: bool = False
) -> tuple[ConvSpec, Layouts, Processor]:
    """The lowered problem: its arrays have no gaps."""
    kind, lie = lowered.dtype.numpy, channels_last if last else packed
    w = packed(lowered.weight_shape, kind)
    x, y = (lie(shape, kind) for shape in (lowered.in_shape, lowered.out_shape))
    bias = packed((lowered.out_shape[1],), kind)
    return lowered, conv_layouts(x, w, bias, y if lowered.epilogue.residual else None, y), device


def over(
    lowering: Lowering, algorithms: Algorithms, takes: Mapping[str, Collection[Any]], fast_for: str,
    said: Callable[[ConvSpec, str], str],
    refuses: Callable[[ConvSpec, Layouts, Processor], str | None] = unsupported,
) -> Algorithm:  # fmt: skip
    """The algorithm that computes the lowered problems with the first of `algorithms` that is fast for them.

    `said(spec, name)` is its remark, with the name of the one that computes the first block.
    """

    def remark(spec: ConvSpec) -> str:
        return said(spec, by_which(lowering, algorithms, spec, Processor(get_num_threads())))

    plan_it = functools.partial(plan, lowering, algorithms)
    taken = {"precision": PRECISIONS, **takes}
    return Algorithm(lowering.name, taken, refuses, worth, plan_it, fast_for, remark)


def by_which(lowering: Lowering, algorithms: Algorithms, spec: ConvSpec, device: Processor) -> str:
    """The name of the algorithm that computes the first block, for `explain`."""
    cut = pieces(spec, True, True, elements_of_block(lowering, spec))
    part: Any = next((piece.spec for piece in cut), spec)
    part = of_channels(part, lowering.terms(spec)[0])
    return select(algorithms, *problem_of(lowering.lower(part), device)).name
