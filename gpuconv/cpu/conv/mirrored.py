"""Padding by the image itself: its middle is a convolution without padding, and so are copies of its borders.

`gpuconv.spec.regions` says which regions there are. What a border sees is copied, as the padding mode says,
in pieces that fit into a workspace, of some images or of some rows of one; never the image.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gpuconv.algorithm import ANY, Algorithm, Algorithms, plan_by
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import PRECISIONS, ConvSpec
from gpuconv.spec.dtypes import BYTES, CONVOLVED
from gpuconv.spec.layouts import packed
from gpuconv.spec.padding_mode import MIRRORED
from gpuconv.spec.regions import Region, part_of, regions_of, too_long
from gpuconv.workspace import workspace_limit


def unsupported(spec: ConvSpec, layouts: Any, device: Processor) -> str | None:
    return too_long(spec)


def worth(spec: ConvSpec, layouts: Any, device: Processor) -> bool:
    return True


def plan(convolutions: Algorithms, spec: ConvSpec, layouts: Any, device: Processor) -> Run:
    pieces = []
    for images, region in _pieces(spec):
        part = replace(region.spec, N=len(range(spec.N)[images]))
        pieces.append((images, region, part, _plan_piece(convolutions, region, part, layouts, device)))

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, *others: np.ndarray) -> None:
        for images, region, part, convolve in pieces:
            rows, columns = region.inputs
            if region.is_copied:
                (seen,) = reserve("conv_mirrored", spec.dtype, int(np.prod(part.in_shape)))
                seen = seen.reshape(part.in_shape)
                np.take(x[images].take(rows, axis=2), columns, axis=3, out=seen, mode="clip")
            else:
                seen = x[images, :, rows, columns]
            convolve(seen, w, bias, *(each[images, :, *region.outputs] for each in others))

    return run


def _pieces(spec: ConvSpec) -> Iterator[tuple[slice, Region]]:
    """(images, region): regions that are copied are cut so that twice a piece fits into a workspace."""
    limit = workspace_limit() // spec.itemsize // 2
    for region in regions_of(spec):
        rows = region.spec.P
        size = max(1, spec.C * region.spec.H * region.spec.W)  # elements of an image
        images = spec.N if not region.is_copied else max(1, limit // size)
        step = rows
        if region.is_copied and size > limit:
            row = max(1, spec.C * region.spec.W)
            step = max(1, (limit // row - (spec.R - 1) * spec.dilation[0]) // spec.stride[0])
        for n, p in itertools.product(range(0, max(spec.N, 1), max(images, 1)), range(0, rows, step)):
            piece = region if step >= rows else part_of(region, spec, p, p + step)
            yield slice(n, min(n + images, spec.N)), piece


def _plan_piece(
    convolutions: Algorithms, region: Region, part: ConvSpec, layouts: Any, device: Processor
) -> Run:
    x = layouts.x._replace(shape=part.in_shape)
    if region.is_copied:
        x = packed(part.in_shape, layouts.x.dtype)
    others = {name: getattr(layouts, name) for name in ("residual", "y") if name in layouts._fields}
    parts = {name: each._replace(shape=part.out_shape) for name, each in others.items()}
    problem = part, layouts._replace(x=x, **parts), device
    return plan_by(convolutions, *problem)


def over(convolutions: Algorithms) -> Algorithm:
    """The algorithm that computes each region by one of `convolutions`."""
    return Algorithm(
        "conv_mirrored",
        {
            "dtype": CONVOLVED, "weight_dtype": (None, *BYTES), "precision": PRECISIONS,
            "padding_mode": MIRRORED, "epilogue": ANY,
        },
        unsupported, worth, partial(plan, convolutions),
        fast_for="a padding mode that reads the image again, and what a plain convolution is fast for",
    )  # fmt: skip
