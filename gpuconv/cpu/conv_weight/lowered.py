"""Gradients by the weight in another dtype: some images at a time are converted, their gradients added up.

    x, dy  ->  values of some images  ->  their gradient in the lower dtype  ->  added to the sums  ->  dw

Images are cut into blocks, and one that is too large into rows of outputs, as `engine.lowered` cuts them for
a convolution, whose lowerings these are. Numbers of 16 bits are summed in float32, and what it comes to is
rounded once. Complex numbers, of the conjugates of x, are real ones of twice as many channels:

    dy_re x_re   dy_re x_im         dw_re = dy_re x_re + dy_im x_im
    dy_im x_re   dy_im x_im         dw_im = dy_im x_re - dy_re x_im

Measured on 2026-11-29 on one core of an Intel Xeon (Sapphire Rapids) on which others worked, so that a figure
may be off by half: medians of 5 in turns, in ms for a batch of 8, beside PyTorch 2.13, which takes 6 to 12 s
in float16, and for bfloat16 has matrix units (AMX):

    C -> K @ size, stride       float32   float16   bfloat16   PyTorch   complex64   PyTorch
    7x7    3 ->   64 @ 224, 2      30        39         31        21        104        210
    3x3   64 ->   64 @ 56          17        17         19         8         77         96
    3x3  128 ->  128 @ 56, 2       17        23         24        11         88        100
    3x3  512 ->  512 @ 7           23        25         46        22        193        160
    1x1   64 ->  256 @ 56          11        19         23        22         70        404
    1x1 1024 ->  256 @ 14          16        17         19        12         72         61
"""

import functools
import itertools
import math
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, plan_by, select
from gpuconv.cpu.conv import parted, widened
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.lowered import Lowering, elements_of_block
from gpuconv.cpu.engine.native import FEW, pieces, views
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import PRECISIONS, WEIGHT_GRADIENT, ConvSpec, WeightGradientLayouts
from gpuconv.spec.dtypes import COMPLEX, SIXTEEN_BITS, Dtype
from gpuconv.spec.layouts import packed
from gpuconv.threads import get_num_threads

Problem = tuple[ConvSpec, WeightGradientLayouts, Processor]


class Block(NamedTuple):
    """The gradient of some images: the shapes of x and dy in the lower dtype, and what computes it."""

    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    sum_up: Run


def unsupported(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> str | None:
    return None


def worth(spec: ConvSpec, layouts: WeightGradientLayouts, device: Processor) -> bool:
    return True


def plan(
    lowering: Lowering, gradients: Algorithms, spec: ConvSpec, layouts: WeightGradientLayouts,
    device: Processor,
) -> Run:  # fmt: skip
    images = of_images(spec)
    cut = functools.partial(pieces, images, True, True, elements_of_block(lowering, images))
    few = tuple(itertools.islice(cut(), FEW))
    whole, dtype = lowering.lower(spec), lowering.lower(spec).dtype
    size = math.prod(whole.out_shape)

    @functools.cache
    def plan_block(part: Any) -> Block:
        problem = _problem_of(lowering.lower(replace(part, direction=WEIGHT_GRADIENT)), device)
        shapes = problem[1].x.shape, problem[1].dy.shape
        return Block(shapes, plan_by(gradients, *problem))

    for piece in few:
        plan_block(piece.spec)

    def run(x: np.ndarray, dy: np.ndarray, y: np.ndarray) -> None:
        (total,) = reserve(f"{lowering.name}, sums", dtype, size)
        total[:] = 0
        for number, piece in enumerate(few if len(few) < FEW else cut()):
            given, block = views(piece, {"x": x, "y": dy}), plan_block(piece.spec)
            values, seen, sums = reserve(
                lowering.name, dtype, *map(math.prod, block.shapes), size if number else 0
            )  # fmt: skip
            lowering.read(spec, given["x"], values)
            lowering.read(spec, given["y"], seen)
            sums = sums if number else total
            arrays = zip((values, seen, sums), (*block.shapes, whole.out_shape), strict=True)
            block.sum_up(*(each.reshape(shape) for each, shape in arrays))
            if number:
                with np.errstate(all="ignore"):
                    np.add(total, sums, out=total)
        lowering.write(spec, total, total, y, True)

    return run


def of_images(spec: ConvSpec) -> ConvSpec:
    """The convolution whose gradient it is, which can be cut into pieces."""
    return replace(spec, direction="forward", conjugate=None)


def _problem_of(lowered: ConvSpec, device: Processor) -> Problem:
    """The lowered problem: its arrays have no gaps."""
    shapes = lowered.in_shape, (lowered.N, lowered.K, lowered.P, lowered.Q), lowered.out_shape
    x, dy, y = (packed(shape, lowered.dtype.numpy) for shape in shapes)
    return lowered, WeightGradientLayouts(x, dy, y), device


def put_products_together(
    spec: ConvSpec, sums: np.ndarray, bias: np.ndarray, y: np.ndarray, first: bool
) -> None:
    """dw of what (dy_re, dy_im) by (x_re, x_im) comes to, group by group."""
    group = spec.K_group, spec.C_group, spec.R, spec.S
    K, C, *window = group
    products = sums.reshape(spec.groups, 2, K, 2, C, *window)
    dw = y.reshape(spec.groups, *group)  # a view: an axis is split
    with np.errstate(all="ignore"):
        np.add(products[:, 0, :, 0], products[:, 1, :, 1], out=dw.real)
        np.subtract(products[:, 1, :, 0], products[:, 0, :, 1], out=dw.imag)


WIDENED = widened.LOWERING._replace(name="conv_weight_widened")
PARTED = parted.LOWERING._replace(name="conv_weight_parted", write=put_products_together)


def over(
    lowering: Lowering, gradients: Algorithms, dtypes: Collection[Dtype], fast_for: str,
    said: Callable[[Dtype, str], str],
) -> Algorithm:  # fmt: skip
    """The algorithm that computes blocks with the first of `gradients` that is fast for them.

    `said(dtype, name)` is its remark, with the lower dtype, and the name of what computes the first block.
    """

    def remark(spec: ConvSpec) -> str:
        images = of_images(spec)
        cut = pieces(images, True, True, elements_of_block(lowering, images))
        part: Any = next((piece.spec for piece in cut), images)
        lowered = lowering.lower(replace(part, direction=WEIGHT_GRADIENT))
        problem = _problem_of(lowered, Processor(get_num_threads()))
        return said(lowered.dtype, select(gradients, *problem).name)

    return Algorithm(
        lowering.name,
        {
            "dtype": dtypes, "precision": PRECISIONS, "direction": (WEIGHT_GRADIENT,),
            "conjugate": (None, "input"),
        },
        unsupported, worth, functools.partial(plan, lowering, gradients), fast_for, remark,
    )  # fmt: skip


def of_sixteen_bits(gradients: Algorithms) -> Algorithm:
    """That of float16 and bfloat16."""
    return over(
        WIDENED, gradients, SIXTEEN_BITS, "numbers of 16 bits",
        lambda dtype, name: f"summed in {dtype} by {name}, and rounded once",
    )  # fmt: skip


def of_complex(gradients: Algorithms) -> Algorithm:
    """That of complex numbers."""
    return over(
        PARTED, gradients, COMPLEX, "complex numbers",
        lambda dtype, name: f"four products of {dtype} each, summed by {name}",
    )  # fmt: skip
