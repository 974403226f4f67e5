"""The launch path against a driver that only takes notes: pointers, streams, contexts, errors."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from numba import float32, int64, types, uint32

from gpuconv.cuda.conv import tiled
from gpuconv.cuda.runtime import driver as driving
from gpuconv.cuda.runtime import passes as passing
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.compiler import NoCompiler
from gpuconv.cuda.runtime.cubins import Cubin
from gpuconv.cuda.runtime.driver import refuse_forked_child, wait_for
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.cuda.runtime.passes import Passes
from gpuconv.spec import ConvSpec
from tests.cuda.execution import contiguous
from tests.cuda.noting_driver import Status

SPEC = ConvSpec(2, 3, 8, 9, 4, 3, 3, ((1, 1), (0, 0)))


def shift(x, y, x_n, y_n, count, step):
    for i in range(count):
        y[i * y_n] = x[i * x_n] + float32(step)


def make_kernel():
    return Kernel("shift", lambda: shift, {types.CPointer(float32): "x y", int64: "x_n y_n"}, 32, 1)


@pytest.fixture
def launch(driver):
    """A launch that no test has started before."""
    found = tiled.ALGORITHM.plan(SPEC, contiguous(SPEC), H200)
    driver.slots = len(found.kernel.arguments)
    return found


def pointers_of(base=0x1000):
    """Of x, w, no bias, and y."""
    return base, base + 0x10000, 0, base + 0x20000


# Binding


def test_parameters_have_the_types_that_their_names_were_given():
    kernel = make_kernel()
    assert list(kernel.parameters) == ["x", "y", "x_n", "y_n", "count", "step"]
    assert kernel.arguments[2:] == (int64, int64, uint32, uint32)
    assert kernel.pointers == ("x", "y")


def test_a_kernel_is_made_when_it_is_first_asked_for():
    made = []
    kernel = Kernel("shift", lambda: made.append(1) or shift, {types.CPointer(float32): "x y"}, 32, 1)
    assert (kernel.name, made) == ("shift", [])
    assert kernel.function is kernel.function is shift
    assert made == [1]


def test_scalars_are_bound_by_name_in_any_order():
    scalars = {"step": 4, "y_n": 2, "count": 3, "x_n": 1}
    assert Launch(make_kernel(), 1, 0, scalars).values == (1, 2, 3, 4)
    assert Launch(make_kernel(), 1, 0, dict(reversed(scalars.items()))).values == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("scalars", "message"),
    [
        ({"x_n": 1, "y_n": 1, "step": 1}, r"shift lacks \['count'\] and does not know \[\]"),
        ({"x_n": 1, "y_n": 1, "count": 1, "step": 1, "stop": 1}, r"lacks \[\] and does not know \['stop'\]"),
        ({"x_n": 1, "y_n": 1, "count": 1, "step": 1, "x": 1}, r"does not know \['x'\]"),
    ],
)
def test_a_missing_and_an_unknown_scalar_are_named(scalars, message):
    with pytest.raises(TypeError, match=message):
        Launch(make_kernel(), 1, 0, scalars)


def test_a_type_for_no_parameter_is_refused():
    kernel = Kernel("shift", lambda: shift, {types.CPointer(float32): "x y z"}, 32, 1)
    with pytest.raises(TypeError, match="shift has no parameter z"):
        kernel.parameters


def test_strides_are_named_by_their_axes():
    assert steps(x_nc=(6, 3), w_k=(2,)) == {"x_n": 6, "x_c": 3, "w_k": 2}
    with pytest.raises(ValueError, match="zip"):
        steps(x_nc=(1, 2, 3))


# Queueing


def test_pointers_and_scalars_arrive_where_the_kernel_reads_them(driver, launch):
    launch.queue(0, 5, pointers_of())
    (queued,) = driver.launches
    names = list(launch.kernel.parameters)
    found = dict(zip(names, queued.values, strict=True))
    assert tuple(queued.values[:4]) == pointers_of()
    assert [found[name] for name in ("x_n", "x_c", "x_h", "x_w")] == [3 * 8 * 9, 8 * 9, 9, 1]
    assert found["h_origin"] == 2**64 - 1  # the row above the image, wrapped
    assert (queued.stream, queued.block) == (5, (256, 1, 1))


def test_a_kernel_takes_as_many_pointers_as_it_has(driver, launch):
    launch.queue(0, 5, (*pointers_of(), 0x9000))
    assert tuple(driver.launches[0].values[:5]) == (*pointers_of(), launch.values[0])


def test_a_second_call_only_patches_pointers(driver, launch):
    launch.queue(0, 5, pointers_of())
    before = len(driver.calls)
    driver.context = 70  # the device's primary context is current, as CuPy leaves it
    launch.queue(0, 5, pointers_of(0x500000))
    assert driver.calls[before:] == [("cuLaunchKernel", 5)]
    assert tuple(driver.launches[1].values[:4]) == pointers_of(0x500000)
    assert driver.launches[1].values[4:] == driver.launches[0].values[4:]


def test_nothing_synchronises_or_allocates(driver, launch):
    wait_for([6], 5, 0)
    launch.queue(0, 5, pointers_of())
    names = [name for name, *_ in driver.calls]
    assert not [name for name in names if "Synchronize" in name or "Alloc" in name or "Memcpy" in name]


def test_an_input_of_another_stream_is_waited_for_on_the_device(driver):
    wait_for([6, 5, 6], 5, 0)
    names = [name for name, *_ in driver.calls]
    record, wait = names.index("cuEventRecord"), names.index("cuStreamWaitEvent")
    assert names.count("cuEventRecord") == 1 and record < wait
    assert driver.calls[record][2] == 6
    assert driver.calls[wait][1] == 5
    assert names[-2:] == ["cuEventDestroy_v2", "cuCtxPopCurrent"] or names[-1] == "cuCtxPopCurrent"


@pytest.mark.parametrize(("captured", "waited"), [({5}, []), ({5, 7}, [7])])
def test_a_graph_waits_for_its_own_work_alone(driver, captured, waited):
    driver.capturing = captured
    wait_for([0, 1, 6, 7], 5, 0)
    assert [call[2] for call in driver.calls if call[0] == "cuEventRecord"] == waited


def test_nobody_waits_for_the_own_stream(driver):
    wait_for([5, 5], 5, 0)
    assert driver.calls == []


def test_the_context_of_the_device_is_current_during_the_launch_only(driver, launch):
    launch.queue(1, 5, pointers_of())
    kept = "cuCtxPushCurrent", "cuLaunchKernel", "cuCtxPopCurrent"
    calls = [call for call in driver.calls if call[0] in kept]
    assert calls == [("cuCtxPushCurrent", 71), ("cuLaunchKernel", 5), ("cuCtxPopCurrent",)]


def test_each_device_gets_the_function_of_its_own_context(driver, launch):
    launch.queue(0, 5, pointers_of())
    launch.queue(1, 5, pointers_of())
    assert [name for name, *_ in driver.calls].count("cuKernelGetFunction") == 2


@pytest.mark.parametrize(("kilobytes", "asked"), [(48, 0), (50, 1)])
def test_more_shared_memory_than_48_kb_is_asked_for_once(driver, launch, kilobytes, asked):
    larger = Launch(launch.kernel, 1, kilobytes * 1024, launch.scalars)
    larger.queue(0, 5, pointers_of())
    larger.queue(0, 5, pointers_of())
    found = [call for call in driver.calls if call[0] == "cuFuncSetAttribute"]
    assert [call[2:] for call in found] == asked * [("dynamic", 226 * 1024)]


def test_two_kernels_follow_each_other_on_the_outputs_stream(driver):
    scalars = {"x_n": 1, "y_n": 1, "count": 8, "step": 2}
    first, second = (Launch(make_kernel(), blocks, 0, scalars) for blocks in (3, 4))
    driver.slots = 2
    Passes(8, ((first, (0, 2)), (second, (2, 1)))).queue(0, 5, (0x1000, 0x2000, 0x3000))
    assert [(launch.grid[0], launch.values, launch.stream) for launch in driver.launches] == [
        (3, [0x1000, 0x3000], 5), (4, [0x3000, 0x2000], 5),
    ]  # fmt: skip
    assert not [name for name, *_ in driver.calls if name in ("cuEventRecord", "cuStreamWaitEvent")]


def test_several_kernels_enter_the_context_and_ask_for_a_fork_once(driver, monkeypatch):
    scalars = {"x_n": 1, "y_n": 1, "count": 8, "step": 2}
    launches = [Launch(make_kernel(), blocks, 0, scalars) for blocks in (3, 0, 4)]
    passes = Passes(8, tuple((launch, (0, 1)) for launch in launches))
    driver.slots = 2
    passes.queue(1, 5, (0x1000, 0x2000))
    asked, before = [], len(driver.calls)
    monkeypatch.setattr(passing, "refuse_forked_child", lambda: asked.append(1))
    passes.queue(1, 5, (0x1000, 0x2000))
    assert asked == [1]
    assert driver.calls[before:] == [
        ("cuCtxPushCurrent", 71), ("cuLaunchKernel", 5), ("cuLaunchKernel", 5), ("cuCtxPopCurrent",),
    ]  # fmt: skip


def test_threads_never_mix_the_pointers_of_several_kernels(driver):
    scalars = {"x_n": 1, "y_n": 1, "count": 8, "step": 2}
    passes = Passes(8, tuple((Launch(make_kernel(), 3, 0, scalars), (0, 1)) for _ in range(2)))
    driver.slots = 2
    barrier = threading.Barrier(4)

    def call(i):
        barrier.wait()
        for j in range(25):
            passes.queue(0, 5, (0x1000 * (1 + i + 4 * j), i))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(4)))
    values = [tuple(launch.values) for launch in driver.launches]
    assert values[::2] == values[1::2] and len(set(values)) == 100


@pytest.fixture
def old_driver(driver, monkeypatch):
    """A driver that does not load what the compilers of another machine made, which is what there is."""
    brought, built = Cubin(b"new", "shift", "", "nvvm=99"), Cubin(b"old", "shift", "", "")
    load = driver.cuLibraryLoadData

    def refuse(code, *options):
        return (Status.CUDA_ERROR_INVALID_IMAGE,) if code == b"new" else load(code, *options)

    driver.cuLibraryLoadData = refuse
    driver.slots = 2
    monkeypatch.setattr(Kernel, "cubin", lambda kernel, arch: brought)
    monkeypatch.setattr(Kernel, "rebuilt", lambda kernel, arch, refused: built)
    return driver


def shifting():
    return Launch(make_kernel(), 1, 0, {"x_n": 1, "y_n": 1, "count": 8, "step": 2})


def test_what_an_older_driver_does_not_load_is_built_anew(old_driver):
    shifting().queue(0, 5, (0x1000, 0x2000))
    assert [call[1] for call in old_driver.calls if call[0] == "cuLibraryLoadData"] == [b"old"]
    assert len(old_driver.launches) == 1


def test_an_older_driver_without_a_compiler_says_what_would_help(old_driver, monkeypatch):
    def missing(kernel, arch, refused):
        raise NoCompiler("there is no compiler: pip install it")

    monkeypatch.setattr(Kernel, "rebuilt", missing)
    with pytest.raises(RuntimeError, match=r"INVALID_IMAGE.*shift as built by nvvm=99, and .*pip install it"):
        shifting().queue(0, 5, (0x1000, 0x2000))


def test_what_was_built_here_and_does_not_load_is_an_error(old_driver, monkeypatch):
    monkeypatch.setattr(Kernel, "rebuilt", lambda kernel, arch, refused: None)
    with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_IMAGE"):
        shifting().queue(0, 5, (0x1000, 0x2000))


def test_a_failed_launch_names_cudas_error_and_restores_the_context(driver, launch):
    driver.launch_status = Status.CUDA_ERROR_LAUNCH_FAILED
    with pytest.raises(RuntimeError, match="CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure"):
        launch.queue(0, 5, pointers_of())
    assert driver.calls[-1] == ("cuCtxPopCurrent",)


def test_threads_never_mix_their_pointers(driver, launch):
    barrier = threading.Barrier(4)

    def call(i):
        barrier.wait()
        bases = [0x100000 * (1 + i + 4 * j) for j in range(25)]
        for base in bases:
            launch.queue(0, 5, pointers_of(base))
        return bases

    with ThreadPoolExecutor(4) as pool:
        bases = [base for bases in pool.map(call, range(4)) for base in bases]
    assert {tuple(queued.values[:4]) for queued in driver.launches} == set(map(pointers_of, bases))
    assert len(driver.launches) == 100


def test_an_empty_output_launches_nothing(driver):
    spec = ConvSpec(0, 3, 8, 8, 2, 2, 2)
    tiled.ALGORITHM.plan(spec, contiguous(spec), H200).queue(0, 5, (0, 0, 0, 0))
    assert driver.launches == []


def test_a_device_older_than_turing_is_refused_by_name(driver, launch):
    driver.capability = (7, 0)
    with pytest.raises(RuntimeError, match=r"Notebook GPU is sm_70; gpuconv needs sm_75 or newer"):
        launch.queue(0, 5, pointers_of())


def child(queue):
    try:
        refuse_forked_child()
    except RuntimeError as error:
        queue.put(str(error))
    else:
        queue.put("accepted")


@pytest.mark.parametrize("started", [False, True])
def test_a_child_forked_after_cuda_had_started_gets_a_clear_error(driver, started):
    if started:
        refuse_forked_child()
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
        driving.start_driver()
