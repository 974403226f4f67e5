"""A limit of time for a run, which ends it wherever it is and leaves what was measured."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class TimeIsUp(Exception):
    """The run has taken as long as it may."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """In its body, `TimeIsUp` is raised after so many seconds, on systems with timers (not on Windows)."""
    if seconds is None or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number, frame):
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
