"""Windows of pools along one axis: which places they have, which windows have a place, and what they count.

Regular windows are found by a multiplication or a division by the stride; adaptive ones, the p-th of which
has the places from floor(p size / outputs) to before ceil((p + 1) size / outputs), by the extents. The
functions of a kind take the same arguments, so that kernels are written once for both.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from gpuconv.cuda.device.division import overlap
from gpuconv.cuda.device.elements import inlined
from gpuconv.cuda.language import int32, int64, uint32
from gpuconv.spec.windows import ADAPTIVE, REGULAR


@inlined
def regular_places(window, before, taps, stride, dilation, outputs, size):
    """(the first place inside that a window has, one behind the last), every `dilation` places."""
    start = int64(window) * int64(stride) - int64(before)
    last = min(start + int64(taps - uint32(1)) * int64(dilation) + int64(1), int64(size))
    if start < int64(0):
        missed = uint32(uint32(-start) + dilation - uint32(1)) // dilation
        start += int64(missed) * int64(dilation)
    return uint32(start), uint32(last)  # which is not negative: at most half of a window is padding


@inlined
def adaptive_places(window, before, taps, stride, dilation, outputs, size):
    first = int64(window) * int64(size) // int64(outputs)
    last = (int64(window + uint32(1)) * int64(size) + int64(outputs) - int64(1)) // int64(outputs)
    return uint32(first), uint32(last)


@inlined
def regular_windows(place, before, taps, stride, outputs, size):
    """(the first window that has a place, the first behind it that does not)."""
    start = uint32(place + before)
    first = uint32(0)
    if start >= taps:
        first = uint32(uint32(start - taps) // stride + uint32(1))
    return first, min(uint32(start // stride + uint32(1)), outputs)


@inlined
def adaptive_windows(place, before, taps, stride, outputs, size):
    first = int64(place) * int64(outputs) // int64(size)
    last = (int64(place + uint32(1)) * int64(outputs) + int64(size) - int64(1)) // int64(size)
    return uint32(first), uint32(last)


@inlined
def regular_count(window, before, taps, stride, outputs, size, low, high):
    """How many of the places that count, from `low` to before `high`, a window has."""
    return overlap(int32(window * stride) - int32(before), int32(taps), low, high)


@inlined
def adaptive_count(window, before, taps, stride, outputs, size, low, high):
    first, last = adaptive_places(window, before, taps, stride, uint32(1), outputs, size)
    return int32(last - first)


class Windows(NamedTuple):
    """The functions of a kind of windows."""

    places: Callable[..., Any]
    having: Callable[..., Any]
    count: Callable[..., Any]


WINDOWS: dict[str, Windows] = {
    REGULAR: Windows(regular_places, regular_windows, regular_count),
    ADAPTIVE: Windows(adaptive_places, adaptive_windows, adaptive_count),
}
