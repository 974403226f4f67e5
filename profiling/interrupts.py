"""How a command is stopped, by Ctrl-C or by its own clock: soon, in one line, and with what is complete."""

import _thread
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

EXIT_CODE = 130  # as shells have it
Hook = Callable[..., Any]
LATER, AGAIN = 0.05, 2.0  # seconds until an interrupt is raised again: that was lost, that may have been


def leave(command: str, work: Callable[[], int]) -> NoReturn:
    """End this process with what `ended` says."""
    code = ended(command, work)
    if code == EXIT_CODE:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # without Python's own end, which takes 2 s where PyTorch and Numba are loaded
    sys.exit(code)


def ended(command: str, work: Callable[[], int]) -> int:
    """The exit code of a command: what `work()` returns, or after a line EXIT_CODE if it is interrupted."""
    try:
        with never_lost():
            return work()
    except KeyboardInterrupt:
        print(f"python -m profiling.{command}: interrupted", file=sys.stderr)
        return EXIT_CODE


def note(complete: Sized) -> None:
    """The line after an interrupt that leaves something, or nothing, to report."""
    what = "what is complete is reported" if complete else "nothing is complete, and nothing is written"
    print(f"interrupted: {what}", file=sys.stderr)


@contextmanager
def never_lost() -> Iterator[None]:
    """In its body an interrupt that falls into a finaliser is raised after it, or in place of what it led to.

    There, and in what a collection of garbage or C calls back, Python reports an exception and goes on. So
    Numba may miss what LLVM tells it, and say that there is no compiled code.
    """
    before: Hook = sys.unraisablehook
    lost: list[type[BaseException]] = []
    sys.unraisablehook = partial(_remember, lost, before)
    try:
        yield
    except Exception as error:
        if not lost:
            raise
        kind = lost[-1]
        lost.clear()
        raise kind from error
    finally:
        sys.unraisablehook = before


def _remember(lost: list[type[BaseException]], otherwise: Hook, unraisable: "sys.UnraisableHookArgs") -> None:
    """What is done of an exception that cannot be raised where it is."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        otherwise(unraisable)
        return
    lost.append(unraisable.exc_type)
    if unraisable.exc_type is KeyboardInterrupt:
        later = lost, _thread.get_ident()  # at once it would be lost here too
        _thread.start_new_thread(_interrupt_later, later)


def _interrupt_later(lost: Sized, thread: int) -> None:
    time.sleep(LATER)
    if not lost:
        return
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, signal.SIGINT)  # wakes it where it waits, too
    else:
        _thread.interrupt_main()


class TimeIsUp(KeyboardInterrupt):
    """The run has taken as long as it may: an interrupt, which nobody takes for an error."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """In its body, `TimeIsUp` is raised after so many seconds, on systems with timers (not on Windows)."""
    if seconds is None or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number, frame):
        signal.setitimer(signal.ITIMER_REAL, AGAIN)  # in case that this one is lost in a finaliser
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
