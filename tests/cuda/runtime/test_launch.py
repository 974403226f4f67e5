"""The launch path against a driver that only takes notes: pointers, streams, contexts, errors."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import gpuconv.cuda as engine
from gpuconv.arrays import DeviceArray
from gpuconv.cuda.conv import split
from gpuconv.cuda.runtime import gpu as chips
from gpuconv.cuda.runtime import launch as launching
from gpuconv.spec import ConvSpec, PoolSpec
from tests.cuda.noting_driver import Status

SPEC = ConvSpec(2, 3, 8, 9, 4, 3, 3, dtype="float32")


def array(shape, pointer, stream=5, device=0, dtype="float32"):
    strides = np.empty(shape, dtype).strides
    return DeviceArray(pointer, shape, strides, np.dtype(dtype), device, stream)


def convolve(driver, stream=5, x_stream=5, device=0, base=0x1000):
    x = array((2, 3, 8, 9), base, x_stream, device)
    w = array((4, 3, 3, 3), base + 0x10000, stream, device)
    y = array(SPEC.out_shape, base + 0x20000, stream, device)
    driver.slots = len(engine.KERNELS[0].arguments)
    engine.conv2d(SPEC, x, w, None, y)
    return x, w, y


def test_pointers_and_scalars_arrive_where_the_kernel_reads_them(driver):
    x, w, y = convolve(driver)
    (launch,) = driver.launches
    assert launch.values[:4] == [x.pointer, w.pointer, 0, y.pointer]
    assert launch.values[4:8] == [3 * 8 * 9, 8 * 9, 9, 1]
    assert launch.stream == 5
    assert launch.block == (256, 1, 1)


def test_a_second_call_only_patches_pointers(driver):
    convolve(driver)
    before = len(driver.calls)
    driver.context = 70  # the device's primary context is current, as CuPy leaves it
    x, w, y = convolve(driver, base=0x500000)
    assert driver.calls[before:] == [("cuLaunchKernel", 5)]
    assert driver.launches[1].values[:4] == [x.pointer, w.pointer, 0, y.pointer]
    assert driver.launches[1].values[4:] == driver.launches[0].values[4:]


def test_a_device_is_asked_once_for_what_choices_depend_on(driver):
    assert chips.chip(0) == chips.Chip(108, 164 * 1024, fp32=128, cache_bytes=32)
    driver.capability = (7, 5)
    assert chips.chip(0).fp32 == 128
    assert chips.chip(1) == chips.Chip(108, 164 * 1024, fp32=64, cache_bytes=16)


def test_nothing_synchronises_or_allocates(driver):
    convolve(driver, x_stream=6)
    names = [name for name, *_ in driver.calls]
    assert not [name for name in names if "Synchronize" in name or "Alloc" in name or "Memcpy" in name]


def test_an_input_of_another_stream_is_waited_for_on_the_device(driver):
    convolve(driver, stream=5, x_stream=6)
    names = [name for name, *_ in driver.calls]
    record, wait = names.index("cuEventRecord"), names.index("cuStreamWaitEvent")
    assert record < wait < names.index("cuLaunchKernel")
    assert driver.calls[record][2] == 6
    assert driver.calls[wait][1] == 5


def test_the_context_of_the_device_is_current_during_the_launch_only(driver):
    convolve(driver, device=1)
    names = [
        call for call in driver.calls if call[0] in ("cuCtxPushCurrent", "cuLaunchKernel", "cuCtxPopCurrent")
    ]
    assert names == [("cuCtxPushCurrent", 71), ("cuLaunchKernel", 5), ("cuCtxPopCurrent",)]


def test_each_device_gets_the_function_of_its_own_context(driver):
    convolve(driver, device=0)
    convolve(driver, device=1)
    assert [name for name, *_ in driver.calls].count("cuKernelGetFunction") == 2


@pytest.mark.parametrize(("kilobytes", "asked"), [(48, 0), (50, 1)])
def test_more_shared_memory_than_48_kb_is_asked_for_once(driver, kilobytes, asked):
    y = array((1,), 0x1000)
    launch = launching.Launch(engine.KERNELS[0], 1, kilobytes * 1024, ())
    driver.slots = 1
    launch.start(y, y)
    launch.start(y, y)
    found = [call for call in driver.calls if call[0] == "cuFuncSetAttribute"]
    assert [call[2:] for call in found] == asked * [("dynamic", 226 * 1024)]


def test_two_kernels_follow_each_other_on_the_outputs_stream(driver, monkeypatch):
    kernel = engine.KERNELS[0]
    x, y, parts = array((8,), 0x1000), array((8,), 0x2000), array((8,), 0x3000)
    library = SimpleNamespace(scratch=lambda elements, like: parts._replace(stream=like.stream))
    monkeypatch.setattr(split, "library_of", lambda owner, name: library)
    launches = [launching.Launch(kernel, blocks, 0, ()) for blocks in (3, 4)]
    driver.slots = 2
    split.Passes(8, ((launches[0], (0, 2)), (launches[1], (2, 1)))).start(y, x, y)
    assert [(launch.grid[0], launch.values, launch.stream) for launch in driver.launches] == [
        (3, [0x1000, 0x3000], 5), (4, [0x3000, 0x2000], 5),
    ]  # fmt: skip
    assert not [name for name, *_ in driver.calls if name in ("cuEventRecord", "cuStreamWaitEvent")]


def test_a_failed_launch_names_cudas_error_and_restores_the_context(driver):
    driver.launch_status = Status.CUDA_ERROR_LAUNCH_FAILED
    with pytest.raises(RuntimeError, match="CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure"):
        convolve(driver)
    assert driver.calls[-1] == ("cuCtxPopCurrent",)


def test_threads_never_mix_their_pointers(driver):
    barrier = threading.Barrier(4)

    def call(i):
        barrier.wait()
        return [convolve(driver, base=0x100000 * (1 + i + 4 * j)) for j in range(25)]

    with ThreadPoolExecutor(4) as pool:
        calls = [call for calls in pool.map(call, range(4)) for call in calls]
    expected = {(x.pointer, w.pointer, 0, y.pointer) for x, w, y in calls}
    assert {tuple(launch.values[:4]) for launch in driver.launches} == expected
    assert len(driver.launches) == 100


def test_an_empty_output_launches_nothing(driver):
    spec = PoolSpec("max", 0, 3, 8, 8, 2, 2)
    engine.pool2d(spec, array((0, 3, 8, 8), 0), array(spec.out_shape, 0))
    assert driver.launches == []


@pytest.mark.parametrize(("op", "indices"), [("max", False), ("max", True), ("avg", False)])
def test_pools_pass_one_slot_per_argument(driver, op, indices):
    spec = PoolSpec(op, 2, 3, 8, 8, 2, 2, stride=(2, 2), pads=((1, 0), (0, 1)), return_indices=indices)
    x, y = array((2, 3, 8, 8), 0x1000), array(spec.out_shape, 0x9000)
    places = array(spec.out_shape, 0xA000, dtype="int64") if indices else None
    plan = engine.pool_direct.plan(spec, x.strides, y.strides, places.strides if indices else None)
    driver.slots = len(plan.kernel.arguments)
    engine.pool2d(spec, x, y, places, "pool_direct")
    (launch,) = driver.launches
    pointers = {"avg": [x, y], "max": [x, y, places]}[op]
    assert launch.values[: len(pointers)] == [0 if a is None else a.pointer for a in pointers]
    assert len(plan.scalars) + len(pointers) == len(plan.kernel.arguments)
    assert 2**64 - 1 in launch.values  # the origin above the padding, wrapped


@pytest.mark.parametrize(
    ("capability", "arch"),
    [((7, 5), "sm_75"), ((8, 0), "sm_80"), ((8, 6), "sm_80"), ((8, 9), "sm_80"), ((9, 0), "sm_90a"),
     ((10, 0), "sm_100"), ((10, 3), "sm_100"), ((12, 0), "sm_120"), ((12, 1), "sm_120"), ((13, 0), "sm_130")],
)  # fmt: skip
def test_the_architecture_of_a_device(driver, capability, arch):
    driver.capability = capability
    assert launching.device(0).arch == arch


def test_a_device_older_than_turing_is_refused_by_name(driver):
    driver.capability = (7, 0)
    with pytest.raises(RuntimeError, match=r"GPU 0 \(Notebook GPU\) is sm_70; gpuconv needs sm_75 or newer"):
        convolve(driver)


def test_devices_lists_what_the_driver_has(driver):
    assert [(device.ordinal, device.name) for device in launching.devices()] == [
        (0, "Notebook GPU"),
        (1, "Notebook GPU"),
    ]


def child(queue):
    try:
        engine.refuse_forked_child()
    except RuntimeError as error:
        queue.put(str(error))
    else:
        queue.put("accepted")


@pytest.mark.parametrize("started", [False, True])
def test_a_child_forked_after_cuda_had_started_gets_a_clear_error(driver, started):
    if started:
        engine.refuse_forked_child()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    answer = queue.get(timeout=60)
    process.join()
    assert answer == "accepted" if not started else "start it with the 'spawn' method" in answer


def test_a_driver_that_does_not_start_is_a_clear_error(driver):
    driver.cuInit = lambda flags: (Status.CUDA_ERROR_LAUNCH_FAILED,)
    with pytest.raises(RuntimeError, match=r"CUDA_ERROR_LAUNCH_FAILED.*Is there a GPU and its driver"):
        engine.refuse_forked_child()
    assert launching.devices() == []
