"""Loads and stores: from addresses of lanes to bytes, with every check on the way.

`Memory` joins the state spaces of a machine. Lanes of one access usually meet one region and take
the direct path; generic addresses or pointers into several arrays are taken apart first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .faults import OutOfBoundsError, PtxError, ReadOnlyError
from .lanes import Active
from .memory import WINDOW_BITS, WINDOWS, GlobalSpace, Space
from .races import Access
from .region import CHUNKS, Region
from .syntax import Instruction

# Called with (instruction, region, active lanes, positions in it, bytes for each lane, access).
Observer = Callable[[Instruction, Region, Active, np.ndarray, int, Access], None]


class Memory:
    """The state spaces of one machine, by name, and the observer of accesses, if any."""

    def __init__(self, spaces: dict[str, Space | GlobalSpace]) -> None:
        self.spaces = spaces
        self.observer: Observer | None = None
        self._by_window = {WINDOWS[name]: space for name, space in spaces.items()}

    def load(
        self,
        instruction: Instruction,
        space: str,
        addresses: np.ndarray,
        active: Active,
        size: int,
        access: Access,
    ) -> tuple[np.ndarray, list[tuple[np.ndarray | slice, Region, np.ndarray]]]:
        """Read one chunk of `size` bytes for each active lane.

        Returns
        -------
        chunks : ndarray, shape (active lanes,)
        unset : list of (selection, region, positions)
            The parts of the access that meet regions with bytes that nothing has written.
        """
        chunks, unset = None, []
        for selection, lanes, region, positions in self.parts(space, addresses, active, size):
            self.check(instruction, lanes, region, positions, size, access)
            values = region.read(positions, size)
            if isinstance(selection, slice):
                chunks = values
            else:
                chunks = np.zeros(active.count, CHUNKS[size]) if chunks is None else chunks
                chunks[selection] = values
            if region.initialised(positions, size) is not None:
                if region.has_gaps:
                    self._check_gaps(region, lanes, positions, size)
                unset.append((selection, region, positions))
        return chunks, unset

    def store(
        self,
        instruction: Instruction,
        space: str,
        addresses: np.ndarray,
        active: Active,
        size: int,
        chunks: np.ndarray,
        access: Access,
    ) -> None:
        """Write one chunk of `size` bytes for each active lane."""
        for selection, lanes, region, positions in self.parts(space, addresses, active, size):
            if not region.writeable:
                raise ReadOnlyError(
                    f"store to {region.name}",
                    lane=int(lanes.indices[0]),
                    address=region.address(int(positions[0])),
                    array=region.name,
                )
            self.check(instruction, lanes, region, positions, size, access)
            region.write(positions, size, chunks[selection])

    def parts(
        self, space: str, addresses: np.ndarray, active: Active, size: int
    ) -> Iterator[tuple[np.ndarray | slice, Active, Region, np.ndarray]]:
        """Take an access apart into (selection among the active lanes, lanes, region, positions)."""
        for selection, lanes, part in self._split(space, addresses, active):
            found, relative = self._space_of(space, part, lanes)
            try:
                region, positions = found.place(relative, lanes, size)
            except PtxError as fault:
                fault.lane = int(lanes.indices[fault.lane])
                raise
            yield selection, lanes, region, positions

    def _split(
        self, space: str, addresses: np.ndarray, active: Active
    ) -> Iterator[tuple[np.ndarray | slice, Active, np.ndarray]]:
        if space in ("global", "generic"):
            keys = GlobalSpace.region_number(addresses)
            if keys.size and (keys != keys[0]).any():
                for key in np.unique(keys):
                    selection = np.flatnonzero(keys == key)
                    mask = np.zeros_like(active.mask)
                    mask[active.indices[selection]] = True
                    yield selection, Active(mask, selection.size), addresses[selection]
                return
        yield slice(None), active, addresses

    def _space_of(
        self, space: str, addresses: np.ndarray, lanes: Active
    ) -> tuple[Space | GlobalSpace, np.ndarray]:
        if space != "generic":
            return self.spaces[space], addresses
        window = int(addresses[0]) >> WINDOW_BITS
        found = self._by_window.get(window)
        if found is None:
            raise OutOfBoundsError(
                "a generic address that belongs to no state space",
                lane=int(lanes.indices[0]),
                address=int(addresses[0]),
            )
        return found, addresses - (window << WINDOW_BITS)

    def check(
        self,
        instruction: Instruction,
        lanes: Active,
        region: Region,
        positions: np.ndarray,
        size: int,
        access: Access,
    ) -> None:
        """Observe, compare with pending asynchronous operations, and log an access that is in bounds."""
        if self.observer is not None:
            self.observer(instruction, region, lanes, positions, size, access)
        if access.writes and region.has_gaps:
            self._check_gaps(region, lanes, positions, size)
        constants = region.constant_loads
        if region.held or (constants is not None and (access.writes or access.constant)):
            try:
                if region.held:
                    region.check_pending(positions, size, access.writes)
                if constants is not None:
                    constants.note(positions, size, access)
            except PtxError as fault:
                fault.lane = int(lanes.indices[fault.lane])
                raise
        if region.tracker is not None:
            region.tracker.log(instruction, lanes, positions, size, access)
        if access.writes:
            for watcher in region.watchers:
                watcher(region, lanes.indices, positions, size)

    @staticmethod
    def _check_gaps(region: Region, lanes: Active, positions: np.ndarray, size: int) -> None:
        """Nothing is ever written to a gap: it is enough to look at writes, and at reads of what is not."""
        try:
            region.check_gaps(positions, size)
        except PtxError as fault:
            fault.lane = int(lanes.indices[fault.lane])
            raise
