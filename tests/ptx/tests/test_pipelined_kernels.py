"""Pipelines compiled by Numba: right results, and each planted fault found as what it is."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numba import float32, int32, uint64, void

from tests import ptx

from .numba_kernels import F1, F2, HOPPER, argument, compiled
from .pipelined_kernels import ring, saxpy, tiles, transpose

AMPERE = (8, 0)
RNG = np.random.default_rng(7)
BARRIER = "bar.sync \t0;"


def launch(text: str, grid, block, *arguments) -> None:
    ptx.Kernel(text).launch(grid, block, *map(argument, arguments))


def replaced(text: str, old: str, new: str, number: int | None = None) -> str:
    """Every occurrence of a pattern replaced, or only occurrence `number`."""
    places = list(re.finditer(old, text))
    assert places, f"{old} is not in the text"
    for place in reversed(places if number is None else places[number : number + 1]):
        text = text[: place.start()] + place.expand(new) + text[place.end() :]
    return text


def faulty(error, launched, *changes) -> ptx.PtxError:
    """The fault that changes of a kernel's text cause: (pattern, replacement, number of the occurrence)."""
    with pytest.raises(error) as caught:
        launched(lambda text: [text := replaced(text, *change) for change in changes][-1])
    assert caught.value.line is not None and caught.value.block is not None
    return caught.value


# -- two stages by cp.async ------------------------------------------------------------------------


def run_saxpy(change=lambda text: text, architecture=AMPERE, count=3, blocks=2) -> None:
    text = compiled(saxpy, void(F1, F1, F1, float32, int32), architecture)
    size = count * blocks * 128 - 50
    x, y = (RNG.integers(-99, 99, size).astype(np.float32) for _ in range(2))
    out = np.empty(size, np.float32)
    launch(change(text), blocks, 128, x, y, ptx.out(out), 3.0, count)
    total = np.pad(3 * x + y, (0, 50)).reshape(-1, 128)[:, ::-1]
    assert np.array_equal(out, total.reshape(-1)[:size])


@pytest.mark.parametrize("architecture", [AMPERE, HOPPER])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_saxpy(architecture, count):
    run_saxpy(architecture=architecture, count=count)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ((r"cp\.async\.wait_group 1", "cp.async.wait_group 2"), ptx.AsynchronousError),
        ((r"cp\.async\.wait_group 1;", ""), ptx.AsynchronousError),
        ((r"cp\.async\.commit_group;", ""), ptx.AsynchronousError),
        ((r"cp\.async\.commit_group;", "", 1), ptx.AsynchronousError),
        ((r"bar\.sync \t0;", ""), ptx.RaceError),
        ((r"bar\.sync \t0;", "", 0), ptx.RaceError),
        ((r"bar\.sync \t0;", "", 1), ptx.RaceError),
        (
            (r"cp\.async\.wait_group 1;(\s+// .*\s+)bar\.sync \t0;", r"bar.sync 0;\1cp.async.wait_group 1;"),
            ptx.RaceError,
        ),
        ((r"4, (%r\d+);", r"4;"), ptx.OutOfBoundsError),
        ((r"selp\.b32 \t(%r\d+), 4, 0, (%p\d+);", r"selp.b32 \1, 0, 4, \2;"), ptx.OutOfBoundsError),
        ((r"selp\.b32 \t(%r\d+), 4, 0, (%p\d+);", r"selp.b32 \1, 8, 0, \2;"), ptx.OutOfBoundsError),
        ((r"\[(%r\d+)\], \[(%rd\d+)\], 4", r"[\1+512], [\2], 4"), ptx.OutOfBoundsError),
        ((r"\[(%r\d+)\], \[(%rd\d+)\], 4", r"[\1+4], [\2], 4", 2), ptx.AsynchronousError),
        ((r"\[(%r\d+)\], \[(%rd\d+)\], 4", r"[\1+2], [\2], 4"), ptx.MisalignedError),
        ((r"cp\.async\.ca\.shared\.global (.*)\n", "// ", 2), ptx.UninitialisedError),
    ],
)
def test_saxpy_with_a_planted_fault(change, error):
    faulty(error, lambda faults: run_saxpy(faults, count=5), change)


def test_fault_that_only_values_show():
    """A source size of nothing is no fault in itself: it is for the comparison to find."""
    with pytest.raises(AssertionError):
        run_saxpy(lambda text: replaced(text, r"selp\.b32 \t(%r\d+), 4, 0", r"selp.b32 \1, 0, 0"))


# -- 16 bytes at a time ----------------------------------------------------------------------------


def run_transpose(change=lambda text: text) -> None:
    text = compiled(transpose, void(F2, F2), AMPERE)
    x = RNG.integers(-99, 99, (64, 96)).astype(np.float32)
    out = np.empty((96, 64), np.float32)
    launch(change(text), (3, 2), 128, x, ptx.out(out))
    assert np.array_equal(out, x.T)


def test_transpose():
    run_transpose()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ((r"cp\.async\.commit_group;", ""), ptx.AsynchronousError),
        ((r"cp\.async\.wait_group 0;", "cp.async.wait_group 1;"), ptx.AsynchronousError),
        ((r"bar\.sync \t0;", ""), ptx.RaceError),
        ((r"\], 16, (%r\d+)", r"], 16, 20"), ptx.OutOfBoundsError),
        ((r"\[(%rd\d+)\], 16", r"[\1+4], 16", 0), ptx.MisalignedError),
        ((r"\[(%rd\d+)\], 16", r"[\1+16384], 16"), ptx.OutOfBoundsError),
        ((r"cp\.async\.cg", "// ", 1), ptx.UninitialisedError),
    ],
)
def test_transpose_with_a_planted_fault(change, error):
    faulty(error, run_transpose, change)


