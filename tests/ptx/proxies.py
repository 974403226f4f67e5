"""The two proxies through which memory is accessed: generic and asynchronous.

Ordinary loads and stores, atomics, ``ldmatrix``, ``stmatrix`` and ``cp.async`` use the generic
proxy; ``wgmma`` and bulk copies use the asynchronous one. What was written through the generic
proxy may be read through the asynchronous one only after a ``fence.proxy.async`` that follows the
write, in the thread that wrote or in one that is synchronised with it. A barrier alone does not do.

`Proxies` remembers for each granule the thread that wrote it last, until such a fence::

    proxies = op.machine.extension(Proxies)           # while binding: tracking starts here
    proxies.require_fence(region, positions, size, lane)  # before a read through the asynchronous proxy
    proxies.written_asynchronously(region, positions, size)  # after a write through it
    proxies.fence(active, "shared")                   # by fence.proxy.async.shared::cta

Writes through the generic proxy come by themselves, from `Memory.check`. An operation that writes
later than it checks, as ``cp.async`` does, calls `written` when the data has arrived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .faults import AsynchronousError
from .lanes import Active
from .region import Region

if TYPE_CHECKING:
    from .machine import Machine

NOBODY = -1


class Writers:
    """Who wrote each granule of a region through the generic proxy, since the last proxy fence.

    Attributes
    ----------
    lane : ndarray of int32, shape (granules,)
        `NOBODY` if the granule may be read through the asynchronous proxy.
    meeting, clock : ndarray of int64, shape (granules,)
        How often the writer's block had met at a barrier, and the writer's vector clock.
    """

    def __init__(self, region: Region) -> None:
        granules = region.valid.size
        self.region = region
        self.lane = np.full(granules, NOBODY, np.int32)
        self.meeting = np.zeros(granules, np.int64)
        self.clock = np.zeros(granules, np.int64)


class Proxies:
    """Extension of a machine whose kernel uses the asynchronous proxy."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        shared = machine.memory.spaces["shared"].region
        arrays = [region for region in machine.memory.spaces["global"].regions if region.writeable]
        self.writers = {region: Writers(region) for region in [shared, *arrays]}
        for region in self.writers:
            region.watchers.append(self.written)

    def begin(self) -> None:
        """New blocks start: no thread of theirs has written anything."""
        for writers in self.writers.values():
            writers.lane.fill(NOBODY)

    def written(self, region: Region, lanes: np.ndarray, positions: np.ndarray, size: int) -> None:
        """Lanes (indices) write `size` bytes at `positions` through the generic proxy."""
        writers, races = self.writers[region], self.machine.races
        granules = granules_of(region, positions, size)
        writers.lane[granules] = lanes[:, None]
        writers.meeting[granules] = races.meetings[self.machine.block_of_lane[lanes], None]
        if races.threads is not None:
            writers.clock[granules] = races.threads.own[lanes, None]

    def written_asynchronously(self, region: Region, positions: np.ndarray, size: int) -> None:
        """Bytes were written through the asynchronous proxy, which its reads see without a fence."""
        if region in self.writers:
            self.writers[region].lane[granules_of(region, positions, size)] = NOBODY

    def fence(self, active: Active, space: str | None = None) -> None:
        """The active lanes execute ``fence.proxy.async`` for "shared", "global" or (None) all memory.

        It covers what they have written, and what others had written before they synchronised.
        """
        for region, writers in self.writers.items():
            if space in (None, region.space):
                granules = np.flatnonzero(writers.lane != NOBODY)
                if granules.size:
                    writers.lane[granules[self._covered(writers, granules, active)]] = NOBODY

    def _covered(self, writers: Writers, granules: np.ndarray, active: Active) -> np.ndarray:
        """Which of the granules were written before a fence that the active lanes execute."""
        machine, lanes = self.machine, writers.lane[granules]
        blocks = machine.block_of_lane[lanes]
        covered = active.mask[lanes]
        fencing = np.zeros(machine.blocks, bool)
        fencing[machine.block_of_lane[active.indices]] = True
        covered |= fencing[blocks] & (writers.meeting[granules] < machine.races.meetings[blocks])
        threads = machine.races.threads
        if threads is not None and not covered.all():
            for block in np.flatnonzero(fencing):
                here = active.indices[machine.block_of_lane[active.indices] == block]
                known = threads.known[here].max(axis=0)
                mine = blocks == block
                covered |= mine & (known[lanes % machine.width] >= writers.clock[granules])
        return covered

    def require_fence(
        self, region: Region, positions: np.ndarray, size: int, lane: int | np.ndarray = 0
    ) -> None:
        """Raise unless all bytes may be read through the asynchronous proxy.

        Parameters
        ----------
        region : Region
        positions : ndarray
            Where accesses of `size` bytes begin in `region`.
        size : int
        lane : int or ndarray
            Which lane reads, or one for each position, for the message.
        """
        if region not in self.writers:
            return
        writers = self.writers[region].lane[granules_of(region, positions, size)]
        bad = (writers != NOBODY).any(axis=-1)
        if bad.any():
            first = np.unravel_index(np.flatnonzero(bad)[0], bad.shape)
            writer = int(writers[first].max())
            block, thread = self.machine.position(writer)
            raise AsynchronousError(
                "read through the asynchronous proxy of what was written through the generic one, "
                "with no fence.proxy.async since",
                lane=int(np.broadcast_to(lane, bad.shape)[first]),
                address=region.address(int(positions[first])),
                array=region.name,
                other=f"write by block {block}, thread {thread}",
            )


def granules_of(region: Region, positions: np.ndarray, size: int) -> np.ndarray:
    """The granules of each access of `size` bytes, along a new last axis."""
    count = max(size // region.granule, 1)
    return (positions // region.granule)[..., None] + np.arange(count)
