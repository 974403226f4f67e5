"""Problems drawn at random: a library that is fast on listed layers alone has proved little.

Extents, channels, windows and images are drawn log-uniformly, each axis apart, over what people call; what
would take too long or too much memory is drawn again. The numbers of a seed are those of NumPy's PCG64.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gpuconv.spec import ConvSpec, PoolSpec, Spec
from profiling.workloads.layers import Layer, Workload, describe, flops, operator

NAME = "random"
IMAGES, CHANNELS, EXTENT, WINDOW = 64, 2048, 2048, 63  # at most
MOST_BYTES, MOST_FLOPS = 2**26, 2**32  # of one problem: read and written once; computed
SHARE_OF_POOLS, SHARE_OF_CHANNELS_LAST = 0.3, 0.25
STRIDES, DILATIONS = (1, 1, 1, 1, 1, 2, 2, 2, 3, 4), (1, 1, 1, 1, 1, 1, 1, 2, 3, 4)
GROUPS = ("one", "one", "one", "depthwise", "some")
PADDINGS = ("none", "half", "half", "any")  # half of the window keeps an extent
REDUCTIONS = ("max", False), ("max", True), ("mean", False)  # with indices or without


def drawn(count: int, seed: int) -> Workload:
    """So many convolutions, maxima (some with indices) and means.

    Examples
    --------
    >>> drawn(2, seed=1).layers == drawn(3, seed=1).layers[:2]
    True
    """
    problems = _problems(np.random.default_rng(seed))
    return Workload(NAME, tuple(next(problems) for _ in range(count)))


def _problems(rng: np.random.Generator) -> Iterator[Layer]:
    while True:
        draw = _pool if rng.random() < SHARE_OF_POOLS else _convolution
        channels_last = rng.random() < SHARE_OF_CHANNELS_LAST
        try:
            spec = draw(rng)
        except ValueError:  # a window larger than its image
            continue
        if spec.min_bytes <= MOST_BYTES and flops(spec) <= MOST_FLOPS:
            yield Layer(_label(spec, channels_last), spec, channels_last=channels_last)


def _label(spec: Spec, channels_last: bool) -> str:
    indices = " indices" * getattr(spec, "return_indices", False)
    return f"{operator(spec)} {describe(spec)}{indices}{' channels-last' * channels_last}"


def _up_to(rng: np.random.Generator, most: int) -> int:
    """Log-uniform over 1..most."""
    return int(math.exp(rng.uniform(0, math.log(most + 1))))


def _convolution(rng: np.random.Generator) -> ConvSpec:
    N, C, K = (_up_to(rng, most) for most in (IMAGES, CHANNELS, CHANNELS))
    dilation = _pair(rng, DILATIONS)
    H, W, R, S, pads = _windows(rng, dilation)
    kind = rng.choice(GROUPS)
    groups = {"one": 1, "depthwise": C, "some": _up_to(rng, min(C, K))}[kind]
    C, K = (C, C) if kind == "depthwise" else (-(-count // groups) * groups for count in (C, K))
    return ConvSpec(N, C, H, W, K, R, S, pads, _pair(rng, STRIDES), dilation, groups)


def _pool(rng: np.random.Generator) -> PoolSpec:
    N, C = _up_to(rng, IMAGES), _up_to(rng, CHANNELS)
    reduction, return_indices = REDUCTIONS[rng.integers(len(REDUCTIONS))]
    H, W, R, S, pads = _windows(rng, (1, 1))
    dilation = _pair(rng, DILATIONS) if reduction == "max" else (1, 1)
    options: dict[str, Any] = {"dilation": dilation, "return_indices": return_indices}
    return PoolSpec(reduction, N, C, H, W, R, S, pads, _pair(rng, STRIDES), **options)


def _windows(rng: np.random.Generator, dilation: tuple[int, int]) -> tuple[int, int, int, int, tuple]:
    """(H, W, R, S, pads), the padding alike on both sides and at most half of what a window covers."""
    (H, R), (W, S) = ((_up_to(rng, EXTENT), _up_to(rng, WINDOW)) for _ in range(2))
    pads = []
    for taps, spread in zip((R, S), dilation, strict=True):
        half = (taps - 1) * spread // 2
        pad = {"none": 0, "half": half, "any": int(rng.integers(half + 1))}[rng.choice(PADDINGS)]
        pads.append((pad, pad))
    return H, W, R, S, tuple(pads)


def _pair(rng: np.random.Generator, values: tuple[int, ...]) -> tuple[int, int]:
    """One of the values for rows and one for columns, alike more often than not."""
    rows, columns = map(int, rng.choice(values, 2))
    return (rows, rows) if rng.random() < 0.5 else (rows, columns)
