"""How several values become one: what combines two of them, and what changes nothing.

A maximum is NaN if a value is, and of equal values it is the first: of -0 and +0, which are equal, the one
that comes first in the window. The instruction for maxima takes +0 instead, and two comparisons less; so
kernels of float32 combine with it, and otherwise if they meet a -0 (`zeros.py`). Sums of many values are
added up in runs of RUN, and runs with what rounding lost, so that their error does not grow with the window.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpuconv.cuda.device.elements import SCALARS, add, inlined
from gpuconv.cuda.ptx.arithmetic import first_maximum, maximum
from gpuconv.spec.dtypes import FLOAT32, Dtype

RUN = 32  # values that are added up plainly, one after another: 31 roundings, and log2(32) = 5


@dataclass(frozen=True, slots=True)
class Reduction:
    """What kernels reduce windows with.

    Attributes
    ----------
    combine : callable
        combine(a, b), of zeros the first or any.
    in_order : callable
        The same, of equal values the first: `combine` itself where that is so anyway.
    gather : callable
        (total, lost) = gather(total, lost, value): `in_order`, for a great many values.
    identity : float
        What stands for what lies outside of an image.
    in_runs : bool
        Whether many values are combined in runs of RUN, for the rounding error's sake.
    """

    combine: Callable[..., Any]
    in_order: Callable[..., Any]
    gather: Callable[..., Any]
    identity: float
    in_runs: bool

    @property
    def watches(self) -> bool:
        """Whether kernels have to look out for -0."""
        return self.combine is not self.in_order


@inlined
def gather_maximum(total, lost, value):
    return first_maximum(total, value), lost


def make_gather_sum(scalar: Any) -> Callable[..., Any]:
    """Kahan's sum: what rounding adds too much is taken from the next value."""

    def gather_sum(total, lost, value):
        value = value - lost
        more = total + value
        lost = (more - total) - value
        return more, lost if abs(more) < math.inf else scalar(0)  # an infinity stays one

    return inlined(gather_sum)


def reduction_of(name: str, dtype: Dtype) -> Reduction:
    """That of "max" or "mean" for what is computed in float32 or float64."""
    if name == "mean":
        return Reduction(add, add, make_gather_sum(SCALARS[dtype]), 0.0, True)
    combine = maximum if dtype == FLOAT32 else first_maximum
    return Reduction(combine, first_maximum, gather_maximum, -math.inf, False)


REDUCTIONS = ("max", "mean")
