"""A convolution as undilated ones of strided inputs, and of each the outputs near its borders apart.

dilation d         outputs whose windows begin at the same remainder see every d-th input alone
wide padding       outputs that see but a few rows or columns of the image are left to other algorithms:
                   their sums are small beside the roundings of a transform
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

from gpuconv.spec import ConvLayouts, ConvSpec, Layout
from gpuconv.spec.axis import Axis
from gpuconv.spec.checks import axes_of

BLOCKS = 5  # of the taps of an axis: see `trust`


class Part(NamedTuple):
    """The inputs (rows, columns) that are seen, the outputs likewise, the convolution, and how it is done."""

    inputs: tuple[slice, slice]
    outputs: tuple[slice, slice]
    spec: ConvSpec
    by_transforms: bool


class Piece(NamedTuple):
    """Of an axis: outputs, the inputs that they see, and the same as an axis without dilation."""

    outputs: range
    inputs: range
    axis: Axis
    by_transforms: bool


def block_of(taps: int) -> int:
    """Taps of a block: a border of outputs is as many rows, that see less than two blocks of the image."""
    return max(1, taps // BLOCKS)


@lru_cache(maxsize=256)
def parts_of(spec: ConvSpec) -> tuple[Part, ...]:
    """The parts, which have all outputs between them; none where some outputs see zeros alone."""
    axes = zip(axes_of(spec), (spec.P, spec.Q), strict=True)
    rows, columns = ([*_pieces_of(axis, outputs)] for axis, outputs in axes)
    parts = [_part(spec, *pieces) for pieces in product(rows, columns)]
    return () if None in parts else tuple(part for part in parts if part is not None)


def _pieces_of(axis: Axis, outputs: int) -> Iterator[Piece]:
    """The outputs of one remainder after the other, cut where windows begin and end to see enough."""
    phases = axis.dilation // math.gcd(axis.stride, axis.dilation)
    for phase in range(min(phases, outputs)):
        made = range(phase, outputs, phases)
        begin = phase * axis.stride - axis.pads[0]
        first, stride = begin // axis.dilation, axis.stride * phases // axis.dilation
        seen = range(begin % axis.dilation, axis.size, axis.dilation)
        yield from _cut(made, seen, Axis(len(seen), axis.taps, (-first, 0), stride, 1))


def _cut(outputs: range, inputs: range, axis: Axis) -> Iterator[Piece]:
    """In the middle, if there is one, and what lies before and after it; the axis begins at -pads[0]."""
    least = min(axis.size, axis.taps, 2 * block_of(axis.taps))
    begin, count = -axis.pads[0], len(outputs)
    first = min(count, max(0, -(-(least - axis.taps - begin) // axis.stride)))
    last = max(first, min(count, (axis.size - least - begin) // axis.stride + 1))
    for start, end in ((0, first), (first, last), (last, count)):
        if start < end:
            made = outputs[start:end]
            yield _piece(made, inputs, axis, begin + start * axis.stride, (start, end) == (first, last))


def _piece(outputs: range, inputs: range, axis: Axis, at: int, by_transforms: bool) -> Piece:
    """These outputs, the window of the first of which begins at that input."""
    end = at + (len(outputs) - 1) * axis.stride + axis.taps
    seen = inputs[max(at, 0) : max(min(end, axis.size), 0)]
    pads = max(-at, 0), max(end - axis.size, 0)
    return Piece(outputs, seen, Axis(len(seen), axis.taps, pads, axis.stride, 1), by_transforms)


def of_outputs(spec: ConvSpec, rows: range, columns: range) -> Part | None:
    """Some outputs of an undilated convolution; None where they see zeros alone."""
    pieces = [
        _piece(outputs, range(axis.size), axis, outputs.start * axis.stride - axis.pads[0], False)
        for axis, outputs in zip(axes_of(spec), (rows, columns), strict=True)
    ]
    return _part(spec, *pieces)


def _part(spec: ConvSpec, high: Piece, wide: Piece) -> Part | None:
    if not (high.inputs and wide.inputs):
        return None
    part = replace(
        spec, H=len(high.inputs), W=len(wide.inputs), pads=(high.axis.pads, wide.axis.pads),
        stride=(high.axis.stride, wide.axis.stride), dilation=(1, 1),
    )  # fmt: skip
    inputs, outputs = _slice(high.inputs), _slice(high.outputs)
    return Part(
        (inputs, _slice(wide.inputs)), (outputs, _slice(wide.outputs)), part,
        high.by_transforms and wide.by_transforms,
    )  # fmt: skip


def layouts_of(part: Part, layouts: Any) -> ConvLayouts:
    """How the arrays of a part lie, which are views."""
    return ConvLayouts(
        _viewed(layouts.x, part.inputs, part.spec.in_shape), layouts.w, layouts.bias,
        _viewed(layouts.y, part.outputs, part.spec.out_shape),
    )  # fmt: skip


def _viewed(layout: Layout, taken: tuple[slice, slice], shape: tuple[int, ...]) -> Layout:
    n, c, h, w = layout.strides
    return layout._replace(shape=shape, strides=(n, c, h * taken[0].step, w * taken[1].step))


def _slice(places: range) -> slice:
    return slice(places.start, places.stop, places.step)
