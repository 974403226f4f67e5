"""Moving values: ``mov`` with packing and unpacking, ``cvta``, ``selp``, ``prmt`` and the like."""

from __future__ import annotations

import numpy as np

from ..lanes import Active
from ..memory import WINDOW_BITS, WINDOWS
from ..registry import Binder, Step, assign, operation
from ..syntax import BITS, DTYPES, Special, Vector
from ..words import permute_bytes


@operation("mov")
def mov(op: Binder) -> Step:
    (kind,) = op.types(1)
    to, origin = op.operands
    if isinstance(to, Vector):
        return _unpack(op, kind)
    if isinstance(origin, Vector):
        return _pack(op, kind)
    if isinstance(origin, Special) and origin.name in ("%clock", "%clock64", "%clock_hi", "%globaltimer"):
        return _clock(op, kind)
    out, values = op.target(0, kind), op.source(1, kind)
    return lambda active: np.copyto(out, values, where=active.where)


def _clock(op: Binder, kind: str) -> Step:
    """Clocks count the steps of the scheduler: they grow, and mean nothing else."""
    out, high = op.target(0, kind), op.operands[1].name == "%clock_hi"

    def step(active: Active) -> None:
        now = op.machine.scheduler.steps
        np.copyto(out, DTYPES[kind].type(now >> 32 if high else now & 0xFFFFFFFF), where=active.where)

    return step


def _unpack(op: Binder, kind: str) -> Step:
    size = DTYPES[kind].itemsize // len(op.operands[0].items)
    parts = op.source(1, kind)
    parts = np.ascontiguousarray(parts) if parts.strides == (0,) else parts
    columns = parts.view(BITS[size]).reshape(-1, len(op.operands[0].items))
    outs = [op.target(item, f"b{8 * size}") for item in op.operands[0].items]

    def step(active: Active) -> None:
        for column, out in enumerate(outs):
            np.copyto(out, columns[:, column], where=active.where)

    return step


def _pack(op: Binder, kind: str) -> Step:
    items = op.operands[1].items
    size = DTYPES[kind].itemsize // len(items)
    sources = [op.source(item, f"b{8 * size}") for item in items]
    columns = op.target(0, kind).view(BITS[size]).reshape(-1, len(items))
    overlap = op.operands[0] in items

    def step(active: Active) -> None:
        values = [source.copy() for source in sources] if overlap else sources
        for column, value in enumerate(values):
            np.copyto(columns[:, column], value, where=active.where)

    return step


@operation("cvta")
def cvta(op: Binder) -> Step:
    """Addresses to and from generic ones, in which the upper 16 bits tell the state space."""
    (kind,) = op.types(1)
    to_space = op.flag("to")
    space = op.take("global", "shared", "shared::cta", "local", "const", "param", "param::entry").split("::")[
        0
    ]
    window = np.array(WINDOWS[space] << WINDOW_BITS, np.uint64).astype(DTYPES[kind])
    if space == "param":  # parameters have generic addresses from the start
        window = DTYPES[kind].type(0)
    change = np.subtract if to_space else np.add
    out, values = op.target(0, kind), op.source(1, kind)
    return lambda active: change(values, window, out, where=active.where)


@operation("isspacep")
def isspacep(op: Binder) -> Step:
    space = op.take(
        "global", "shared", "shared::cta", "shared::cluster", "local", "const", "param", "param::entry"
    )
    window = WINDOWS[space.split("::")[0]]
    values = op.source(1, "u64")
    return assign(lambda address: address >> np.uint64(WINDOW_BITS) == window, op.target(0, "pred"), [values])


@operation("selp")
def selp(op: Binder) -> Step:
    (kind,) = op.types(1)
    predicate, negated = op.machine.predicate(op.operands[3], op.instruction)
    first, second = op.source(1, kind), op.source(2, kind)
    if negated:
        first, second = second, first
    return assign(np.where, op.target(0, kind), [predicate, first, second])


@operation("slct")
def slct(op: Binder) -> Step:
    kind, by = op.types(2)
    op.flag("ftz")
    return op.elementwise(lambda a, b, c: np.where(c >= 0, a, b), kind, kind, kind, by)


@operation("prmt")
def prmt(op: Binder) -> Step:
    mode = op.take("f4e", "b4e", "rc8", "ecl", "ecr", "rc16")
    op.types(1)
    return op.elementwise(lambda a, b, c: permute_bytes(a, b, c, mode), "b32", "b32", "b32", "b32")


@operation("mapa")
def mapa(op: Binder) -> Step:
    """The address in another block of the cluster: blocks are clusters of one here."""
    (kind,) = op.types(1)
    op.take("shared::cluster")
    out, values = op.target(0, kind), op.source(1, kind)
    return lambda active: np.copyto(out, values, where=active.where)
