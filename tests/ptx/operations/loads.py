"""``ld``, ``ldu`` and ``st``, scalar and vector, in every state space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..access_kinds import Access
from ..faults import UninitialisedError
from ..lanes import Active
from ..ordering import STRONG
from ..region import CHUNKS
from ..registry import Binder, Step, operation
from ..releases import Meaning
from ..syntax import BITS, DTYPES
from ..undefined_bits import BITS_OF_BYTES, low

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
    "acq_rel",
}
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


class Ordering(NamedTuple):
    """What modifiers say of an access; `wide` scopes reach beyond the block, which is a cluster of one."""

    strong: bool
    acquires: bool
    releases: bool
    wide: bool
    constant: bool

    def access(self, writes: bool, kind: str) -> Access:
        """The access of elements of a type."""
        if self.strong:
            size = DTYPES[kind].itemsize // (2 if kind.endswith("x2") else 1)
            return Access(writes, strong=True, wide=self.wide, size=size)
        if writes:
            return Access.WRITE
        return Access.CONSTANT if self.constant else Access.READ


def take_ordering(op: Binder) -> Ordering:
    """Take strength, semantics and scope from the modifiers; cache hints go with them."""
    words = set(op.modifiers)
    op.modifiers[:] = [
        word for word in op.modifiers if word not in _HINTS and not word.startswith(("L1::", "L2::"))
    ]
    both = "acq_rel" in words
    return Ordering(
        bool(words & STRONG),
        both or "acquire" in words,
        both or "release" in words,
        not words & {"cta", "cluster"},
        "nc" in words or op.opcode == "ldu",
    )


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
    ordering = take_ordering(op)
    access, meaning = ordering.access(False, kind), Meaning(True, False, acquires=ordering.acquires)
    items = op.items(0)
    if len(items) != int((op.take("v2", "v4", "v8") or "v1")[1:]):
        raise op.unknown("number of registers")
    outs = [op.target(item, kind) for item in items]
    dtype, element = DTYPES[kind], DTYPES[kind].itemsize
    size, machine, addresses = element * len(items), op.machine, Addresses(op, 1)

    def step(active: Active) -> None:
        where = addresses(active)
        chunks, unset = machine.memory.load(op.instruction, space, where, active, size, access)
        columns = chunks.view(dtype).reshape(active.count, len(items))
        for column, out in enumerate(outs):
            active.scatter(out, columns[:, column])
        if unset or machine.states.undefined:
            for column, item in enumerate(items):
                bits = _undefined(machine, active, unset, column * element, element, kind)
                machine.states.mark(item, bits, active.mask)
        if ordering.strong:
            note_strong(machine, space, where, active, size, access, meaning)

    return step


def note_strong(
    machine, space: str, where: np.ndarray, active: Active, size: int, access: Access, meaning: Meaning
) -> None:
    """Tell what orders accesses of strong ones of `size` bytes, which are of several elements if vectors."""
    if machine.races.threads is None:
        return
    for _, lanes, region, positions in machine.memory.parts(space, where, active, size):
        for offset in range(0, size, access.size):
            machine.races.strong(region, lanes.indices, positions + offset, access, meaning)


def _undefined(machine, active: Active, unset: list, offset: int, size: int, kind: str) -> np.ndarray:
    """The bits of an element at `offset` of the access that lie in bytes that nothing has written."""
    unwritten = np.zeros(machine.lanes, np.uint8)
    for selection, region, positions in unset:
        for byte in range(size):
            known = region.initialised(positions + offset + byte, 1)
            if known is not None:
                unwritten[active.indices[selection][~known]] |= np.uint8(1 << byte)
    bits = BITS_OF_BYTES[unwritten]
    if kind[0] == "s":  # copies of the sign fill up a wider register
        bits[unwritten >> (size - 1) & 1 != 0] |= ~low(8 * size)
    return bits


@operation("st", writes=0, own_checks=True)
def st(op: Binder) -> Step:
    (kind,) = op.types(1)
    space = take_space(op)
    ordering = take_ordering(op)
    access, meaning = ordering.access(True, kind), Meaning(False, True, releases=ordering.releases)
    items = op.items(1)
    if len(items) != int((op.take("v2", "v4", "v8") or "v1")[1:]):
        raise op.unknown("number of registers")
    element = DTYPES[kind].itemsize
    sources = [op.source(item, kind).view(BITS[element]) for item in items]
    size, machine, addresses = element * len(items), op.machine, Addresses(op, 0)

    def step(active: Active) -> None:
        if len(sources) == 1:
            chunks = active.gather(sources[0])
        else:
            columns = np.empty((active.count, len(sources)), BITS[element])
            for column, values in enumerate(sources):
                columns[:, column] = active.gather(values)
            chunks = columns.reshape(-1).view(CHUNKS[size])
        where = addresses(active)
        machine.memory.store(op.instruction, space, where, active, size, chunks, access)
        if ordering.strong:
            note_strong(machine, space, where, active, size, access, meaning)
        if machine.states.undefined:
            _store_undefined(op, items, space, where, active, size)

    return step


def _store_undefined(
    op: Binder, items: tuple, space: str, addresses: np.ndarray, active: Active, size: int
) -> None:
    """Undefined values may be spilled to memory that only their thread sees, but go nowhere else."""
    machine, element = op.machine, size // len(items)
    for column, item in enumerate(items):
        undefined = machine.states.undefined_in(item, 8 * element)
        if not (undefined & active.mask).any():
            continue
        bits = machine.states.undefined[item]
        for _, lanes, region, positions in machine.memory.parts(space, addresses, active, size):
            bad = undefined[lanes.indices]
            if region.space not in ("local", "frame") and bad.any():
                raise UninitialisedError(
                    f"{item}, whose value nothing has written, is stored to {region.name}",
                    lane=int(lanes.indices[np.flatnonzero(bad)[0]]),
                )
            for byte in range(element):
                unwritten = bits[lanes.indices] & BITS_OF_BYTES[1 << byte] != 0
                region.mark("valid", positions[unwritten] + column * element + byte, 1, False)
