"""Planes side by side: a pixel of LANES planes, of as many images or channels, in one vector.

    x, in memory                               spread, L = LANES = 4
    plane 0   a0 a1 a2 ..                      0 0 0 0   0 0 0 0   0 0 0 0   ..      a border of zeros
    plane 1   b0 b1 b2 ..            ->        0 0 0 0   a0 b0 c0 d0   a1 b1 c1 d1   ..
    plane 2   c0 c1 c2 ..                      ..
    plane 3   d0 d1 d2 ..

A plane whose rows follow each other is one line of H * W elements, whatever its width. So all lanes are at
work however small the planes are, no output is computed in vain at the end of a row, and no border needs a
test. With a stride, rows and columns are dealt out to phases as in `bands`, whose `Bands` count vectors here.
"""

from typing import Any, NamedTuple

import numpy as np

from gpuconv.cpu.conv.bands import Bands
from gpuconv.cpu.engine.compiled import inner, merged
from gpuconv.cpu.simd import LANES, lanes, pointer
from gpuconv.cpu.simd.lines import LINE, lanes_to_lines, lines_to_lanes
from gpuconv.spec import ConvSpec


class Spread(NamedTuple):
    """How blocks of `bands.P` rows of outputs of LANES planes lie in vectors: numbers in elements.

    Attributes
    ----------
    bands : Bands
        In vectors; after each channel is room for one more.
    size, channel : int
        All channels of a group, and one.
    seen : tuple of int
        The elements of a line, from the first row that its outputs see, that are to be loaded.
    zeros : bool
        There are vectors that are never loaded, which must be zero.
    places : int64 array
        Where in a channel each element of a line goes: what no window sees, to the room after it.
    offsets : int64 array
        Where each tap (c, r, s) finds its first element.
    """

    bands: Bands
    size: int
    channel: int
    seen: tuple[int, int]
    zeros: bool
    places: np.ndarray
    offsets: np.ndarray


def spread(spec: ConvSpec, rows: int, more: int = 0) -> Spread:
    """For blocks of so many rows of outputs; with the offsets of `more` rows of taps than there are."""
    bands, L = spread_bands(spec, rows), LANES[spec.dtype]
    channel = bands.size // max(1, spec.C_group)
    seen = seen_rows(spec, rows)
    top, left = spec.pads[0][0], spec.pads[1][0]
    phases = phases_read(spec)
    span = 0, seen * spec.W
    if rows == spec.P:  # all planes begin with the same row, and what lies around them stays zero
        span = top * spec.W, min(seen, top + spec.H) * spec.W
    i, v = np.divmod(np.arange(seen * spec.W), max(1, spec.W))
    (row, phase_h), (column, phase_w) = np.divmod(i, spec.stride[0]), np.divmod(v + left, spec.stride[1])
    number_h, number_w = _number(phases[0], phase_h), _number(phases[1], phase_w)
    place = (number_h * len(phases[1]) + number_w) * bands.plane + row * bands.pitch + column
    is_read = (number_h >= 0) & (number_w >= 0) & (column < bands.width)
    places = np.where(is_read, place, channel - 1)
    offsets = [
        c * channel + _place_of(spec, bands, phases, r, s)
        for c in range(spec.C_group)
        for r in range(spec.R + more)
        for s in range(spec.S)
    ]
    return Spread(
        bands, bands.size * L, channel * L, span, spec.pads != ((0, 0), (0, 0)),
        np.append(places, np.full(L, channel - 1)) * L, np.array(offsets, np.int64) * L,
    )  # fmt: skip


def table_bytes(spec: ConvSpec, rows: int) -> int:
    """Of the places of such blocks, which are many beside a wide border."""
    return 8 * seen_rows(spec, rows) * spec.W


