"""Many Python threads at once, and the number of threads (`test_processes.py`: forked and spawned children).

What could abort or hang a process runs in a fresh one, with a time limit.
"""

import os
import re
import signal
import threading
import time
import weakref

import numba
import numpy as np
import pytest

import gpuconv
from gpuconv import threads as sharing
from gpuconv.cpu.simd import claim
from gpuconv.spec import ConvSpec, PoolSpec, shown
from gpuconv.threads import share
from tests.cases import integers
from tests.shared_problem import PROBLEM


def test_the_problem_is_worth_several_threads():
    x, w = np.ones((4, 8, 60, 61), np.float32), np.ones((12, 8, 3, 3), np.float32)
    convolution = ConvSpec.from_arrays(x, w, padding=1)
    pool = PoolSpec.from_arrays("max", x, 9, stride=1)
    assert min(convolution.flops // 2, pool.flops) // sharing.MIN_WORK >= 4


def test_eight_threads_at_once_with_pools_of_their_own(fresh_python):
    code = """
def nested(_):
    with ThreadPoolExecutor(3) as inner:
        return all(inner.map(lambda _: right(), range(6)))
with ThreadPoolExecutor(8) as outer:
    print(all(outer.map(nested, range(16))))
"""
    assert fresh_python(PROBLEM + code) == "True"


def test_eight_threads_making_the_first_call_at_once(fresh_python):
    code = """
import threading, numpy as np, gpuconv
from numba.core import event
from gpuconv.cpu.engine.cache import KernelCache
KernelCache.load_overload = lambda *arguments: None  # without a cache, each of them might compile
start, results, compiled = threading.Barrier(8), [], []
class Listener(event.Listener):
    def on_start(self, e): compiled.append(e.data["dispatcher"].py_func.__name__)
    def on_end(self, e): pass
event.register("numba:compile", Listener())
def first():
    start.wait()
    results.append(gpuconv.avg_pool2d(np.ones((1, 1, 4, 4)), 2, algorithm="pool_direct").tolist())
workers = [threading.Thread(target=first) for _ in range(8)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print(results == [[[[[1, 1], [1, 1]]]]] * 8, compiled)
"""
    assert fresh_python(code) == "True ['mean_rows']"


@pytest.mark.wide  # seconds
def test_the_number_of_threads_may_change_while_calls_are_in_flight(fresh_python):
    code = """
import itertools
stop, wrong, calls = threading.Event(), [], itertools.count()
def work():
    while not stop.is_set():
        next(calls)
        try:
            if not right(): wrong.append("result")
        except BaseException as error:
            wrong.append(error)
workers = [threading.Thread(target=work) for _ in range(4)]
for worker in workers: worker.start()
for i in range(300):
    gpuconv.set_num_threads(1 + i % 5)
    threading.Event().wait(0.002)
stop.set()
for worker in workers: worker.join()
print(wrong, next(calls) > 10, gpuconv.get_num_threads())
"""
    assert fresh_python(PROBLEM + code) == "[] True 5"


def test_helpers_of_a_pool_that_was_given_up_end(fresh_python):
    code = """
for n in (2, 3, 4, 5, 6, 2):
    gpuconv.set_num_threads(n)
    assert right()
import time
deadline = time.monotonic() + 20
while threading.active_count() > 2 and time.monotonic() < deadline: time.sleep(0.01)
print(threading.active_count())
"""
    assert fresh_python(PROBLEM + code) == "2"  # this thread, and the one that set_num_threads(2) adds


def test_set_and_get(threads):
    for n in (3, 1, 64):
        threads(n)
        assert gpuconv.get_num_threads() == n


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (0, ValueError, "n must be from 1 to 2147483647, got 0"),
        (-2, ValueError, "n must be from 1 to 2147483647, got -2"),
        (True, TypeError, "n must be an integer, got True"),
        (2.0, TypeError, "n must be an integer, got 2.0"),
        ("2", TypeError, "n must be an integer, got '2'"),
        (None, TypeError, "n must be an integer, got None"),
    ],
)
def test_a_wrong_number_of_threads_changes_nothing(n, error, message, threads):
    threads(3)
    with pytest.raises(error, match=f"^{message}$"):
        gpuconv.set_num_threads(n)
    assert gpuconv.get_num_threads() == 3


