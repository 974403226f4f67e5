"""Work that is shared out: to processes or not, interrupted, failing; and the command that does so."""

import json
import os
import signal
import threading
import time

import pytest

from profiling import interrupts
from profiling.counts import kernels, shares


def place_and_double(number):
    return os.getpid(), 2 * number


def fail(number):
    raise FileNotFoundError("nvdisasm is not installed")


def interrupted_at_2(number):
    if number == 2:
        raise KeyboardInterrupt
    return number


@pytest.mark.parametrize("jobs", [0, 2])
def test_each_part_is_done_once_and_said_when_it_begins(jobs, capsys):
    found = shares.share_out(place_and_double, range(5), jobs, "number {}".format)
    assert {part: double for part, (_, double) in found.items()} == {n: 2 * n for n in range(5)}
    places = {place for place, _ in found.values()}
    assert len(places) <= max(jobs, 1) and (os.getpid() in places) == (jobs == 0)
    assert capsys.readouterr().err.splitlines() == [f"[{n + 1}/5] number {n}" for n in range(5)]


@pytest.mark.parametrize("jobs", [0, 1])
def test_what_the_work_raises_is_raised(jobs):
    with pytest.raises(FileNotFoundError, match="nvdisasm"):
        shares.share_out(fail, range(3), jobs, str)


def test_an_interrupt_leaves_what_was_done():
    assert shares.share_out(interrupted_at_2, range(4), 0, str) == {0: 0, 1: 1}


@pytest.mark.wide  # seconds of fresh processes
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="Ctrl-C is sent as a signal")
def test_an_interrupt_ends_processes_in_the_middle_of_their_work(interruptible):
    press = threading.Timer(3, signal.pthread_kill, [threading.get_ident(), signal.SIGINT])
    press.start()
    begun = time.monotonic()
    assert shares.share_out(time.sleep, [60, 61], 2, "{} s".format) == {}
    assert time.monotonic() - begun < 30


# The command, whose kernels take minutes elsewhere


def run_until(monkeypatch, tmp_path, last):
    """`profiling.kernels` on made-up rows, interrupted after so many."""
    tasks = []

    def rows(task):
        if len(tasks) == last:
            raise KeyboardInterrupt
        tasks.append(task)
        return [{"kernel": task[0], "arch": task[1], "shared_bytes": 0, "problem": None}]

    monkeypatch.setattr(kernels, "rows", rows)
    out = tmp_path / "kernels.json"
    status = kernels.main(["--arch", "sm_80", "--kernel", "argmax", "--jobs", "0", "--out", str(out)])
    return status, json.loads(out.read_text()) if out.exists() else None


def test_rows_of_complete_kernels_are_reported_after_an_interrupt(monkeypatch, tmp_path, capsys):
    status, written = run_until(monkeypatch, tmp_path, last=2)
    assert status == interrupts.EXIT_CODE == 130
    names = [kernel.name for kernel in kernels.KERNELS if "argmax" in kernel.name]
    assert [row["kernel"] for row in written["rows"]] == names[:2]
    assert written["kernels"] == [2, len(names)]
    printed, said = capsys.readouterr()
    assert names[1] in printed and names[2] not in printed
    assert said.splitlines()[-1] == "interrupted: what is complete is reported"
    assert said.startswith(f"[1/{len(names)}] {names[0]} sm_80\n")


def test_nothing_is_written_before_a_kernel_is_complete(monkeypatch, tmp_path, capsys):
    assert run_until(monkeypatch, tmp_path, last=0) == (130, None)
    printed, said = capsys.readouterr()
    assert printed == "" and said.endswith("interrupted: nothing is complete, and nothing is written\n")
