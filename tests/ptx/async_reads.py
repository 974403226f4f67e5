"""Reads of shared memory by whole warpgroups that complete later: the operands of ``wgmma``.

Three things are checked. When a read begins, what it reads must have been written before, by
threads that are synchronised with the whole warpgroup, and made visible to the asynchronous proxy.
While it is pending, nobody may write there. Once the warpgroup has waited for it, only its own
threads and those that synchronise with one of them afterwards may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .descriptors import CHUNK
from .faults import OutOfBoundsError, PtxError, RaceError
from .proxies import Proxies, granules_of
from .region import Region
from .syntax import Instruction

if TYPE_CHECKING:
    from .machine import Machine

WARPGROUP = 128
NEVER = -1


class AsyncReads:
    """Extension of a machine: who reads shared memory asynchronously, or has done so.

    Attributes
    ----------
    meeting : ndarray of int64, shape (warpgroups of a block, granules)
        For each granule and warpgroup that has read it, how often the block had met at a barrier
        when the warpgroup had waited for that read.
    moment : ndarray of int64, same shape
        Which row of `clocks` holds the vector clocks of the warpgroup's threads at that time.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.region: Region = machine.memory.spaces["shared"].region
        self.proxies = machine.extension(Proxies)
        shape = machine.width // WARPGROUP, self.region.valid.size
        self.meeting = np.full(shape, NEVER)
        self.moment = np.zeros(shape, np.int64)
        self.clocks: list[np.ndarray] = []
        self.region.watchers.append(self._written)

    def begin(self) -> None:
        self.meeting.fill(NEVER)
        self.clocks.clear()

    # -- when a read begins ----------------------------------------------------------------------

    def place(self, addresses: np.ndarray, warpgroups: np.ndarray) -> np.ndarray:
        """Positions of 16-byte chunks, given addresses of shape (warpgroups, chunks)."""
        region = self.region
        offsets = addresses - region.base - region.lead
        bad = (offsets < 0) | (offsets + CHUNK > region.size)
        if bad.any():
            group, chunk = (int(index[0]) for index in np.nonzero(bad))
            raise OutOfBoundsError(
                f"a matrix reaches beyond the {region.size} bytes of shared memory",
                lane=int(warpgroups[group]) * WARPGROUP,
                address=int(addresses[group, chunk]),
            )
        return addresses - region.base + region.shift[warpgroups * WARPGROUP][:, None]

    def start(self, instruction: Instruction, positions: np.ndarray, warpgroups: np.ndarray) -> np.ndarray:
        """Check a read of chunks and hold them; returns their granules, (warpgroups, granules)."""
        first = np.repeat(warpgroups * WARPGROUP, positions.shape[1])
        places = positions.reshape(-1)
        if self.region.held or self.region.has_gaps:
            try:
                if self.region.has_gaps:
                    self.region.check_gaps(places, CHUNK)
                self.region.check_pending(places, CHUNK, writing=False)
            except PtxError as fault:
                fault.lane = int(first[fault.lane])
                raise
        # A write by any thread but one conflicts with a read by the first or by the last thread.
        lanes = np.concatenate([first, first + WARPGROUP - 1])
        self.machine.races.check_read(self.region, instruction, lanes, np.tile(places, 2), CHUNK)
        self.proxies.require_fence(self.region, places, CHUNK, first)
        granules = granules_of(self.region, positions, CHUNK).reshape(warpgroups.size, -1)
        self.region.hold("pending_read", granules.reshape(-1))
        return granules

    # -- when the warpgroup has waited for it ----------------------------------------------------

    def complete(self, granules: np.ndarray, warpgroups: np.ndarray) -> None:
        """Reads of `granules`, shape (warpgroups, granules), are over."""
        machine, threads = self.machine, self.machine.races.threads
        self.region.release("pending_read", granules.reshape(-1))
        for row, warpgroup in zip(granules, warpgroups, strict=True):
            lanes = np.arange(warpgroup * WARPGROUP, (warpgroup + 1) * WARPGROUP)
            own = int(lanes[0] % machine.width // WARPGROUP)
            self.meeting[own, row] = machine.races.meetings[machine.block_of_lane[lanes[0]]]
            if threads is not None:
                self.moment[own, row] = len(self.clocks)
                self.clocks.append(threads.own[lanes].copy())

    def _written(self, region: Region, lanes: np.ndarray, positions: np.ndarray, size: int) -> None:
        """Raise if lanes overwrite what another warpgroup has read, and nothing orders them."""
        machine = self.machine
        if self.meeting.shape[0] == 1:
            return
        granules = granules_of(region, positions, size)
        now = machine.races.meetings[machine.block_of_lane[lanes], None]
        others = lanes % machine.width // WARPGROUP
        for warpgroup in range(self.meeting.shape[0]):
            unordered = (self.meeting[warpgroup, granules] == now) & (others != warpgroup)[:, None]
            if unordered.any():
                self._exclude_synchronised(unordered, warpgroup, lanes, granules)
            if unordered.any():
                index = int(np.nonzero(unordered)[0][0])
                raise RaceError(
                    "write races with an asynchronous read by another warpgroup: nothing orders it "
                    "with the wait for that read",
                    lane=int(lanes[index]),
                    address=region.address(int(positions[index])),
                    array=region.name,
                    other=f"read by warpgroup {warpgroup} of the block",
                )

    def _exclude_synchronised(
        self, unordered: np.ndarray, warpgroup: int, lanes: np.ndarray, granules: np.ndarray
    ) -> None:
        """Clear `unordered` where a lane has synchronised with some thread of a warpgroup since its wait."""
        threads = self.machine.races.threads
        if threads is None:
            return
        known = threads.known[lanes, warpgroup * WARPGROUP : (warpgroup + 1) * WARPGROUP]
        moments = self.moment[warpgroup, granules]
        for moment in np.unique(moments[unordered]):
            since = (known >= self.clocks[moment]).any(axis=1)
            unordered &= ~(since[:, None] & (moments == moment))
