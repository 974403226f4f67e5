"""Taps of a window that meet zeros alone, whatever the output: what is left of a convolution without them.

Of an image of 3 columns, a window of 37 columns 4 apart, and 72 columns of zeros on either side:

    taps          0   4   8  ..      72      ..   140 144        in three outputs only tap 18 meets the image
    image                          [a b c]

Their products are zeros, if their weights are finite; who leaves them out has to look at these.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gpuconv.spec.axis import Axis, Pair
from gpuconv.spec.checks import axes_of
from gpuconv.spec.conv import ConvSpec

ALL = slice(None)


class Trimmed(NamedTuple):
    """A convolution with some of the taps, of some of the inputs: slices of channels, rows, columns."""

    spec: ConvSpec
    taps: tuple[slice, slice, slice]
    inputs: tuple[slice, slice, slice]


class _TrimmedAxis(NamedTuple):
    taps: range
    inputs: slice
    pads: Pair
    dilation: int


def trimmed(spec: ConvSpec) -> Trimmed | None:
    """The same outputs of fewer taps, or of no channels; None where each tap meets the image.

    Examples
    --------
    >>> spec = ConvSpec(N=1, C=1, H=9, W=3, K=1, R=1, S=37, pads=((0, 0), (72, 72)), dilation=(1, 4))
    >>> smaller = trimmed(spec)
    >>> smaller.taps, smaller.spec.S, smaller.spec.pads, smaller.spec.out_shape == spec.out_shape
    ((slice(None, None, None), slice(0, 1, 1), slice(18, 19, 1)), 1, ((0, 0), (0, 0)), True)
    """
    rows, columns = (_trimmed_axis(*each) for each in zip(axes_of(spec), (spec.P, spec.Q), strict=True))
    if not rows.taps or not columns.taps:
        return _of_nothing(spec)
    if (len(rows.taps), len(columns.taps)) == (spec.R, spec.S):
        return None
    smaller = replace(
        spec, H=_length(rows.inputs), W=_length(columns.inputs), R=len(rows.taps), S=len(columns.taps),
        pads=(rows.pads, columns.pads), dilation=(rows.dilation, columns.dilation),
    )  # fmt: skip
    taps = ALL, _slice(rows.taps), _slice(columns.taps)
    return Trimmed(smaller, taps, (ALL, rows.inputs, columns.inputs))


def _of_nothing(spec: ConvSpec) -> Trimmed | None:
    """Outputs that see zeros alone: sums over no channels."""
    if spec.C == 0 or spec.H < 1 or spec.W < 1:
        return None
    padding = (0, spec.P - 1), (0, spec.Q - 1)
    sums = replace(
        spec, C=0, H=1, W=1, R=1, S=1, pads=padding, stride=(1, 1), dilation=(1, 1)
    )  # fmt: skip
    one, none = slice(0, 1), slice(0, 0)
    return Trimmed(sums, (none, one, one), (none, one, one))


def rows_read(spec: ConvSpec) -> tuple[ConvSpec, slice]:
    """The same of those rows of the image alone that are read, every second or so, and which they are.

    Examples
    --------
    >>> pads = (1, 1), (1, 1)
    >>> spec = ConvSpec(N=1, C=1, H=9, W=9, K=1, R=3, S=3, pads=pads, stride=(2, 2), dilation=(2, 2))
    >>> smaller, rows = rows_read(spec)
    >>> rows, smaller.H, smaller.stride, smaller.dilation, smaller.pads[0]
    (slice(1, 8, 2), 4, (1, 2), (1, 2), (1, 1))
    """
    step = spec.stride[0] if spec.R == 1 else math.gcd(spec.stride[0], spec.dilation[0])
    (before, _), columns = spec.pads
    first = -before % step
    stride, dilation = spec.stride[0] // step, max(1, spec.dilation[0] // step)
    before = (before + first) // step
    end = (spec.P - 1) * stride + (spec.R - 1) * dilation + 1 - before
    H = min(len(range(first, spec.H, step)), end)
    if step == 1 or H < 1:
        return spec, ALL
    pads = (before, max(0, end - H)), columns
    steps = (stride, spec.stride[1]), (dilation, spec.dilation[1])
    smaller = replace(spec, H=H, pads=pads, stride=steps[0], dilation=steps[1])
    return smaller, slice(first, first + (H - 1) * step + 1, step)


def _trimmed_axis(axis: Axis, outputs: int) -> _TrimmedAxis:
    """The taps that some output sees inside of the image, and what lies evenly between these."""
    if axis.pads == (0, 0):
        return _TrimmedAxis(range(axis.taps), slice(0, axis.size), axis.pads, axis.dilation)
    meeting = _meeting(axis, outputs)
    if len(meeting) in (0, axis.taps):
        return _TrimmedAxis(range(len(meeting)), slice(0, axis.size), axis.pads, axis.dilation)
    step = int(np.gcd.reduce(np.diff(meeting))) or 1
    taps = range(meeting[0], meeting[-1] + 1, step)
    dilation = axis.dilation * step if len(taps) > 1 else 1
    begin = taps[0] * axis.dilation - axis.pads[0]  # where the first output begins to read
    end = begin + (outputs - 1) * axis.stride + (len(taps) - 1) * dilation + 1
    inputs = slice(max(begin, 0), axis.size if axis.size - end < axis.stride else end)
    return _TrimmedAxis(taps, inputs, (max(-begin, 0), max(end - axis.size, 0)), dilation)


def _meeting(axis: Axis, outputs: int) -> list[int]:
    """The taps by which some output sees the image."""
    taps = np.arange(axis.taps)
    first = taps * axis.dilation - axis.pads[0]
    output = np.maximum(0, -(first // axis.stride))  # the first that does not see what lies before the image
    found: list[int] = taps[(output < outputs) & (first + output * axis.stride < axis.size)].tolist()
    return found


def _slice(taps: range) -> slice:
    return slice(taps.start, taps.stop, taps.step)


def _length(inputs: slice) -> int:
    return inputs.stop - inputs.start
