"""Taps of a window that meet zeros alone, whatever the output: what is left of a convolution without them.

Of an image of 3 columns, a window of 37 columns 4 apart, and 72 columns of zeros on either side:

    taps          0   4   8  ..      72      ..   140 144        in three outputs only tap 18 meets the image
    image                          [a b c]

Their products are zeros, if their weights are finite; who leaves them out has to look at these.
"""

import math
from dataclasses import replace
from typing import NamedTuple

from gpuconv.spec.axis import Axis, Pair
from gpuconv.spec.checks import axes_of
from gpuconv.spec.conv import ConvSpec


class Trimmed(NamedTuple):
    """A convolution with some of the taps (rows, columns), of some of the inputs likewise."""

    spec: ConvSpec
    taps: tuple[slice, slice]
    inputs: tuple[slice, slice]


class _TrimmedAxis(NamedTuple):
    taps: range
    inputs: slice
    pads: Pair
    dilation: int


def trimmed(spec: ConvSpec) -> Trimmed | None:
    """The same outputs of fewer taps; None where each tap, or none, meets the image.

    Examples
    --------
    >>> spec = ConvSpec(N=1, C=1, H=9, W=3, K=1, R=1, S=37, pads=((0, 0), (72, 72)), dilation=(1, 4))
    >>> smaller = trimmed(spec)
    >>> smaller.taps, smaller.spec.S, smaller.spec.pads, smaller.spec.out_shape == spec.out_shape
    ((slice(0, 1, 1), slice(18, 19, 1)), 1, ((0, 0), (0, 0)), True)
    """
    rows, columns = (_trimmed_axis(*each) for each in zip(axes_of(spec), (spec.P, spec.Q), strict=True))
    if not rows.taps or not columns.taps or (len(rows.taps), len(columns.taps)) == (spec.R, spec.S):
        return None
    smaller = replace(
        spec, H=_length(rows.inputs), W=_length(columns.inputs), R=len(rows.taps), S=len(columns.taps),
        pads=(rows.pads, columns.pads), dilation=(rows.dilation, columns.dilation),
    )  # fmt: skip
    return Trimmed(smaller, (_slice(rows.taps), _slice(columns.taps)), (rows.inputs, columns.inputs))


def _trimmed_axis(axis: Axis, outputs: int) -> _TrimmedAxis:
    """The taps that some output sees inside of the image, and what lies evenly between these."""
    meeting = [tap for tap in range(axis.taps) if _meets(axis, tap, outputs)]
    if len(meeting) in (0, axis.taps):
        return _TrimmedAxis(range(len(meeting)), slice(0, axis.size), axis.pads, axis.dilation)
    step = math.gcd(*(tap - meeting[0] for tap in meeting)) or 1
    taps = range(meeting[0], meeting[-1] + 1, step)
    dilation = axis.dilation * step if len(taps) > 1 else 1
    begin = taps[0] * axis.dilation - axis.pads[0]  # where the first output begins to read
    end = begin + (outputs - 1) * axis.stride + (len(taps) - 1) * dilation + 1
    inputs = slice(max(begin, 0), axis.size if axis.size - end < axis.stride else end)
    return _TrimmedAxis(taps, inputs, (max(-begin, 0), max(end - axis.size, 0)), dilation)


def _meets(axis: Axis, tap: int, outputs: int) -> bool:
    """Whether some output sees the image by this tap."""
    first = tap * axis.dilation - axis.pads[0]
    output = max(0, -(first // axis.stride))  # the first that does not see what lies before the image
    return output < outputs and first + output * axis.stride < axis.size


def _slice(taps: range) -> slice:
    return slice(taps.start, taps.stop, taps.step)


def _length(inputs: slice) -> int:
    return inputs.stop - inputs.start
