"""Counting that is shared out to several processes, and may be interrupted at any time."""

import argparse
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from typing import TypeVar

from gpuconv.commands.processes import worker_processes
from profiling.interrupts import never_lost
from profiling.progress import progress

Part = TypeVar("Part", bound=Hashable)
Result = TypeVar("Result")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """The option that says how many processes."""
    text = "processes (%(default)s); 0 counts in this one, where Ctrl-C waits for the compiler"
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help=text)


def share_out(
    work: Callable[[Part], Result], parts: Sequence[Part], jobs: int, label: Callable[[Part], str]
) -> dict[Part, Result]:
    """What `work` gives for each part; after an interrupt, for each that was done.

    Parameters
    ----------
    work : callable
        A function of a module, so that a process can find it.
    jobs : int
        Processes, which an interrupt ends at once; with 0 the work is done in this one.
    label : callable
        What the progress calls a part when it begins.
    """
    found: dict[Part, Result] = {}
    results = _in_processes(work, parts, jobs, label) if jobs > 0 else _here(work, parts, label)
    with suppress(KeyboardInterrupt), never_lost():
        found.update(results)
    return found


def _here(
    work: Callable[[Part], Result], parts: Sequence[Part], label: Callable[[Part], str]
) -> Iterator[tuple[Part, Result]]:
    with progress(len(parts)) as begin:
        for part in parts:
            begin(label(part))
            yield part, work(part)


def _in_processes(
    work: Callable[[Part], Result], parts: Sequence[Part], jobs: int, label: Callable[[Part], str]
) -> Iterator[tuple[Part, Result]]:
    """In the order in which they are done; a part is handed over when a process is free for it."""
    running: dict[Future[Result], Part] = {}
    with progress(len(parts), jobs) as begin, worker_processes(jobs) as pool:
        for part in parts:
            if len(running) == jobs:
                yield from _done(running)
            begin(label(part))
            running[pool.submit(work, part)] = part
        while running:
            yield from _done(running)


def _done(running: dict[Future[Result], Part]) -> Iterator[tuple[Part, Result]]:
    """The next that are done, which are then no longer running."""
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        yield running.pop(future), future.result()
