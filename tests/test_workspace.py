"""Memory that kernels work in: whose it is, how long it lasts, where it lies, and how much there may be."""

import threading

import numpy as np
import pytest

import gpuconv
from gpuconv.cpu.engine import workspace
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.workspace import workspace_limit

MEGABYTE = 1 << 20


@pytest.fixture
def slot():
    """The name of a slot that nothing is kept in, before and after the test."""
    yield "a test"
    workspace._kept.buffers.pop("a test", None)


def address(array):
    return array.ctypes.data


def in_another_thread(function):
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "complex128", "int64", "uint8"])
@pytest.mark.parametrize("sizes", [(1,), (100, 1, 48), (0, 7), (0,), (), (3,) * 9])
def test_arrays_of_the_sizes_asked_for_each_from_a_cache_line_on(dtype, sizes, slot):
    arrays = reserve(slot, dtype, *sizes)
    assert isinstance(arrays, tuple)
    assert [array.shape for array in arrays] == [(size,) for size in sizes]
    for array in arrays:
        assert array.dtype == dtype
        assert array.flags.c_contiguous and array.flags.aligned and array.flags.writeable
        assert array.size == 0 or address(array) % 64 == 0
    for i, array in enumerate(arrays):
        array[:] = i
    for i, array in enumerate(arrays):
        assert (array == i).all()


def test_a_second_call_gives_the_same_memory(slot):
    first, second = reserve(slot, "float32", 1000, 500)
    again, other = reserve(slot, "float32", 1000, 500)
    assert (address(again), address(other)) == (address(first), address(second))
    smaller, as_bytes = reserve(slot, "uint8", 3, 100)
    assert address(smaller) == address(first)
    assert np.shares_memory(as_bytes, first)


def test_it_grows_when_more_is_needed(slot):
    reserve(slot, "float32", 10)
    (large,) = reserve(slot, "float32", 100_000)
    large[:] = 1
    (small,) = reserve(slot, "float32", 10)
    assert address(small) == address(large)


def test_slots_do_not_share(slot):
    (mine,) = reserve(slot, "float32", 1000)
    (other,) = reserve("another test", "float32", 1000)
    assert not np.shares_memory(mine, other)
    del workspace._kept.buffers["another test"]


def test_threads_do_not_share(slot):
    (mine,) = reserve(slot, "float32", 1000)
    (other,) = in_another_thread(lambda: reserve(slot, "float32", 1000))
    assert not np.shares_memory(mine, other)
    (again,) = reserve(slot, "float32", 1000)
    assert address(again) == address(mine)


def test_a_forked_child_does_not_share(fresh_python):
    pytest.importorskip("fcntl", reason="this system does not fork")
    code = """
import os
from gpuconv.cpu.engine.workspace import reserve
(mine,) = reserve("a test", "float32", 1000)
mine[:] = 1
child = os.fork()
if child == 0:
    (copy,) = reserve("a test", "float32", 1000)
    copy[:] = 2
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), (mine == 1).all())
"""
    assert fresh_python(code) == "0 True"


def test_new_memory_is_zero(slot, fresh_python):
    code = """
from gpuconv.cpu.engine.workspace import reserve
for size in (10, 1000, 100_000, 10_000_000):
    print(any(array.any() for array in reserve("a test", "float32", size, size)))
"""
    assert fresh_python(code).split() == ["False"] * 4


def test_the_tests_poison_all_that_is_handed_out(slot):
    for _ in range(2):
        numbers, more = reserve(slot, "float32", 1000, 10)
        assert np.isnan(numbers).all() and np.isnan(more).all()
        numbers[:] = 0
    assert (reserve(slot, "int64", 10)[0] == -77).all()


def test_what_exceeds_the_limit_is_not_kept(slot, limit_workspace):
    limit_workspace(MEGABYTE)
    (kept,) = reserve(slot, "uint8", MEGABYTE)
    assert workspace._kept.buffers[slot].size == MEGABYTE
    (large,) = reserve(slot, "uint8", MEGABYTE + 1)
    assert not np.shares_memory(kept, large)
    assert slot not in workspace._kept.buffers
    (again,) = reserve(slot, "uint8", MEGABYTE + 1)
    assert not np.shares_memory(again, large)


