"""The check before the clock: results against float64, by PyTorch if it is installed, else by the definition.

The errors of a result y are  max |y - reference| / max |reference|,  by which it is right or wrong, and
|y - reference| / |reference| in the Euclidean norm, by which accuracies are compared; over all elements
(PyTorch), or over SAMPLES elements that are drawn anew for each layer and include the corners (the
definition). None of this code is shared with what is measured.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from gpuconv.spec import ConvSpec, Spec
from gpuconv.spec.dtypes import FLOAT32, FLOAT64
from profiling.bench import by_torch
from profiling.workloads import is_forward

SAMPLES = 1000
CHUNK = 100  # samples computed at once: their windows are copied out of the input
TOLERANCE = {FLOAT32: 2e-5, FLOAT64: 1e-12}  # of the greatest error, beyond which a result is not timed


@dataclass(frozen=True, slots=True)
class Error:
    """The error of one result, NaN if it has a NaN or not the right shape."""

    greatest: float  # max |y - reference| / max |reference|
    norm: float  # |y - reference| / |reference|


def method() -> str:
    """Which reference this process uses: "torch float64" or "sampled float64"."""
    return "torch float64" if find_spec("torch") else "sampled float64"


def can_check(spec: Spec) -> bool:
    """Without PyTorch, convolutions and pools alone."""
    return bool(find_spec("torch")) or is_forward(spec)


def errors(spec: Spec, arrays: Sequence[np.ndarray], results: Sequence[np.ndarray]) -> list[Error]:
    """The error of each result, of the shape (N, K or C, P, Q)."""
    parts = _whole_images if find_spec("torch") else sampled
    worst, largest = np.zeros(len(results)), 0.0
    squares, square = np.zeros(len(results)), 0.0
    for place, expected in parts(spec, arrays):
        largest = max(largest, float(np.abs(expected).max()))
        square += float(np.square(expected).sum())
        for index, result in enumerate(results):
            if result.shape == spec.out_shape:
                difference = np.abs(result[place] - expected)
                worst[index] = np.maximum(worst[index], difference.max())  # a NaN stays
                squares[index] += np.square(difference).sum()
            else:
                worst[index] = squares[index] = np.nan
    norms = np.sqrt(squares / (square or 1.0))
    return [Error(float(w), float(n)) for w, n in zip(worst / (largest or 1.0), norms, strict=True)]


def _whole_images(spec: Spec, arrays: Sequence[np.ndarray]) -> Iterator[tuple[Any, np.ndarray]]:
    """(n, reference of image n): one image at a time, since float64 is computed on an unfolded copy.

    Of a gradient that adds up images, (..., all of it).
    """
    import torch

    compute = by_torch.function(spec)
    if compute is None:
        raise ValueError(f"PyTorch has no function for {spec}")
    tensors = [torch.from_numpy(array) for array in arrays]
    doubled = [tensor.double() if tensor.is_floating_point() else tensor for tensor in tensors]
    if by_torch.adds_up_images(spec):
        yield ..., compute(*doubled).numpy()
        return
    common = doubled[1:] if by_torch.has_weight(spec) else []
    for n in range(spec.N):
        of_image = [tensor[n : n + 1] for tensor in doubled[: len(doubled) - len(common)]]
        yield n, compute(*of_image, *common)[0].numpy()


def sampled(spec: Spec, arrays: Sequence[np.ndarray]) -> Iterator[tuple[Any, np.ndarray]]:
    """(indices, reference there) for chunks of sampled elements, from the defining sum or maximum."""
    total = int(np.prod(spec.out_shape))
    chosen = np.arange(total)
    if total > SAMPLES:
        corners = np.array([0, spec.Q - 1, (spec.P - 1) * spec.Q, spec.P * spec.Q - 1, total - 1])
        chosen = np.append(np.random.default_rng(1).integers(0, total, SAMPLES), corners)
    for begin in range(0, chosen.size, CHUNK):
        place = np.unravel_index(chosen[begin : begin + CHUNK], spec.out_shape)
        yield place, _definition(spec, arrays, place)


def _definition(spec: Spec, arrays: Sequence[np.ndarray], place: tuple[np.ndarray, ...]) -> np.ndarray:
    n, k, p, q = (index.reshape(-1, 1, 1, 1) for index in place)
    (top, bottom), (left, right) = spec.pads
    row = p * spec.stride[0] - top + np.arange(spec.R).reshape(1, 1, -1, 1) * spec.dilation[0]
    column = q * spec.stride[1] - left + np.arange(spec.S) * spec.dilation[1]
    inside = (row >= 0) & (row < spec.H) & (column >= 0) & (column < spec.W)
    channels = k
    if isinstance(spec, ConvSpec):
        channels = k // spec.K_group * spec.C_group + np.arange(spec.C_group).reshape(1, -1, 1, 1)
    taps = arrays[0][n, channels, row.clip(0, spec.H - 1), column.clip(0, spec.W - 1)].astype(np.float64)
    if isinstance(spec, ConvSpec):
        return np.where(inside, taps * arrays[1][k.ravel()], 0).sum(axis=(1, 2, 3))
    if spec.reduction == "max":
        return np.where(inside, taps, -np.inf).max(axis=(1, 2, 3))
    padded = (row < spec.H + bottom) & (column < spec.W + right)
    divisor = (padded if spec.count_include_pad else inside).sum(axis=(1, 2, 3))
    return np.where(inside, taps, 0).sum(axis=(1, 2, 3)) / (spec.divisor_override or divisor)
