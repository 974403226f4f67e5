"""Values that the lanes of a warp exchange, in words of 32 bits: the one place that calls the shuffles.

A shuffle moves one word. What has two is moved in halves here, and not by the compiler, which need not know
that: a shuffle that leaves the upper half where it was computes wrong numbers without a word.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpuconv.cuda.device.elements import Function, inlined
from gpuconv.cuda.device.limits import ALL_LANES
from gpuconv.cuda.language import cuda, float32, float64, int32, int64, libdevice, uint32


@dataclass(frozen=True, slots=True)
class Shuffles:
    """What kernels call for values of one type; all lanes of a warp take part.

    Attributes
    ----------
    exchange : callable
        exchange(value, mask): that of the lane whose number differs in `mask`.
    before, behind : callable
        before(value), behind(value): that of the lane before, or behind; its own where there is none.
    at : callable
        at(value, lane): that of a lane, an int32.
    """

    exchange: Function
    before: Function
    behind: Function
    at: Function


@inlined
def exchange_word(word, mask):
    return cuda.shfl_xor_sync(ALL_LANES, word, mask)


@inlined
def word_before(word, distance):
    return cuda.shfl_up_sync(ALL_LANES, word, distance)


@inlined
def word_behind(word, distance):
    return cuda.shfl_down_sync(ALL_LANES, word, distance)


@inlined
def word_at(word, lane):
    return cuda.shfl_sync(ALL_LANES, word, lane)


def _of_words(move: Function) -> Function:
    return move


def _of_unsigned(move: Function) -> Function:
    def moved(value, by):
        return uint32(move(int32(value), by))

    return inlined(moved)


def _of_integers64(move: Function) -> Function:
    def moved(value, by):
        low, high = int32(value & int64(0xFFFFFFFF)), int32(value >> int64(32))
        low, high = uint32(move(low, by)), move(high, by)
        return int64(int64(high) << int64(32)) | int64(low)

    return inlined(moved)


def _of_floats64(move: Function) -> Function:
    halves = _of_integers64(move)

    def moved(value, by):
        return libdevice.longlong_as_double(halves(libdevice.double_as_longlong(value), by))

    return inlined(moved)


OF_TYPE: dict[Any, Callable[[Function], Function]] = {
    int32: _of_words, float32: _of_words, uint32: _of_unsigned, int64: _of_integers64, float64: _of_floats64,
}  # fmt: skip


def make_shuffles(kind: Any) -> Shuffles:
    """The shuffles for values of a type of Numba's."""
    exchange, before, behind, at = map(
        OF_TYPE[kind], (exchange_word, word_before, word_behind, word_at)
    )  # fmt: skip

    def one_before(value):
        return before(value, 1)

    def one_behind(value):
        return behind(value, 1)

    return Shuffles(exchange, inlined(one_before), inlined(one_behind), at)
