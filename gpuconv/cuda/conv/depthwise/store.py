"""How `conv_depthwise` stores a lane's outputs of a row: at once."""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.device.epilogue import finish
from gpuconv.cuda.language import cuda
from gpuconv.cuda.ptx.memory import store2_if, store4_if, store_if


def row_storer(outputs: int) -> Callable[..., Any]:
    """store(condition, y, place, sums, start): the oldest sums, with the bias `start`."""

    def store4(condition, y, place, sums, start):
        a, b, c, d = (
            finish(sums[0], start),
            finish(sums[1], start),
            finish(sums[2], start),
            finish(sums[3], start),
        )
        store4_if(condition, y, place, a, b, c, d)

    def store2(condition, y, place, sums, start):
        store2_if(condition, y, place, finish(sums[0], start), finish(sums[1], start))

    def store1(condition, y, place, sums, start):
        store_if(condition, y, place, finish(sums[0], start))

    return cuda.jit({4: store4, 2: store2, 1: store1}[outputs], device=True, inline="always")
