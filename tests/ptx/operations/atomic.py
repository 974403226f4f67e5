"""``atom`` and ``red``: read-modify-write on global and shared memory, lane by lane where lanes meet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..faults import UninitialisedError
from ..lanes import Active
from ..region import CHUNKS
from ..registry import Binder, Step, operation
from ..releases import Meaning
from ..rounding import narrow, widen
from ..syntax import BITS, DTYPES
from .floating import is_floating, packed, rounded
from .loads import Addresses, take_ordering, take_space

_NAMES = ("add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec")


def update_of(name: str, kind: str) -> Callable:
    """The function of the old value and the operands that gives the new one."""
    single = kind[:-2] if kind.endswith("x2") else kind
    if name in ("add", "min", "max") and is_floating(kind):
        function = _float_update(name, single)
        return packed(function, kind) if kind.endswith("x2") else function
    return {
        "add": lambda old, b: old + b,
        "min": np.minimum,
        "max": np.maximum,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
        "exch": lambda old, b: b,
        "cas": lambda old, b, c: np.where(old == b, c, old),
        "inc": lambda old, b: np.where(old >= b, old.dtype.type(0), old + old.dtype.type(1)),
        "dec": lambda old, b: np.where((old == 0) | (old > b), b, old - old.dtype.type(1)),
    }[name]


def _float_update(name: str, kind: str) -> Callable:
    if name == "add":
        return rounded("add", kind, "rn")
    choose = {"min": np.fmin, "max": np.fmax}[name]
    return lambda old, b: narrow(choose(widen(old, kind), widen(b, kind)), kind)


@operation("atom", own_checks=True)
def atom(op: Binder) -> Step:
    return _atomic(op, 1)


@operation("red", writes=0, own_checks=True)
def red(op: Binder) -> Step:
    return _atomic(op, 0)


def _atomic(op: Binder, first: int) -> Step:
    """`first` is the operand with the address; an atom has its destination before it."""
    (kind,) = op.types(1)
    space = take_space(op)
    ordering = take_ordering(op)._replace(strong=True)
    access, meaning = ordering.access(True, kind), Meaning(True, True, ordering.acquires, ordering.releases)
    op.take("noftz")
    name = op.take(*_NAMES)
    if name is None:
        raise op.unknown("atomic operation")
    update, dtype, machine = update_of(name, kind), DTYPES[kind], op.machine
    operands = [op.source(index, kind) for index in range(first + 1, first + (3 if name == "cas" else 2))]
    out = op.target(0, kind) if first else None
    addresses, size = Addresses(op, first), dtype.itemsize

    def step(active: Active) -> None:
        for operand in op.operands[first + 1 :]:
            machine.states.reject(operand, active, "an atomic operation")
        old = np.empty(active.count, dtype)
        given = [active.gather(values) for values in operands]
        for selection, lanes, region, positions in machine.memory.parts(
            space, addresses(active), active, size
        ):
            machine.memory.check(op.instruction, lanes, region, positions, size, access)
            _require_values(region, positions, size, lanes, name)
            mine = [values[selection] for values in given]
            old[selection] = _in_turn(region, positions, size, update, mine)
            written = old[selection] == mine[0] if name == "cas" else None
            for offset in range(0, size, access.size):
                machine.races.strong(region, lanes.indices, positions + offset, access, meaning, written)
        if out is not None:
            active.scatter(out, old)
            machine.states.mark(op.operands[0], np.zeros(machine.lanes, bool), active.mask)

    return step


def _require_values(region, positions: np.ndarray, size: int, lanes: Active, name: str) -> None:
    known = None if name == "exch" else region.initialised(positions, size)
    if known is not None:
        lane = int(np.flatnonzero(~known)[0])
        raise UninitialisedError(
            f"atomic {name} on memory that nothing has written",
            array=region.name,
            lane=int(lanes.indices[lane]),
            address=region.address(int(positions[lane])),
        )


def _in_turn(
    region, positions: np.ndarray, size: int, update: Callable, operands: list[np.ndarray]
) -> np.ndarray:
    """Update memory as if lane after lane: in rounds, each of which meets every place at most once."""
    old = np.empty(positions.size, operands[0].dtype)
    order = np.argsort(positions, kind="stable")
    ordered = positions[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    turn = np.arange(positions.size) - np.repeat(starts, np.diff(np.r_[starts, positions.size]))
    by_turn = order[np.argsort(turn, kind="stable")]
    begin = 0
    for count in np.bincount(turn):
        lanes = by_turn[begin : begin + count]
        begin += count
        place = positions[lanes]
        old[lanes] = region.read(place, size).view(BITS[size]).view(old.dtype)
        new = update(old[lanes], *(values[lanes] for values in operands))
        region.write(place, size, new.astype(old.dtype, copy=False).view(CHUNKS[size]))
    return old
