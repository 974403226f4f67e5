"""Ctrl-C in a command: how soon it ends, with which exit code, and what it says; and a limit of time."""

import os
import signal
import subprocess
import sys
import time

import pytest

from profiling import interrupts
from profiling.interrupts import TimeIsUp
from tests.sampling import few

SOON = 15  # seconds, of what takes less than one on a quiet machine and a minute if it goes on


class Finalised:
    """What does something when it is no longer needed."""

    def __init__(self, action):
        self.action = action

    def __del__(self):
        self.action()


def in_a_finaliser(action):
    Finalised(action)
    time.sleep(SOON)


def press():
    signal.raise_signal(signal.SIGINT)


def test_an_interrupted_command_says_so_and_ends_with_130(interruptible, capsys):
    assert interrupts.ended("command", lambda: 3) == 3
    assert interrupts.ended("command", press) == 130
    assert capsys.readouterr() == ("", "python -m profiling.command: interrupted\n")


def test_an_interrupt_in_a_finaliser_is_not_lost(interruptible, capsys):
    begun = time.monotonic()
    assert interrupts.ended("command", lambda: in_a_finaliser(press)) == 130
    assert time.monotonic() - begun < SOON
    assert capsys.readouterr().err == "python -m profiling.command: interrupted\n"


@pytest.mark.parametrize(("limit", "raised"), [(None, KeyboardInterrupt), (0.05, TimeIsUp)])
def test_an_error_that_a_lost_interrupt_led_to_is_not_what_is_raised(interruptible, limit, raised):
    with pytest.raises(raised), interrupts.time_limit(limit), interrupts.never_lost():
        Finalised(press if limit is None else lambda: time.sleep(SOON))
        raise RuntimeError("no compiled object yet")
    time.sleep(2 * interrupts.LATER)  # nor is it raised a second time


def test_other_errors_in_finalisers_are_reported_as_ever(monkeypatch):
    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lost.append)
    with interrupts.never_lost():
        Finalised(lambda: 1 // 0)
    assert [each.exc_type for each in lost] == [ZeroDivisionError]
    assert sys.unraisablehook == lost.append


@pytest.mark.wide  # seconds of fresh processes
def test_the_end_of_the_time_is_not_lost_in_a_finaliser():
    begun = time.monotonic()
    with pytest.raises(TimeIsUp), interrupts.never_lost(), interrupts.time_limit(0.05):
        in_a_finaliser(lambda: time.sleep(SOON))
    assert time.monotonic() - begun < SOON


def test_a_limit_is_no_longer_there_after_its_body():
    with interrupts.time_limit(0.05):
        pass
    time.sleep(0.1)
    with pytest.raises(TimeIsUp), interrupts.time_limit(0.05):
        time.sleep(5)


@pytest.mark.wide  # seconds of fresh processes
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C is sent to a group of processes")
@pytest.mark.parametrize("command", few([
    ["model", "--workload", "vgg16", "--jobs", "2"], ["kernels", "--jobs", "2"],
    ["bench", "--workload", "vgg16", "--threads", "1", "--repeats", "1000", "--seconds", "100"],
], 1), ids=lambda command: command[0])  # fmt: skip
def test_ctrl_c_ends_a_command_soon_without_a_traceback(command, tmp_path):
    out = tmp_path / "out"
    started = subprocess.Popen(
        [sys.executable, "-m", f"profiling.{command[0]}", *command[1:], "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert started.stderr.readline().startswith("[1/")
    time.sleep(3)
    os.killpg(started.pid, signal.SIGINT)
    begun = time.monotonic()
    printed, said = started.communicate(timeout=120)
    assert time.monotonic() - begun < SOON
    assert started.returncode == 130 and "Traceback" not in said
    lines = [line for line in said.splitlines() if not line.startswith("[")]  # all but the steps
    nothing = ["interrupted: nothing is complete, and nothing is written"]
    assert (lines == nothing) == (printed == "") == (not out.exists())  # a kernel may be complete by then
    assert lines[0].startswith("interrupted: ")
