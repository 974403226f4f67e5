"""How the command ends where its output does, called as the installed script and by `python -m`."""

import os
import subprocess
import sys

import pytest

from gpuconv.cli import main
from gpuconv.commands import info
from tests.sampling import few

SCRIPT = "import sys; from gpuconv.cli import main; sys.exit(main())"  # what pip writes of the entry point
ENTRIES = {"script": ["-c", SCRIPT], "module": ["-m", "gpuconv"]}
over_entries = pytest.mark.parametrize("entry", few(list(ENTRIES), 1))  # a second of Python for each command
over_buffers = pytest.mark.parametrize("unbuffered", few(["", "1"], 1), ids=["buffered", "unbuffered"])
over_commands = pytest.mark.parametrize(
    "arguments",
    few(
        ["--help", "compile --cpu --kernel max_rows", "--version", "info", "verify --algorithm pool_direct"],
        1,
    ),
)


def ended(entry, arguments, stdout, **environment):
    """(exit code, what was said on stderr) of a command that prints to `stdout`."""
    finished = subprocess.run(
        [sys.executable, *ENTRIES[entry], *arguments.split()],
        stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=120, env={**os.environ, **environment},
    )  # fmt: skip
    return finished.returncode, finished.stderr


@pytest.fixture
def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.fixture
def full_disk():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as file:
        yield file


@over_commands
def test_a_reader_who_has_gone_ends_a_command_without_a_word(arguments, closed_pipe):
    assert ended("module", arguments, closed_pipe) == (141, "")


@over_buffers
@over_entries
def test_the_script_and_the_module_end_alike(entry, unbuffered, closed_pipe, full_disk):
    assert ended(entry, "info", closed_pipe, PYTHONUNBUFFERED=unbuffered) == (141, "")
    code, said = ended(entry, "info", full_disk, PYTHONUNBUFFERED=unbuffered)
    assert (code, said) == (2, "gpuconv: the output cannot be written: No space left on device\n")
    assert ended(entry, "compile --arch sm_1", subprocess.DEVNULL)[0] == 2


@over_commands
def test_output_that_cannot_be_written_is_one_line(arguments, full_disk):
    code, said = ended("module", arguments, full_disk)
    assert (code, said) == (2, "gpuconv: the output cannot be written: No space left on device\n")


def test_stderr_that_cannot_be_written_changes_nothing(full_disk):
    finished = subprocess.run(
        [sys.executable, "-m", "gpuconv", "compile", "--arch", "sm_1"], stdout=-1, stderr=full_disk
    )
    assert finished.returncode == 2


@pytest.mark.parametrize("error", [BrokenPipeError(32, "of a process"), FileNotFoundError(2, "of a file")])
def test_an_error_of_another_file_is_a_fault_of_the_program(error, monkeypatch, capsys):
    def fail():
        print("so far")
        raise error

    monkeypatch.setattr(info, "info", fail)
    with pytest.raises(type(error)):
        main(["info"])
    assert capsys.readouterr().out == "so far\n"


def test_stdout_is_left_as_it_was(capsys):
    before = sys.stdout
    assert main(["info"]) in (0, 1)
    assert sys.stdout is before
    print("still written")
    assert capsys.readouterr().out.endswith("still written\n")


def test_a_closed_stdout_is_done_without(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["info"]) in (0, 1)
