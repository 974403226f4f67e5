"""``mbarrier`` in all its forms. Blocks are clusters of one here, so both shared spaces are the same."""

from __future__ import annotations

import numpy as np

from ..faults import BarrierError
from ..lanes import Active
from ..mbarrier_state import BYTES
from ..mbarriers import Mbarriers
from ..proxies import NOBODY, Proxies, granules_of
from ..races import Access
from ..registry import Binder, Step, operation
from ..syntax import Sink
from .loads import Addresses

# What mbarrier.arrive returns: the phase above, the pending count below these bits.
COUNT_BITS = 20


def take_shared(op: Binder) -> str:
    """The state space, generic if none is given."""
    return "generic" if op.take("shared", "shared::cta", "shared::cluster") is None else "shared"


def take_semantics(op: Binder, default: str) -> bool:
    """Whether the instruction releases or acquires, as `default` does."""
    op.expect_type(*op.types(1), "b64")
    op.take("cta", "cluster")
    return op.take("release", "acquire", "relaxed", default=default) != "relaxed"


class Operands:
    """Sources that no undefined value may reach."""

    def __init__(self, op: Binder, *places: tuple[int, str]) -> None:
        self.machine = op.machine
        self.operands = [op.operands[index] for index, _ in places]
        self.sources = [op.source(index, kind) for index, kind in places]

    def __call__(self, active: Active) -> list[np.ndarray]:
        """The values of the active lanes, as int64."""
        for operand in self.operands:
            self.machine.states.reject(operand, active, "an operand of an asynchronous operation")
        return [active.gather(values).astype(np.int64) for values in self.sources]


@operation("mbarrier.init", writes=0)
def init(op: Binder) -> Step:
    take_semantics(op, "release")
    space, addresses, counts = take_shared(op), Addresses(op, 0), Operands(op, (1, "u32"))
    barriers, memory = op.machine.extension(Mbarriers), op.machine.memory

    def step(active: Active) -> None:
        positions = barriers.places(space, addresses(active), active)
        (values,) = counts(active)
        for position, lane, count in zip(positions, active.indices, values, strict=True):
            barriers.initialise(int(position), int(lane), int(count))
        memory.check(op.instruction, active, barriers.region, positions, BYTES, Access.WRITE)
        barriers.region.hold("pending_write", barriers.region.granules(positions, BYTES))

    return step


@operation("mbarrier.inval", writes=0)
def inval(op: Binder) -> Step:
    take_semantics(op, "release")
    space, addresses, barriers = take_shared(op), Addresses(op, 0), op.machine.extension(Mbarriers)

    def step(active: Active) -> None:
        positions = barriers.places(space, addresses(active), active)
        for position, lane in zip(positions, active.indices, strict=True):
            barriers.invalidate(int(position), int(lane))
        barriers.region.tracker.log(op.instruction, active, positions, BYTES, Access.WRITE)

    return step


@operation("mbarrier.expect_tx", "mbarrier.complete_tx", writes=0)
def expect_tx(op: Binder) -> Step:
    take_semantics(op, "relaxed")
    sign = 1 if op.opcode == "mbarrier.expect_tx" else -1
    space, addresses, counts = take_shared(op), Addresses(op, 0), Operands(op, (1, "u32"))
    barriers = op.machine.extension(Mbarriers)

    def step(active: Active) -> None:
        (values,) = counts(active)
        for barrier, lanes, chosen in barriers.meet(op.instruction, space, addresses(active), active):
            barriers.expect(barrier, int(lanes[0]), sign * int(values[chosen].sum()))

    return step


