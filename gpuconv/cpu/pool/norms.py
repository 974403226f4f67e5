"""Pools of norms: powers, their means or sums, and roots.

    x  ->  x^norm  ->  sum  ->  (R S / places * sum)^(1 / norm)  ->  y

so as PyTorch has it, and so no norm of what is negative where the exponent is odd, nor of windows that reach
beyond the image, whose sums count for all R S places. The exponent inf stands for the greatest magnitude of
a window, and -inf for the least.
Numbers of 16 bits are computed with in float32, and rounded once.

"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from gpuconv.algorithm import ANY, Algorithm, Algorithms
from gpuconv.cpu.engine.sixteen_bits import narrow, widen
from gpuconv.cpu.pool.blocks import Lowering, over
from gpuconv.spec import PoolSpec
from gpuconv.spec.dtypes import POOLED, SIXTEEN_BITS

OF_MAGNITUDES = {math.inf: "max", -math.inf: "min"}


def lower(spec: PoolSpec) -> PoolSpec:
    """The means of powers, or where each window has all of its places their sums, which round less."""
    norm: Any = spec.norm
    reduction = OF_MAGNITUDES.get(norm, "mean")
    divisor = 1 if reduction == "mean" and is_whole(spec) else None
    return replace(
        spec, reduction=reduction, norm=None, divisor_override=divisor, dtype=spec.dtype.arithmetic
    )


def is_whole(spec: PoolSpec) -> bool:
    """No window reaches beyond the image. A block of rows of a pool has the same windows as the pool."""
    return not spec.ceil_mode


def read(spec: PoolSpec, x: np.ndarray, values: np.ndarray) -> None:
    norm: Any = spec.norm
    if spec.dtype in SIXTEEN_BITS:
        widen(x, values.reshape(-1))
        x = values
    with np.errstate(all="ignore"):
        if norm in OF_MAGNITUDES:
            np.abs(x, out=values)
        else:
            power(x, norm, values)


def write(spec: PoolSpec, results: np.ndarray, y: np.ndarray) -> None:
    norm: Any = spec.norm
    with np.errstate(all="ignore"):
        if norm not in OF_MAGNITUDES:
            results *= 1 if is_whole(spec) else spec.R * spec.S
            power(results, 1 / norm, results)
    if spec.dtype in SIXTEEN_BITS:
        narrow(results.reshape(-1), y)
    else:
        y[...] = results


def power(values: np.ndarray, exponent: float, out: np.ndarray) -> None:
    """values^exponent, as of C's pow; NumPy takes fifty times as long for a number that is negative."""
    if exponent == 1:
        np.copyto(out, values)
    elif exponent == 2:
        np.square(values, out=out)
    elif exponent == 0.5:
        np.sqrt(values, out=out)
    elif exponent % 1:
        wrong = (values < 0) & (values > -np.inf)
        np.power(np.abs(values, out=out), out.dtype.type(exponent), out=out)
        if wrong.any():
            out[wrong] = np.nan
    else:
        signed = values.copy() if out is values else values
        np.power(np.abs(values, out=out), out.dtype.type(exponent), out=out)
        if exponent % 2:
            np.copysign(out, signed, out=out)


NORMS = Lowering("pool_norms", lower, read, write)


def over_powers(algorithms: Algorithms) -> Algorithm:
    """The algorithm that pools powers with the first of `algorithms` that can."""
    takes = {"reduction": ("norm",), "norm": ANY, "dtype": POOLED}
    return over(NORMS, takes, algorithms, "norms")
