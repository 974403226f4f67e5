"""Compilations shared out to processes, and shown as they are done: a bar on a terminal, or else lines."""

import contextlib
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from gpuconv.commands.environment import CommandError
from gpuconv.commands.processes import worker_processes
from gpuconv.threads import get_num_threads

BAR = 30  # characters
Job = TypeVar("Job")
CompileOne = Callable[[Job], tuple[Job, float, str]]


def compile_all(jobs: Sequence[Job], compile_one: CompileOne[Job], label: Callable[[Job], str]) -> None:
    """Compile, and show each job as it is done.

    Parameters
    ----------
    jobs : sequence
        What a process can be sent.
    compile_one : callable
        ``compile_one(job)``, the job, the seconds that it took, and why it failed, or nothing; CommandError
        if the rest is in vain.
    label : callable
        What a job is called.

    Raises
    ------
    CommandError
        That of `compile_one`, or with the first of the jobs that failed, when all are done.
    """
    failures, count = [], len(jobs)
    show, end = (_bar, "\n") if sys.stdout and sys.stdout.isatty() else (_line, "")
    try:
        with contextlib.closing(_compiled(jobs, compile_one)) as compiled:
            for done, (job, seconds, failure) in enumerate(compiled, start=1):
                if failure:
                    failures.append(f"{label(job)}: {failure}")
                show(done, count, label(job), seconds)
    finally:
        print(end=end, flush=True)
    if failures:
        raise CommandError(f"{len(failures)} of {count} kernels do not compile, {failures[0]}")


def _bar(done: int, count: int, label: str, seconds: float) -> None:
    print(f"\r[{'#' * (BAR * done // count):<{BAR}}] {done} of {count}  {label:<50.50}", end="", flush=True)


def _line(done: int, count: int, label: str, seconds: float) -> None:
    print(f"{done:>{len(str(count))}} of {count}  {label:<50} {seconds:6.2f} s", flush=True)


def _compiled(
    jobs: Sequence[Job], compile_one: CompileOne[Job]
) -> Generator[tuple[Job, float, str], None, None]:
    """What `compile_one` says of each job, as they are done."""
    workers = min(get_num_threads(), len(jobs))
    if workers == 1:
        yield from map(compile_one, jobs)
        return
    try:
        with worker_processes(workers) as pool:
            for future in as_completed([pool.submit(compile_one, job) for job in jobs]):
                yield future.result()
    except BrokenProcessPool as error:
        raise CommandError(
            "a process that compiles was ended from outside, perhaps for want of memory: set "
            "GPUCONV_NUM_THREADS to have fewer of them"
        ) from error
