"""Convolution by transforms of tiles: for large windows, whose products would be many.

    y  =  F^-1 [ sum over c of F x[c] * conj(F w[k, c]) ]        (* multiplies number by number)

F is the discrete Fourier transform of a tile. R S products an output become some 10 log2(H W) steps, however
large the window is. Tiles of H x W inputs overlap by a window less one, and give (H - R + 1) x (W - S + 1)
outputs ("overlap-save"):

    +------------------+              rows, then columns, are transformed by `numpy.fft`, which is pocketfft,
    | tile        |    |              in float64: with NumPy 2 what is float32 would stay so
    |   P x Q     | R-1|
    |   outputs   |    |              `tiles`      how large they are, and how many a workspace holds
    +-------------+    |              `transform`  the stages, each shared among the threads
    |  S-1             |              `parts`      dilation, strides, borders
    +------------------+              `trust`      which results are as good as plain sums

The products of a frequency over the channels are one matrix product, of K x C by C x tiles. Weights are
transformed once for a call, if their spectra fit into the workspace; else x is once for each part of them.

Accuracy: an output is off by no more than two roundings of float32 of the sum of its own |w| |x|, and its own
rounding: what is nowhere negative has no negative sum, a window of zeros gives its bias, and integers are
exact, as in a plain sum. For the transforms, which mix a tile's numbers, have 29 bits more than float32.
Where these are not enough (`trust` derives when), because numbers of a tile differ too much, or are not
finite, those outputs are computed anew by another algorithm. So are outputs that see little more than zeros
beside an image.

What it cannot do: float64, whose roundings it has no bits to spare for. What it does badly: small windows.

Measured on one core of a busy AMD EPYC (Zen 3, AVX2) on 30 November 2026, in ms of processor time, padding
"same", beside the best of the plain sums, and PyTorch 2.13:

    C -> K   size       window   conv_fft   plain sum   PyTorch
    1 -> 1     256^2    63x63         4.9         8.2      2440
    1 -> 1     512^2    63x63          14          33      8230
    1 -> 1    2048^2    63x63         148         517
    3 -> 3     256^2    63x63          16         144
    16 -> 16   128^2    31x31          71         112
    1 -> 1    1024^2    31x31          44          31

About half of the time is `numpy.fft`'s, by a profile of the last.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache, lru_cache, partial
from itertools import islice
from typing import Any

import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, select
from gpuconv.cpu.conv.epilogue import plan_finish
from gpuconv.cpu.conv.fft.parts import Part, layouts_of, of_outputs, parts_of
from gpuconv.cpu.conv.fft.tiles import Tile, Tiles, cut, lengths
from gpuconv.cpu.conv.fft.transform import (
    Spectra,
    multiply,
    spectra_of,
    store_results,
    transform_rows,
    transform_weights,
)
from gpuconv.cpu.conv.fft.trust import (
    Weights,
    errors_of,
    grid_of,
    in_range,
    spoilt_outputs,
    trusted,
    weights_of,
)
from gpuconv.cpu.conv.simplified import all_finite
from gpuconv.cpu.conv.taken import FINISHED, remark_of_epilogue
from gpuconv.cpu.engine.cost import Amounts, priced
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.processor import Processor
from gpuconv.spec import ConvLayouts, ConvSpec, without_epilogue
from gpuconv.spec.dtypes import FLOAT32
from gpuconv.spec.epilogue import NO_EPILOGUE
from gpuconv.workspace import beyond_limit, workspace_limit

LEAST_TAPS = 48  # of windows that transforms are looked at for
Box = tuple[int, range, range]  # an image, and outputs of it


def unsupported(spec: ConvSpec, layouts: Any, device: Processor) -> str | None:
    if 0 in spec.out_shape:
        return None
    if spec.C_group == 0:
        return "there are no input channels"
    if max(spec.R, spec.S) > lengths()[-1]:
        return f"a window is longer than {lengths()[-1]}"
    if not any(part.by_transforms for part in parts_of(spec)):
        return "some outputs see nothing but zeros"
    parts = (part.spec for part in parts_of(spec) if part.by_transforms)
    return beyond_limit(max(tiles_of(part).needed(part) for part in parts))


def tiles_of(spec: ConvSpec) -> Tiles:
    """How a part is cut: spectra have half of the workspace, and what tasks hold the rest."""
    return cut(replace(spec, epilogue=NO_EPILOGUE), workspace_limit() // 2)


def worth(spec: ConvSpec, layouts: Any, device: Processor) -> bool:
    return spec.R * spec.S >= LEAST_TAPS


def amounts(spec: ConvSpec, layouts: Any, device: Processor) -> Amounts:
    """What it does of an undilated convolution, on one thread (`engine.cost`): numbers and steps."""
    tiles = tiles_of(spec)
    count = tiles.count(spec)
    passes = -(-spec.groups // tiles.groups) * -(-spec.K_group // tiles.K)
    seen = count * spec.C * -(-spec.K_group // tiles.K)
    filters, made = spec.K * spec.C_group, count * spec.K
    along_rows = seen * min(tiles.H, spec.H) + filters * spec.R + made * tiles.P
    planes = seen + filters + made if tiles.along_columns else 0
    return {
        "batches": passes * -(-count // tiles.batch),
        "rows": along_rows * tiles.W * math.log2(tiles.W) / 2,
        "columns": planes * tiles.spectrum * math.log2(max(2, tiles.H)),
        "products": count * filters * tiles.spectrum,
        "loaded": seen * tiles.H * tiles.W,
        "stored": made * tiles.P * tiles.W,
    }


_cost = priced("conv_fft", amounts)


def cost(others: Algorithms, spec: ConvSpec, layouts: Any, device: Processor) -> float:
    """Seconds: of the parts."""
    if not worth(spec, layouts, device):
        return math.inf
    spec, layouts = without_epilogue(spec, layouts)
    total = 0.0
    for part in parts_of(spec):
        problem = part.spec, layouts_of(part, layouts), device
        total += (_cost if part.by_transforms else select(others, *problem).cost or _unknown)(*problem)
    return total


def _unknown(*problem: Any) -> float:
    return math.inf


def plan(others: Algorithms, spec: ConvSpec, layouts: Any, device: Processor) -> Run:
    if 0 in spec.out_shape:
        return lambda *arrays: None
    sums, lies = without_epilogue(spec, layouts)
    parts = [(part, _plan_part(others, part, layouts_of(part, lies), device)) for part in parts_of(sums)]
    whole = cache(lambda: select(others, sums, lies, device).plan(sums, lies, device))
    finish = None if spec.epilogue == NO_EPILOGUE else plan_finish(spec, layouts)

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, *rest: np.ndarray) -> None:
        *residual, y = rest
        if all_finite(w):
            for part, convolve in parts:
                convolve(*_views(part, x, y, w, bias))
        else:
            whole()(x, w, bias, y)
        if finish is not None:
            finish(*residual or (y,), y)

    return run


def _views(part: Part, x: np.ndarray, y: np.ndarray, w: np.ndarray, bias: np.ndarray) -> tuple:
    return x[:, :, *part.inputs], w, bias, y[:, :, *part.outputs]


def _plan_part(others: Algorithms, part: Part, layouts: ConvLayouts, device: Processor) -> Run:
    if not part.by_transforms:
        return select(others, part.spec, layouts, device).plan(part.spec, layouts, device)
    spec, tiles = part.spec, tiles_of(part.spec)
    plan_box = lru_cache(maxsize=64)(partial(_plan_box, others, spec, layouts, device))

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, y: np.ndarray) -> None:
        for n, rows, columns in [*_convolve(spec, tiles, x, w, bias, y)]:
            box, convolve = plan_box(rows, columns)
            convolve(*_views(box, x[n : n + 1], y[n : n + 1], w, bias))

    return run


def _plan_box(
    others: Algorithms, spec: ConvSpec, layouts: ConvLayouts, device: Processor, rows: range, columns: range
) -> tuple[Part, Run]:
    """How some outputs of one image are computed by one of `others`."""
    box = of_outputs(replace(spec, N=1), rows, columns)
    assert box is not None  # each output sees some of the image
    problem = box.spec, layouts_of(box, layouts), device
    return box, select(others, *problem).plan(*problem)


def _convolve(
    spec: ConvSpec, tiles: Tiles, x: np.ndarray, w: np.ndarray, bias: np.ndarray, y: np.ndarray
) -> Iterable[Box]:
    """y, and which of it has to be computed anew."""
    x, y = (each.reshape(spec.N, spec.groups, -1, *each.shape[2:]) for each in (x, y))
    w = w.reshape(spec.groups, -1, *w.shape[1:])
    bias = bias.astype(np.float64).reshape(spec.groups, -1)
    spectra, every = spectra_of(spec, tiles), [*tiles.each(spec)]
    bad: dict[Tile, np.ndarray] = {}
    for groups, channels in tiles.passes(spec):
        some = w[groups, channels]
        of_w, known = transform_weights(tiles, some, spectra.w), weights_of(spec, some)
        for batch in _batches(every, tiles.batch):
            arrays = x[:, groups], bias[groups, channels], y[:, groups, channels]
            good = _convolve_batch(spec, tiles, batch, spectra, of_w, known, *arrays)
            for tile, each in zip(batch, good, strict=True):
                if not each.all():
                    bad[tile] = bad.get(tile, False) | ~each
    for tile, blocks in bad.items():
        yield from spoilt_outputs(spec, tiles, tile, blocks)


def _batches(tiles: list[Tile], size: int) -> Iterator[list[Tile]]:
    rest = iter(tiles)
    while batch := [*islice(rest, size)]:
        yield batch


def _convolve_batch(
    spec: ConvSpec, tiles: Tiles, batch: list[Tile], spectra: Spectra, of_w: np.ndarray, known: Weights,
    x: np.ndarray, bias: np.ndarray, y: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Some tiles of some groups and channels: which blocks of their outputs are good."""
    seen = transform_rows(spec, tiles, batch, x, spectra.x)
    errors = errors_of(spec, tiles, known, seen.squares.sum(2))
    good = trusted(grid_of(spec, tiles), known, seen.sums, errors)
    if not good.all():
        good |= in_range(spec, tiles, batch, x, known, errors)
    if good.any():
        multiply(tiles, spectra, of_w, len(batch))
        store_results(spec, tiles, batch, spectra.y, errors, bias, y)
    return good


def beside(others: Algorithms) -> Algorithm:
    """The algorithm that leaves outputs that it cannot be trusted with to the best of `others`."""
    return Algorithm(
        "conv_fft", {**FINISHED, "dtype": (FLOAT32,), "precision": (None, "tf32")}, unsupported, worth,
        partial(plan, others),
        fast_for="large windows: 63x63 1.7 to 3.5 times as fast as sums, 9 times of three channels (AMD "
        "Zen 3, November 2026)",
        remark=remark, cost=partial(cost, others),
    )  # fmt: skip


def remark(spec: ConvSpec) -> str:
    first = next((part.spec for part in parts_of(spec) if part.by_transforms), None)
    tiles = None if first is None or 0 in spec.out_shape else tiles_of(first)
    how = "" if tiles is None else f"in float64, in tiles of {tiles.H}x{tiles.W}"
    return "; ".join(filter(None, (how, remark_of_epilogue(spec))))
