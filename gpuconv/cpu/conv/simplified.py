"""A convolution seen as a simpler one of the same sums, for every algorithm alike, before one is chosen.

    taps that meet zeros alone      are left out (`spec.trimming`): 37 columns, of which one sees the image
    a column, (H, 1), of (R, 1)     is a row, (1, H), of (1, R), whose vectors are full
    1x1 at stride 1, no padding     sees one row of H W pixels, however wide the image is
    rows that no tap reads          are left out, by algorithms that do not care how far rows lie apart

The arrays are seen in other shapes, and nothing is copied but the weights of fewer taps. The zeros that those
left out would have been multiplied with make a NaN of a weight that is not finite: where one is, the whole
problem is computed. Algorithms that cannot compute the simpler problem, such as `conv_winograd` a window of
one row, get it as it is.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import ConvLayouts, ConvSpec, Layout
from gpuconv.spec.epilogue import NO_EPILOGUE
from gpuconv.spec.layouts import packed
from gpuconv.spec.trimming import ALL, rows_read, trimmed
from gpuconv.workspace import workspace_limit

COPY, LOOK, CALL = 1e-9, 2e-10, 3e-6  # seconds to copy a weight, to see that it is finite, and to begin
SLOT = "conv, weights of fewer taps"
Slices = tuple[slice, slice, slice]


class Simpler(NamedTuple):
    """The simpler problem; of the given one, the inputs and the taps that it sees, and seconds beside it."""

    spec: ConvSpec
    layouts: Any
    inputs: Slices | None
    taps: Slices | None
    more: float = 0.0


@lru_cache(maxsize=1024)
def simpler(spec: ConvSpec, layouts: Any, limit: int, by_rows: bool, trims: bool) -> Simpler | None:
    """The problem seen simpler, or None where it is simple.

    By rows, if an algorithm does not care how far these lie apart; of fewer taps, if their weights take no
    more than `limit` bytes.
    """
    if 0 in (*spec.out_shape, *spec.in_shape, spec.C_group):
        return None
    inputs = taps = None
    seen, more = spec, 0.0
    smaller = trimmed(spec) if trims else None
    if smaller is not None and _bytes(smaller.spec) <= limit:
        seen, taps, inputs = smaller
        more = CALL + (LOOK * _bytes(spec) + COPY * _bytes(seen)) / spec.itemsize
        x = layouts.x._replace(shape=seen.in_shape)
        layouts = layouts._replace(x=x, w=packed(seen.weight_shape, layouts.w.dtype))
    if by_rows:
        seen, rows = rows_read(seen)
        if rows != ALL:
            channels, before, columns = inputs or (ALL, slice(0, spec.H), ALL)
            kept = range(spec.H)[before][rows]
            inputs = channels, slice(kept.start, kept.stop, kept.step), columns
            n, c, h, w = layouts.x.strides
            strides = n, c, h * rows.step, w
            layouts = layouts._replace(x=layouts.x._replace(shape=seen.in_shape, strides=strides))
    seen = _as_one_row(seen, layouts)
    if seen is spec:
        return None
    shapes = {"x": seen.in_shape, "w": seen.weight_shape, "residual": seen.out_shape, "y": seen.out_shape}
    given = {name: getattr(layouts, name) for name in shapes if name in layouts._fields}
    parts = {name: _reshaped(each, shapes[name]) for name, each in given.items()}
    return Simpler(seen, layouts._replace(**parts), inputs, taps, more)


def _bytes(spec: ConvSpec) -> int:
    return spec.K * spec.C_group * spec.R * spec.S * spec.itemsize


def _as_one_row(spec: ConvSpec, layouts: Any) -> ConvSpec:
    """A column, or a plane of which each pixel is seen by itself, as a row."""
    none = (0, 0)
    outputs = [getattr(layouts, name) for name in ("residual", "y") if name in layouts._fields]
    if spec.C == 0:
        row = none, (0, spec.P * spec.Q - 1)
        return replace(spec, pads=row) if all(map(_rows_follow, outputs)) else spec
    if spec.H > 1 and spec.W == spec.S == 1 and spec.pads[1] == none:
        (rows, _), (stride, _), (dilation, _) = spec.pads, spec.stride, spec.dilation
        return replace(
            spec, H=1, W=spec.H, R=1, S=spec.R, pads=(none, rows), stride=(1, stride), dilation=(1, dilation)
        )
    is_plain = spec.is_pointwise and spec.stride == (1, 1) and spec.pads == (none, none)
    if is_plain and spec.H > 1 and all(map(_rows_follow, (layouts.x, *outputs))):
        return replace(spec, H=1, W=spec.H * spec.W)
    return spec


def _rows_follow(layout: Layout) -> bool:
    """The pixels of a plane lie as far apart from row to row as within one."""
    return layout.strides[2] == layout.shape[3] * layout.strides[3]


def _reshaped(layout: Layout, shape: tuple[int, ...]) -> Layout:
    """The layout of `array.reshape(shape)`, which makes one row of a plane."""
    if layout.shape == shape:
        return layout
    n, c, h, w = layout.strides
    step = w if layout.shape[3] > 1 else h
    return layout._replace(shape=shape, strides=(n, c, step * shape[3], step))


def over(algorithm: Algorithm, by_rows: bool = True) -> Algorithm:
    """The algorithm for the problem in the shape that it is predicted to be fastest in, and can compute."""
    alike = _Alike(algorithm, by_rows)
    return replace(
        algorithm, unsupported=alike.unsupported, worth=alike.worth, plan=alike.plan, remark=alike.remark,
        cost=alike.cost,
    )  # fmt: skip


class _Alike:
    """An algorithm, asked about the simpler problem."""

    def __init__(self, algorithm: Algorithm, by_rows: bool) -> None:
        self.algorithm, self.by_rows = algorithm, by_rows
        self.cheapest = lru_cache(maxsize=512)(self._cheapest)

    def seen(self, spec: ConvSpec, layouts: Any, device: Processor) -> Simpler:
        """How it is seen; with its own epilogue, for slopes of 0.0 and -0.0 are equal, and not the same."""
        way = self.cheapest(spec, layouts, device, workspace_limit())
        if spec.epilogue == NO_EPILOGUE:
            return way
        return way._replace(spec=replace(way.spec, epilogue=spec.epilogue))

    def _cheapest(self, spec: ConvSpec, layouts: Any, device: Processor, limit: int) -> Simpler:
        given = Simpler(spec, layouts, None, None)
        ways = [simpler(spec, layouts, limit, self.by_rows, trims) for trims in (True, False)]
        able = [way for way in ways if way and self._is_able(way, device)]
        if not able:
            return given
        able += [given] if self._is_able(given, device) else []
        return min(able, key=lambda way: self._cost(way, device))

    def _is_able(self, way: Simpler, device: Processor) -> bool:
        return self.algorithm.unsupported(way.spec, way.layouts, device) is None

    def _cost(self, way: Simpler, device: Processor) -> float:
        assert self.algorithm.cost is not None
        return way.more + self.algorithm.cost(way.spec, way.layouts, device)

    def unsupported(self, spec: ConvSpec, layouts: Any, device: Processor) -> str | None:
        way = self.seen(spec, layouts, device)
        return self.algorithm.unsupported(way.spec, way.layouts, device)

    def worth(self, spec: ConvSpec, layouts: Any, device: Processor) -> bool:
        way = self.seen(spec, layouts, device)
        return self.algorithm.worth(way.spec, way.layouts, device)

    def cost(self, spec: ConvSpec, layouts: Any, device: Processor) -> float:
        return self._cost(self.seen(spec, layouts, device), device)

    def plan(self, spec: ConvSpec, layouts: Any, device: Processor) -> Run:
        way = self.seen(spec, layouts, device)
        convolve = self.algorithm.plan(way.spec, way.layouts, device)
        if way.spec == spec:
            return convolve
        return _plan(way, convolve, cache(partial(self.algorithm.plan, spec, layouts, device)))

    def remark(self, spec: ConvSpec) -> str:
        way = self.seen(*_without_gaps(spec), Processor(1)).spec
        how = "" if way == spec else f"seen as {way.R}x{way.S} on images of {way.H}x{way.W}"
        return "; ".join(filter(None, (how, self.algorithm.remark(spec))))


def _without_gaps(spec: ConvSpec) -> tuple[ConvSpec, ConvLayouts]:
    """The problem of arrays without gaps."""
    x, w, y = (packed(each, spec.dtype.numpy) for each in (spec.in_shape, spec.weight_shape, spec.out_shape))
    return spec, ConvLayouts(x, w, None, y)


def _plan(seen: Simpler, convolve: Run, whole: Callable[[], Run]) -> Run:
    """The simpler problem; the whole one where weights that it leaves out are not finite."""
    x_shape, w_shape, y_shape = seen.spec.in_shape, seen.spec.weight_shape, seen.spec.out_shape

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, *others: np.ndarray) -> None:
        if seen.taps is not None:
            if not all_finite(w):
                whole()(x, w, bias, *others)
                return
            w = _copied(w[:, *seen.taps])
        if seen.inputs is not None:
            x = x[:, *seen.inputs]
        into = (each.reshape(y_shape) for each in others)
        convolve(x.reshape(x_shape), w.reshape(w_shape), bias, *into)

    return run


def all_finite(w: np.ndarray) -> bool:
    """False where a weight is not finite, and perhaps where the sum of large ones is not."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.add.reduce(w, axis=None)))


def _copied(w: np.ndarray) -> np.ndarray:
    """The weights without gaps, until the next call of this thread."""
    (copy,) = reserve(SLOT, w.dtype.name, w.size)
    copy = copy.reshape(w.shape)
    np.copyto(copy, w)
    return copy