# -- mbarriers and bulk copies ---------------------------------------------------------------------


def run_ring(change=lambda text: text, count=5, blocks=3) -> None:
    text = compiled(ring, void(F1, F1, int32), HOPPER)
    x = RNG.integers(-99, 99, count * blocks * 128).astype(np.float32)
    out = np.empty_like(x)
    launch(change(text), blocks, 160, x, ptx.out(out), count)
    assert np.array_equal(out, 2 * x.reshape(-1, 128)[:, ::-1].reshape(-1))


@pytest.mark.parametrize("count", [1, 2, 6])
def test_ring(count):
    run_ring(count=count)


INIT = r"mov\.u32 \t(%r\d+), {count};(?=\s+// begin inline asm\s+mbarrier\.init)"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ([(r"\tmbarrier\.arrive\.shared::cta\.b64", "//")], ptx.BarrierError),
        ([(r"\tmbarrier\.arrive\.expect_tx", "//")], ptx.BarrierError),
        (
            [(r"mbarrier\.arrive\.expect_tx(.*), (%r\d+);", r"mbarrier.arrive.expect_tx\1, 496;")],
            ptx.BarrierError,
        ),
        (
            [(r"mbarrier\.arrive\.expect_tx(.*), (%r\d+);", r"mbarrier.arrive.expect_tx\1, 1024;")],
            ptx.BarrierError,
        ),
        (
            [(r"mbarrier\.arrive\.expect_tx(\S+) (.*), (%r\d+);", r"mbarrier.arrive\1 \2;")],
            ptx.AsynchronousError,
        ),
        ([(r"\tcp\.async\.bulk", "//")], ptx.BarrierError),
        ([(r"fence\.mbarrier_init\.release\.cluster;", "")], ptx.AsynchronousError),
        ([(r"bar\.sync \t0;", "")], ptx.RaceError),
        ([(r"selp\.u32 (%r\d+), 1, 0, done", r"mov.u32 \1, 1")], ptx.BarrierError),
        ([(r"selp\.u32 (%r\d+), 1, 0, done", r"mov.u32 \1, 1", 0)], ptx.BarrierError),
        ([(r"selp\.u32 (%r\d+), 1, 0, done", r"mov.u32 \1, 1", 1)], ptx.RaceError),
        ([(r"try_wait\.parity(.*), (%r\d+);", r"try_wait.parity\1, 0;")], ptx.BarrierError),
        ([(r"try_wait\.parity(.*), (%r\d+);", r"try_wait.parity\1, 1;")], ptx.BarrierError),
        ([(r"try_wait\.parity", "try_wait.parity.relaxed.cta")], ptx.RaceError),
        ([(r"mbarrier\.arrive\.shared::cta", "mbarrier.arrive.relaxed.cta.shared::cta")], ptx.RaceError),
        (
            [(r"(ld\.shared\.f32[^;]*;)((?s:.)*?)(mbarrier\.arrive\.shared::cta\.b64[^;]*;)", r"\2\3\1")],
            ptx.RaceError,
        ),
        ([(r"\.align 128 (.*)\[1024\]", r".align 128 \1[512]")], ptx.OutOfBoundsError),
        ([(r"\[(%r\d+)\], \[(%rd\d+)\], (%r\d+), \[", r"[\1+256], [\2], \3, [")], ptx.OutOfBoundsError),
        ([(r"\[(%r\d+)\], \[(%rd\d+)\], (%r\d+), \[", r"[\1], [\2+8], \3, [")], ptx.MisalignedError),
    ],
)
def test_ring_with_a_planted_fault(changes, error):
    faulty(error, run_ring, *changes)


# -- tiles by tensor maps --------------------------------------------------------------------------


def run_tiles(change=lambda text: text, shape=(20, 80)) -> None:
    text = compiled(tiles, void(uint64[::1], uint64[::1]), HOPPER)
    x, out = RNG.integers(-99, 99, shape).astype(np.float32), np.zeros(shape, np.float32)
    grid = -(-shape[1] // 32), -(-shape[0] // 8)
    maps = ptx.tensor_map(x, (8, 32)), ptx.tensor_map(ptx.out(out), (8, 32))
    ptx.Kernel(change(text)).launch(grid, 256, *map(ptx.numba_array, maps))
    assert np.array_equal(out, -x)


def test_tiles():
    run_tiles()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ((r"fence\.proxy\.async\.shared::cta;", ""), ptx.AsynchronousError),
        (
            (r"(st\.shared\.f32[^;]*;)((?s:.)*?)(fence\.proxy\.async\.shared::cta;)", r"\3\2\1"),
            ptx.AsynchronousError,
        ),
        ((r"bar\.sync \t0;", "", 1), ptx.RaceError),
        ((r"cp\.async\.bulk\.commit_group;", ""), ptx.AsynchronousError),
        ((r"cp\.async\.bulk\.wait_group\.read 0;", ""), ptx.AsynchronousError),
        ((r"mov\.u32 \t(%r\d+), 1024", r"mov.u32 \1, 1040"), ptx.BarrierError),
        (
            (
                r"tensor\.2d\.global\.shared::cta\.bulk_group \[(%rd\d+), \{(%r\d+), (%r\d+)\}",
                r"tensor.2d.global.shared::cta.bulk_group [\1, {\2, 0}",
            ),
            ptx.RaceError,
        ),
        ((r"\.align 128 (.*)\[1024\]", r".align 128 \1[1000]"), ptx.OutOfBoundsError),
    ],
)
def test_tiles_with_a_planted_fault(change, error):
    faulty(error, run_tiles, change)
