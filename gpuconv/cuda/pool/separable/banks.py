"""At which pitches the lanes of a warp meet the fewest bank conflicts of shared memory. Pure arithmetic."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gpuconv.cuda.device.limits import BANKS_BYTES, LANES

PITCHES = 32  # that are tried
IDLE = 6  # at most one lane of so many is idle for the banks' sake


@dataclass(frozen=True, slots=True)
class Walk:
    """How lanes lie: `count` of them `step` elements apart, the next so many `pitches` pitches on.

    For each row there are `lanes`, those beyond `count` idle; 0 leaves that open.
    """

    count: int
    step: int
    pitches: int = 1
    width: int = 1  # elements of an access
    weight: float = 1.0
    lanes: int = 0

    @property
    def choices(self) -> range:
        return (
            range(self.lanes, self.lanes + 1)
            if self.lanes
            else range(self.count, self.count + self.count // IDLE + 1)
        )

    def degree(self, pitch: int, lanes: int, itemsize: int) -> float:
        """Passes through the banks of the first warps, over the fewest."""
        banks = BANKS_BYTES // (self.width * itemsize)  # of accesses, and lanes that are served at a time
        passes = 0
        for first in range(0, 4 * LANES, banks):
            parts = (divmod(number, lanes) for number in range(first, first + banks))
            places = {
                (row * self.pitches * pitch + lane * self.step) // self.width
                for row, lane in parts
                if lane < self.count
            }
            passes += max(Counter(place % banks for place in places).values(), default=1)
        return passes * banks / (4 * LANES)

    def best(self, pitch: int, itemsize: int) -> tuple[float, int]:
        """(the fewest passes, the fewest lanes to a row that take no more)."""
        return min((self.degree(pitch, lanes, itemsize), lanes) for lanes in self.choices)


def best_pitch(
    least: int, multiple: int, itemsize: int, walks: Sequence[Walk]
) -> tuple[float, int, tuple[int, ...]]:
    """(passes, the first multiple from `least` on with the fewest, the lanes to a row of each walk)."""
    best: tuple[float, int, tuple[int, ...]] = (math.inf, least, ())
    first = round_up(least, multiple)
    for pitch in range(first, first + PITCHES, multiple):
        found = [walk.best(pitch, itemsize) for walk in walks]
        passes = sum(walk.weight * degree for walk, (degree, _) in zip(walks, found, strict=True))
        best = min(best, (passes, pitch, tuple(lanes for _, lanes in found)))
        if all(degree == 1 for degree, _ in found):
            break
    return best


def round_up(value: int, multiple: int) -> int:
    """The first multiple from a value on."""
    return -(-value // multiple) * multiple
