"""What strong writes publish along with their value, and what strong reads take with it.

A fence followed by a strong write or atomic releases, a strong read or atomic followed by a fence acquires,
as ``.release`` and ``.acquire`` do by themselves. The release and the acquire synchronise if the read finds
the value of the write, or of an atomic that follows it at the same place, and if the scope of each includes
the other's thread. A fence hands on what came before the fence, and nothing later. The fence that acquires
may be of another thread, which a barrier has brought together with the one that read.

A strong read alone, without a fence, tells of the strong writes at its place, and of nothing else: who has
counted up to the last block with relaxed atomics may set the counter back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .access_kinds import Access
from .clocks import NOTHING, Clocks, Knowledge, merged


@dataclass(eq=False)
class Place:
    """Bytes that strong accesses meet at.

    Attributes
    ----------
    size : int
        How many.
    writes : int
        Strong writes so far.
    near : dict of int to Knowledge
        What threads of each block have published with the present value, for threads of the same block.
    wide : Knowledge
        What has been published beyond the block.
    released : dict of (block, lane) to pair of Knowledge
        What ``.release`` published for the block and beyond: the same thread's next writes publish it too.
    """

    size: int
    writes: int = 0
    near: dict[int, Knowledge] = field(default_factory=dict)
    wide: Knowledge = field(default_factory=dict)
    released: dict[tuple[int, int], tuple[Knowledge, Knowledge]] = field(default_factory=dict)


@dataclass(frozen=True)
class Meaning:
    """What a strong access does: an atomic reads and writes."""

    reads: bool
    writes: bool
    acquires: bool = False
    releases: bool = False


class Releases:
    """Places of strong accesses, by (name of an array, granule); fences, and what is read before one."""

    def __init__(self, clocks: Clocks) -> None:
        self.clocks = clocks
        self.places: dict[tuple[str, int], Place] = {}
        self.fenced: dict[bool, dict[int, Knowledge]] = {False: {}, True: {}}
        self.seen: dict[int, Knowledge] = {}  # for a fence within the block

    def begin(self, shared: str) -> None:
        """Other blocks start, with shared memory of their own."""
        self.places = {key: place for key, place in self.places.items() if key[0] != shared}
        for known in (*self.fenced.values(), self.seen):
            known.clear()

    def observed(self, array: str, granules: np.ndarray, lanes: np.ndarray) -> np.ndarray:
        """Whether lanes know of all strong writes at granules."""
        result = np.zeros(granules.size, bool)
        for index, (granule, lane) in enumerate(zip(granules.tolist(), lanes.tolist(), strict=True)):
            place = self.places.get((array, granule))
            result[index] = place is not None and self.clocks.far[lane].get(place) == place.writes
        return result

    def fence(self, lanes: np.ndarray, wide: bool) -> None:
        """Lanes execute a fence; `wide` if it reaches beyond the block."""
        for lane in lanes.tolist():
            self._absorb(lane, self.seen.pop(lane, NOTHING))
            if wide:
                self._absorb(lane, self.clocks.take_seen(lane))
            known = self.clocks.gather(np.array([lane]))
            for scope in (False, True)[: 1 + wide]:
                self.fenced[scope][lane] = known

    def access(
        self,
        array: str,
        lanes: np.ndarray,
        granules: np.ndarray,
        access: Access,
        width: int,
        meaning: Meaning,
        written: np.ndarray | None = None,
    ) -> None:
        """Strong accesses by lanes, one after the other, each of `width` granules.

        `written` tells which of them do write: not an atomic compare-and-swap that fails.
        """
        for index, (lane, granule) in enumerate(zip(lanes.tolist(), granules.tolist(), strict=True)):
            place = self.places.get((array, granule))
            if place is not None and place.size != access.size:
                place = None
            if place is not None and meaning.reads:
                self._read(lane, place, access.wide, meaning.acquires)
            if meaning.writes and (written is None or written[index]):
                if place is None:
                    place = Place(access.size)
                    self.places.update(((array, granule + step), place) for step in range(width))
                self._write(lane, place, access.wide, meaning)

    def _read(self, lane: int, place: Place, wide: bool, acquires: bool) -> None:
        near = place.near.get(int(self.clocks.numbers[lane]), NOTHING)
        far = place.wide if wide else NOTHING
        if acquires:
            self._absorb(lane, near)
            self._absorb(lane, far)
        elif near or far:
            self.seen[lane] = merged(self.seen.get(lane, NOTHING), near)
            self.clocks.see(lane, far)
        self.clocks.observe(lane, place, place.writes)

    def _write(self, lane: int, place: Place, wide: bool, meaning: Meaning) -> None:
        block = int(self.clocks.numbers[lane])
        near, far = self.fenced[False].get(lane, NOTHING), self.fenced[True].get(lane, NOTHING)
        if meaning.releases:
            near = self.clocks.gather(np.array([lane]))
            far = near if wide else far
            place.released[block, lane] = near, far
        earlier = place.released.get((block, lane), (NOTHING, NOTHING))
        near, far = merged(near, earlier[0]), merged(far, earlier[1]) if wide else NOTHING
        if not meaning.reads:  # an atomic hands on what it finds, a store does not
            place.near, place.wide = {}, {}
            place.released = {key: known for key, known in place.released.items() if key == (block, lane)}
        place.near[block] = merged(place.near.get(block, NOTHING), near)
        place.wide = merged(place.wide, far)
        place.writes += 1
        self.clocks.observe(lane, place, place.writes)

    def _absorb(self, lane: int, knowledge: Knowledge) -> None:
        if knowledge:
            self.clocks.absorb(np.array([lane]), knowledge)
