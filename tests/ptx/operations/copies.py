"""``cp.async`` with its groups: each thread copies 4, 8 or 16 bytes from global to shared memory.

Copies that nobody waits for before the block ends are dropped: the hardware completes them, and
nothing can tell.
"""

from __future__ import annotations

import numpy as np

from ..async_copies import AsyncCopies, Source
from ..asynchronous import CHUNK
from ..faults import BarrierError, MisalignedError, OutOfBoundsError
from ..lanes import Active
from ..mbarrier_state import LARGEST
from ..mbarriers import Mbarriers
from ..proxies import granules_of
from ..races import Access
from ..registry import Binder, Step, operation
from ..syntax import Negated, Register
from .loads import Addresses
from .mbarrier import take_semantics, take_shared

SIZES = (4, 8, 16)


def take_cache_hints(op: Binder) -> bool:
    """Drop the hints for the L2 cache; whether the last operand is a cache policy."""
    policy = "L2::cache_hint" in op.modifiers
    op.modifiers[:] = [word for word in op.modifiers if not word.startswith("L2::")]
    return policy


@operation("createpolicy")
def createpolicy(op: Binder) -> Step:
    """A cache policy is a number that only cache hints look at."""
    op.modifiers.clear()
    out = op.target(0, "b64")
    return lambda active: np.copyto(out, 0, where=active.where)


@operation("cp.async.ca", "cp.async.cg", writes=0)
def cp_async(op: Binder) -> Step:
    policy = take_cache_hints(op)
    if op.take("shared", "shared::cta") is None or not op.flag("global"):
        raise op.unknown("state spaces of cp.async")
    operands = len(op.operands) - policy
    if operands not in (3, 4):
        raise op.unknown("number of operands of cp.async")
    size = op.constant(2)
    if size not in (SIZES if op.opcode == "cp.async.ca" else (CHUNK,)):
        raise op.unknown(f"size {size} of {op.opcode}")
    amounts = SourceSizes(op, size, given=operands == 4)
    to, source = Addresses(op, 0), Addresses(op, 1)
    copies, memory = op.machine.extension(AsyncCopies), op.machine.memory
    read = SourceReader(op, size)

    def step(active: Active) -> None:
        try:
            region, positions = memory.spaces["shared"].place(to(active), active, size)
        except (OutOfBoundsError, MisalignedError) as fault:
            fault.lane = int(active.indices[fault.lane])
            raise
        memory.check(op.instruction, active, region, positions, size, Access.WRITE)
        copies.issue(op.instruction, active, positions, *read(active, source(active), amounts(active)))

    return step


class SourceSizes:
    """How many bytes of each copy come from the source, the rest being zero: a size or a predicate."""

    def __init__(self, op: Binder, size: int, given: bool) -> None:
        self.machine, self.size = op.machine, size
        self.operand = op.operands[3] if given else None
        named = self.operand.register if isinstance(self.operand, Negated) else self.operand
        self.register = named
        self.ignores = isinstance(named, Register) and named.type == "pred"
        if self.ignores:
            self.values, self.negated = op.machine.predicate(self.operand, op.instruction)
        elif self.operand is not None:
            self.values = op.source(3, "u32")

    def __call__(self, active: Active) -> np.ndarray:
        if self.operand is None:
            return np.full(active.count, self.size)
        self.machine.states.reject(self.register, active, "the size of a copy")
        if self.ignores:
            return np.where(active.gather(self.values) != self.negated, 0, self.size)
        sizes = active.gather(self.values).astype(np.int64)
        if (sizes > self.size).any():
            lane = int(np.flatnonzero(sizes > self.size)[0])
            raise OutOfBoundsError(
                f"{sizes[lane]} bytes of source for a copy of {self.size}", lane=int(active.indices[lane])
            )
        return sizes


class SourceReader:
    """Reads the source of copies: only as many bytes of each as it asks for."""

    def __init__(self, op: Binder, size: int) -> None:
        self.instruction, self.memory, self.size = op.instruction, op.machine.memory, size

    def __call__(
        self, active: Active, addresses: np.ndarray, amounts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, list[Source]]:
        """Data and which bytes of it hold a value, shape (copies, size), and what was read."""
        bad = addresses % self.size != 0
        if bad.any():
            lane = int(np.flatnonzero(bad)[0])
            raise MisalignedError(
                f"source of a copy of {self.size} bytes is not aligned to it",
                lane=int(active.indices[lane]),
                address=int(addresses[lane]),
            )
        data = np.zeros((active.count, self.size), np.uint8)
        known = np.ones(data.shape, bool)
        sources: list[Source] = []
        for amount in np.unique(amounts[amounts > 0]):
            chosen = np.flatnonzero(amounts == amount)
            offset = 0
            for piece in (16, 8, 4, 2, 1):
                if amount & piece:
                    self._read(active, addresses, chosen, offset, piece, data, known, sources)
                    offset += piece
        return data, known, sources

    def _read(
        self,
        active: Active,
        addresses: np.ndarray,
        chosen: np.ndarray,
        offset: int,
        size: int,
        data: np.ndarray,
        known: np.ndarray,
        sources: list[Source],
    ) -> None:
        """Read `size` bytes at an offset of the chosen copies' sources."""
        mask = np.zeros_like(active.mask)
        mask[active.indices[chosen]] = True
        lanes = Active(mask, chosen.size)
        for selection, part, region, positions in self.memory.parts(
            "global", addresses[chosen] + offset, lanes, size
        ):
            self.memory.check(self.instruction, part, region, positions, size, Access.READ)
            rows, columns = chosen[selection], slice(offset, offset + size)
            data[rows, columns] = region.read(positions, size).view(np.uint8).reshape(-1, size)
            granules = granules_of(region, positions, size)
            if not region.all_valid:
                known[rows, columns] = np.repeat(region.valid[granules], size // granules.shape[1], axis=1)
            if region.writeable:
                copies = np.repeat(rows, granules.shape[1])
                sources.append(Source(region, granules.reshape(-1), copies))


@operation("cp.async.commit_group", writes=0)
def commit_group(op: Binder) -> Step:
    return op.machine.extension(AsyncCopies).commit


@operation("cp.async.wait_group", writes=0)
def wait_group(op: Binder) -> Step:
    pending, copies = op.constant(0), op.machine.extension(AsyncCopies)
    return lambda active: copies.wait(active, pending)


@operation("cp.async.wait_all", writes=0)
def wait_all(op: Binder) -> Step:
    copies = op.machine.extension(AsyncCopies)

    def step(active: Active) -> None:
        copies.commit(active)
        copies.wait(active, 0)

    return step


@operation("cp.async.mbarrier.arrive", writes=0)
def mbarrier_arrive(op: Binder) -> Step:
    """Without ``noinc`` the mbarrier expects the arrivals in addition to its own."""
    take_semantics(op, "relaxed")
    counted = not op.flag("noinc")
    space, addresses = take_shared(op), Addresses(op, 0)
    copies, barriers = op.machine.extension(AsyncCopies), op.machine.extension(Mbarriers)

    def step(active: Active) -> None:
        for barrier, lanes, _ in barriers.meet(op.instruction, space, addresses(active), active):
            if counted:
                barrier.pending += lanes.size
            if barrier.pending > LARGEST:
                raise BarrierError(f"too many arrivals for {barrier.state()}", lane=int(lanes[0]))
            barrier.queue.append(copies.track(barrier, op.instruction, lanes))

    return step
