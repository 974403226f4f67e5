"""Some outputs of a problem as a problem of its own, of that part of the input which they see.

    input    . . . . [x x x x x x x] . . . .      outputs p0 to p1 see the places from p0 stride - before to
    outputs        [p0 . . . . p1]                before (p1 - 1) stride - before + reach; what of these lies
                                                  beyond the image is the crop's own padding

A crop has the padding of its four sides, which is that of the image at the image's borders alone. In the
padding modes that read the image again it has none: its places are named one by one. Of a transposed
convolution outputs see the inputs whose kernels reach them. Windows of an adaptive pool are no such problem,
but some of them are: those that repeat, as far from each other as the image and the outputs have common
parts.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from gpuconv.spec.axis import Axis, Pair
from gpuconv.spec.checks import axes_of
from gpuconv.spec.conv import INPUT_GRADIENT, ConvSpec
from gpuconv.spec.padding_mode import MIRRORED, continued
from gpuconv.spec.pool import PoolSpec
from gpuconv.spec.windows import ADAPTIVE, REGULAR, shared_out

Intervals = tuple[Pair, ...]  # of places: first, and one behind the last
Images = ConvSpec | PoolSpec


class Part(NamedTuple):
    """A problem of some places of a crop: which (rows, columns), and where its outputs lie."""

    inputs: tuple[slice, slice]
    outputs: tuple[slice, slice]
    spec: Any


class AxisCrop(NamedTuple):
    """Of one axis: what is read, in which order if not in this, and the axes of the problems.

    `problems` are (places of what is read, outputs, axis) each.
    """

    inputs: Intervals
    order: np.ndarray | None
    problems: tuple[tuple[slice, slice, Axis], ...]


class ChannelCrop(NamedTuple):
    """Of the channels: what is read of the input and of the first two axes of the weight, and the groups."""

    inputs: Pair
    weight: tuple[Pair, Pair]
    groups: int


ALL = slice(None)


def crop_axis(spec: Images, number: int, outputs: Pair) -> AxisCrop:
    """What the rows, of number 0, or the columns of a result from `outputs[0]` to `outputs[1]` need.

    Examples
    --------
    >>> spec = ConvSpec(N=1, C=1, H=9, W=9, K=1, R=3, S=3, pads=((1, 1), (1, 1)), stride=(2, 2))
    >>> crop_axis(spec, 0, (0, 3))
    AxisCrop(inputs=((0, 6),), order=None, problems=((slice(None, None, None), slice(None, None, None),
        Axis(size=6, taps=3, pads=(1, 0), stride=2, dilation=1)),))
    """
    axis, size = axes_of(spec)[number], (spec.P, spec.Q)[number]
    if isinstance(spec, PoolSpec) and spec.windows == ADAPTIVE:
        return _adaptive(axis.size, size, outputs)
    if isinstance(spec, ConvSpec) and spec.direction == INPUT_GRADIENT:
        return _transposed(axis, size, outputs)
    if isinstance(spec, ConvSpec) and spec.padding_mode in MIRRORED:
        return _continued(axis, outputs, spec.padding_mode)
    return _forward(axis, outputs)


def _forward(axis: Axis, outputs: Pair) -> AxisCrop:
    begin, end = axis.seen(outputs)
    end = min(end, axis.size + axis.pads[1])  # beyond it a last window of `ceil_mode` has nothing
    low, high = max(begin, 0), min(end, axis.size)
    pads = low - begin, end - high
    if high <= low:
        low, high, pads = 0, 0, (end - begin, 0)
    return _one(((low, high),), axis._replace(size=high - low, pads=pads))


def _one(inputs: Intervals, axis: Axis, order: np.ndarray | None = None) -> AxisCrop:
    return AxisCrop(inputs, order, ((ALL, ALL, axis),))


def _continued(axis: Axis, outputs: Pair, mode: str) -> AxisCrop:
    """Without padding: of the places that are read, some are read again."""
    seen = range(*axis.seen(outputs))
    places = continued(np.array(seen), axis.size, mode)
    read, order = np.unique(places, return_inverse=True)
    ends = np.flatnonzero(np.diff(read) > 1)
    firsts, lasts = read[[0, *(ends + 1)]].tolist(), read[[*ends, -1]].tolist()
    inputs = tuple((first, last + 1) for first, last in zip(firsts, lasts, strict=True))
    is_in_order = len(places) == len(read) and bool((np.diff(places) > 0).all())
    cropped = axis._replace(size=len(seen), pads=(0, 0))
    return _one(inputs, cropped, None if is_in_order else order)


def _transposed(axis: Axis, count: int, outputs: Pair) -> AxisCrop:
    """Of `axis`, whose extent is that of the outputs, of which `count` inputs reach some."""
    begin, end = (place + axis.pads[0] for place in outputs)
    low = min(-((axis.reach - 1 - begin) // axis.stride), begin // axis.stride)
    low = min(max(low, 0), count - 1)
    high = min(max((end - 1) // axis.stride + 1, low + 1), count)
    before = begin - low * axis.stride
    after = (high - low - 1) * axis.stride + axis.reach - before - (end - begin)  # less than 0: none reaches
    return _one(((low, high),), axis._replace(size=end - begin, pads=(before, after)))


def _adaptive(size: int, count: int, outputs: Pair) -> AxisCrop:
    """Every so many windows are alike and evenly spaced."""
    first, last = (table[slice(*outputs)].tolist() for table in shared_out(size, count))
    common = math.gcd(size, count)
    period, stride = count // common, size // common
    problems = []
    for number in range(min(period, len(first))):
        alike = slice(number, len(first), period)
        taps, windows = last[number] - first[number], len(first[alike])
        begin, extent = first[number] - first[0], (windows - 1) * stride + taps
        problems.append((slice(begin, begin + extent), alike, Axis(extent, taps, stride=stride)))
    return AxisCrop(((first[0], last[-1]),), None, tuple(problems))


def parts_of(spec: Images, rows: AxisCrop, columns: AxisCrop) -> Iterator[Part]:
    """The problems of a crop, which together give its outputs."""
    for (h, p, high), (w, q, wide) in product(rows.problems, columns.problems):
        changes: dict[str, Any] = {
            "H": high.size, "W": wide.size, "R": high.taps, "S": wide.taps, "pads": (high.pads, wide.pads),
            "stride": (high.stride, wide.stride),
        }  # fmt: skip
        if isinstance(spec, PoolSpec):
            changes |= {"windows": REGULAR, "output_size": None}
        else:
            changes |= {"padding_mode": "zeros"}
        yield Part((h, w), (p, q), replace(spec, **changes))


def with_channels(spec: Images, N: int, outputs: Pair) -> tuple[Any, ChannelCrop]:
    """The problem of so many images and of some output channels, and what these need.

    Of a convolution in groups that is one group or a part of it, or several whole ones.

    Examples
    --------
    >>> spec = ConvSpec(N=8, C=6, H=9, W=9, K=9, R=3, S=3, groups=3)
    >>> with_channels(spec, 1, (3, 9))[1]
    ChannelCrop(inputs=(2, 6), weight=((3, 9), (0, 2)), groups=2)
    >>> with_channels(spec, 1, (1, 3))[1]
    ChannelCrop(inputs=(0, 2), weight=((1, 3), (0, 2)), groups=1)
    """
    count = outputs[1] - outputs[0]
    if isinstance(spec, PoolSpec):
        return replace(spec, N=N, C=count), ChannelCrop(outputs, ((0, 0), (0, 0)), 1)
    is_transposed = spec.direction == INPUT_GRADIENT
    taken, given = (spec.K_group, spec.C_group) if is_transposed else (spec.C_group, spec.K_group)
    first, last = outputs[0] // given, -(-outputs[1] // given)
    inputs, groups = (first * taken, last * taken), last - first
    within = (outputs[0] - first * given, outputs[1] - first * given) if groups == 1 else (0, given)
    if is_transposed:
        cropped = replace(spec, N=N, K=inputs[1] - inputs[0], C=count, groups=groups)
        return cropped, ChannelCrop(inputs, (inputs, within), groups)
    cropped = replace(spec, N=N, C=inputs[1] - inputs[0], K=count, groups=groups)
    return cropped, ChannelCrop(inputs, (outputs, (0, taken)), groups)


def cut_axis(spec: Images, number: int, bounds: list[int]) -> list[int]:
    """Where to cut the rows, or the columns, of a result, if the input is cut at `bounds`.

    There where the middles of windows are on both sides of a bound, so that blocks need as much of the one
    neighbour as of the other; of a transposed convolution, the middles of kernels. From 0 to the last output,
    without blocks of none.

    Examples
    --------
    >>> cut_axis(PoolSpec("max", N=1, C=1, H=8, W=8, R=2, S=2, stride=(2, 2)), 0, [0, 3, 6, 8])
    [0, 2, 3, 4]
    """
    axis, size = axes_of(spec)[number], (spec.P, spec.Q)[number]
    inner = np.array(bounds[1:-1], np.int64)
    if isinstance(spec, PoolSpec) and spec.windows == ADAPTIVE:
        first, last = shared_out(axis.size, size)
        cuts = np.searchsorted((first + last - 1) // 2, inner)
    elif isinstance(spec, ConvSpec) and spec.direction == INPUT_GRADIENT:
        size = axis.size
        cuts = inner * axis.stride - axis.pads[0] + (axis.reach - axis.stride) // 2
    else:
        cuts = -((axis.middle - inner) // axis.stride)
    return sorted({0, size, *cuts.clip(0, size).tolist()})


def cut_channels(spec: Images, bounds: list[int], weight_bounds: list[int]) -> list[int]:
    """Where to cut the output channels, if those of the input and the output axis of the weight are cut so.

    The input's are where they part groups; within a group all are summed. `weight_bounds` are in output
    channels of a convolution, in those of one group if it is transposed.

    Examples
    --------
    >>> spec = ConvSpec(N=1, C=6, H=9, W=9, K=9, R=3, S=3, groups=3)
    >>> cut_channels(spec, [0, 2, 3, 6], [0, 9]), cut_channels(spec, [0, 6], [0, 4, 9])
    ([0, 3, 9], [0, 3, 4, 6, 9])
    """
    if isinstance(spec, PoolSpec):
        return bounds
    is_transposed = spec.direction == INPUT_GRADIENT
    taken, given = (spec.K_group, spec.C_group) if is_transposed else (spec.C_group, spec.K_group)
    channels = given * spec.groups
    cuts = {0, channels}
    if spec.groups > 1 and taken:
        cuts |= {bound // taken * given for bound in bounds if bound % taken == 0}
    if is_transposed and len(weight_bounds) > 2:
        cuts |= {group * given + bound for group in range(spec.groups) for bound in weight_bounds}
    elif not is_transposed:
        cuts |= set(weight_bounds)
    for cut in [cut for cut in cuts if given and cut % given]:
        cuts |= {cut // given * given, -(-cut // given) * given}
    return sorted(cuts)


def middles(spec: Images, number: int) -> np.ndarray | None:
    """The place of the input in the middle of the window of each row, or column; of two the one before.

    Of a transposed convolution the place whose kernel has its middle there. One beyond the image is that at
    its border. None where two outputs share a place.

    Examples
    --------
    >>> middles(PoolSpec("max", N=1, C=1, H=8, W=8, R=2, S=2, stride=(2, 2)), 0)
    array([0, 2, 4, 6])
    """
    axis, count = axes_of(spec)[number], (spec.P, spec.Q)[number]
    if isinstance(spec, PoolSpec) and spec.windows == ADAPTIVE:
        first, last = shared_out(axis.size, count)
        places, size = (first + last - 1) // 2, axis.size
    elif isinstance(spec, ConvSpec) and spec.direction == INPUT_GRADIENT:
        places, size = (np.arange(axis.size) - axis.middle) // axis.stride, count
    else:
        places, size = np.arange(count) * axis.stride + axis.middle, axis.size
    places = places.clip(0, size - 1)
    return places if size and (np.diff(places) > 0).all() else None


def keeps_channels(spec: Images) -> bool:
    """Each output channel is made of the input channel of its number alone."""
    return isinstance(spec, PoolSpec) or spec.C == spec.K == spec.groups
