"""Accesses before the latest synchronisation: who came last to each granule of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

# (earlier agents, their clocks, rows of the agents now) -> whether the earlier accesses come before
Ordered = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
# (granules, rows of the agents now) -> whether what was written there comes before after all
Observed = Callable[[np.ndarray, np.ndarray], np.ndarray]
NOBODY = -1
# Places among the granules looked for, the agents that accessed them earlier, and their clocks.
Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def nothing_is(agents: np.ndarray, clocks: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Accesses of which it is not known what came before them."""
    return np.zeros(agents.size, bool)


class History:
    """Who accessed each granule, in one way: the least and greatest agent, with clocks, and a crowd.

    An access that comes after the remembered ones replaces them. Of several that nothing orders two are
    enough where only whole blocks synchronise; otherwise the rest is a `Crowd`.
    """

    def __init__(self, size: int, crowded: bool = False) -> None:
        self.agents = np.full((2, size), NOBODY, np.int64)
        self.clocks = np.zeros((2, size), np.int32)
        self.crowd = Crowd(size) if crowded else None

    def clear(self, granules: slice) -> None:
        self.agents[:, granules] = NOBODY
        if self.crowd is not None:
            self.crowd.clear(granules)

    def find(
        self,
        granules: np.ndarray,
        agents: np.ndarray,
        rows: np.ndarray,
        ordered: Ordered,
        width: int = 0,
        observed: Observed | None = None,
    ) -> tuple[int, int] | None:
        """The first entry with an unordered access by another agent: (entry, that agent).

        With a `width`, agents of one block, so many in number, do not count as others.
        """
        for entries, earlier, clocks in self._earlier(granules):
            now = agents[entries]
            others = earlier // width != now // width if width else earlier != now
            if not np.count_nonzero(others):
                continue
            chosen = entries[others]
            bad = ~ordered(earlier[others], clocks[others], rows[chosen])
            if observed is not None and np.count_nonzero(bad):
                bad &= ~observed(granules[chosen], rows[chosen])
            if np.count_nonzero(bad):
                first = int(np.flatnonzero(bad)[0])
                return int(chosen[first]), int(earlier[others][first])
        return None

    def _earlier(self, granules: np.ndarray) -> Iterator[Found]:
        for known, clocks in zip(self.agents, self.clocks, strict=True):
            earlier = known[granules]
            entries = np.flatnonzero(earlier != NOBODY)
            if entries.size:
                yield entries, earlier[entries], clocks[granules[entries]]
        if self.crowd is not None and (found := self.crowd.of(granules))[0].size:
            yield found

    def add(
        self, granules: np.ndarray, agents: np.ndarray, rows: np.ndarray, clocks: np.ndarray, ordered: Ordered
    ) -> None:
        for row, better in enumerate((np.less, np.greater)):
            earlier = self.agents[row, granules]
            wins = (earlier == NOBODY) | (earlier == agents)
            rest = np.flatnonzero(~wins)
            before = ordered(earlier[rest], self.clocks[row, granules[rest]], rows[rest])
            wins[rest] = before | better(agents[rest], earlier[rest])
            pushed = rest[wins[rest] & ~before]
            if self.crowd is not None and pushed.size:
                self.crowd.add(granules[pushed], earlier[pushed], self.clocks[row, granules[pushed]])
            # Where an instruction meets a granule twice the last assignment stays: least or greatest.
            chosen = np.flatnonzero(wins)[::-1] if row == 0 else np.flatnonzero(wins)
            self.agents[row, granules[chosen]] = agents[chosen]
            self.clocks[row, granules[chosen]] = clocks[chosen]
        if self.crowd is not None:
            rest = (self.agents[:, granules] != agents).all(axis=0)
            if np.count_nonzero(rest):
                self.crowd.add(granules[rest], agents[rest], clocks[rest])


class Crowd:
    """Accesses to granules that more agents than two have accessed with nothing that orders them."""

    MOST = 1 << 18  # entries that are not yet sorted in

    def __init__(self, size: int) -> None:
        self.size = size
        self.here = np.zeros(size, bool)
        self.fresh: list[Found] = []
        self.count = 0
        self.sorted: Found = tuple(np.zeros(0, np.int64) for _ in range(3))

    def clear(self, granules: slice) -> None:
        if not np.count_nonzero(self.here[granules]):
            return
        self._sort()
        self.here[granules] = False
        keep = self.here[self.sorted[0]]
        self.sorted = tuple(part[keep] for part in self.sorted)

    def add(self, granules: np.ndarray, agents: np.ndarray, clocks: np.ndarray) -> None:
        self.here[granules] = True
        self.fresh.append((granules, agents, clocks))
        self.count += granules.size
        if self.count > self.MOST:
            self._sort()

    def _sort(self) -> None:
        """By granule, the latest access of each agent alone."""
        if not self.fresh:
            return
        parts = [np.concatenate(part) for part in zip(self.sorted, *self.fresh, strict=True)]
        order = np.lexsort((parts[2], parts[1], parts[0]))
        granules, agents, clocks = (part[order] for part in parts)
        last = np.r_[(granules[1:] != granules[:-1]) | (agents[1:] != agents[:-1]), True]
        self.sorted = granules[last], agents[last], clocks[last]
        self.fresh, self.count = [], 0

    def of(self, granules: np.ndarray) -> Found:
        """Those at any of the granules."""
        crowded = np.flatnonzero(self.here[granules])
        if not crowded.size:
            return crowded, crowded, crowded
        self._sort()
        known, agents, clocks = self.sorted
        begin = np.searchsorted(known, granules[crowded], "left")
        count = np.searchsorted(known, granules[crowded], "right") - begin
        places = np.arange(count.sum()) + np.repeat(begin - np.r_[0, np.cumsum(count)[:-1]], count)
        return np.repeat(crowded, count), agents[places], clocks[places]
