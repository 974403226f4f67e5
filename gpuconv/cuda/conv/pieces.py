"""A convolution in pieces of few results: some images, or of one image some output channels.

    y [first images]                        while the results of an image are few enough
    y [image, first output channels]        else: whole groups, where there are several, or any

Nothing is copied: of each array a piece sees its part.
"""

from collections.abc import Iterator
from dataclasses import replace
from operator import mul
from typing import Any, NamedTuple

from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ALIGNED, Layout

RESULTS = "residual", "y"  # arrays of the shape of the result


class Piece(NamedTuple):
    """A problem, how its arrays lie, and how many bytes from the start of each."""

    spec: ConvSpec
    layouts: Any
    begins: dict[str, int]


def pieces_of(spec: ConvSpec, layouts: Any, most: int) -> Iterator[Piece]:
    """Those of at most so many results each, or of one plane, or of one of several groups."""
    N, K, P, Q = spec.out_shape
    unit = K // spec.groups if spec.groups > 1 else 1
    images = max(1, min(N, most // max(1, K * P * Q)))
    channels = K if most >= K * P * Q else max(1, most // (unit * P * Q)) * unit
    for n in range(0, max(N, 1), images):
        for k in range(0, max(K, 1), max(channels, 1)):
            yield _piece(spec, layouts, range(N)[n : n + images], range(K)[k : k + channels])


def _piece(spec: ConvSpec, layouts: Any, images: range, outputs: range) -> Piece:
    begins, seen = dict.fromkeys(layouts._fields, 0), {}
    part, firsts = _of_outputs(replace(spec, N=len(images)), outputs)
    shapes = {"x": part.in_shape, "w": part.weight_shape, "bias": (len(outputs),)}
    starts = {
        "x": (images.start, firsts["x"]), "w": firsts["w"], "bias": (outputs.start,),
        **dict.fromkeys(RESULTS, (images.start, outputs.start)),
    }  # fmt: skip
    for name in layouts._fields:
        layout: Layout | None = getattr(layouts, name)
        if layout is not None:
            begins[name] = sum(map(mul, starts[name], layout.strides))
            offset = (layout.offset + begins[name]) % ALIGNED
            seen[name] = layout._replace(shape=shapes.get(name, part.out_shape), offset=offset)
    return Piece(part, layouts._replace(**seen), begins)


def _of_outputs(spec: ConvSpec, outputs: range) -> tuple[ConvSpec, dict[str, Any]]:
    """The problem of some output channels, and where it begins among the channels of x and the axes of w."""
    is_forward = spec.direction == "forward"
    if len(outputs) == spec.out_shape[1]:
        return spec, {"x": 0, "w": (0, 0)}
    if spec.groups == 1:
        count, first = len(outputs), outputs.start
        if is_forward:
            return replace(spec, K=count), {"x": 0, "w": (first, 0)}
        return replace(spec, C=count), {"x": 0, "w": (0, first)}
    unit = spec.K_group if is_forward else spec.C_group
    group, groups = outputs.start // unit, len(outputs) // unit
    some = replace(spec, C=groups * spec.C_group, K=groups * spec.K_group, groups=groups)
    return some, {
        "x": group * (spec.C_group if is_forward else spec.K_group), "w": (group * spec.K_group, 0),
    }  # fmt: skip
