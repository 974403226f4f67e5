"""What a command says while it works: a bar on a terminal, a numbered line for each step elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count


@contextmanager
def progress(total: int, at_once: int = 1) -> Iterator[Callable[[str], None]]:
    """A function to call with what begins, `total` times, of which `at_once` are under way together."""
    begun = count(1)
    if not sys.stderr.isatty() or find_spec("rich") is None:
        yield lambda what: print(f"[{next(begun)}/{total}] {what}", file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task("", total=total)
        yield lambda what: bar.update(task, completed=max(0, next(begun) - at_once), description=what)
        bar.update(task, completed=total, description="done")