def test_an_integer_of_numpy(threads):
    threads(np.int64(3))
    assert gpuconv.get_num_threads() == 3


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({"GPUCONV_NUM_THREADS": "3"}, "3"),
        ({"OMP_NUM_THREADS": "5"}, "5"),
        ({"GPUCONV_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, "3"),
        ({"GPUCONV_NUM_THREADS": " 007 "}, "7"),
        ({"GPUCONV_NUM_THREADS": "", "OMP_NUM_THREADS": "5, 2"}, "5"),
        ({"GPUCONV_NUM_THREADS": " ", "OMP_NUM_THREADS": "5"}, "5"),
    ],
)
def test_the_environment_sets_the_number(environment, number, fresh_python):
    assert fresh_python("import gpuconv; print(gpuconv.get_num_threads())", **environment) == number


@pytest.mark.parametrize(
    "value",
    ["0", "-2", "many", "3.0", "2.5", "1e3", "4,2", "+4", "0x4", "1 2", "auto", "2147483648", "9" * 5000],
)
def test_a_wrong_number_in_our_variable_is_an_error(value, monkeypatch):
    monkeypatch.setenv("GPUCONV_NUM_THREADS", value)
    message = f"GPUCONV_NUM_THREADS must be an integer from 1 to 2147483647, got {shown(value)}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        sharing._default_threads()


def test_a_wrong_number_is_an_error_of_the_first_call_and_not_of_the_import(fresh_python):
    code = """
import numpy as np, gpuconv
def call(): return gpuconv.avg_pool2d(np.ones((1, 1, 4, 4)), 2, algorithm="pool_direct").sum()
for function in (call, gpuconv.get_num_threads, call):
    try: function()
    except ValueError as error: print(error)
gpuconv.set_num_threads(2)
print(gpuconv.get_num_threads(), call())
"""
    said = "GPUCONV_NUM_THREADS must be an integer from 1 to 2147483647, got 'many'"
    printed = fresh_python(code, GPUCONV_NUM_THREADS="many", OMP_NUM_THREADS="5").splitlines()
    assert printed == [said, said, said, "2 4.0"]


def test_a_wrong_number_may_be_mended_before_the_first_call(fresh_python):
    code = "import os, gpuconv; os.environ['GPUCONV_NUM_THREADS'] = '3'; print(gpuconv.get_num_threads())"
    assert fresh_python(code, GPUCONV_NUM_THREADS="many") == "3"


