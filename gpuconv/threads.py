"""CPU work shared among threads: compiled kernels without the GIL, on a few threads of our own.

Numba's threading layers each break one of our rules (OpenMP kills a forked child, workqueue aborts the
process when two threads call at once), so none of them is used. A kernel is compiled with `nogil` and claims
its tasks one by one from a counter; helpers, threads asleep at their mailboxes, are woken to run it beside
the calling thread, and are kept off its processor (`placement`). A call in which two threads meet takes 30 us
so, of which 25 are the system's own wake-up, and 50 us with a `ThreadPoolExecutor` (a virtual machine with 2
cores, Python 3.11).

The caller calls off every helper that has not begun when no task is left, and waits only for those that have:
any number of callers, nested ones among them, share the helpers without a deadlock.
"""

import atexit
import contextlib
import os
import re
import threading
import warnings
from collections.abc import Callable
from queue import SimpleQueue

import numpy as np

from gpuconv.placement import Placement, beside_caller
from gpuconv.quota import processors_allowed
from gpuconv.spec import as_integer, shown
from gpuconv.spec.parameters import BOUND

# Multiply-adds from which another thread is woken: 25 us of the fastest kernels, 200 us of the plainest.
# Where a wake-up takes 25 us, two threads beat one from 60 us on.
MIN_WORK = 1_000_000
MAX_THREADS = BOUND - 1

Compute = Callable[[np.ndarray], None]

_zeros, _INT64 = np.zeros, np.dtype(np.int64)


def _default_threads() -> int:
    ours, shared = (os.environ.get(f"{name}_NUM_THREADS", "").strip() for name in ("GPUCONV", "OMP"))
    if ours:
        number = _number(ours)
        if number is None:
            raise ValueError(
                f"GPUCONV_NUM_THREADS must be an integer from 1 to {MAX_THREADS}, got {shown(ours)}"
            )
        return number
    if shared:
        number = _number(shared.partition(",")[0].strip())  # OpenMP lists one number per level
        if number is not None:
            return number
        warnings.warn(f"OMP_NUM_THREADS={shown(shared)} is no number of threads and is ignored", stacklevel=2)
    return _usable_processors()


def _number(text: str) -> int | None:
    """The number of threads that a variable says, or None if it says none."""
    digits = re.fullmatch("0*([1-9][0-9]{0,9})", text)
    return int(digits[1]) if digits and int(digits[1]) <= MAX_THREADS else None


