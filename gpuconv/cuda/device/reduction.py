"""How several values become one: what combines two of them, and what changes nothing.

A maximum is NaN if a value is; of -0 and +0 it is either.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpuconv.cuda.device.elements import add
from gpuconv.cuda.ptx.arithmetic import maximum


@dataclass(frozen=True, slots=True)
class Reduction:
    """`combine(a, b)` for kernels, and its identity, which stands for what lies outside of an image."""

    combine: Callable[..., Any]
    identity: float


REDUCTIONS = {"max": Reduction(maximum, -math.inf), "mean": Reduction(add, 0.0)}
