"""What is said of progress: a bar on a terminal, numbered lines elsewhere."""

import io
import re
import sys

import pytest

from profiling import progress as module
from profiling.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown():
    """How many of how many, each time that a bar was drawn."""
    return re.findall(r"-?\d+/\d+", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", sys.stderr.getvalue()))


@pytest.mark.parametrize(("at_once", "last"), [(1, "1/3"), (2, "0/3")])
def test_a_bar_counts_what_is_done(monkeypatch, at_once, last):
    """One that is under way is not done yet."""
    Progress = pytest.importorskip("rich.progress").Progress
    update = Progress.update
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(Progress, "update", lambda bar, *a, **k: (update(bar, *a, **k), bar.refresh()))
    with progress(3, at_once) as begin:
        begin("first")
        assert set(shown()) == {"0/3"}
        begin("second")
        assert shown()[-1] == last
        begin("third")
    assert shown()[-1] == "3/3" and "third" in sys.stderr.getvalue()


@pytest.mark.parametrize("rich", [True, False])
def test_there_are_lines_without_a_terminal_or_without_rich(monkeypatch, rich):
    monkeypatch.setattr(sys, "stderr", io.StringIO() if rich else Terminal())
    monkeypatch.setattr(module, "find_spec", lambda name: rich or None)
    with progress(2) as begin:
        begin("first")
        assert sys.stderr.getvalue() == "[1/2] first\n"
        begin("second")
    assert sys.stderr.getvalue() == "[1/2] first\n[2/2] second\n"