@operation("mbarrier.arrive", "mbarrier.arrive_drop")
def arrive(op: Binder) -> Step:
    release = take_semantics(op, "release")
    drop = op.opcode == "mbarrier.arrive_drop"
    expects, incomplete = op.flag("expect_tx"), op.flag("noComplete")
    space, addresses, state = take_shared(op), Addresses(op, 1), op.target(0, "b64")
    given = Operands(op, (2, "u32")) if len(op.operands) > 2 else None
    if (expects or incomplete) and given is None:
        raise op.unknown(f"form of {op.opcode} without a count")
    barriers = op.machine.extension(Mbarriers)

    def step(active: Active) -> None:
        values = np.ones(active.count, np.int64) if given is None else given(active)[0]
        tokens = np.zeros(active.count, np.int64)
        for barrier, lanes, chosen in barriers.meet(op.instruction, space, addresses(active), active):
            counts, lane = values[chosen], int(lanes[0])
            if expects:
                barriers.expect(barrier, lane, int(counts.sum()))
                counts = np.ones_like(counts)
            if drop:
                barriers.drop(barrier, lane, int(counts.sum()))
            phase = barrier.phase
            tokens[chosen] = (phase << COUNT_BITS) + barriers.arrive(barrier, lanes, counts, release)
            if incomplete and barrier.phase > phase:
                raise BarrierError("mbarrier.arrive.noComplete completes the phase", lane=lane)
        if not isinstance(op.operands[0], Sink):
            active.scatter(state, tokens)

    return step


@operation("mbarrier.pending_count")
def pending_count(op: Binder) -> Step:
    op.expect_type(*op.types(1), "b64")
    out, state = op.target(0, "b32"), op.source(1, "b64")
    mask = np.uint64((1 << COUNT_BITS) - 1)

    def step(active: Active) -> None:
        np.copyto(out, state & mask, where=active.where, casting="unsafe")

    return step


@operation("mbarrier.test_wait", "mbarrier.try_wait")
def test_wait(op: Binder) -> Step:
    acquire, parity = take_semantics(op, "acquire"), op.flag("parity")
    space, addresses, out = take_shared(op), Addresses(op, 1), op.target(0, "pred")
    given = Operands(op, (2, "u32" if parity else "b64"))
    if len(op.operands) > (4 if op.opcode == "mbarrier.try_wait" else 3):
        raise op.unknown(f"number of operands of {op.opcode}")
    barriers = op.machine.extension(Mbarriers)

    def step(active: Active) -> None:
        (values,) = given(active)
        done = np.zeros(active.count, bool)
        for barrier, lanes, chosen in barriers.meet(op.instruction, space, addresses(active), active):
            if parity:
                phases = _phase_of_parity(values[chosen], barrier.phase, lanes)
            else:
                phases = _phase_of_state(values[chosen], barrier.phase, lanes)
            done[chosen] = barriers.test(barrier, lanes, phases, acquire)
        active.scatter(out, done)

    return step


def _phase_of_parity(parities: np.ndarray, phase: int, lanes: np.ndarray) -> np.ndarray:
    """The phase, the current one or the one before, that a parity means."""
    bad = parities > 1
    if bad.any():
        raise BarrierError(f"a parity of {parities[bad][0]}: not 0 or 1", lane=int(lanes[bad][0]))
    return np.where(parities == phase % 2, phase, phase - 1)


def _phase_of_state(states: np.ndarray, phase: int, lanes: np.ndarray) -> np.ndarray:
    phases = states >> COUNT_BITS
    bad = (phases > phase) | (phases < phase - 1)
    if bad.any():
        raise BarrierError(
            f"a wait for phase {phases[bad][0]} of an mbarrier whose phase {phase} is current",
            lane=int(lanes[bad][0]),
        )
    return phases


@operation("fence.mbarrier_init", writes=0)
def fence_mbarrier_init(op: Binder) -> Step:
    """Make mbarriers known to the asynchronous proxy, which copies complete through."""
    op.modifiers.clear()
    barriers, proxies = op.machine.extension(Mbarriers), op.machine.extension(Proxies)

    def step(active: Active) -> None:
        objects = np.array(list(barriers.objects), np.int64)
        granules = granules_of(barriers.region, objects, BYTES).reshape(-1)
        writers = proxies.writers[barriers.region].lane
        mine = (writers[granules] != NOBODY) & active.mask[writers[granules]]
        writers[granules[mine]] = NOBODY

    return step