def phases_read(spec: ConvSpec) -> tuple[np.ndarray, np.ndarray]:
    """The phases of the rows and of the columns that some tap reads, in order."""
    (rows, columns), (stride_h, stride_w) = spec.dilation, spec.stride
    return np.unique(np.arange(spec.R) * rows % stride_h), np.unique(np.arange(spec.S) * columns % stride_w)


def _number(phases: np.ndarray, phase: Any) -> Any:
    """The numbers of phases among those that are read, or -1."""
    number = np.minimum(np.searchsorted(phases, phase), len(phases) - 1)
    return np.where(phases[number] == phase, number, -1)


def _place_of(spec: ConvSpec, bands: Bands, phases: tuple[np.ndarray, np.ndarray], r: int, s: int) -> int:
    """Where tap (r, s) finds its first element, in a channel."""
    (row, phase_h), (column, phase_w) = (
        divmod(tap * dilation, stride)
        for tap, dilation, stride in zip((r, s), spec.dilation, spec.stride, strict=True)
    )
    number = int(_number(phases[0], phase_h)) * len(phases[1]) + int(_number(phases[1], phase_w))
    return number * bands.plane + row * bands.pitch + column


def spread_bands(spec: ConvSpec, rows: int) -> Bands:
    """The bands of such blocks, in vectors."""
    reach_h, reach_w = (
        (taps - 1) * dilation // stride
        for taps, dilation, stride in zip((spec.R, spec.S), spec.dilation, spec.stride, strict=True)
    )
    pitch = spec.Q + reach_w
    plane = (rows + reach_h) * pitch
    phases_h, phases_w = phases_read(spec)
    channel = len(phases_h) * len(phases_w) * plane + 1
    return Bands(rows, spec.Q, pitch, pitch, plane, channel * spec.C_group)


def seen_rows(spec: ConvSpec, rows: int) -> int:
    """Rows of the padded input that so many rows of outputs see."""
    return (rows - 1) * spec.stride[0] + (spec.R - 1) * spec.dilation[0] + 1


@merged
def set_line(lines, lane, start, first, last):
    """Line `lane` begins at `start`, and has the elements first <= e < last."""
    lines[LINE * lane], lines[LINE * lane + 1], lines[LINE * lane + 2] = start, first, last


@merged
def common(lines, count):
    """The elements first <= e < last that all of `count` lines have."""
    first, last = lines[1], lines[2]
    for lane in range(count):
        first, last = max(first, lines[LINE * lane + 1]), min(last, lines[LINE * lane + 2])
    return first, last


@inner
def load_lines(place, lines, every, begin, end, to, places):
    """The vectors at to[places[e]] for begin <= e < end: elements of lines of which all have `every`."""
    L = lanes(to)
    for e in range(begin, end, L):
        at = max(begin, min(e, end - L))  # the last vectors overlap those before, if there are any
        whole = every[0] <= at and at + L <= every[1]
        lines_to_lanes(place, pointer(lines, 0), at, whole, to, places)


@inner
def store_lines(source, place, lines, every, end):
    """Element e < end of each line that has it = the vector at source[e * LANES]."""
    L = lanes(source)
    for e in range(0, end, L):
        at = max(0, min(e, end - L))
        whole = every[0] <= at and at + L <= every[1]
        lanes_to_lines(source, at, whole, place, pointer(lines, 0))


@merged
def load_plane(x, n, c, h, begin, end, to, at, places):
    """The same for one lane, at + places[e] of `to`, element by element; the line begins with row h."""
    H, W = x.shape[2:]
    for e in range(begin, end):
        row = h + e // W
        to[at + places[e]] = x[n, c, row, e % W] if 0 <= row < H else to.dtype.type(0)


@merged
def store_plane(source, at, y, n, k, p, rows):
    """`rows` rows of y from row p on = one lane of the vectors, element by element."""
    L, Q = lanes(source), y.shape[3]
    for t in range(rows):
        for q in range(Q):
            y[n, k, p + t, q] = source[at + (t * Q + q) * L]
