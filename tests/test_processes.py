"""Forked and spawned children, and calls while the interpreter ends.

What could abort or hang a process runs in a fresh one, with a time limit.
"""

import pytest

from tests.sampling import few
from tests.shared_problem import PROBLEM

FORKS = {
    "os.fork": """
child = os.fork()
if child == 0:
    os._exit(0 if right() else 3)
status = os.waitpid(child, 0)[1]
print(right(), os.waitstatus_to_exitcode(status))
""",
    "os.fork while other threads compute": """
stop = threading.Event()
def work():
    while not stop.is_set(): right()
workers = [threading.Thread(target=work) for _ in range(2)]
for worker in workers: worker.start()
codes = set()
for _ in range(10):
    child = os.fork()
    if child == 0:
        os._exit(0 if right() else 3)
    codes.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
for worker in workers: worker.join()
print(right(), codes.pop() if len(codes) == 1 else codes)
""",
    "multiprocessing, fork": """
import multiprocessing
child = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(0 if right() else 3))
child.start()
child.join()
print(right(), child.exitcode)
""",
    "a child that needs threads of its own": """
from gpuconv.threads import share
child = os.fork()
if child == 0:
    gathered = threading.Barrier(4)  # is passed only if four threads compute at once
    share(lambda counter: gathered.wait(20), 4, 10**9)
    os._exit(0)
print(right(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
    "a fork in a fork": """
child = os.fork()
if child == 0:
    first = right()
    grandchild = os.fork()
    if grandchild == 0:
        os._exit(0 if right() else 3)
    code = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
    os._exit(code if first else 4)
print(right(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
}


@pytest.mark.parametrize("kind", few([*FORKS], 2))
def test_a_forked_child_computes(kind, fresh_python):
    pytest.importorskip("fcntl", reason="this system does not fork")
    assert fresh_python(f"{PROBLEM}assert right()\n{FORKS[kind]}") == "True 0"


@pytest.mark.wide  # compiles a kernel of its own
def test_a_child_forked_while_another_thread_compiles_computes(tmp_path, fresh_python):
    pytest.importorskip("fcntl", reason="this system does not fork")
    code = """
import os, signal, threading, numpy as np, gpuconv
from numba.core import event
compiling, forked = threading.Event(), threading.Event()
class Listener(event.Listener):
    def on_start(self, e):
        compiling.set()
        forked.wait(0.2)
    def on_end(self, e): pass
event.register("numba:compile", Listener())
def pool(): return gpuconv.avg_pool2d(np.ones((1, 1, 4, 4)), 2)
thread = threading.Thread(target=pool)
thread.start()
compiling.wait()
child = os.fork()
if child == 0:
    forked.set()
    signal.alarm(10)
    os._exit(0 if (pool() == 1).all() else 3)
forked.set()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
thread.join()
"""
    assert fresh_python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "0"


def test_a_spawned_child_computes(fresh_python):
    code = """
import multiprocessing
import numpy as np
import gpuconv
x = np.ones((1, 1, 3, 3))
gpuconv.max_pool2d(x, 2)
child = multiprocessing.get_context("spawn").Pool(1)
with child:
    print(child.apply(gpuconv.max_pool2d, (x, 2)).tolist(), child.apply(gpuconv.get_num_threads) > 0)
"""
    assert fresh_python(code) == "[[[[1.0]]]] True"


AT_THE_END = {
    "atexit": "import atexit; atexit.register(lambda: print(right()))",
    "thread": """
def late():
    threading.main_thread().join()
    print(right())
threading.Thread(target=late).start()
""",
}


@pytest.mark.parametrize("kind", AT_THE_END)
def test_a_call_while_the_interpreter_ends(kind, fresh_python):
    assert fresh_python(f"{PROBLEM}assert right()\n{AT_THE_END[kind]}") == "True"
