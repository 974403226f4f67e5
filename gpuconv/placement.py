"""Helpers kept off the processor of the thread that wakes them, on Linux.

After some milliseconds of pause Linux puts a woken thread on the processor of its waker, who computes there
himself: the helper waits until the balancer moves it, some 3 ms later, and shorter calls gain nothing by it.
So before it is woken a helper is bound to the processors that its caller may run on, less the one that he is
on. Only helpers are bound, never a thread of the user: neither a forked child nor a thread that the program
starts inherits anything. Where the caller's own affinity changes, by `taskset` or the program, its helpers
follow with the next call. Elsewhere, and where there are not enough processors for all to be apart, nothing
is bound.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any


class Placement:
    """Where one helper may run."""

    __slots__ = ("bound", "thread")

    def __init__(self, thread: int | None) -> None:
        self.thread = thread
        self.bound: set[int] = set()  # at first it may run where its creator may

    def keep_to(self, processors: set[int]) -> None:
        """Bind the helper, unless it is bound so already; where that is forbidden it stays where it is."""
        if self.bound != processors and self.thread is not None:
            with contextlib.suppress(OSError):  # of a sandbox, or a control group that has none of these
                os.sched_setaffinity(self.thread, processors)
            self.bound = processors


def beside_caller(threads: int) -> set[int] | None:
    """Those for the helpers of a call by this thread in so many; None where nothing is to be bound."""
    current = _processor_of_this_thread()
    if current is None:
        return None
    allowed = os.sched_getaffinity(0)
    if threads <= len(allowed):
        allowed.discard(current())
    return allowed


@cache
def _processor_of_this_thread() -> Callable[[], int] | None:
    """`sched_getcpu` of the C library, or None where there is none or threads cannot be bound."""
    if not (sys.platform == "linux" and hasattr(os, "sched_setaffinity")):
        return None
    try:
        import ctypes

        library: Any = ctypes.PyDLL(None)  # which does not let go of the GIL
        found: Callable[[], int] = library.sched_getcpu
    except (ImportError, OSError, AttributeError):
        return None
    return found if found() >= 0 else None
