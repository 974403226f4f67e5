"""Where windows lie within the image, and where they reach beyond its borders: a convolution in regions.

       q0          q1
   +---+-----------+---+      in the middle no window reaches beyond the image: a convolution of it without
   |       above       |      padding. What the four others see, which is narrow, is copied as the padding
p0 +---+-----------+---+      mode says; then they are such convolutions too.
   | l |  middle   | r |
p1 +---+-----------+---+
   |       below       |
   +-------------------+
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gpuconv.spec.axis import Axis, Pair
from gpuconv.spec.checks import axes_of
from gpuconv.spec.conv import ConvSpec
from gpuconv.spec.padding_mode import continued

LONGEST = 2**30  # side of a padded image and its image: places are counted in int32, and in tables


class Region(NamedTuple):
    """Outputs, and the rows and columns that they see: a slice of those of the image, or places in it.

    `spec` is the convolution, without padding, of what they see.
    """

    outputs: tuple[slice, slice]
    inputs: tuple[Any, Any]
    is_copied: bool
    spec: ConvSpec


def too_long(spec: ConvSpec) -> str | None:
    """Why an image is padded by too much to be read again, or None."""
    if max(axis.padded + axis.size for axis in axes_of(spec)) >= LONGEST:
        return "the padded image has a side of 2^29 or more"
    return None


def within(axis: Axis, outputs: int) -> Pair:
    """The first window that lies within the image, and the first behind them that does not."""
    begin = min(-(-axis.pads[0] // axis.stride), outputs)
    end = (axis.size + axis.pads[0] - axis.reach) // axis.stride + 1
    return begin, max(begin, min(end, outputs))


def regions_of(spec: ConvSpec) -> Iterator[Region]:
    """The regions that have outputs; all is one that is copied, if no window lies within the image."""
    rows, columns = axes_of(spec)
    (p0, p1), (q0, q1) = within(rows, spec.P), within(columns, spec.Q)
    if p0 == p1 or q0 == q1:
        yield _copied(spec, range(spec.P), range(spec.Q))
        return
    yield _middle(spec, range(p0, p1), range(q0, q1))
    for high, wide in (
        (range(p0), range(spec.Q)),
        (range(p1, spec.P), range(spec.Q)),
        (range(p0, p1), range(q0)),
        (range(p0, p1), range(q1, spec.Q)),
    ):
        if high and wide:
            yield _copied(spec, high, wide)


def part_of(region: Region, spec: ConvSpec, first: int, last: int) -> Region:
    """Some rows of the outputs of a region that is copied."""
    rows, columns = (range(each.start, each.stop) for each in region.outputs)
    return _copied(spec, rows[first:last], columns)


def _seen(axis: Axis, outputs: range) -> range:
    """The places that these windows reach from end to end."""
    return range(*axis.seen((outputs.start, outputs.stop)))


def _middle(spec: ConvSpec, *outputs: range) -> Region:
    rows, columns = map(_seen, axes_of(spec), outputs)
    inputs = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
    return Region(_slices(*outputs), inputs, False, _of(spec, len(rows), len(columns)))


def _copied(spec: ConvSpec, *outputs: range) -> Region:
    rows, columns = map(_seen, axes_of(spec), outputs)
    inputs = (
        continued(np.array(rows), spec.H, spec.padding_mode),
        continued(np.array(columns), spec.W, spec.padding_mode),
    )
    return Region(_slices(*outputs), inputs, True, _of(spec, len(rows), len(columns)))


def _slices(high: range, wide: range) -> tuple[slice, slice]:
    return slice(high.start, high.stop), slice(wide.start, wide.stop)


def _of(spec: ConvSpec, H: int, W: int) -> ConvSpec:
    return replace(spec, H=H, W=W, pads=((0, 0), (0, 0)), padding_mode="zeros")
