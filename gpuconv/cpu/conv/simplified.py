"""A convolution seen as a simpler one of the same sums, for every algorithm alike, before one is chosen.

    taps that meet zeros alone      are left out (`spec.trimming`): 37 columns, of which one sees the image
    a column, (H, 1), of (R, 1)     is a row, (1, H), of (1, R), whose vectors are full
    1x1 at stride 1, no padding     sees one row of H W pixels, however wide the image is

The arrays are seen in other shapes, and nothing is copied but the weights of fewer taps. The zeros that those
left out would have been multiplied with make a NaN of a weight that is not finite: where one is, the whole
problem is computed. Algorithms that cannot compute the simpler problem, such as `conv_winograd` a window of
one row, get it as it is.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import ConvLayouts, ConvSpec, Layout, Layouts
from gpuconv.spec.layouts import packed
from gpuconv.spec.trimming import Trimmed, trimmed
from gpuconv.workspace import workspace_limit

COPY, LOOK = 200, 30  # multiply-adds that take as long as to copy a weight, and to see that it is finite
ALL = slice(None)
SLOT = "conv, weights of fewer taps"


class Simpler(NamedTuple):
    """The simpler problem; of the given one, the inputs and the taps that it sees."""

    spec: ConvSpec
    layouts: Any
    inputs: tuple[slice, slice] | None
    taps: tuple[slice, slice] | None


@lru_cache(maxsize=1024)
def simpler(spec: ConvSpec, layouts: Any, limit: int) -> Simpler | None:
    """The problem seen simpler, whose weights may take `limit` bytes, or None where it is simple."""
    if 0 in (*spec.out_shape, *spec.in_shape, spec.C_group):
        return None
    inputs = taps = None
    smaller = trimmed(spec)
    if smaller is not None and _is_worthwhile(spec, smaller) and _bytes(smaller.spec) <= limit:
        _, taps, inputs = smaller
        layouts = _of_inputs(layouts, smaller)
    of_taps = spec if taps is None or smaller is None else smaller.spec
    seen = _as_one_row(of_taps, layouts)
    if seen is spec:
        return None
    shapes = {"x": seen.in_shape, "w": seen.weight_shape, "residual": seen.out_shape, "y": seen.out_shape}
    given = {name: getattr(layouts, name) for name in shapes if name in layouts._fields}
    parts = {name: _reshaped(each, shapes[name]) for name, each in given.items()}
    return Simpler(seen, layouts._replace(**parts), inputs, taps)


def _is_worthwhile(spec: ConvSpec, smaller: Trimmed) -> bool:
    """Whether the products that are left out take longer than to look at the weights and copy some."""
    taps, kept = spec.R * spec.S, smaller.spec.R * smaller.spec.S
    return (taps - kept) * spec.N * spec.P * spec.Q > LOOK * taps + COPY * kept


def _bytes(spec: ConvSpec) -> int:
    return spec.K * spec.C_group * spec.R * spec.S * spec.itemsize


def _of_inputs(layouts: Any, smaller: Trimmed) -> Any:
    """The layouts of some of the inputs, and of weights without gaps."""
    x = layouts.x._replace(shape=smaller.spec.in_shape)
    return layouts._replace(x=x, w=packed(smaller.spec.weight_shape, layouts.w.dtype))


def _as_one_row(spec: ConvSpec, layouts: Any) -> ConvSpec:
    """A column, or a plane of which each pixel is seen by itself, as a row."""
    none = (0, 0)
    if spec.H > 1 and spec.W == spec.S == 1 and spec.pads[1] == none:
        (rows, _), (stride, _), (dilation, _) = spec.pads, spec.stride, spec.dilation
        return replace(
            spec, H=1, W=spec.H, R=1, S=spec.R, pads=(none, rows), stride=(1, stride), dilation=(1, dilation)
        )
    is_plain = spec.is_pointwise and spec.stride == (1, 1) and spec.pads == (none, none)
    images = (getattr(layouts, name) for name in ("x", "residual", "y") if name in layouts._fields)
    if is_plain and spec.H > 1 and all(map(_rows_follow, images)):
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


def over(algorithm: Algorithm) -> Algorithm:
    """The algorithm for the simpler problem, where it can compute that, else for the given one."""

    def problem(spec: ConvSpec, layouts: Layouts, device: Processor) -> tuple[Any, ...]:
        seen = simpler(spec, layouts, workspace_limit())
        if seen is None or algorithm.unsupported(seen.spec, seen.layouts, device) is not None:
            return spec, layouts, device
        return seen.spec, seen.layouts, device

    def asked(question: Callable[..., Any]) -> Callable[[Any, Any, Any], Any]:
        return lambda *given: question(*problem(*given))

    def plan(spec: ConvSpec, layouts: Layouts, device: Processor) -> Run:
        taken = problem(spec, layouts, device)
        if taken[0] is spec:
            return algorithm.plan(spec, layouts, device)
        seen = simpler(spec, layouts, workspace_limit())
        assert seen is not None
        return _plan(seen, algorithm.plan(*taken), cache(lambda: algorithm.plan(spec, layouts, device)))

    def remark(spec: ConvSpec) -> str:
        seen, *_ = problem(*_without_gaps(spec), Processor(1))
        how = "" if seen is spec else f"seen as {seen.R}x{seen.S} on images of {seen.H}x{seen.W}"
        return "; ".join(filter(None, (how, algorithm.remark(spec))))

    return replace(
        algorithm, unsupported=asked(algorithm.unsupported), worth=asked(algorithm.worth), plan=plan,
        remark=remark,
    )  # fmt: skip


def _without_gaps(spec: ConvSpec) -> tuple[ConvSpec, Layouts]:
    """The problem of arrays without gaps."""
    x, w, y = (packed(each, spec.dtype.numpy) for each in (spec.in_shape, spec.weight_shape, spec.out_shape))
    return spec, ConvLayouts(x, w, None, y)


def _plan(seen: Simpler, convolve: Run, whole: Callable[[], Run]) -> Run:
    """The simpler problem; the whole one where weights that it leaves out are not finite."""
    x_shape, w_shape, y_shape = seen.spec.in_shape, seen.spec.weight_shape, seen.spec.out_shape

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, *others: np.ndarray) -> None:
        if seen.taps is not None and seen.inputs is not None:
            if not _all_finite(w):
                whole()(x, w, bias, *others)
                return
            x, w = x[:, :, *seen.inputs], _copied(w[:, :, *seen.taps])
        into = (each.reshape(y_shape) for each in others)
        convolve(x.reshape(x_shape), w.reshape(w_shape), bias, *into)

    return run


def _all_finite(w: np.ndarray) -> bool:
    """False where a weight is not finite, and perhaps where the sum of large ones is not."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.add.reduce(w, axis=None)))


def _copied(w: np.ndarray) -> np.ndarray:
    """The weights without gaps, until the next call of this thread."""
    (copy,) = reserve(SLOT, w.dtype.name, w.size)
    copy = copy.reshape(w.shape)
    np.copyto(copy, w)
    return copy