def test_the_limit_counts_all_arrays_of_a_slot(slot, limit_workspace):
    limit_workspace(3 * 64)
    reserve(slot, "float32", 16, 1, 1)
    assert workspace._kept.buffers[slot].size == 3 * 64
    reserve(slot, "float32", 17, 1, 1)
    assert slot not in workspace._kept.buffers


def test_a_lower_limit_drops_what_is_larger_and_keeps_the_rest(slot, limit_workspace):
    (small,) = reserve("another test", "uint8", 1000)
    reserve(slot, "uint8", MEGABYTE)
    limit_workspace(MEGABYTE)
    assert slot in workspace._kept.buffers
    limit_workspace(MEGABYTE - 1)
    assert slot not in workspace._kept.buffers
    (again,) = reserve("another test", "uint8", 1000)
    assert address(again) == address(small)
    del workspace._kept.buffers["another test"]


def test_a_lower_limit_reaches_other_threads_at_their_next_call(slot, limit_workspace):
    kept, lowered = threading.Event(), threading.Event()

    def work():
        reserve(slot, "uint8", MEGABYTE)
        before = set(workspace._kept.buffers)
        kept.set()
        lowered.wait(20)
        reserve("another test", "uint8", 10)
        return before, set(workspace._kept.buffers)

    lower = threading.Thread(target=lambda: (kept.wait(20), limit_workspace(1000), lowered.set()))
    lower.start()
    assert in_another_thread(work) == ({slot}, {"another test"})
    lower.join()


def test_with_a_limit_of_zero_nothing_is_kept_and_calls_compute(limit_workspace):
    x, w = np.ones((2, 3, 9, 9), np.float32), np.ones((4, 3, 3, 3), np.float32)
    limit_workspace(0)
    assert (gpuconv.conv2d(x, w) == 27).all()
    assert (gpuconv.max_pool2d(x, 2) == 1).all()
    assert not any(buffer.size for buffer in workspace._kept.buffers.values())


def test_the_limit_at_first(fresh_python):
    code = "from gpuconv.workspace import workspace_limit; print(workspace_limit())"
    assert fresh_python(code) == str(64 * MEGABYTE)


@pytest.mark.parametrize("bytes", [0, 1, 2**31, 2**63 - 1, np.int64(5)])
def test_set_and_get(bytes, limit_workspace):
    limit_workspace(bytes)
    assert workspace_limit() == bytes
    assert type(workspace_limit()) is int


@pytest.mark.parametrize(
    ("bytes", "error", "message"),
    [
        (-1, ValueError, "bytes must be from 0 to 9223372036854775807, got -1"),
        (2**63, ValueError, "bytes must be from 0 to 9223372036854775807, got 9223372036854775808"),
        (True, TypeError, "bytes must be an integer, got True"),
        (1e6, TypeError, "bytes must be an integer, got 1000000.0"),
        ("64M", TypeError, "bytes must be an integer, got '64M'"),
        (None, TypeError, "bytes must be an integer, got None"),
    ],
)
def test_a_wrong_limit_changes_nothing(bytes, error, message, limit_workspace):
    limit_workspace(1234)
    with pytest.raises(error, match=f"^{message}$"):
        gpuconv.set_workspace_limit(bytes)
    assert workspace_limit() == 1234


def test_a_call_inside_of_a_call_has_memory_of_its_own():
    """As from a signal handler, which runs between any two lines of a call."""
    memory = []

    def reserve(inner=None):
        (mine,) = workspace.reserve("nested", "float32", 16)
        memory.append(mine)
        mine[:] = 1
        if inner is not None:
            inner()
            assert (mine == 1).all()
            assert workspace.reserve("nested", "float32", 16)[0] is mine
        mine[:] = 2

    call = workspace.enclosed(reserve)
    call(call)
    assert len(memory) == 2 and not np.shares_memory(*memory)
    call()
    assert memory[2] is memory[0]  # the outer one has ended


def test_a_limit_set_within_a_call_does_not_end_it(limit_workspace):
    def outer():
        limit_workspace(MEGABYTE)
        (mine,) = workspace.reserve("nested", "float32", 16)
        workspace.enclosed(lambda: workspace.reserve("nested", "float32", 16)[0].fill(2))()
        mine[:] = 1
        assert (mine == 1).all() and workspace._kept.calls == 1

    workspace.enclosed(outer)()
    assert workspace._kept.calls == 0
