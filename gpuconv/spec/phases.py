"""The gradient of a convolution by its input, in phases: convolutions at stride 1 that write all of it.

    dx[n, c, h, w] = sum over k, r, s of weight[k, c, r, s] * dy[n, k, p, q],
                     where h + top = p stride + r dilation, and likewise w

A row h meets the taps r for which h + top - r dilation is a multiple of the stride: every stride-th row meets
the same ones, each as far from the next as stride / gcd(stride, dilation). So the rows from h on, in steps of
the stride, are a convolution of dy at stride 1, with these taps in reverse order, at a dilation of
dilation / gcd(stride, dilation). A phase whose rows meet no tap is one of no channels: its results are the
bias alone.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from gpuconv.spec.axis import Axis, Pair
from gpuconv.spec.checks import axes_of
from gpuconv.spec.conv import ConvSpec

_NOTHING = slice(0, 0)


class AxisPhase(NamedTuple):
    """Of one axis: the outputs of a phase, what they see, the taps in reverse order, and the convolution."""

    outputs: slice
    inputs: slice
    taps: slice
    pads: Pair
    number: int  # of taps
    dilation: int

    @property
    def extent(self) -> int:
        """Inputs that are seen."""
        return self.inputs.stop - self.inputs.start


class Phase(NamedTuple):
    """Outputs (rows, columns), inputs and taps likewise, and the convolution that is to be made of them."""

    outputs: tuple[slice, slice]
    inputs: tuple[slice, slice]
    taps: tuple[slice, slice]
    spec: ConvSpec


def phases_of_axis(axis: Axis, inputs: int) -> Iterator[AxisPhase]:
    """The phases of `axis.size` outputs, of so many inputs."""
    unit = math.gcd(axis.stride, axis.dilation)
    apart, dilation = axis.stride // unit, axis.dilation // unit  # of taps; of the convolution
    for first in range(min(axis.stride, axis.size)):
        outputs = slice(first, axis.size, axis.stride)
        count = len(range(axis.size)[outputs])
        place = first + axis.pads[0]
        tap = place // unit * pow(dilation, -1, apart) % apart if apart > 1 else 0
        if place % unit or tap >= axis.taps:
            yield AxisPhase(outputs, _NOTHING, _NOTHING, (count, 0), 0, 1)
            continue
        taps = range(tap, axis.taps, apart)[::-1]
        begin = (place - taps[0] * axis.dilation) // axis.stride  # the input of the first output's first tap
        end = begin + count + dilation * (len(taps) - 1)
        low, high = min(max(begin, 0), inputs), min(max(end, 0), inputs)
        seen, pads = slice(low, high), (low - begin, end - high)
        if high <= low:
            seen, pads = _NOTHING, (end - begin, 0)
        stop = tap - apart if tap >= apart else None
        yield AxisPhase(outputs, seen, slice(taps[0], stop, -apart), pads, len(taps), dilation)


def phases_of(spec: ConvSpec) -> Iterator[Phase]:
    """The convolutions that a gradient by the input comes to."""
    rows, columns = axes_of(spec)
    for high, wide in product(phases_of_axis(rows, spec.P), phases_of_axis(columns, spec.Q)):
        forward = replace(
            spec, C=spec.K, K=spec.C, H=high.extent, W=wide.extent, R=high.number, S=wide.number,
            pads=(high.pads, wide.pads), stride=(1, 1), dilation=(high.dilation, wide.dilation),
            direction="forward",
        ) if high.number and wide.number else _of_no_taps(spec, high, wide)  # fmt: skip
        yield Phase((high.outputs, wide.outputs), (high.inputs, wide.inputs), (high.taps, wide.taps), forward)


def remark_of_phases(spec: ConvSpec) -> str:
    """How many convolutions there are, for `explain`."""
    count = sum(1 for _ in phases_of(spec))
    return f"{count} convolution{'s' * (count > 1)} at stride 1"


def _of_no_taps(spec: ConvSpec, high: AxisPhase, wide: AxisPhase) -> ConvSpec:
    H, W = len(range(spec.H)[high.outputs]), len(range(spec.W)[wide.outputs])
    return replace(
        spec, C=0, K=spec.C, H=H, W=W, R=1, S=1, pads=((0, 0), (0, 0)), stride=(1, 1), dilation=(1, 1),
        direction="forward",
    )  # fmt: skip