def _usable_processors() -> int:
    """Those that the process may run on, as many as its container's quota lets it keep busy."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(there, processors_allowed() or there)


def _at_first() -> int:
    """The default, or 0 where the environment is wrong: an error of what needs threads, not of an import."""
    try:
        return _default_threads()
    except ValueError:
        return 0


count = _at_first()  # of a call; a part of what calls are remembered by


def set_num_threads(n: int) -> None:
    """Let each call on the CPU use at most `n` threads, the calling one included.

    Parameters
    ----------
    n : int
        At least 1. At first it is $GPUCONV_NUM_THREADS or $OMP_NUM_THREADS, else the processors that this
        process may use: by its affinity, and by the CPU quota of its container, rounded up.

    Raises
    ------
    TypeError, ValueError
        If `n` is no such number.

    Examples
    --------
    >>> import gpuconv
    >>> before = gpuconv.get_num_threads()
    >>> gpuconv.set_num_threads(1)
    >>> gpuconv.get_num_threads()
    1
    >>> gpuconv.set_num_threads(before)
    """
    global count, _pool
    n = as_integer(n, "n", least=1)
    with _lock:
        if n != count:
            _pool.end()
            count, _pool = n, _Pool(n - 1)


def get_num_threads() -> int:
    """The number of threads that a call on the CPU may use (see `set_num_threads`).

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If $GPUCONV_NUM_THREADS is no such number, and `set_num_threads` was not called.
    """
    if count == 0:
        set_num_threads(_default_threads())
    return count


def share(compute: Compute, tasks: int, work: int) -> None:
    """Call `compute(counter)` once in each of several threads, as many as `work` is worth.

    Parameters
    ----------
    compute : callable
        Calls a kernel that releases the GIL and does `task = claim(counter)` (see `gpuconv.cpu.simd`) for
        one task after the other, until task >= tasks.
    tasks : int
        How many independent tasks there are.
    work : int
        Multiply-adds of all tasks together, or what takes as long.
    """
    counter = _zeros(1, _INT64)
    if count == 1 or work < MIN_WORK or tasks <= 1:
        compute(counter)
        return
    threads = min(count, tasks, 1 + work // MIN_WORK)
    jobs = [_Job(helper, compute, counter) for helper in _pool.take(threads - 1)]
    if jobs and (processors := beside_caller(threads)):
        for job in jobs:
            job.helper.placement.keep_to(processors)
    with contextlib.ExitStack() as stack:
        for job in jobs:
            stack.callback(job.finish)
            job.helper.mailbox.put(job)
        compute(counter)
    for job in jobs:
        if job.error is not None:
            raise job.error


class _Job:
    """What one helper does for one call. The first to take `begin` decides: it begins, or is called off."""

    __slots__ = ("begin", "compute", "counter", "ended", "error", "helper")

    def __init__(self, helper: "_Helper", compute: Compute, counter: np.ndarray) -> None:
        self.helper, self.compute, self.counter = helper, compute, counter
        self.begin, self.ended = threading.Lock(), threading.Lock()
        self.ended.acquire()
        self.error: BaseException | None = None

    def run(self) -> None:
        """In the helper: compute, unless the caller has called it off."""
        if not self.begin.acquire(blocking=False):
            return
        try:
            self.compute(self.counter)
        except BaseException as error:  # it is the caller's, who raises it
            self.error = error
        self.helper.idle.append(self.helper)  # before the caller goes on, who may need it at once
        self.ended.release()

    def finish(self) -> None:
        """In the caller: call it off, or wait for its end."""
        if self.begin.acquire(blocking=False):
            self.helper.idle.append(self.helper)
            return
        try:
            with self.ended:
                return
        except KeyboardInterrupt:  # goes to the user, whose arrays nobody may be writing to then
            with self.ended:
                raise


class _Helper:
    """A thread that sleeps until a job, or None, is put into its mailbox; in `idle` while it has no job."""

    def __init__(self, idle: list["_Helper"]) -> None:
        self.idle = idle
        self.mailbox: SimpleQueue[_Job | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._serve, name="gpuconv", daemon=True)
        self.thread.start()
        self.placement = Placement(self.thread.native_id)

    def _serve(self) -> None:
        while (job := self.mailbox.get()) is not None:
            job.run()
            del job  # and with it the arrays of the call


class _Pool:
    """Up to `size` helpers, started when they are first needed."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.helpers: list[_Helper] = []
        self.idle: list[_Helper] = []  # append and pop are atomic; the last to work is the next to wake

    def take(self, count: int) -> list[_Helper]:
        """Helpers for one call: fewer than `count` where other calls have them or no more can start."""
        taken: list[_Helper] = []
        with contextlib.suppress(RuntimeError):  # no thread can start, or the interpreter ends
            while len(taken) < count:
                helper = self._take_one()
                if helper is None:
                    break
                taken.append(helper)
        return taken

    def _take_one(self) -> _Helper | None:
        with contextlib.suppress(IndexError):
            return self.idle.pop()
        with _lock:
            if len(self.helpers) >= self.size:
                return None
            self.helpers.append(_Helper(self.idle))
            return self.helpers[-1]

    def end(self) -> None:
        """Let the helpers end after the jobs that they have, and start no more."""
        self.size = len(self.helpers)
        for helper in self.helpers:
            helper.mailbox.put(None)


_lock = threading.RLock()  # over the pool's number of helpers, and over which pool is in use
_pool = _Pool(count - 1)


def _end_at_exit() -> None:
    """No helper is left when the interpreter goes down; calls that come later compute alone."""
    with _lock:
        _pool.end()
    for helper in _pool.helpers:
        helper.thread.join()


def _forget_helpers() -> None:
    """A forked child has none of its parent's threads; it starts its own when it first needs them."""
    global _pool, _lock
    _pool, _lock = _Pool(count - 1), threading.RLock()


atexit.register(_end_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)
