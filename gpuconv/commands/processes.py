"""Processes that a command shares its work out to, and that end with it."""

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def worker_processes(count: int) -> Iterator[Executor]:
    """So many processes; when the body is left by an exception, they do not end what they are at."""
    # A process is started afresh: one that is forked cannot use CUDA, nor the threads of its parent.
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _leave_interrupts) as pool:
        try:
            yield pool
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _leave_interrupts() -> None:
    """Let the process that waits for this one say that it was interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
