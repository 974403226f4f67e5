"""Arrays as kernels take them: in this machine's byte order, and weights without gaps. Others are copied.

Of an input only what windows see is copied, and no more of it at a time than a workspace may take:

    x (N, C, H, W), other byte order   ->   a piece (n, c, rows, columns) in a workspace   ->   some rows of y

A piece is some images, or one, of it some channels if it is a pool, and of those some rows of outputs, unless
windows are adaptive, which stay together. Its rows and columns are the places that their windows meet, and by
themselves a problem like any other: where windows lie apart, tap beside tap, with a stride of as many; else
from the first place to the last, less those that stride and dilation leave out. So what makes a few outputs
of a file of gigabytes reads few of its rows. It is cut so that it fits; of one row of outputs all is read at
once.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpuconv.algorithm import Algorithm, refusal, select
from gpuconv.cpu.engine.workspace import reserve_each
from gpuconv.spec import INPUT_GRADIENT, ConvSpec, Layout, PoolSpec, Spec
from gpuconv.spec.axis import Axis
from gpuconv.spec.checks import axes_of
from gpuconv.spec.layouts import packed
from gpuconv.spec.windows import ADAPTIVE
from gpuconv.workspace import workspace_limit

if TYPE_CHECKING:
    from gpuconv.call import Call

Compute = Callable[..., None]
Arrays = tuple[np.ndarray, ...]

MADE = "residual", "y", "indices"  # arrays that have the shape of the result
FEW = 16  # pieces, up to which they are kept from call to call


class Seen(NamedTuple):
    """The places of an axis that some windows meet, and these places as an axis of their own."""

    places: np.ndarray
    index: Any  # the same, as a slice if they lie equally far apart
    axis: Axis


_ALL = slice(None)
_ALL_SEEN = Seen(np.empty(0, np.int64), _ALL, Axis(0, 0))


class Piece(NamedTuple):
    """Part of a problem: its images, its channels, its rows of outputs, and what they see."""

    images: slice
    channels: slice
    outputs: slice
    rows: Seen
    columns: Seen
    spec: Spec


def seen(axis: Axis, first: int, count: int, sparse: bool) -> Seen:
    """What `count` windows see from number `first` on; all from the first place to the last, or `sparse`."""
    start, stride, dilation = first * axis.stride - axis.pads[0], axis.stride, axis.dilation
    end = axis.size + axis.pads[1]  # of what counts
    if sparse and (count == 1 or stride >= axis.reach):  # windows lie apart
        taps = start + stride * np.arange(count)[:, None] + dilation * np.arange(axis.taps)
        places, stride, dilation = taps.reshape(-1), axis.taps, 1
    else:
        unit = math.gcd(stride, dilation) if sparse else 1
        places = np.arange(start, start + (count - 1) * stride + axis.reach, unit)
        stride, dilation = stride // unit, dilation // unit
        end = end if unit == 1 else places[-1] + 1  # a mean is not dilated, and no maximum asks what counts
    inside = places[(places >= 0) & (places < axis.size)]
    behind = np.count_nonzero((places >= axis.size) & (places < end))
    pads = int(np.count_nonzero(places < 0)), int(behind)
    return Seen(inside, _index(inside), Axis(inside.size, axis.taps, pads, stride, dilation))


def all_seen(axis: Axis) -> Seen:
    """All places, which windows that are not regular share out."""
    return Seen(np.arange(axis.size), _ALL, axis)


def _index(places: np.ndarray) -> Any:
    steps = np.diff(places)
    if places.size == 0 or (steps != steps[:1]).any():
        return places if places.size else slice(0, 0)
    return slice(int(places[0]), int(places[-1]) + 1, int(steps[0]) if steps.size else 1)


def plain(name: str, layout: Layout | None) -> Layout | None:
    """How an array lies when a kernel gets it."""
    if layout is None:
        return layout
    dtype = layout.dtype.newbyteorder("=") if name != "places" else np.dtype(np.int64)
    if layout.dtype == dtype and (layout.is_packed or name not in ("w", "bias")):
        return layout
    return packed(layout.shape, dtype)


def pieces(spec: Spec, x: bool, y: bool, limit: int) -> Iterator[Piece]:
    """The problem in pieces of at most `limit` elements of `x` and `y`, of those that are copied.

    A gradient by the weight, which sums over all of its input, is one piece, and so is what reads places
    that windows do not say.
    """
    if not _can_be_cut(spec):
        yield Piece(_ALL, _ALL, _ALL, _ALL_SEEN, _ALL_SEEN, spec)
        return
    if isinstance(spec, ConvSpec) and spec.direction == INPUT_GRADIENT:
        yield from _pieces_of_gradient(spec, x, y, limit)
        return
    rows, columns = axes_of(spec)
    is_adaptive = isinstance(spec, PoolSpec) and spec.windows == ADAPTIVE
    if is_adaptive:
        all_rows, across = all_seen(rows), all_seen(columns)
    else:
        all_rows, across = seen(rows, 0, spec.P, x), seen(columns, 0, spec.Q, x)
    channels, units = max(spec.C, 1), 1  # that belong together, and how many such units there are
    row, result = channels * across.axis.size * x, spec.out_shape[1] * spec.Q * y
    if isinstance(spec, PoolSpec):
        channels, units = 1, max(spec.C, 1)
        row, result = across.axis.size * x, spec.Q * y  # elements of a row of x, and of one of y
    whole = max(1, row * all_rows.axis.size + result * spec.P)
    fit, step = max(limit // whole, 1), max(spec.P, 1)
    if whole > limit and not is_adaptive:
        left = limit - row * max(all_rows.axis.reach - all_rows.axis.stride, 0)
        step = min(max(left // max(1, row * all_rows.axis.stride + result), 1), spec.P)
    group, batch = channels * min(fit, units), max(fit // units, 1)
    firsts = range(0, spec.N, batch), range(0, channels * units, group), range(0, spec.P, step)
    for n, c, p in itertools.product(*firsts):
        some = all_rows if step == spec.P else seen(rows, p, min(step, spec.P - p), x)
        part = _part(spec, min(batch, spec.N - n), min(group, spec.C - c), some, across)
        yield Piece(slice(n, n + batch), slice(c, c + group), slice(p, p + step), some, across, part)


def _can_be_cut(spec: Spec) -> bool:
    if not isinstance(spec, ConvSpec | PoolSpec):
        return False
    if isinstance(spec, ConvSpec) and (spec.padding_mode != "zeros" or spec.offset_groups):
        return False
    return spec.gives_images


def _pieces_of_gradient(spec: ConvSpec, x: bool, y: bool, limit: int) -> Iterator[Piece]:
    """The same of a gradient by the input: some images, or some rows of one."""
    rows = axes_of(spec)[0]
    seen, made = spec.K * spec.Q * x, spec.C * spec.W * y  # elements of a row of x, and of one of y
    whole = max(1, seen * spec.P + made * spec.H)
    batch, step = max(limit // whole, 1), spec.H
    if whole > limit:
        left = limit - seen * (rows.reach // rows.stride + 1)
        step = min(max(left // max(1, made + -(-seen // rows.stride)), 1), spec.H)
    for n, h in itertools.product(range(0, spec.N, batch), range(0, spec.H, max(step, 1))):
        met, part = _rows_of_gradient(replace(spec, N=min(batch, spec.N - n)), h, min(step, spec.H - h))
        yield Piece(slice(n, n + batch), _ALL, slice(h, h + step), met, _ALL_SEEN, part)


def _rows_of_gradient(spec: ConvSpec, first: int, count: int) -> tuple[Seen, ConvSpec]:
    """What `count` rows of a gradient from number `first` on see, and the problem that they are."""
    if count == spec.H:
        return _ALL_SEEN, spec
    rows = axes_of(spec)[0]
    place = first + rows.pads[0]
    begin = min(max(place - rows.reach + 1, 0) // rows.stride, spec.P - 1)
    end = min(max((place + count - 1) // rows.stride, begin), spec.P - 1) + 1
    top = place - begin * rows.stride
    bottom = (end - begin - 1) * rows.stride + rows.reach - count - top
    part = replace(spec, H=count, pads=((top, bottom), spec.pads[1]))
    return Seen(np.arange(begin, end), slice(begin, end), rows), part


def _part(spec: Any, N: int, C: int, rows: Seen, columns: Seen) -> Spec:
    """The problem of so many images and channels, of some rows and columns."""
    H, W = rows.axis, columns.axis
    pads, stride, dilation = zip(*((axis.pads, axis.stride, axis.dilation) for axis in (H, W)), strict=True)
    return replace(spec, N=N, C=C, H=H.size, W=W.size, pads=pads, stride=stride, dilation=dilation)


def converting(call: "Call", algorithm: Algorithm) -> Compute:
    """The function of the arrays of a call that runs the algorithm on copies of those that lie otherwise."""
    spec, names = call.spec, call.layouts._fields
    changed = {name for name, each in zip(names, call.layouts, strict=True) if plain(name, each) != each}
    plan = _planner(call, algorithm, changed)

    beside = [name for name in names if name not in ("x", *MADE)]  # which are copied whole

    def others(given: dict[str, np.ndarray]) -> Iterator[np.ndarray]:
        for name in beside:
            kind = np.dtype(np.int64) if name == "places" else given[name].dtype.newbyteorder("=")
            yield np.ascontiguousarray(given[name], kind) if name in changed else given[name]

    def of_others(*arrays: np.ndarray) -> None:
        given = dict(zip(names, arrays, strict=True))
        residual = [_native(given["residual"])] if "residual" in given else []
        plan(spec)(given["x"], *others(given), *residual, given["y"])

    if not {"x", "y"} & changed:
        return of_others
    limit = workspace_limit() // max(spec.itemsize, spec.result.itemsize)
    cut = functools.partial(pieces, spec, "x" in changed, "y" in changed, limit)
    few = tuple(itertools.islice(cut(), FEW))

    def run(*arrays: np.ndarray) -> None:
        given = dict(zip(names, arrays, strict=False))
        between = tuple(others(given))
        for piece in few if len(few) < FEW else cut():
            part = views(piece, given)
            values, result = _copies(part["x"], part["y"], changed, spec)
            rest = [_native(part[name]) for name in ("residual",) if name in part]
            places = [part[name] for name in ("indices",) if name in part]
            plan(piece.spec)(values, *between, *rest, result, *places)
            if "y" in changed:
                part["y"][...] = result
            for found in places:
                _put_back(found, piece, spec.W)

    return run


def _planner(call: "Call", algorithm: Algorithm, changed: set[str]) -> Callable[[Spec], Compute]:
    """How a part is computed: by the algorithm, or if it does not take the part, by the first that does."""
    fields: Any = type(call.layouts)
    whole = {name: plain(name, each) for name, each in zip(fields._fields, call.layouts, strict=True)}

    @functools.cache
    def plan(part: Spec) -> Compute:
        lie: dict[str, Any] = dict(whole)
        for name, shape in (("x", part.in_shape), ("y", part.out_shape)):
            without_gaps = packed(shape, lie[name].dtype)
            lie[name] = without_gaps if name in changed else lie[name]._replace(shape=shape)
        for name in ("residual", "indices"):
            if lie.get(name):
                lie[name] = lie[name]._replace(shape=part.out_shape)
        problem = part, fields(**lie), call.device
        taken = algorithm if refusal(algorithm, *problem) is None else select(call.algorithms, *problem)
        return taken.plan(*problem)

    return plan


def _native(array: np.ndarray) -> np.ndarray:
    """The array, or a copy of it in this machine's byte order."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def views(piece: Piece, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the piece sees of x, and its part of what there is of MADE."""
    made = [name for name in MADE if name in given]
    if piece.images is _ALL:
        return {name: given[name] for name in ("x", *made)}
    x, rows, columns = given["x"][piece.images, piece.channels], piece.rows.index, piece.columns.index
    if not isinstance(rows, slice) and not isinstance(columns, slice):
        x = x[:, :, rows[:, None], columns]
    else:
        x = x[:, :, rows][..., columns] if isinstance(rows, slice) else x[..., columns][:, :, rows]
    outputs = piece.channels if isinstance(piece.spec, PoolSpec) else slice(None)
    place = piece.images, outputs, piece.outputs
    return {"x": x, **{name: given[name][place] for name in made}}


def _copies(x: np.ndarray, y: np.ndarray, changed: set[str], spec: Spec) -> Arrays:
    """The piece of x, and room for that of y; as they are, if they lie as they must."""
    sizes = [each.size if name in changed else 0 for name, each in (("x", x), ("y", y))]
    wanted: Any = ((spec.dtype.numpy, sizes[0]), (spec.result.numpy, sizes[1]))
    values, result = reserve_each("native", wanted)
    if "x" in changed:
        values = values.reshape(x.shape)
        values[...] = x
    return values if "x" in changed else x, result.reshape(y.shape) if "y" in changed else y


def _put_back(indices: np.ndarray, piece: Piece, W: int) -> None:
    """Indices of places of the piece become those of the image."""
    found = indices >= 0
    rows, columns = np.divmod(indices[found], max(piece.spec.W, 1))
    indices[found] = piece.rows.places[rows] * W + piece.columns.places[columns]
