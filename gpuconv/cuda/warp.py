"""What the threads of a warp have in common: their number, their mask, how they load side by side.

A lane loads its elements of a row with one access of up to 128 bits, where its first lies on a multiple of
their size; so a warp asks for whole sectors.
"""

from collections.abc import Callable
from typing import Any

from numba import cuda

from gpuconv.cuda.ptx.predicated import load2_if, load4_if, load_if

WARP = 32
ALL_LANES = 0xFFFFFFFF
VECTOR_BYTES = 16


def make_loader(columns: int) -> Callable[..., Any]:
    """load(values, at, condition, x, place, nothing): values[at + j] = x[place + j] for j < columns.

    Where the condition is false, all are `nothing`.
    """

    def one(values, at, condition, x, place, nothing):
        values[at] = load_if(condition, x, place, nothing)

    def two(values, at, condition, x, place, nothing):
        values[at], values[at + 1] = load2_if(condition, x, place, nothing)

    def four(values, at, condition, x, place, nothing):
        values[at], values[at + 1], values[at + 2], values[at + 3] = load4_if(condition, x, place, nothing)

    return cuda.jit(device=True, inline="always")({1: one, 2: two, 4: four}[columns])
