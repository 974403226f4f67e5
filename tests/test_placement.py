"""Helpers off their caller's processor: what they are bound to, when anew, and that nothing else is."""

import os
import sys
import threading

import pytest

from gpuconv import placement
from gpuconv.threads import share
from tests.shared_problem import PROBLEM

here = pytest.mark.skipif(
    not (sys.platform == "linux" and hasattr(os, "sched_setaffinity")), reason="threads are not bound here"
)


class Machine:
    """Processors in place of this machine's, and what helpers are bound to."""

    def __init__(self):
        self.allowed, self.current, self.forbids = {0, 1, 2}, 1, False
        self.bound = []

    def bind(self, thread, processors):
        assert thread != threading.get_native_id()
        self.bound.append(set(processors))
        if self.forbids:
            raise PermissionError("a sandbox")

    def call(self, n):
        """A call in which n threads meet; what was bound for it."""
        self.bound.clear()
        gathered = threading.Barrier(n)
        share(lambda counter: gathered.wait(20), n, work=10**9)
        return list(self.bound)


@pytest.fixture
def machine(monkeypatch):
    machine = Machine()
    monkeypatch.setattr(placement, "_processor_of_this_thread", lambda: lambda: machine.current)
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: set(machine.allowed), raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", machine.bind, raising=False)
    return machine


def test_helpers_are_bound_anew_when_their_caller_has_moved_or_may_run_elsewhere(machine, threads):
    threads(3)
    assert machine.call(3) == [{0, 2}] * 2
    assert machine.call(3) == []
    machine.current = 2
    assert machine.call(3) == [{0, 1}] * 2
    machine.allowed = {2, 5, 7}
    assert machine.call(3) == [{5, 7}] * 2
    machine.allowed = {2, 5}  # too few for all to be apart
    assert machine.call(3) == [{2, 5}] * 2
    machine.allowed = {2}
    assert machine.call(3) == [{2}] * 2


def test_where_binding_is_forbidden_helpers_compute_and_it_is_not_tried_again(machine, threads):
    threads(2)
    machine.forbids = True
    assert machine.call(2) == [{0, 2}]
    assert machine.call(2) == []


@pytest.mark.parametrize("lacking", ["sched_setaffinity", "linux", "ctypes"])
def test_where_threads_cannot_be_bound_they_are_not(lacking, monkeypatch, threads):
    placement._processor_of_this_thread.cache_clear()
    with monkeypatch.context() as patch:
        if lacking == "sched_setaffinity":
            patch.delattr(os, lacking, raising=False)
        elif lacking == "linux":
            patch.setattr(sys, "platform", "darwin")
        else:
            patch.setitem(sys.modules, lacking, None)
        assert placement.beside_caller(2) is None
        threads(2)
        gathered = threading.Barrier(2)
        share(lambda counter: gathered.wait(20), 2, work=10**9)
    placement._processor_of_this_thread.cache_clear()


@here
def test_none_but_helpers_are_bound_and_they_keep_to_what_the_program_may_use(fresh_python):
    code = """
def helpers(): return [each.native_id for each in threading.enumerate() if each.name == "gpuconv"]
def may(thread=0): return os.sched_getaffinity(thread)
all_of_them = may()
gpuconv.set_num_threads(2)
first = right()
apart = all(may(helper) < all_of_them for helper in helpers()) or len(all_of_them) == 1
print(first and may() == all_of_them, apart)
started = []
thread = threading.Thread(target=lambda: started.append(may()))
thread.start(); thread.join()
child = os.fork()
if child == 0:
    os._exit(0 if right() and may() == all_of_them else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), started == [all_of_them])
one = {min(all_of_them)}
os.sched_setaffinity(0, one)
print(right(), [may(helper) for helper in helpers()] == [one])
"""
    assert fresh_python(PROBLEM + code).split("\n") == ["True True", "0 True", "True True"]
