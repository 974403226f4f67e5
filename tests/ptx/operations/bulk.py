"""``cp.async.bulk`` and ``cp.reduce.async.bulk`` of plain bytes, with groups and prefetches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..asynchronous import CHUNK, Stretch, place
from ..bulk_copies import BulkLoad, BulkStore, BulkStores
from ..faults import MisalignedError, OutOfBoundsError
from ..lanes import Active
from ..mbarrier_state import BYTES, Mbarrier
from ..mbarriers import Mbarriers
from ..proxies import Proxies
from ..races import Access
from ..registry import Binder, Step, operation
from ..syntax import DTYPES
from .atomic import update_of
from .copies import take_cache_hints
from .loads import Addresses
from .mbarrier import Operands

COMPLETES = "mbarrier::complete_tx::bytes"
SPACES = {"global": "global", "shared::cta": "shared", "shared::cluster": "shared"}


def take_spaces(op: Binder) -> tuple[str, str]:
    """State spaces of destination and source."""
    spaces = [word for word in op.modifiers if word in SPACES]
    if len(spaces) != 2:
        raise op.unknown(f"state spaces of {op.opcode}")
    op.modifiers[:] = [word for word in op.modifiers if word not in SPACES]
    return SPACES[spaces[0]], SPACES[spaces[1]]


class Completion:
    """The mbarrier that copies complete on, and the mask of blocks that receive them, if any."""

    def __init__(self, op: Binder, index: int, mask: int) -> None:
        self.op, self.addresses = op, Addresses(op, index)
        self.mask = Operands(op, (mask, "u16")) if op.flag("multicast::cluster") else None
        self.barriers, self.proxies = op.machine.extension(Mbarriers), op.machine.extension(Proxies)

    def __call__(self, active: Active) -> dict[int, Mbarrier]:
        """The mbarrier of each active lane."""
        if self.mask is not None:
            (masks,) = self.mask(active)
            if (masks != 1).any():
                raise OutOfBoundsError(
                    f"multicast to blocks {masks[masks != 1][0]:#x} of a cluster of one",
                    lane=int(active.indices[masks != 1][0]),
                )
        found = {}
        groups = self.barriers.meet(self.op.instruction, "shared", self.addresses(active), active)
        for barrier, lanes, _ in groups:
            self.proxies.require_fence(
                self.barriers.region, np.array([barrier.position]), BYTES, int(lanes[0])
            )
            found.update(dict.fromkeys(lanes.tolist(), barrier))
        return found


def check_operands(op: Binder, load: int, store: int, completes: bool) -> None:
    """Raise unless the number of operands fits: that of a load or a store, and a cache policy."""
    policy, multicast = take_cache_hints(op), completes and "multicast::cluster" in op.modifiers
    if len(op.operands) != (load if completes else store) + policy + multicast:
        raise op.unknown(f"number of operands of {op.opcode}")


@operation("cp.async.bulk", writes=0)
def bulk(op: Binder) -> Step:
    completes = op.flag(COMPLETES)
    check_operands(op, 4, 3, completes)
    to_space, space = take_spaces(op)
    if completes and to_space == "shared":
        return _load(op, space)
    if not op.flag("bulk_group") or (to_space, space) != ("global", "shared"):
        raise op.unknown(f"form of {op.opcode}")
    return _store(op, None, None)


@operation("cp.reduce.async.bulk", writes=0)
def reduce(op: Binder) -> Step:
    (kind,) = op.types(1)
    check_operands(op, 4, 3, completes=False)
    if take_spaces(op) != ("global", "shared") or not op.flag("bulk_group"):
        raise op.unknown(f"form of {op.opcode}")
    return _store(op, take_update(op, kind), DTYPES[kind])


def take_update(op: Binder, kind: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    op.take("noftz")
    name = op.take("add", "min", "max", "inc", "dec", "and", "or", "xor")
    if name is None:
        raise op.unknown("reduction")
    return update_of(name, kind)


def _load(op: Binder, space: str) -> Step:
    to, source, sizes = Addresses(op, 0), Addresses(op, 1), Operands(op, (2, "u32"))
    completion = Completion(op, 3, 4)

    def step(active: Active) -> None:
        barriers = completion(active)
        operands = to(active), source(active), *sizes(active)
        for lane, to_address, address, size in zip(active.indices.tolist(), *operands, strict=True):
            check_size(size, lane)
            reads = _bytes(op, lane, space, int(address), int(size))
            writes = _bytes(op, lane, "shared", int(to_address), int(size))
            check_source(reads)
            load = BulkLoad.issue(writes, reads, reads.read(), reads.written())
            barriers[lane].queue.append(load)

    return step


def _store(op: Binder, update: Callable | None, kind: np.dtype | None) -> Step:
    to, source, sizes = Addresses(op, 0), Addresses(op, 1), Operands(op, (2, "u32"))
    stores = op.machine.extension(BulkStores)
    element = CHUNK if kind is None else kind.itemsize

    def step(active: Active) -> None:
        operands = to(active), source(active), *sizes(active)
        for lane, to_address, address, size in zip(active.indices.tolist(), *operands, strict=True):
            check_size(size, lane)
            reads = _bytes(op, lane, "shared", int(address), int(size))
            writes = _bytes(op, lane, "global", int(to_address), int(size), element)
            check_source(reads)
            data, known = (values.reshape(-1, element) for values in (reads.read(), reads.written()))
            group = int(stores.committed[lane])
            stores.issue(BulkStore(group, reads, writes, data, known, update, kind))

    return step


def check_size(size: int, lane: int) -> None:
    if size % CHUNK or size == 0:
        raise MisalignedError(f"a bulk copy of {size} bytes: not a multiple of {CHUNK}", lane=lane)


def check_source(stretch: Stretch) -> None:
    """Log the read of a copy's source, and require that the asynchronous proxy sees it."""
    stretch.check(Access.READ)
    proxies = stretch.machine.extension(Proxies)
    proxies.require_fence(stretch.region, stretch.positions, stretch.size, stretch.lane)


def _bytes(op: Binder, lane: int, space: str, address: int, size: int, chunk: int = CHUNK) -> Stretch:
    region, position = place(op.machine, space, address, lane, size, CHUNK)
    positions = position + chunk * np.arange(size // chunk)
    return Stretch(op.machine, op.instruction, lane, region, positions, chunk)


@operation("cp.async.bulk.commit_group", writes=0)
def commit_group(op: Binder) -> Step:
    return op.machine.extension(BulkStores).commit


@operation("cp.async.bulk.wait_group", writes=0)
def wait_group(op: Binder) -> Step:
    pending, only_reading, stores = op.constant(0), op.flag("read"), op.machine.extension(BulkStores)
    return lambda active: stores.wait(active, pending, only_reading)


@operation("cp.async.bulk.prefetch", writes=0)
def prefetch(op: Binder) -> Step:
    """Hints: nothing that a program can observe."""
    op.modifiers.clear()
    return lambda active: None
