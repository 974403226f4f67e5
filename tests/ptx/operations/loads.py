"""``ld``, ``ldu`` and ``st``, scalar and vector, in every state space."""

from __future__ import annotations

import numpy as np

from ..faults import UninitialisedError
from ..lanes import Active
from ..races import Access
from ..region import CHUNKS
from ..registry import Binder, Step, operation
from ..syntax import BITS, DTYPES

_HINTS = {
    "ca",
    "cg",
    "cs",
    "lu",
    "cv",
    "wb",
    "wt",
    "nc",
    "unified",
    "weak",
    "mmio",
    "relaxed",
    "acquire",
    "release",
    "volatile",
    "cta",
    "cluster",
    "gpu",
    "sys",
}
_STRONG = {"volatile", "relaxed", "acquire", "release", "mmio"}
_SPACES = {
    "global": "global",
    "shared": "shared",
    "shared::cta": "shared",
    "local": "local",
    "const": "const",
    "param": "generic",
    "param::entry": "generic",
    "param::func": "generic",
}


def take_space(op: Binder) -> str:
    """The state space among the modifiers; parameters are told apart by their address."""
    return _SPACES.get(op.take(*_SPACES), "generic")


def take_ordering(op: Binder) -> tuple[bool, bool, bool]:
    """(Strong, acquire, release) from the modifiers; cache and scope hints go with them."""
    words = set(op.modifiers)
    op.modifiers[:] = [
        word for word in op.modifiers if word not in _HINTS and not word.startswith(("L1::", "L2::"))
    ]
    return bool(words & _STRONG), "acquire" in words, "release" in words


class Addresses:
    """The addresses of an instruction's active lanes, as int64."""

    def __init__(self, op: Binder, index: int) -> None:
        self.base, self.offset = op.machine.addresses(op.operands[index], op.instruction)

    def __call__(self, active: Active) -> np.ndarray:
        base = active.gather(self.base)
        if self.offset == 0 and base.dtype == np.int64:
            return base
        return base + np.int64(self.offset)


@operation("ld", "ldu", own_checks=True)
def ld(op: Binder) -> Step:
    (kind,) = op.types(1)
    space = take_space(op)
    strong, acquire, _ = take_ordering(op)
    access = Access.STRONG_READ if strong else Access.READ
    items = op.items(0)
    if len(items) != int((op.take("v2", "v4", "v8") or "v1")[1:]):
        raise op.unknown("number of registers")
    outs = [op.target(item, kind) for item in items]
    dtype, element = DTYPES[kind], DTYPES[kind].itemsize
    size, machine, addresses = element * len(items), op.machine, Addresses(op, 1)

    def step(active: Active) -> None:
        chunks, unset = machine.memory.load(op.instruction, space, addresses(active), active, size, access)
        columns = chunks.view(dtype).reshape(active.count, len(items))
        for column, out in enumerate(outs):
            active.scatter(out, columns[:, column])
        if unset or machine.states.undefined:
            for column, item in enumerate(items):
                machine.states.mark(
                    item, _undefined(machine, active, unset, column * element, element), active.mask
                )
        if strong:
            machine.races.strong_read(active, acquire)

    return step


def _undefined(machine, active: Active, unset: list, offset: int, size: int) -> np.ndarray:
    """Lanes whose element at `offset` of the access has bytes that nothing has written."""
    undefined = np.zeros(machine.lanes, bool)
    for selection, region, positions in unset:
        known = region.initialised(positions + offset, size)
        if known is not None:
            undefined[active.indices[selection][~known]] = True
    return undefined


@operation("st", writes=0, own_checks=True)
def st(op: Binder) -> Step:
    (kind,) = op.types(1)
    space = take_space(op)
    strong, _, release = take_ordering(op)
    access = Access.STRONG_WRITE if strong else Access.WRITE
    items = op.items(1)
    if len(items) != int((op.take("v2", "v4", "v8") or "v1")[1:]):
        raise op.unknown("number of registers")
    element = DTYPES[kind].itemsize
    sources = [op.source(item, kind).view(BITS[element]) for item in items]
    size, machine, addresses = element * len(items), op.machine, Addresses(op, 0)

    def step(active: Active) -> None:
        if strong:
            machine.races.strong_write(active, release)
        if len(sources) == 1:
            chunks = active.gather(sources[0])
        else:
            columns = np.empty((active.count, len(sources)), BITS[element])
            for column, values in enumerate(sources):
                columns[:, column] = active.gather(values)
            chunks = columns.reshape(-1).view(CHUNKS[size])
        where = addresses(active)
        machine.memory.store(op.instruction, space, where, active, size, chunks, access)
        if machine.states.undefined:
            _store_undefined(op, items, space, where, active, size)

    return step


def _store_undefined(
    op: Binder, items: tuple, space: str, addresses: np.ndarray, active: Active, size: int
) -> None:
    """Undefined values may be spilled to memory that only their thread sees, but go nowhere else."""
    machine, element = op.machine, size // len(items)
    for column, item in enumerate(items):
        undefined = machine.states.undefined.get(item)
        if undefined is None or not (undefined & active.mask).any():
            continue
        for _, lanes, region, positions in machine.memory.parts(space, addresses, active, size):
            bad = undefined[lanes.indices]
            if region.space not in ("local", "frame") and bad.any():
                raise UninitialisedError(
                    f"{item}, whose value nothing has written, is stored to {region.name}",
                    lane=int(lanes.indices[np.flatnonzero(bad)[0]]),
                )
            region.mark("valid", positions[bad] + column * element, element, False)
