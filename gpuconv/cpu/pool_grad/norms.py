"""The gradient of a pool of norms: shares as those of means, between two powers.

    y[h, v] = x[h, v]^(norm - 1)  sum over the windows that have (h, v) of
              dy[p, q] result[p, q]^(1 - norm) R S / (places that the window has)

and a window whose norm is 0 shares nothing, as in PyTorch. What is between the powers is computed by another
algorithm of the list, in blocks of planes; numbers of 16 bits are widened to float32, and rounded once.
"""

import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gpuconv.algorithm import ANY, Algorithm, Algorithms, plan_by
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.pool_grad.taken import TAKEN
from gpuconv.spec import MeanGradientSpec, NormGradientLayouts, PlainLayouts
from gpuconv.spec.dtypes import POOLED
from gpuconv.spec.layouts import packed

BLOCK = 1 << 16  # elements of a block of planes, if one is not more


def unsupported(spec: MeanGradientSpec, layouts: NormGradientLayouts, device: Processor) -> str | None:
    return "it takes norms, not means" if spec.norm is None else None


def worth(spec: MeanGradientSpec, layouts: NormGradientLayouts, device: Processor) -> bool:
    return True


def plan(
    algorithms: Algorithms, spec: MeanGradientSpec, layouts: NormGradientLayouts, device: Processor
) -> Run:
    norm: Any = spec.norm
    most = max(1, BLOCK // max(1, spec.H * spec.W, spec.P * spec.Q))
    dtype = np.dtype(spec.dtype.arithmetic)
    counts = {min(most, spec.C - first) for first in range(0, spec.C, most)}
    shares = {count: _shares(algorithms, spec, count, device) for count in counts}
    taps = dtype.type(spec.R * spec.S)

    def run(x: np.ndarray, image: np.ndarray, result: np.ndarray, y: np.ndarray) -> None:
        for n, first in itertools.product(range(spec.N), range(0, spec.C, most)):
            block = np.s_[n : n + 1, first : min(first + most, spec.C)]
            norms, values = result[block].astype(dtype, order="C"), image[block].astype(dtype, order="C")
            with np.errstate(all="ignore"):
                weights = x[block].astype(dtype, order="C") * _power(norms, 1 - norm) * taps
                weights[norms == 0] = 0
                handed = np.empty(values.shape, dtype)
                shares[handed.shape[1]](weights, handed)
                y[block] = handed * _power(values, norm - 1)

    return run


def _power(values: np.ndarray, exponent: float) -> np.ndarray:
    return values if exponent == 1 else np.power(values, values.dtype.type(exponent))


def _shares(algorithms: Algorithms, spec: MeanGradientSpec, count: int, device: Processor) -> Run:
    """How the shares of some planes are added up: by the first of `algorithms` that can."""
    block = replace(spec, N=1, C=count, norm=None, dtype=spec.dtype.arithmetic)
    x, y = (packed(shape, np.dtype(block.dtype)) for shape in (block.in_shape, block.out_shape))
    problem = block, PlainLayouts(x, y), device
    return plan_by(algorithms, *problem)


def over(algorithms: Algorithms) -> Algorithm:
    """The algorithm that adds shares up by one of `algorithms`."""
    return Algorithm(
        "shares_of_norms", {**TAKEN, "dtype": POOLED, "norm": ANY}, unsupported, worth,
        partial(plan, algorithms), fast_for="norms",
    )  # fmt: skip
