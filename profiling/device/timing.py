"""How repeats are shared out in turns, and what is kept of them; the same on every device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

ROUNDS = 5  # turns that each call gets, so that a slow minute of the machine meets all of them
LEAST = 3  # repeats of a call that exceeds its seconds

Call = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Timing:
    """Median and fastest repeat of one call, in milliseconds."""

    median: float
    fastest: float

    @classmethod
    def of(cls, series: Sequence[float]) -> "Timing":
        return cls(median(series), min(series))


def turns(expected: Sequence[float], repeats: int, seconds: float) -> list[list[int]]:
    """How often each call is timed in each round, from the milliseconds that it is expected to take.

    A call is repeated `repeats` times, or as often as fits into `seconds`, then LEAST times at least.

    Examples
    --------
    >>> turns([1.0, 400.0], repeats=20, seconds=1.0)
    [[4, 0], [4, 1], [4, 0], [4, 1], [4, 1]]
    """
    affordable = (int(1e3 * seconds / max(single, 1e-3)) for single in expected)
    counts = [min(repeats, max(LEAST, count)) for count in affordable]
    return [
        [count * (turn + 1) // ROUNDS - count * turn // ROUNDS for count in counts] for turn in range(ROUNDS)
    ]