@pytest.mark.parametrize("value", ["0", "many", "3.0"])
def test_a_wrong_number_in_the_variable_of_others_is_ignored_with_a_warning(value, monkeypatch):
    monkeypatch.delenv("GPUCONV_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.setattr(sharing, "_usable_processors", lambda: 17)
    with pytest.warns(UserWarning, match=f"OMP_NUM_THREADS='{value}' is no number of threads"):
        assert sharing._default_threads() == 17


def test_without_the_environment_every_usable_processor_counts(fresh_python):
    code = """
import os
usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
import gpuconv, gpuconv.quota
print(gpuconv.get_num_threads() == min(usable, gpuconv.quota.processors_allowed() or usable))
"""
    assert fresh_python(code, GPUCONV_NUM_THREADS="", OMP_NUM_THREADS="") == "True"


@pytest.mark.parametrize(("quota", "number"), [(None, 8), (1, 1), (3, 3), (8, 8), (64, 8)])
@pytest.mark.parametrize("affinity", [True, False])
def test_a_quota_bounds_the_processors(quota, number, affinity, monkeypatch):
    for name in ("GPUCONV_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sharing, "processors_allowed", lambda: quota)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    if affinity:
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    else:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert sharing._default_threads() == number


def test_the_environment_counts_more_than_a_quota(monkeypatch):
    monkeypatch.setattr(sharing, "processors_allowed", lambda: 1)
    monkeypatch.setenv("GPUCONV_NUM_THREADS", "6")
    assert sharing._default_threads() == 6


def claimed(counter, tasks):
    """The tasks that one thread takes from the counter, as a kernel does with `claim`."""
    while True:
        with claiming:
            task = int(counter[0])
            counter[0] += 1
        if task >= tasks:
            return
        yield task


claiming = threading.Lock()


@pytest.mark.parametrize("tasks", [0, 1, 2, 5, 17, 1000])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_every_task_is_computed_once(n, tasks, threads):
    threads(n)
    done = []
    share(lambda counter: done.extend(claimed(counter, tasks)), tasks, work=10**9)
    assert sorted(done) == list(range(tasks))


@numba.njit(nogil=True)
def count(counter, done):
    while True:
        task = claim(counter)
        if task >= done.size:
            break
        done[task] += 1


def test_compiled_kernels_claim_every_task_once(threads):
    threads(4)
    for tasks in (4, 1000, 100_000):
        done = np.zeros(tasks, np.int64)
        share(lambda counter, done=done: count(counter, done), tasks, work=10**9)
        assert (done == 1).all()


def test_little_work_stays_in_the_calling_thread(threads):
    threads(8)
    workers = []
    share(lambda counter: workers.append(threading.get_ident()), 1000, sharing.MIN_WORK - 1)
    assert workers == [threading.get_ident()]


def test_much_work_wakes_as_many_threads_as_were_set(threads):
    for n in (2, 5, 3, 3):
        threads(n)
        gathered = threading.Barrier(n)  # is passed only if n threads compute at once
        share(lambda counter, gathered=gathered: gathered.wait(20), n, work=10**9)


def test_helpers_that_were_called_off_can_be_had_at_once(threads):
    threads(3)
    for _ in range(200):
        share(lambda counter: None, 3, work=10**9)  # over before the helpers are awake
    gathered = threading.Barrier(3)
    share(lambda counter: gathered.wait(20), 3, work=10**9)


def test_each_thread_computes_once_with_one_counter(threads):
    threads(3)
    gathered, seen = threading.Barrier(3), []

    def compute(counter):
        seen.append((threading.get_ident(), counter))
        gathered.wait(20)

    share(compute, 1000, work=10**9)
    counters = [counter for _, counter in seen]
    assert len({thread for thread, _ in seen}) == 3
    assert all(counter is counters[0] for counter in counters)
    assert (counters[0].dtype, counters[0].tolist()) == (np.int64, [0])


@pytest.mark.parametrize("failing", ["the caller", "a helper"])
def test_an_error_reaches_the_caller_and_nobody_computes_on(failing, threads):
    threads(2)
    both, running = threading.Barrier(2), []

    def compute(counter):
        me = threading.current_thread()
        running.append(me)
        both.wait(20)
        helping = me is not caller
        if helping == (failing == "a helper"):
            raise MemoryError("no room")
        time.sleep(0.05)
        running.remove(me)

    caller = threading.current_thread()
    for _ in range(2):  # and the helper is there for the next call
        running.clear()
        with pytest.raises(MemoryError, match="no room"):
            share(compute, 2, work=10**9)
        assert len(running) == 1  # the one that failed


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system sends no signal to a thread")
def test_an_interrupted_caller_waits_for_those_that_still_compute(threads):
    threads(3)
    gathered, sent, helped = threading.Barrier(4), threading.Event(), []

    def compute(counter):
        gathered.wait(20)
        if threading.current_thread() is not threading.main_thread():
            assert sent.wait(20)
            time.sleep(0.2)
            helped.append(counter)

    def interrupt(main):
        gathered.wait(20)
        signal.pthread_kill(main, signal.SIGINT)
        sent.set()

    interrupter = threading.Thread(target=interrupt, args=[threading.main_thread().ident])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's shell ignores it
    try:
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            share(compute, 3, work=10**9)
    finally:
        interrupter.join()
        signal.signal(signal.SIGINT, before)
    assert len(helped) == 2


def test_nested_sharing_does_not_deadlock(threads):
    threads(2)
    done = []

    def compute(counter):
        for outer in claimed(counter, 4):
            share(lambda inner, o=outer: done.extend((o, task) for task in claimed(inner, 4)), 4, work=10**9)

    share(compute, 4, work=10**9)
    assert len(set(done)) == len(done) == 16


def test_a_helper_keeps_no_array_of_a_call_that_is_over(threads):
    threads(2)
    gathered, y = threading.Barrier(2), np.zeros(3)
    result = weakref.ref(y)
    share(lambda counter, y=y: gathered.wait(20), 2, work=10**9)
    del y
    deadline = time.monotonic() + 20
    while result() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert result() is None


def test_a_thread_that_cannot_start_costs_speed_and_no_result(threads, monkeypatch):
    x, w = integers((4, 16, 64, 64), "float32"), integers((16, 16, 3, 3), "float32", 1)
    threads(1)
    expected = gpuconv.conv2d(x, w)
    start, started = threading.Thread.start, []

    def start_three(thread):
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_three)
    for n in range(8, 14):
        started.clear()
        threads(n)
        y = gpuconv.conv2d(x, w)
        np.testing.assert_array_equal(y, expected)
        assert len(started) == 3
        y[:] = -1  # nobody who is late may write to it
        time.sleep(0.05)
        assert (y == -1).all()
