"""Minima: what is least is the greatest of what has the other sign.

    x  ->  -x  ->  maxima  ->  -maxima  ->  y

and of integers ~x, which is -1 - x, or 2^64 - 1 - x: the order is reversed, and nothing overflows. A NaN
stays one, and counts as the least; of zeros the first is the minimum, as with maxima.

"""

from dataclasses import replace

import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms
from gpuconv.cpu.pool.blocks import Lowering, over
from gpuconv.cpu.pool.direct import LONG
from gpuconv.spec import PoolSpec
from gpuconv.spec.dtypes import FLOATS


def lower(spec: PoolSpec) -> PoolSpec:
    return replace(spec, reduction="max")


def turn(spec: PoolSpec, values: np.ndarray, turned: np.ndarray) -> None:
    """The order of values reversed; it is its own inverse."""
    if spec.dtype in LONG:
        np.invert(values, out=turned)
    else:
        np.negative(values, out=turned)


NEGATED = Lowering("pool_negated", lower, turn, turn)


def over_maxima(algorithms: Algorithms) -> Algorithm:
    """The algorithm that finds minima with the first of `algorithms` that takes the maxima."""
    takes = {"reduction": ("min",), "dtype": (*FLOATS, *LONG)}
    return over(NEGATED, takes, algorithms, "minima")
