"""CPU work shared among threads: compiled kernels without the GIL, on a small pool of our own.

Numba's threading layers each break one of our rules (OpenMP kills a forked child, workqueue aborts the
process when two threads call at once), so none of them is used. A kernel is compiled with `nogil` and
computes a range of tasks; the calling thread and the pool's threads take ranges from a common counter until
none is left. The caller never waits for a range that nobody has begun, so any number of callers, nested
pools among them, can share the pool without a deadlock.
"""

import contextlib
import itertools
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from gpuconv.parameters import as_integer

RANGES_PER_THREAD = 4  # so that threads of unequal speed finish together
MIN_WORK = 200_000  # multiply-adds below which waking another thread may cost more than it brings


def _default_threads() -> int:
    for variable in ("GPUCONV_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable, "").partition(",")[0].strip()  # OpenMP lists one number per level
        if value.isdecimal() and int(value) > 0:
            return int(value)
        if value:
            warnings.warn(f"{variable}={value!r} is no number of threads and is ignored", stacklevel=2)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_num_threads = _default_threads()
_pool: ThreadPoolExecutor | None = None
_lock = threading.Lock()


def set_num_threads(n: int) -> None:
    """Let each call on the CPU use at most `n` threads, the calling one included.

    Parameters
    ----------
    n : int
        At least 1. At first it is $GPUCONV_NUM_THREADS or $OMP_NUM_THREADS, else the processors of this
        process.

    Raises
    ------
    TypeError, ValueError
        If `n` is no such number.

    Examples
    --------
    >>> before = get_num_threads()
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(before)
    """
    global _num_threads, _pool
    n = as_integer(n, "n", least=1)
    with _lock:
        if n != _num_threads:
            _num_threads, _pool = n, None  # a call in flight keeps the old pool, which ends after it


def get_num_threads() -> int:
    """The number of threads that a call on the CPU may use (see `set_num_threads`).

    Returns
    -------
    int
    """
    return _num_threads


def share(compute: Callable[[int, int], None], tasks: int, work: int) -> None:
    """Call `compute(begin, end)` until the ranges cover `tasks`, on several threads if `work` is worth it.

    Parameters
    ----------
    compute : callable
        Computes the tasks begin <= task < end and releases the GIL; it is called by several threads at once.
    tasks : int
        How many independent tasks there are.
    work : int
        Multiply-adds (or comparisons) of all tasks together.
    """
    threads = min(_num_threads, tasks, 1 + work // MIN_WORK)
    if threads <= 1:
        compute(0, tasks)
        return
    size = -(-tasks // (threads * RANGES_PER_THREAD))
    begins = itertools.count(0, size)  # next() is atomic

    def take_ranges() -> None:
        while (begin := next(begins)) < tasks:
            compute(begin, min(begin + size, tasks))

    crew = _Crew(take_ranges)
    try:
        _submit(crew.help, threads - 1)
        take_ranges()
    finally:
        crew.dismiss()
    if crew.error is not None:
        raise crew.error


class _Crew:
    """Those that work for one call: after `dismiss` nobody does, whoever still has `help` in a queue."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.at_work, self.open = 0, True
        self.error: BaseException | None = None
        self.changed = threading.Condition()

    def help(self) -> None:
        with self.changed:
            if not self.open:
                return
            self.at_work += 1
        try:
            self.work()
        except BaseException as error:  # it is the caller's, who raises it
            self.error = error
        finally:
            with self.changed:
                self.at_work -= 1
                self.changed.notify()

    def dismiss(self) -> None:
        with self.changed:
            self.open = False
            self.changed.wait_for(lambda: self.at_work == 0)


def _submit(work: Callable[[], None], count: int) -> None:
    """Ask for `count` helpers; there are fewer where no more threads can start or the interpreter ends."""
    with contextlib.suppress(RuntimeError):
        for _ in range(count):
            _executor().submit(work)


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, _num_threads - 1), thread_name_prefix="gpuconv")
        return _pool


def _forget_pool() -> None:
    """A forked child has none of its parent's threads; it starts its own when it first needs them."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
