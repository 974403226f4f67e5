"""One axis of an input tile with its halo: which lines are staged, and where taps and outputs find them.

Pure arithmetic, tested without a GPU. Only the lines that some tap reads are staged. A tile of T outputs and
`taps` taps reads the positions t stride + r dilation, all multiples of step = gcd(stride, dilation); in steps
it is `pixel` lines from one output to the next, and `tap` lines from one tap to the next.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StagedAxis:
    """One axis of the input tile, in lines (rows or columns)."""

    step: int  # input positions between staged lines
    pixel: int  # lines from one output to the next
    tap: int  # lines from one tap to the next
    lines: int

    @classmethod
    def of(cls, outputs: int, taps: int, stride: int, dilation: int) -> "StagedAxis":
        step = stride if taps == 1 else math.gcd(stride, dilation)
        pixel, tap = stride // step, dilation // step  # a single tap never moves by `tap`
        return cls(step, pixel, tap, (outputs - 1) * pixel + (taps - 1) * tap + 1)
