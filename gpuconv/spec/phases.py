"""The gradient of a convolution by its input, in phases: convolutions at stride 1 that write all of it.

    dx[n, c, h, w] = sum over k, r, s of weight[k, c, r, s] * dy[n, k, p, q],
                     where h + top = p stride + r dilation, and likewise w

A row h meets the taps r for which h + top - r dilation is a multiple of the stride: every stride-th row meets
the same ones, each as far from the next as stride / gcd(stride, dilation). So the rows from h on, in steps of
the stride, are a convolution of dy at stride 1, with these taps in reverse order, at a dilation of
dilation / gcd(stride, dilation). So there are at most as many phases as taps, whatever the stride. Where some
outputs meet no tap, the first phase is one of no channels and of all outputs: they become the bias alone, and
those that follow write over it.
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
_NO_WINDOW = (_NOTHING, _NOTHING)


class AxisPhase(NamedTuple):
    """Of one axis: the outputs of a phase, what they see, their taps in reverse order, the convolution."""

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
    """The phases of `axis.size` outputs, of so many inputs, that meet a tap, from the first output on."""
    unit = math.gcd(axis.stride, axis.dilation)
    apart, dilation = axis.stride // unit, axis.dilation // unit  # of taps; of the convolution
    lowest = range(min(axis.taps, apart))  # tap of a phase each
    firsts = {(tap * axis.dilation - axis.pads[0]) % axis.stride: tap for tap in lowest}
    for first, tap in sorted(firsts.items()):
        if first >= axis.size:
            break
        outputs = slice(first, axis.size, axis.stride)
        count = len(range(axis.size)[outputs])
        place = first + axis.pads[0]
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
    """The convolutions that a gradient by the input comes to, in the order in which they write."""
    rows, columns = axes_of(spec)
    of_rows, of_columns = [*phases_of_axis(rows, spec.P)], [*phases_of_axis(columns, spec.Q)]
    if len(of_rows) * len(of_columns) < min(rows.stride, rows.size) * min(columns.stride, columns.size):
        yield _of_no_taps(spec)
    for high, wide in product(of_rows, of_columns):
        forward = replace(
            spec, C=spec.K, K=spec.C, H=high.extent, W=wide.extent, R=high.number, S=wide.number,
            pads=(high.pads, wide.pads), stride=(1, 1), dilation=(high.dilation, wide.dilation),
            direction="forward",
        )  # fmt: skip
        yield Phase((high.outputs, wide.outputs), (high.inputs, wide.inputs), (high.taps, wide.taps), forward)


def remark_of_phases(spec: ConvSpec) -> str:
    """How many convolutions of some taps there are, for `explain`."""
    count = sum(phase.taps != _NO_WINDOW for phase in phases_of(spec))
    return f"{count} convolution{'s' * (count > 1)} at stride 1"


def _of_no_taps(spec: ConvSpec) -> Phase:
    """All outputs, which see nothing."""
    everything = slice(0, spec.H, 1), slice(0, spec.W, 1)
    forward = replace(
        spec, C=0, K=spec.C, R=1, S=1, pads=((0, 0), (0, 0)), stride=(1, 1), dilation=(1, 1),
        direction="forward",
    )  # fmt: skip
    return Phase(everything, _NO_WINDOW, _NO_WINDOW, forward)
