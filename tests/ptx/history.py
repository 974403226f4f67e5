"""Accesses before the latest synchronisation: who came last to each granule of memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# (earlier agents, their clocks, rows of the agents now) -> whether the earlier accesses come before
Ordered = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
NOBODY = -1


class History:
    """Who accessed each granule, for one kind of access: the least and greatest agent, with clocks.

    An access that comes after the remembered ones replaces them; of several that nothing orders
    only two are remembered, which is enough for synchronisation that takes neighbours together.
    """

    def __init__(self, size: int) -> None:
        self.agents = np.full((2, size), NOBODY, np.int32)
        self.clocks = np.zeros((2, size), np.int32)

    def clear(self, granules: slice) -> None:
        self.agents[:, granules] = NOBODY

    def find(
        self, granules: np.ndarray, agents: np.ndarray, rows: np.ndarray, ordered: Ordered
    ) -> tuple[int, int] | None:
        """The first entry with an unordered access by another agent: (entry, that agent)."""
        for known, clocks in zip(self.agents, self.clocks, strict=True):
            earlier = known[granules]
            other = (earlier != NOBODY) & (earlier != agents)
            if np.count_nonzero(other):
                other[other] = ~ordered(earlier[other], clocks[granules[other]], rows[other])
                if np.count_nonzero(other):
                    entry = int(np.flatnonzero(other)[0])
                    return entry, int(earlier[entry])
        return None

    def add(
        self, granules: np.ndarray, agents: np.ndarray, rows: np.ndarray, clocks: np.ndarray, ordered: Ordered
    ) -> None:
        for row, better in enumerate((np.less, np.greater)):
            earlier = self.agents[row, granules]
            wins = (earlier == NOBODY) | (earlier == agents) | better(agents, earlier)
            rest = np.flatnonzero(~wins)
            wins[rest] = ordered(earlier[rest], self.clocks[row, granules[rest]], rows[rest])
            # Where an instruction meets a granule twice the last assignment stays: least or greatest.
            chosen = np.flatnonzero(wins)[::-1] if row == 0 else np.flatnonzero(wins)
            self.agents[row, granules[chosen]] = agents[chosen]
            self.clocks[row, granules[chosen]] = clocks[chosen]
