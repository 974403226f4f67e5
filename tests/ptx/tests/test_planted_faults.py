"""Faults planted in Numba's PTX, or written into kernels, are found and named."""

from __future__ import annotations

import numpy as np
import pytest

from tests import ptx

from .numba_kernels import (
    F1,
    F2,
    HOPPER,
    I1,
    add,
    compiled,
    histogram,
    last_block_sums,
    leave_early,
    product,
    run,
    tree_sum,
)

cuda = pytest.importorskip("numba.cuda")
from numba import void  # noqa: E402


def faulty(function, signature, change, grid, block, *arrays, **options):
    """Run a kernel whose PTX `change` has altered; the change must have altered something."""
    text = compiled(function, signature, HOPPER)
    changed = change(text)
    assert changed != text
    return ptx.Kernel(changed).launch(grid, block, *map(ptx.numba_array, arrays), **options)


def replaced(old, new, count=1):
    return lambda text: text.replace(old, new, count)


def nth(old, new, number):
    """Replace the occurrence `number` of a string."""

    def change(text):
        parts = text.split(old)
        return old.join(parts[:number]) + new + old.join(parts[number:])

    return change


@pytest.mark.parametrize("number", [1, 2])
def test_product_without_a_barrier(number):
    ones = np.ones((32, 32), np.float32)
    with pytest.raises(ptx.RaceError, match="shared memory") as fault:
        faulty(
            product,
            void(F2, F2, F2),
            nth("bar.sync \t0;", "", number),
            (2, 2),
            (16, 16),
            ones,
            ones,
            ptx.out(np.empty_like(ones)),
        )
    assert "shared" in fault.value.instruction and fault.value.block is not None


@pytest.mark.parametrize("number", [1, 2])
def test_tree_sum_without_a_barrier(number):
    with pytest.raises(ptx.RaceError):
        faulty(
            tree_sum,
            void(F1, F1),
            nth("bar.sync \t0;", "", number),
            2,
            128,
            np.ones(256, np.float32),
            ptx.out(np.empty(2, np.float32)),
            shared_bytes=512,
        )


@pytest.mark.parametrize("number", [1, 2])
def test_histogram_without_a_barrier(number):
    with pytest.raises((ptx.RaceError, ptx.UninitialisedError)):
        faulty(
            histogram,
            void(I1, I1),
            nth("bar.sync \t0;", "", number),
            2,
            128,
            np.arange(200, dtype=np.int32) % 64,
            np.zeros(64, np.int32),
        )


def test_histogram_without_initialisation():
    with pytest.raises(ptx.UninitialisedError, match="atomic add"):
        faulty(
            histogram,
            void(I1, I1),
            replaced("st.shared.u32", "// "),
            1,
            128,
            np.zeros(100, np.int32),
            np.zeros(64, np.int32),
        )


def test_too_little_dynamic_shared_memory():
    with pytest.raises(ptx.OutOfBoundsError, match="508 bytes of shared memory"):
        run(
            tree_sum,
            void(F1, F1),
            HOPPER,
            2,
            128,
            np.ones(256, np.float32),
            ptx.out(np.empty(2, np.float32)),
            shared_bytes=508,
        )


def test_guard_removed():
    x = np.ones(100, np.float32)
    with pytest.raises(ptx.OutOfBoundsError) as fault:
        faulty(add, void(F1, F1, F1), replaced("@%p1 bra", "// "), 1, 128, x, x, ptx.out(np.empty_like(x)))
    assert fault.value.thread == (100, 0, 0) and fault.value.line is not None


def test_guard_off_by_one():
    x = np.ones(100, np.float32)
    with pytest.raises(ptx.OutOfBoundsError):
        faulty(
            add,
            void(F1, F1, F1),
            replaced("setp.ge.s64", "setp.gt.s64"),
            1,
            128,
            x,
            x,
            ptx.out(np.empty_like(x)),
        )


def test_stencil_reads_one_row_too_far():
    a = np.ones((16, 16), np.float32)

    def wrong(a, b):
        x, y = cuda.grid(2)
        if y < a.shape[0] and 0 < x < a.shape[1] - 1:
            b[y, x] = a[y + 1, x]

    with pytest.raises(ptx.OutOfBoundsError, match="array 0"):
        run(wrong, void(F2, F2), HOPPER, (2, 2), (8, 8), a, np.zeros_like(a))


def test_blocks_write_the_same_element():
    def collide(a, out):
        i = cuda.grid(1)
        out[i % 64] = a[i]

    with pytest.raises(ptx.RaceError, match="array 1"):
        run(collide, void(F1, F1), HOPPER, 3, 32, np.ones(96, np.float32), np.zeros(64, np.float32))


def test_block_reads_what_another_writes():
    def shift(a):
        i = cuda.grid(1)
        if i < a.size - 1:
            a[i] = a[i + 1]

    with pytest.raises(ptx.RaceError):
        run(shift, void(F1), HOPPER, 3, 32, np.ones(96, np.float32))


@pytest.mark.parametrize("number", [1, 2])
def test_last_block_without_a_fence(number):
    arrays = np.ones(384, np.float32), np.zeros(6, np.float32), np.zeros(1, np.int32), np.zeros(1, np.float32)
    with pytest.raises(ptx.RaceError, match="array 1"):
        faulty(last_block_sums, void(F1, F1, I1, F1), nth("membar.gl;", "", number), 6, 32, *arrays)


def test_output_read_before_it_is_written():
    x = np.ones(64, np.float32)
    with pytest.raises(ptx.UninitialisedError):
        run(add, void(F1, F1, F1), HOPPER, 1, 64, ptx.out(x), np.ones_like(x), ptx.out(np.empty_like(x)))


def test_barrier_that_some_threads_skip():
    def skip(a):
        i = cuda.grid(1)
        if i < 40:
            cuda.syncthreads()
        a[i] = i

    with pytest.raises((ptx.BarrierError, ptx.DivergenceError)):
        run(skip, void(I1), HOPPER, 1, 64, np.zeros(64, np.int32))


def test_barrier_after_threads_have_exited():
    with pytest.raises(ptx.BarrierError, match="32 have exited"):
        run(leave_early, void(I1), HOPPER, 1, 64, np.zeros(32, np.int32))


def test_input_that_is_not_writeable():
    x = np.ones(64, np.float32)
    fixed = x.copy()
    fixed.setflags(write=False)
    run(add, void(F1, F1, F1), HOPPER, 1, 64, fixed, fixed, ptx.out(x))
    with pytest.raises(ptx.ReadOnlyError):
        run(add, void(F1, F1, F1), HOPPER, 1, 64, x, x, fixed)
    assert (fixed == 1).all()
