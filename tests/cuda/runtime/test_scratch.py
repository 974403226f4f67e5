"""Memory to work in, and of others: who may have it when, with a driver that hands it out as CUDA does."""

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

import gpuconv
from gpuconv import call as calls
from gpuconv.arrays import library_of
from gpuconv.cuda.runtime import driver as driving
from gpuconv.cuda.runtime import held, scratch
from gpuconv.cuda.runtime.scratch import Scratch
from tests import fakes
from tests.cuda.noting_driver import Status

STREAM = fakes.CURRENT_STREAM[0]
CUPY = library_of(fakes.FakeCuPyArray(np.zeros(1, np.float32)), "input")
NUMBA = library_of(fakes.FakeNumbaArray(np.zeros(1, np.float32)), "input")
SYNCHRONISING = "cuMemAlloc", "cuMemFree", "cuMemAlloc_v2", "cuMemFree_v2", "cuCtxSynchronize"


@pytest.fixture(autouse=True)
def libraries(driver, monkeypatch):
    """Stand-ins for CuPy, whose pool hands the memory of `taken` out again, and for Numba."""
    cupy = fakes.cupy_module()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "numba.cuda", fakes.numba_cuda_module())
    monkeypatch.setattr(calls, "_known", {})
    monkeypatch.setattr(scratch, "_kept_for_good", [])
    monkeypatch.setattr(held, "_held", [])
    driver.context = 70
    driving.start_driver()
    driver.calls.clear()
    return cupy


def allocations(driver):
    return [call[0] for call in driver.calls if "Mem" in call[0]]


# Scratch


def test_the_library_of_the_result_gives_it_where_it_orders_the_same_stream(driver):
    with Scratch(CUPY, 100, 0, STREAM) as address:
        assert address in fakes.DEVICE_OF or address
    assert allocations(driver) == []


@pytest.mark.parametrize(("library", "stream"), [(CUPY, 9), (NUMBA, 0), (NUMBA, 9)])
def test_elsewhere_cuda_gives_and_takes_it_in_the_order_of_the_stream(driver, library, stream):
    with Scratch(library, 100, 0, stream) as address:
        assert address == 0x8000000
    assert driver.calls == [("cuMemAllocAsync", 400, stream), ("cuMemFreeAsync", address, stream)]
    with Scratch(library, 100, 0, stream) as again:
        assert again == address
    assert not set(SYNCHRONISING) & set(allocations(driver))


def test_it_is_given_back_when_a_launch_fails(driver):
    with pytest.raises(RuntimeError, match="a launch"), Scratch(NUMBA, 100, 0, 9):
        raise RuntimeError("a launch")
    assert allocations(driver) == ["cuMemAllocAsync", "cuMemFreeAsync"]


def test_the_context_of_the_device_is_current_and_restored(driver):
    driver.context = 0
    driving.primary_context(1)
    with Scratch(NUMBA, 100, 1, 9):
        assert driver.calls[-1] == ("cuCtxPopCurrent",)
    kept = [call for call in driver.calls if "Ctx" not in call[0] or call[0] == "cuCtxPushCurrent"]
    assert [call[0] for call in kept] == [
        "cuCtxPushCurrent", "cuMemAllocAsync",
        "cuCtxPushCurrent", "cuMemFreeAsync"]  # fmt: skip
    assert kept[0] == ("cuCtxPushCurrent", 71)


# Graphs


def convolve(x, w, out):
    """A problem whose input channels several blocks share: two kernels, with memory between them."""
    gpuconv.conv2d(x, w, out=out, algorithm="conv_implicit_gemm")


def arrays(make=fakes.FakeCuPyArray):
    shapes = (1, 64, 4, 4), (64, 64, 3, 3), (1, 64, 2, 2)
    return [make(np.zeros(shape, np.float32)) for shape in shapes]


