"""A call made again patches pointers into what was queued; whatever is not the same is learned anew.

CuPy is played by stand-ins, the driver only takes notes, and so what is counted here is the host's work.
"""

import gc
import sys
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import gpuconv
from gpuconv import call as calls
from gpuconv.cuda.conv import tiled as conv_tiled
from gpuconv.cuda.runtime import driver as driving
from tests import fakes
from tests.cases import integers

X, W = integers((2, 3, 8, 9), "float32"), integers((4, 3, 3, 3), "float32", 1)
CALLS_AGAIN = (
    40  # Python functions that a repeated call may call, operators and built-in functions not counted
)
BYTES_AGAIN = 1000  # of Python objects that it may hold at once


@pytest.fixture
def cupy(monkeypatch):
    module = fakes.cupy_module()
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(calls, "_known", {})
    return module


class Call:
    """conv2d by `conv_tiled` on arrays like X and W: `launches` are those that the driver noted."""

    def __init__(self, driver):
        self.driver = driver
        driver.slots = len(conv_tiled.KERNELS[0].arguments)
        driver.context = 70
        self.learned = 0

    def __call__(self, x=None, w=None, bias=None, out=None, **parameters):
        x, w = x or array(X), w or array(W)
        self.last = x, w, bias
        return gpuconv.conv2d(x, w, bias, algorithm="conv_tiled", out=out, **parameters)

    @property
    def pointers(self):
        """Of the last launch."""
        return self.driver.launches[-1].values[:4]


def array(host, device=0):
    return fakes.FakeCuPyArray(np.array(host), device)


def out_of(shape=(2, 4, 6, 7), device=0):
    return fakes.FakeCuPyArray(np.zeros(shape, np.float32), device)


@pytest.fixture
def call(driver, cupy, monkeypatch):
    made = Call(driver)

    understand = calls.understand_signatures

    def noting(*arguments):
        made.learned += 1
        return understand(*arguments)

    monkeypatch.setattr(calls, "understand_signatures", noting)
    return made


def addresses(*arrays):
    return [0 if each is None else each.data.ptr for each in arrays]


def test_a_call_made_again_is_queued_with_its_own_pointers(call):
    bias = array(np.ones(4, np.float32))
    for _ in range(3):
        out = out_of()
        assert call(bias=bias, out=out) is out
        assert call.pointers == addresses(*call.last, out)
    assert call.learned == 1
    first, *others = call.driver.launches
    assert all(launch.values[4:] == first.values[4:] for launch in others)
    assert {launch.stream for launch in call.driver.launches} == {70}


def test_a_result_is_made_for_each_call(call):
    results = [call(), call(), call()]
    assert call.learned == 1 and len({id(result) for result in results}) == 3
    assert call.pointers == addresses(*call.last, results[-1])
    assert all(result.shape == (2, 4, 6, 7) and result.dtype == np.float32 for result in results)


def test_the_stream_is_the_one_that_is_current(call, monkeypatch):
    call(out=out_of())
    monkeypatch.setitem(fakes.CURRENT_STREAM, 0, 99)
    call(out=out_of())
    call()
    call()
    assert [launch.stream for launch in call.driver.launches] == [70, 99, 99, 99]
    assert call.learned == 2


def test_each_device_has_its_own(call):
    for device in (0, 1, 0, 1):
        x, w, out = array(X, device), array(W, device), out_of(device=device)
        call(x, w, out=out)
        assert call.driver.launches[-1].stream == fakes.CURRENT_STREAM[device]
    assert call.learned == 2


DIFFERENT = {
    "another stride": {"stride": 2, "out": lambda: out_of((2, 4, 3, 4))},
    "a number that only equals the stride": {"stride": True},
    "another shape": {"x": lambda: array(X[:1]), "out": lambda: out_of((1, 4, 6, 7))},
    "other strides of x": {"x": lambda: array_of(np.asfortranarray(X))},
    "other strides of out": {"out": lambda: array_of(np.zeros((2, 4, 7, 6), np.float32).swapaxes(2, 3))},
    "with a bias": {"bias": lambda: array(np.ones(4, np.float32))},
    "x at another place within 16 bytes": {"x": lambda: array_of(shifted(X))},
    "fresh": {"out": lambda: None},
}


def array_of(host):
    return fakes.FakeCuPyArray(host)


def shifted(host):
    """A copy that begins 4 bytes behind a multiple of 16."""
    storage = np.zeros(host.size + 8, host.dtype)
    first = (4 - storage.ctypes.data) % 16 // 4
    copy = storage[first : first + host.size].reshape(host.shape)
    copy[...] = host
    return copy


@pytest.mark.parametrize("what", DIFFERENT)
def test_a_call_that_differs_is_learned_anew(call, what):
    call(x=array(X), out=out_of())
    given = {name: value() if callable(value) else value for name, value in DIFFERENT[what].items()}
    if "out" not in given:
        given["out"] = out_of()
    try:
        call(**given)
    except TypeError as error:
        assert "stride" in str(error)
    assert call.learned == 2
    call(out=out_of())
    assert call.learned == 2


