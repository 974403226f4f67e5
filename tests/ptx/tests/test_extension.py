"""What new operations build on: whole warps, asynchronous data, state of their own.

The operations here are made up, small, and registered for the duration of a test.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .. import registry
from ..operations.loads import Addresses
from ..races import Access
from .assemble import run

STORE = "    add.u64 %rd30, %rd0, %rd31;\n    st.global.u32 [%rd30], %r20;\n"
SHARED = ".shared .align 16 .b8 buffer[256];\n"


@pytest.fixture
def register(monkeypatch):
    """`registry.operation`, undone at the end of the test."""
    monkeypatch.setattr(registry, "OPERATIONS", dict(registry.OPERATIONS))
    return registry.operation


@pytest.fixture
def warpsum(register):
    @register("warpsum", group=32, whole=True)
    def bind(op):
        out, values = op.target(0, "u32"), op.source(1, "u32")

        def step(active):
            for warp in active.groups(32):
                lanes = slice(warp * 32, warp * 32 + 32)
                out[lanes] = values[lanes].sum()

        return step


def sums(before: str = "", block: int = 64) -> list[int]:
    y = np.zeros(block, np.uint32)
    run(
        f"{before}    warpsum %r20, %r0;\n" + STORE,
        ptx.out(y),
        block=block,
    )
    return y.tolist()


def test_whole_warps(warpsum):
    assert sums() == [sum(range(32))] * 32 + [sum(range(32, 64))] * 32


@pytest.mark.parametrize(
    "before", ["    setp.eq.u32 %p1, %r0, 40;\n    @%p1 exit;\n", "    setp.eq.u32 %p1, %r0, 40;\n    @!%p1 "]
)
def test_part_of_a_warp_is_an_error(warpsum, before):
    with pytest.raises(ptx.DivergenceError) as fault:
        sums(before)
    assert fault.value.thread[0] >= 32


def test_block_that_is_not_whole_warps(warpsum):
    with pytest.raises(ptx.DivergenceError):
        sums(block=48)


def test_undefined_lane_spreads_over_its_warp(warpsum):
    with pytest.raises(ptx.UninitialisedError, match="%r20") as fault:
        y = np.zeros(64, np.uint32)
        run(
            "    setp.ne.u32 %p1, %r0, 40;\n    @%p1 mov.u32 %r19, 1;\n    warpsum %r20, %r19;\n"
            "    add.u64 %rd30, %rd0, %rd31;\n    st.global.u32 [%rd30], %r20;\n",
            y,
            block=64,
        )
    assert fault.value.thread == (32, 0, 0)


class Copies:
    """State of the made-up asynchronous copy: what each launch of it has under way."""

    def __init__(self, machine):
        self.machine = machine
        self.begin()

    def begin(self):
        self.pending = []


@pytest.fixture
def copies(register):
    """``later.copy [shared], register`` and ``later.wait``, which makes all copies visible."""

    @register("later.copy", writes=0)
    def copy(op):
        addresses, values = Addresses(op, 0), op.source(1, "b32")
        state = op.machine.extension(Copies)

        def step(active):
            region, positions = op.machine.memory.spaces["shared"].place(addresses(active), active, 4)
            op.machine.memory.check(op.instruction, active, region, positions, 4, Access.WRITE)
            region.hold("pending_write", region.granules(positions, 4))
            state.pending.append((active, positions, active.gather(values).copy()))

        return step

    @register("later.wait", writes=0)
    def wait(op):
        region, state = op.machine.memory.spaces["shared"].region, op.machine.extension(Copies)

        def step(active):
            for lanes, positions, values in state.pending:
                region.release("pending_write", region.granules(positions, 4))
                region.write(positions, 4, values)
                region.tracker.log(op.instruction, lanes, positions, 4, Access.WRITE)
            state.begin()

        return step


COPY = """
    mov.u64 %rd5, buffer;
    add.u64 %rd5, %rd5, %rd31;
    later.copy [%rd5], %r0;
    {between}
    ld.shared.u32 %r20, [%rd5];
    add.u64 %rd30, %rd0, %rd31;
    st.global.u32 [%rd30], %r20;
"""


def test_asynchronous_copy(copies):
    y = np.zeros(32, np.uint32)
    run(COPY.format(between="later.wait;"), ptx.out(y), declarations=SHARED)
    assert y.tolist() == list(range(32))


@pytest.mark.parametrize("between", ["", "st.shared.u32 [%rd5], %r0;"])
def test_asynchronous_copy_without_a_wait(copies, between):
    with pytest.raises(ptx.AsynchronousError, match="still being written"):
        run(COPY.format(between=between), np.zeros(32, np.uint32), declarations=SHARED)


def test_asynchronous_copy_seen_by_others_needs_a_barrier(copies):
    shifted = COPY.replace(
        "ld.shared.u32 %r20, [%rd5]",
        "xor.b32 %r7, %r0, 1;\n    mul.wide.u32 %rd6, %r7, 4;\n"
        "    mov.u64 %rd7, buffer;\n    add.u64 %rd6, %rd6, %rd7;\n    ld.shared.u32 %r20, [%rd6]",
    )
    y = np.zeros(32, np.uint32)
    run(shifted.format(between="later.wait;\n    bar.sync 0;"), ptx.out(y), declarations=SHARED)
    assert y.tolist() == [n ^ 1 for n in range(32)]
    with pytest.raises(ptx.RaceError):
        run(shifted.format(between="later.wait;"), y, declarations=SHARED)


def test_memory_that_is_being_read_must_not_be_overwritten(register):
    @register("later.read", writes=0)
    def read(op):
        addresses = Addresses(op, 0)

        def step(active):
            region, positions = op.machine.memory.spaces["shared"].place(addresses(active), active, 4)
            region.hold("pending_read", region.granules(positions, 4))

        return step

    body = (
        "    mov.u64 %rd5, buffer;\n    add.u64 %rd5, %rd5, %rd31;\n    st.shared.u32 [%rd5], %r0;\n"
        "    later.read [%rd5];\n    ld.shared.u32 %r5, [%rd5];\n"
    )
    run(body, np.zeros(1), declarations=SHARED)
    with pytest.raises(ptx.AsynchronousError, match="still being read"):
        run(body + "    st.shared.u32 [%rd5], %r0;\n", np.zeros(1), declarations=SHARED)


def test_registers_in_use(register):
    @register("later.use", writes=0)
    def use(op):
        return lambda active: op.machine.states.busy.__setitem__(op.operands[0], active.mask.copy())

    @register("later.done", writes=0, asynchronous=True)
    def done(op):
        return lambda active: op.machine.states.busy.clear()

    body = "    mov.u32 %r5, 1;\n    later.use %r5;\n    {between}\n    add.u32 %r6, %r5, 1;\n"
    run(body.format(between="later.done;"), np.zeros(1))
    with pytest.raises(ptx.AsynchronousError, match="%r5 is in use"):
        run(body.format(between=""), np.zeros(1))


def test_an_opcode_has_one_meaning(register):
    with pytest.raises(ValueError, match="registered twice"):
        register("add")(lambda op: None)
