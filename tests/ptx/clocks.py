"""Vector clocks: who knows which accesses of whom."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

# How many mbarriers of a block are told apart as agents of the copies that complete on them.
MBARRIERS = 32

# What is known of each block by its number, the clocks of its agents; of places in memory that strong
# accesses meet at (`releases.Place`), how many writes have been observed; and as `SEEN` what the next fence
# that reaches beyond the block will tell besides, a `Knowledge` too. Never changed once it is made.
Knowledge = dict[Hashable, "np.ndarray | int | dict"]
NOTHING: Knowledge = {}
SEEN = "seen"


def merged(first: Knowledge, second: Knowledge) -> Knowledge:
    """All that either of two tells."""
    if not second or first is second:
        return first
    if not first:
        return second
    result = dict(first)
    for key, known in second.items():
        mine = result.get(key)
        if mine is None or mine is known:
            result[key] = known
        else:
            result[key] = merged(mine, known) if key == SEEN else np.maximum(mine, known)
    return result


class Clocks:
    """Vector clocks of the threads that execute.

    Attributes
    ----------
    agents : int
        Lanes of a block.
    known : ndarray, shape (lanes, agents + MBARRIERS)
        Each lane knows the accesses of agents of its own block up to these clocks. Behind the threads come
        agents that are none: copies that complete on mbarriers.
    own : ndarray, shape (lanes,)
        The clock of what each lane does now.
    far : ndarray of Knowledge, shape (lanes,)
        What each lane knows beside that, of other blocks and of places.
    numbers : ndarray, shape (lanes,)
        The number of each lane's block in the grid.
    """

    def __init__(self, lanes: int, agents: int, numbers: np.ndarray) -> None:
        self.agents = agents
        self.numbers = numbers
        self.known = np.zeros((lanes, agents + MBARRIERS), np.int32)
        self.own = np.ones(lanes, np.int32)
        self.far = np.full(lanes, NOTHING, object)
        self.far_is_known = False

    def begin(self) -> None:
        """Other blocks start."""
        self.known.fill(0)
        self.own.fill(1)
        self.far.fill(NOTHING)
        self.far_is_known = False

    # -- what comes before what ------------------------------------------------------------------

    def ordered_in_block(self, agents: np.ndarray, clocks: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whether accesses by agents of their own block come before what lanes do now."""
        return (rows % self.agents == agents) | (self.known[rows, agents] >= clocks)

    def ordered(self, agents: np.ndarray, clocks: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The same for agents of any block: threads as the grid numbers them, its blocks being padded."""
        blocks, threads = np.divmod(agents, self.agents)
        near = blocks == self.numbers[rows]
        result = near & self.ordered_in_block(threads, clocks, rows)
        if self.far_is_known:
            others = np.flatnonzero(~near)
            for row in np.unique(rows[others]):
                mine = others[rows[others] == row]
                for block in np.unique(blocks[mine]):
                    known = self.far[row].get(int(block))
                    if known is not None:
                        chosen = mine[blocks[mine] == block]
                        result[chosen] = known[threads[chosen]] >= clocks[chosen]
        return result

    # -- what orders -----------------------------------------------------------------------------

    def gather(self, lanes: np.ndarray) -> Knowledge:
        """What lanes of one block know and did, all together; what they do from now on is not part of it."""
        together = self.known[lanes].max(axis=0)
        columns = lanes % self.agents
        together[columns] = np.maximum(together[columns], self.own[lanes])
        self.own[lanes] += 1
        return {**self._far_of(lanes), int(self.numbers[lanes[0]]): together}

    def _far_of(self, lanes: np.ndarray) -> Knowledge:
        far = NOTHING
        if self.far_is_known:
            for known in {id(known): known for known in self.far[lanes]}.values():
                far = merged(far, known)
        return far

    def absorb(self, lanes: np.ndarray, knowledge: Knowledge) -> None:
        """Lanes of one block learn something."""
        block = int(self.numbers[lanes[0]])
        if (near := knowledge.get(block)) is not None:
            self.known[lanes] = np.maximum(self.known[lanes], near)
        rest = {key: known for key, known in knowledge.items() if key != block}
        if rest:
            self.far_is_known = True
            made: dict[int, Knowledge] = {}
            for lane in lanes:
                far = self.far[lane]
                if id(far) not in made:
                    made[id(far)] = merged(far, rest)
                self.far[lane] = made[id(far)]

    def observe(self, lane: int, place: Hashable, writes: int) -> None:
        """A lane has read what the latest of so many strong writes left at a place."""
        self.far_is_known = True
        self.far[lane] = {**self.far[lane], place: writes}

    def see(self, lane: int, knowledge: Knowledge) -> None:
        """A lane has read something that, after a fence, tells of what came before it was written."""
        self.far_is_known = True
        self.far[lane] = merged(self.far[lane], {SEEN: knowledge})

    def take_seen(self, lane: int) -> Knowledge:
        """What lanes had seen of which this lane knows, for a fence."""
        far = self.far[lane]
        if SEEN in far:
            self.far[lane] = {key: known for key, known in far.items() if key != SEEN}
        return far.get(SEEN, NOTHING)

    def join(self, arrived: np.ndarray, waiting: np.ndarray) -> None:
        """Lanes of one block synchronise: those that wait now know all that any arrival knew."""
        self.absorb(waiting, self.gather(arrived))

    def meet(self, blocks: np.ndarray) -> None:
        """All threads of each of some blocks synchronise."""
        lanes = blocks[:, None] * self.agents + np.arange(self.agents)
        known = self.known[lanes].max(axis=1)
        known[:, : self.agents] = self.own[lanes]
        self.known[lanes] = known[:, None]
        self.own[lanes] += 1
        for row in lanes if self.far_is_known else ():
            self.far[row] = self._shared(self._far_of(row), row.size)

    @staticmethod
    def _shared(known: Knowledge, count: int) -> np.ndarray:
        return np.full(count, known, object)