def test_memory_that_is_shared_is_found_each_time(call):
    storage = np.zeros(2000, np.float32)
    aligned = storage[(-storage.ctypes.data) % 16 // 4 :]
    x = array_of(aligned[: X.size].reshape(X.shape))
    apart = array_of(aligned[X.size : X.size + 2 * 4 * 6 * 7].reshape(2, 4, 6, 7))
    over = array_of(aligned[X.size - 4 : X.size - 4 + 2 * 4 * 6 * 7].reshape(2, 4, 6, 7))
    for _ in range(2):
        call(x, out=apart)
        with pytest.raises(ValueError, match="out overlaps input in memory"):
            call(x, out=over)
    assert len(call.driver.launches) == 2


def test_an_error_is_an_error_each_time(call):
    for _ in range(3):
        with pytest.raises(ValueError, match="out must have the result's shape"):
            call(out=out_of((2, 4, 6, 6)))
        with pytest.raises(ValueError, match="algorithm must be None or one of"):
            gpuconv.conv2d(array(X), array(W), algorithm="conv_unheard_of")
    assert not call.driver.launches


def test_another_limit_of_the_workspace_is_heard_of(call):
    call(out=out_of())
    gpuconv.set_workspace_limit(1 << 20)
    try:
        call(out=out_of())
        assert call.learned == 2
    finally:
        gpuconv.set_workspace_limit(64 << 20)


def test_pools_are_repeated_with_their_indices(driver, call):
    driver.slots = 3  # x, y, indices
    for _ in range(3):
        out = out_of((2, 3, 4, 4))
        x = array(X)
        assert gpuconv.max_pool2d(x, 2, algorithm="pool_direct", out=out) is out
        assert driver.launches[-1].values[:3] == [*addresses(x, out), 0]
    assert call.learned == 1
    for _ in range(2):
        y, indices = gpuconv.max_pool2d(array(X), 2, return_indices=True, algorithm="pool_direct")
        assert driver.launches[-1].values[1:3] == addresses(y, indices)
    assert call.learned == 2
    driver.slots = 2
    for _ in range(2):
        gpuconv.avg_pool2d(array(X), 2, algorithm="pool_direct")
    assert call.learned == 3


def test_kernels_with_memory_between_them_are_repeated(driver, call):
    driver.slots = 3  # of x, w, no bias, parts; of parts, no bias, y
    x, w = np.zeros((1, 64, 4, 4), np.float32), np.zeros((64, 64, 3, 3), np.float32)
    for _ in range(2):
        arrays = array(x), array(w), out_of((1, 64, 2, 2))
        gpuconv.conv2d(*arrays[:2], out=arrays[2], algorithm="conv_implicit_gemm")
        parts, total = driver.launches[-2:]
        assert parts.values[:2] == addresses(*arrays[:2])
        assert total.values[1:] == addresses(None, arrays[2])
        assert total.values[0] not in (0, *addresses(*arrays))
    assert call.learned == 1 and len(driver.launches) == 4


def test_a_plan_is_repeated(driver, call):
    bias = array(np.ones(4, np.float32))
    plan = gpuconv.plan_conv2d(array(X), array(W), bias, algorithm="conv_tiled")
    before = call.learned
    for out in (out_of(), out_of(), None, None, out_of()):
        x, w = array(X), array(W)
        y = plan(x, w, bias, out=out)
        assert y is out or out is None
        assert call.pointers == addresses(x, w, bias, y)
    assert call.learned == before + 1  # with out; it was planned without
    with pytest.raises(ValueError, match="residual"):
        plan(x, w, bias, residual=x, out=out_of())
    with pytest.raises(ValueError, match="as planned"):
        plan(array(X[:1]), w, bias, out=out_of())


def test_nothing_that_was_computed_on_is_kept_alive(call):
    out = out_of()
    call(out=out)
    alive = [weakref.ref(each) for each in (*call.last[:2], out)]
    call.last = out = None
    gc.collect()
    assert [each() for each in alive] == [None] * 3


def test_a_forked_child_is_refused_again(call, monkeypatch):
    call(out=out_of())
    monkeypatch.setattr(driving.os, "getpid", lambda: -1)
    with pytest.raises(RuntimeError, match="forked"):
        call(out=out_of())


def test_threads_do_not_mix_their_arrays(call):
    def convolve(_):
        x, w, out = array(X), array(W), out_of()
        gpuconv.conv2d(x, w, out=out, algorithm="conv_tiled")
        return addresses(x, w, None, out), x, w, out

    convolve(None)
    with ThreadPoolExecutor(4) as pool:
        done = [*pool.map(convolve, range(40))]
    launched = sorted(tuple(launch.values[:4]) for launch in call.driver.launches[1:])
    assert launched == sorted(tuple(pointers) for pointers, *_ in done)


@pytest.mark.parametrize("way", ["conv2d", "plan"])
def test_what_a_repeated_call_costs_the_host(driver, cupy, way):
    driver.cuLaunchKernel = lambda *arguments: (0,)
    driver.context = 70
    x, w, bias, out = (array(np.zeros(shape, np.float32)) for shape in (X.shape, W.shape, (4,), (2, 4, 6, 7)))
    stream = SimpleNamespace(ptr=70)
    cupy.cuda.get_current_stream = lambda device: stream
    if way == "conv2d":

        def again():
            gpuconv.conv2d(x, w, bias, 1, 0, algorithm="conv_tiled", out=out)
    else:
        plan = gpuconv.plan_conv2d(x, w, bias, algorithm="conv_tiled")

        def again():
            plan(x, w, bias, out=out)

    again()
    again()
    assert count_calls(again) <= CALLS_AGAIN
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        again()
        assert tracemalloc.get_traced_memory()[1] - before <= BYTES_AGAIN
    finally:
        tracemalloc.stop()


def count_calls(function):
    """Python functions that are called."""
    found = []
    sys.setprofile(
        lambda frame, event, argument: found.append(frame.f_code.co_name) if event == "call" else 0
    )
    try:
        function()
    finally:
        sys.setprofile(None)
    return len(found)
