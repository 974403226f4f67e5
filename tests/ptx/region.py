"""A stretch of memory: its bytes, which of them hold a value, which an asynchronous operation uses.

All of this is tracked by *granules*, the narrowest accesses that the kernel makes, and is consulted
with one gather for each access: a record of bytes seen through a wider type answers for a whole
access at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .faults import AsynchronousError, OutOfBoundsError
from .lanes import Active

if TYPE_CHECKING:
    from .constant_loads import ConstantLoads
    from .layout import Layout
    from .races import Tracker

# Called with (region, lanes, positions, bytes for each lane) before lanes (indices) write.
Watcher = Callable[["Region", np.ndarray, np.ndarray, int], None]

# One element of an access of so many bytes. 16 bytes have no integer type in NumPy; a complex one
# is only ever moved and compared, never computed with.
CHUNKS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.complex128}
_TRUE = {size: np.frombuffer(b"\1" * size, dtype)[0] for size, dtype in CHUNKS.items()}
_LOG2 = {1: 0, 2: 1, 4: 2, 8: 3, 16: 4}


class Region:
    """Consecutive bytes; for shared memory one stretch per block, for local memory one per lane.

    Parameters
    ----------
    name : str
        For messages.
    space : str
        State space.
    size : int
        Bytes of one stretch.
    granule : int
        Bytes by which values and pending operations are tracked.
    base : int
        Address of the first byte, a multiple of 256 plus `lead`.
    lead : int
        How far the first byte lies beyond a multiple of 256.
    stretch : ndarray of int64, shape (lanes,), optional
        Which stretch a lane sees.
    stretches : int
        Their number.
    """

    def __init__(
        self,
        name: str,
        space: str,
        size: int,
        granule: int,
        *,
        base: int = 0,
        lead: int = 0,
        stretch: np.ndarray | None = None,
        stretches: int = 1,
        writeable: bool = True,
    ) -> None:
        self.name = name
        self.space = space
        self.size = size
        self.granule = granule
        self.base = base - lead
        self.lead = lead
        self.stride = -(-(lead + size) // 16) * 16
        self.shift = None if stretch is None else stretch * self.stride
        self.writeable = writeable
        self.fold: tuple[int, int, int] | None = None
        total = self.stride * stretches
        self.data = np.full(total, 0xFF, np.uint8)
        self.valid = np.zeros(total // granule, bool)
        self.pending_write = np.zeros(total // granule, np.uint8)
        self.pending_read = np.zeros(total // granule, np.uint8)
        self.all_valid = False
        self.has_gaps = False
        self.held = 0
        self.tracker: Tracker | None = None
        self.constant_loads: ConstantLoads | None = None
        self.watchers: list[Watcher] = []
        self._views = {chunk: self.data.view(dtype) for chunk, dtype in CHUNKS.items()}
        self._granule_views: dict[str, dict[int, np.ndarray]] = {}
        for record in ("valid", "pending_write", "pending_read"):
            self._view(record)

    @classmethod
    def of_layout(
        cls, name: str, space: str, layout: Layout, granule: int, **options: np.ndarray | int
    ) -> Region:
        """A region that holds variables as they are laid out; the gaps between them are out of bounds."""
        first = layout.first or 0
        region = cls(name, space, layout.end - first, granule, base=first, lead=first, **options)
        if layout.gaps:
            region.has_gaps = True
            region.add_record("gap")
            for begin, end in layout.gaps:
                granules = slice(-(-begin // granule), end // granule)
                region.gap.reshape(-1, region.stride // granule)[:, granules] = True
        return region

    def add_record(self, name: str) -> None:
        """Note something else of each granule: False so far."""
        setattr(self, name, np.zeros_like(self.valid))
        self._view(name)

    def _view(self, record: str) -> None:
        """Let a record be looked up by chunks."""
        values = getattr(self, record)
        self._granule_views[record] = {
            self.granule * ratio: values.view(np.uint8).view(dtype)
            for ratio, dtype in CHUNKS.items()
            if self.granule * ratio <= 16
        }

    def clear(self) -> None:
        """Forget every value."""
        self.data.fill(0xFF)
        self.valid.fill(False)
        self.pending_write.fill(0)
        self.pending_read.fill(0)
        self.held = 0

    def fill(self, offset: int, values: bytes | np.ndarray) -> None:
        """Give bytes a value, in every stretch."""
        values = np.frombuffer(values, np.uint8)
        if not values.size:
            return
        start = self.lead + offset
        self.data.reshape(-1, self.stride)[:, start : start + values.size] = values
        granules = self.valid.reshape(-1, self.stride // self.granule)
        granules[:, start // self.granule : -(-(start + values.size) // self.granule)] = True

    def locate(self, addresses: np.ndarray, active: Active, size: int) -> np.ndarray | None:
        """Positions in `data` of accesses of `size` bytes, or None if any is out of bounds."""
        positions = addresses - self.base
        if self.fold is not None:
            return self._folded(positions - self.lead, size)
        span = (positions - self.lead).view(np.uint64).max()
        if span > self.size - size or size > self.size:
            return None
        return positions if self.shift is None else positions + active.gather(self.shift)

    def _folded(self, offsets: np.ndarray, size: int) -> np.ndarray | None:
        """As `locate`, of an array whose parts are said to lie far apart: see `tests.ptx.apart`."""
        number, offset, outside = self._parts(offsets, size)
        return None if outside.any() else self.lead + number * self.fold[1] + offset

    def _parts(self, offsets: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(number of the part, offset in it, whether that is beyond it) of accesses."""
        step, pitch, part = self.fold
        number, offset = np.divmod(offsets, step)
        return number, offset, (offset > part - size) | (number < 0) | (number * pitch + part > self.size)

    def outside(self, addresses: np.ndarray, size: int) -> np.ndarray:
        """Which accesses reach beyond the stretch."""
        offsets = addresses - self.base - self.lead
        if self.fold is not None:
            return self._parts(offsets, size)[2]
        return (offsets < 0) | (offsets + size > self.size)

    def read(self, positions: np.ndarray, size: int) -> np.ndarray:
        """The bytes at `positions`, multiples of `size`, as one chunk for each lane."""
        return self._views[size][positions >> _LOG2[size]]

    def write(self, positions: np.ndarray, size: int, chunks: np.ndarray) -> None:
        """Store one chunk for each lane and mark its bytes as written."""
        places = positions >> _LOG2[size]
        self._views[size][places] = chunks
        if not self.all_valid:
            self.mark("valid", positions, size, True)

    def mark(self, record: str, positions: np.ndarray, size: int, value: bool) -> None:
        """Set a record, such as "valid", for chunks of `size` bytes."""
        if size < self.granule:
            getattr(self, record)[positions // self.granule] = value
        else:
            filled = _TRUE[size // self.granule] if value else 0
            self._granule_views[record][size][positions >> _LOG2[size]] = filled

    def granules(self, positions: np.ndarray, size: int) -> np.ndarray:
        """The granules that chunks of any `size` at `positions` touch, each once."""
        count = max(size // self.granule, 1)
        return np.unique((positions // self.granule)[:, None] + np.arange(count))

    def hold(self, record: str, granules: np.ndarray) -> None:
        """An asynchronous operation begins to write ("pending_write") or read ("pending_read").

        A granule that occurs twice is held twice, and must be released as often.
        """
        np.add.at(getattr(self, record), granules, np.uint8(1))
        self.held += granules.size

    def release(self, record: str, granules: np.ndarray) -> None:
        """That operation is complete."""
        np.subtract.at(getattr(self, record), granules, np.uint8(1))
        self.held -= granules.size

    def look(self, record: str, positions: np.ndarray, size: int) -> np.ndarray:
        """A record's granules of each chunk, as one number for each lane."""
        size = max(size, self.granule)
        return self._granule_views[record][size][positions >> _LOG2[size]]

    def initialised(self, positions: np.ndarray, size: int) -> np.ndarray | None:
        """Which chunks hold a value throughout; None means all of them."""
        if self.all_valid:
            return None
        known = self.look("valid", positions, size) == _TRUE[max(size // self.granule, 1)]
        return None if np.count_nonzero(known) == known.size else known

    def check_gaps(self, positions: np.ndarray, size: int) -> None:
        """Raise if chunks reach into a gap between variables."""
        bad = self.look("gap", positions, size) != 0
        if bad.any():
            lane = int(np.flatnonzero(bad)[0])
            raise OutOfBoundsError(
                f"access of {size} bytes beyond a variable in {self.name}",
                lane=lane,
                address=self.address(int(positions[lane])),
                array=self.name,
            )

    def check_pending(self, positions: np.ndarray, size: int, writing: bool) -> None:
        """Raise if an asynchronous operation still writes the bytes, or reads them and we write."""
        for record in ("pending_write", "pending_read") if writing else ("pending_write",):
            busy = self.look(record, positions, size) != 0
            if busy.any():
                lane = int(np.flatnonzero(busy)[0])
                doing = "written" if record == "pending_write" else "read"
                raise AsynchronousError(
                    f"{'store to' if writing else 'read of'} memory still being {doing} asynchronously",
                    lane=lane,
                    address=self.address(int(positions[lane])),
                    array=self.name,
                )

    def address(self, position: int) -> int:
        """The address, in this region's state space, of a position in `data`."""
        if self.fold is not None:
            number, offset = divmod(position - self.lead, self.fold[1])
            return self.base + self.lead + number * self.fold[0] + offset
        return self.base + (position % self.stride if self.shift is not None else position)