@pytest.mark.parametrize("make", [fakes.FakeCuPyArray, fakes.FakeNumbaArray], ids=["CuPy", "Numba"])
@pytest.mark.parametrize("is_first", [True, False])
def test_the_scratch_of_a_captured_call_belongs_to_the_graph(driver, make, is_first, monkeypatch):
    stream = 5
    driver.slots = 3
    monkeypatch.setitem(fakes.CURRENT_STREAM, 0, stream)
    make = make if make is fakes.FakeCuPyArray else lambda host: fakes.FakeNumbaArray(host, stream=stream)
    given = arrays(make)
    if not is_first:
        convolve(*given)
    driver.capturing.add(stream)
    convolve(*given)
    driver.capturing.clear()
    allocate, parts, total, free = driver.graph
    address = allocate[1]
    assert [allocate[0], free] == ["allocate", ("free", address)]
    assert (parts[0], total[0]) == ("launch", "launch")
    assert total[1] == address and address not in parts[1:3]

    for _ in range(3):  # eager calls while the graph may run: none works in its memory
        driver.launches.clear()
        convolve(*given)
        with Scratch(NUMBA, 100, 0, stream) as other:
            assert other != address
        assert driver.launches[1].values[0] != address


def test_a_first_call_in_a_capture_loads_its_code_and_leaves_the_thread_as_it_was(driver):
    driver.slots = 3
    driver.capturing.add(STREAM)
    convolve(*arrays())
    assert "cuLibraryLoadData" in [call[0] for call in driver.calls]
    assert driver.mode == "global"


def test_a_device_without_pools_keeps_the_scratch_of_a_graph_for_good(driver):
    driver.pools = 0
    with Scratch(NUMBA, 100, 0, 9) as address:
        assert address
    assert scratch._kept_for_good == []
    driver.capturing.add(STREAM)
    with Scratch(CUPY, 100, 0, STREAM) as address:
        pass
    (kept,) = scratch._kept_for_good
    assert kept.data.ptr == address
    assert allocations(driver) == []


def test_the_legacy_stream_says_so_while_another_is_captured(driver):
    driver.capturing.add(5)
    with pytest.raises(RuntimeError, match="CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"), Scratch(NUMBA, 100, 0, 0):
        pass


# Arrays of others


@pytest.mark.wide  # seconds
def test_arrays_are_held_until_the_event_behind_the_kernel_is_reached(driver):
    first, second = fakes.FakeCuPyArray(np.zeros(1)), fakes.FakeCuPyArray(np.zeros(1))
    alive = weakref.ref(first)
    held.hold((first,), 0, STREAM)
    (record,) = [call for call in driver.calls if call[0] == "cuEventRecord"]
    event = record[1]
    assert record[2] == STREAM
    driver.pending.add(event)
    del first
    held.hold((second,), 0, STREAM)
    gc.collect()
    assert alive() is not None
    driver.pending.clear()
    held.hold((), 0, STREAM)
    gc.collect()
    assert alive() is None
    destroyed = [call[1] for call in driver.calls if call[0].startswith("cuEventDestroy")]
    assert event in destroyed and len(destroyed) == len(set(destroyed)) == 2


def test_what_an_array_does_when_it_goes_may_hold_others(driver):
    class Array:
        def __del__(self):
            assert held._holding.acquire(timeout=5)
            held._holding.release()
            gone.append(1)

    gone = []
    held.hold((Array(),), 0, STREAM)
    held.hold((), 0, STREAM)
    gc.collect()
    assert gone == [1]


def test_in_a_capture_nothing_is_held(driver):
    driver.capturing.add(STREAM)
    held.hold((object(),), 0, STREAM)
    assert held._held == [] and "cuEventRecord" not in [call[0] for call in driver.calls]


def test_threads_hold_without_losing_any(driver):
    driver.cuEventQuery = lambda event: (Status.CUDA_ERROR_NOT_READY,)

    def work():
        for _ in range(50):
            held.hold((object(),), 0, STREAM)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held._held) == 200
