"""Where threads go on: branches, calls, exits and barriers."""

from __future__ import annotations

import numpy as np

from ..faults import TrapError
from ..lanes import Active
from ..registry import Binder, Step, operation
from ..syntax import Immediate, Negated
from .external import call_external


@operation("bra", control=True, writes=0)
def bra(op: Binder) -> Step:
    op.flag("uni")
    target = op.successors[0]
    return lambda active: target


@operation("brx.idx", control=True, writes=0)
def brx(op: Binder) -> Step:
    op.flag("uni")
    index = op.source(0, "u32")
    targets = np.array(op.successors)

    def step(active: Active) -> None:
        op.machine.states.reject(op.operands[0], active, "a branch")
        lanes = active.indices
        op.machine.scheduler.send(lanes, targets[index[lanes]])

    return step


@operation("call", control=True, writes=0)
def call(op: Binder) -> Step:
    op.flag("uni")
    machine, instruction = op.machine, op.instruction
    callee = machine.program.module.functions.get(instruction.callee)
    if callee is None or not callee.defined:
        return call_external(op)
    place = machine.program.offsets
    results = [place[symbol.variable] for symbol in instruction.results]
    copies = [
        (place[formal], place[given.variable], formal.size)
        for formal, given in zip(callee.parameters, instruction.arguments, strict=True)
    ]
    back = [
        (given, place[formal], formal.size) for formal, given in zip(callee.returns, results, strict=True)
    ]
    calls = machine.extension(Calls)
    calls.results[op.following] = back
    start = machine.program.starts[callee.name]

    def step(active: Active) -> int:
        copy_parameters(machine, active.indices, copies)
        calls.return_to(callee.name)[active.indices] = op.following
        return start

    return step


class Calls:
    """Return addresses, which each lane has one of for each function, since there is no recursion."""

    def __init__(self, machine) -> None:
        self.machine = machine
        self.results: dict[int, list[tuple[int, int, int]]] = {}
        self._return_to: dict[str, np.ndarray] = {}

    def begin(self) -> None:
        """Nothing is left over from the blocks before."""

    def return_to(self, function: str) -> np.ndarray:
        if function not in self._return_to:
            self._return_to[function] = np.zeros(self.machine.lanes, np.int32)
        return self._return_to[function]


def copy_parameters(machine, lanes: np.ndarray, copies: list[tuple[int, int, int]]) -> None:
    """Copy (to, from, size) stretches of the call parameters of some lanes, undefined bytes too."""
    frame = machine.memory.spaces["frame"].region
    for record in (frame.data, frame.valid):
        rows = record.reshape(-1, frame.stride)
        for to, origin, size in copies:
            rows[lanes, to : to + size] = rows[lanes, origin : origin + size]


@operation("ret", control=True, writes=0)
def ret(op: Binder) -> Step:
    op.flag("uni")
    machine = op.machine
    segments = machine.program.segments
    function = segments[op.following - 1].function
    if function.entry:
        return exit_thread(op)
    calls = machine.extension(Calls)

    def step(active: Active) -> int | None:
        back = calls.return_to(function.name)
        places = np.unique(back[active.indices])
        for place in places:
            lanes = active.indices[back[active.indices] == place]
            copy_parameters(machine, lanes, calls.results[int(place)])
            if places.size > 1:
                machine.scheduler.send(lanes, place)
        return int(places[0]) if places.size == 1 else None

    return step


@operation("exit", control=True, writes=0)
def exit_thread(op: Binder) -> Step:
    return lambda active: op.machine.scheduler.exit(active)


@operation("trap", control=True, writes=0)
def trap(op: Binder) -> Step:
    def step(active: Active) -> None:
        raise TrapError("the kernel executed trap", lane=int(active.indices[0]))

    return step


@operation(
    "bar.sync",
    "bar.cta.sync",
    "barrier.sync.aligned",
    "barrier.cta.sync.aligned",
    control=True,
    writes=0,
    group=32,
)
@operation("barrier.sync", "barrier.cta.sync", control=True, writes=0)
def bar_sync(op: Binder) -> Step:
    number = op.source(0, "u32")
    expected = op.source(1, "u32") if len(op.operands) > 1 else None
    machine = op.machine
    usual = expected is None and isinstance(op.operands[0], Immediate) and 0 <= op.operands[0].value < 16

    def step(active: Active) -> int | None:
        machine.counts.barriers += active.warps
        barriers = machine.scheduler.barriers
        if usual and barriers.sync_all(active):
            return op.following
        barriers.arrive(op.instruction, active, number, expected, op.following)
        return None

    return step


@operation(
    "bar.arrive",
    "bar.cta.arrive",
    "barrier.arrive.aligned",
    "barrier.cta.arrive.aligned",
    control=True,
    writes=0,
    group=32,
)
@operation("barrier.arrive", "barrier.cta.arrive", control=True, writes=0)
def bar_arrive(op: Binder) -> Step:
    number, expected = op.source(0, "u32"), op.source(1, "u32")

    def step(active: Active) -> int:
        op.machine.scheduler.barriers.arrive(op.instruction, active, number, expected, None)
        return op.following

    return step


@operation("bar.red", "bar.cta.red", "barrier.red.aligned", "barrier.cta.red.aligned", control=True, group=32)
@operation("barrier.red", "barrier.cta.red", control=True)
def bar_red(op: Binder) -> Step:
    op.flag("aligned")
    how = op.take("popc", "and", "or")
    (kind,) = op.types(1)
    out, number = op.target(0, kind), op.source(1, "u32")
    expected = op.source(2, "u32") if len(op.operands) > 3 else None
    predicate, negated = op.machine.predicate(op.operands[-1], op.instruction)
    combine = {"popc": np.count_nonzero, "and": np.all, "or": np.any}[how]

    def released(lanes: np.ndarray) -> None:
        out[lanes] = combine(predicate[lanes] != negated)

    def step(active: Active) -> None:
        machine = op.machine
        register = op.operands[-1].register if isinstance(op.operands[-1], Negated) else op.operands[-1]
        machine.states.reject(register, active, "a barrier's result")
        machine.counts.barriers += active.warps
        machine.scheduler.barriers.arrive(op.instruction, active, number, expected, op.following, released)

    return step


@operation("bar.warp.sync", writes=0, group=32, members=0)
def bar_warp_sync(op: Binder) -> Step:
    members = op.source(0, "b32")
    return lambda active: op.machine.races.warp_barrier(active, members)


@operation("nanosleep", writes=0)
def nanosleep(op: Binder) -> Step:
    op.types(1)
    return lambda active: op.machine.scheduler.stand_aside()


@operation("membar", "fence", writes=0)
def fence(op: Binder) -> Step:
    words = set(op.modifiers)
    op.modifiers.clear()
    if "proxy" in words and not words & {"acquire", "release"}:
        return lambda active: None
    wide = not words & {"cta"}
    return lambda active: op.machine.races.fence(active, wide)


@operation("prefetch", "prefetchu", "applypriority", "pmevent", "griddepcontrol", writes=0)
def ignored(op: Binder) -> Step:
    """Hints: nothing that a program can observe."""
    op.modifiers.clear()
    return lambda active: None
