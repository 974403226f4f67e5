"""Instructions by which the threads of a warp exchange values: ``shfl vote match redux activemask elect``."""

from __future__ import annotations

import numpy as np

from ..lanes import Active
from ..registry import Binder, Step, operation
from ..syntax import DTYPES, Pair, Sink
from ..undefined_bits import whole
from .floating import is_floating


def _both(op: Binder, index: int = 0) -> tuple[object, object]:
    """The two destinations of ``d|p``, the second perhaps missing."""
    operand = op.operands[index]
    return (operand.first, operand.second) if isinstance(operand, Pair) else (operand, Sink())


@operation("shfl.sync", group=32, members=-1, own_checks=True)
def shfl(op: Binder) -> Step:
    """Read another lane's register; a lane out of range keeps its own value."""
    mode = op.take("up", "down", "bfly", "idx")
    op.types(1)
    to, valid = _both(op)
    out, in_range = op.target(to, "b32"), op.target(valid, "pred")
    values, distance, clamp = op.source(1, "b32"), op.source(2, "u32"), op.source(3, "u32")
    machine = op.machine
    lane = machine.lane % 32
    first = machine.lane - lane

    def step(active: Active) -> None:
        segment = clamp >> np.uint32(8) & np.uint32(31)
        step_by = (distance & np.uint32(31)).astype(np.int64)
        least = lane & segment
        most = least | (clamp & np.uint32(31) & ~segment)
        if mode == "up":
            source = lane - step_by
            inside = source >= most
        else:
            source = {
                "down": lane + step_by,
                "bfly": lane ^ step_by,
                "idx": least | (step_by & ~segment.astype(np.int64)),
            }[mode]
            inside = source <= most
        source = first + np.where(inside, source, lane)
        # What a thread holds that does not take part is undefined.
        strange = None if active.full else ~active.mask[source]
        result = values[source]
        np.copyto(out, result, where=active.where)
        np.copyto(in_range, inside, where=active.where)
        if machine.states.undefined or (strange is not None and (strange & active.mask).any()):
            undefined = machine.states.undefined.get(op.operands[1])
            moved = np.zeros(machine.lanes, np.uint64) if undefined is None else undefined[source]
            machine.states.mark(to, moved if strange is None else moved | whole(strange), active.mask)
            machine.states.mark(valid, np.zeros(machine.lanes, bool), active.mask)

    return step


@operation("vote.sync", group=32, members=-1)
def vote(op: Binder) -> Step:
    mode = op.take("all", "any", "uni", "ballot")
    op.types(1)
    predicate, negated = op.machine.predicate(op.operands[1], op.instruction)
    out = op.target(0, "b32" if mode == "ballot" else "pred")
    bit = op.machine.special["%lanemask_eq"]

    def step(active: Active) -> None:
        chosen = (predicate != negated) & active.mask
        if mode == "ballot":
            result = np.bitwise_or.reduce(np.where(chosen, bit, 0).reshape(-1, 32), axis=1)
        else:
            some = chosen.reshape(-1, 32).any(axis=1)
            every = (chosen == active.mask).reshape(-1, 32).all(axis=1)
            result = {"any": some, "all": every, "uni": every | ~some}[mode]
        np.copyto(out, np.repeat(result, 32), where=active.where, casting="unsafe")

    return step


@operation("activemask")
def activemask(op: Binder) -> Step:
    op.types(1)
    out, bit = op.target(0, "b32"), op.machine.special["%lanemask_eq"]

    def step(active: Active) -> None:
        result = np.bitwise_or.reduce(np.where(active.mask, bit, np.uint32(0)).reshape(-1, 32), axis=1)
        np.copyto(out, np.repeat(result, 32), where=active.where)

    return step


@operation("elect.sync", group=32, members=-1)
def elect(op: Binder) -> Step:
    """The first active lane is elected: its number for all, true for itself."""
    leader, chosen = _both(op)
    number, out = op.target(leader, "u32"), op.target(chosen, "pred")
    lane = op.machine.lane % 32

    def step(active: Active) -> None:
        first = np.where(active.mask, lane, 32).reshape(-1, 32).min(axis=1)
        first = np.repeat(first, 32)
        np.copyto(number, first, where=active.where, casting="unsafe")
        np.copyto(out, first == lane, where=active.where)

    return step


@operation("match.any.sync", "match.all.sync", group=32, members=-1)
def match(op: Binder) -> Step:
    """Masks of the lanes with the same value; for ``all`` zero unless all have it."""
    (kind,) = op.types(1)
    to, same = _both(op)
    out, agree = op.target(to, "b32"), op.target(same, "pred")
    values = op.source(1, kind)
    bit = op.machine.special["%lanemask_eq"]

    def step(active: Active) -> None:
        mask, rows = active.mask.reshape(-1, 32), values.reshape(-1, 32)
        equal = (rows[:, :, None] == rows[:, None, :]) & mask[:, None, :]
        masks = np.bitwise_or.reduce(np.where(equal, bit.reshape(-1, 1, 32), 0), axis=2)
        if op.opcode == "match.all.sync":
            unanimous = (equal | ~mask[:, None, :]).all(axis=2)
            masks = np.where(unanimous, masks, 0)
            np.copyto(agree, unanimous.reshape(-1), where=active.where)
        np.copyto(out, masks.reshape(-1), where=active.where, casting="unsafe")

    return step


@operation("redux.sync", group=32, members=-1)
def redux(op: Binder) -> Step:
    name = op.take("add", "min", "max", "and", "or", "xor")
    (kind,) = op.types(1)
    magnitude, propagate = op.flag("abs"), op.flag("NaN")
    values, out, dtype = op.source(1, kind), op.target(0, kind), DTYPES[kind]
    functions = {
        "add": np.add,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
        "min": np.minimum,
        "max": np.maximum,
    }
    function = functions[name]
    if is_floating(kind) and not propagate:
        function = {"min": np.fmin, "max": np.fmax}[name]
    neutral = _neutral(name, dtype)

    def step(active: Active) -> None:
        chosen = np.where(active.mask, np.abs(values) if magnitude else values, neutral).reshape(-1, 32)
        np.copyto(out, np.repeat(function.reduce(chosen, axis=1, dtype=dtype), 32), where=active.where)

    return step


def _neutral(name: str, dtype: np.dtype) -> np.generic:
    if name in ("add", "or", "xor"):
        return dtype.type(0)
    if name == "and":
        return np.array(-1).astype(dtype)[()]
    if dtype.kind == "f":
        return dtype.type(np.inf if name == "min" else -np.inf)
    limits = np.iinfo(dtype)
    return dtype.type(limits.max if name == "min" else limits.min)
