"""Vector clocks: who knows which accesses of whom."""

from __future__ import annotations

import numpy as np

# How many mbarriers of a block are told apart as agents of the copies that complete on them.
MBARRIERS = 32


class Clocks:
    """Vector clocks: row r knows the accesses of agent a up to clock ``known[r, a]``.

    Rows fall into groups of ``agents`` that follow one another; only members of a group meet.
    Behind the agents come `further` ones that have no rows: copies that complete on mbarriers.
    """

    def __init__(self, groups: int, agents: int, further: int = 0) -> None:
        self.agents = agents
        self.known = np.zeros((groups * agents, agents + further), np.int32)
        self.own = np.ones(groups * agents, np.int32)
        self.released = np.zeros((groups, agents + further), np.int32)
        self.fenced = np.zeros(groups * agents, bool)

    def ordered(self, agents: np.ndarray, clocks: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whether accesses by agents at their clocks come before what the rows do now."""
        return (rows % self.agents == agents) | (self.known[rows, agents] >= clocks)

    def join(self, arrived: np.ndarray, waiting: np.ndarray) -> None:
        """Rows of one group synchronise: those that wait now know all that any arrival knew."""
        together = self.known[arrived].max(axis=0)
        columns = arrived % self.agents
        together[columns] = np.maximum(together[columns], self.own[arrived])
        self.known[waiting] = np.maximum(self.known[waiting], together)
        self.own[arrived] += 1

    def release(self, rows: np.ndarray) -> None:
        """What the rows know and did becomes known to all who acquire later."""
        for row in rows:
            group, column = divmod(int(row), self.agents)
            np.maximum(self.released[group], self.known[row], out=self.released[group])
            self.released[group, column] = max(self.released[group, column], self.own[row])
            self.own[row] += 1

    def acquire(self, rows: np.ndarray) -> None:
        self.known[rows] = np.maximum(self.known[rows], self.released[rows // self.agents])
