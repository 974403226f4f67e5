"""What a command lacks is one line with the extra that brings it, before any work, and exit code 2."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from profiling import needs
from profiling.bench import command, latency

HIDING = """
import sys
class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")
sys.meta_path.insert(0, Hiding())
"""


@pytest.fixture
def lacking(monkeypatch):
    """`lacking(*modules, nvdisasm=..., engine=...)`: all is there but these."""

    def hide(*modules, nvdisasm="/a/path", engine=None):
        def imported(name):
            if name == "gpuconv.cuda" and engine is not None:
                raise engine
            return SimpleNamespace(find_nvidia_binary_utility=lambda name: nvdisasm)

        monkeypatch.setattr(needs, "find_spec", lambda name: None if name in modules else "found")
        monkeypatch.setattr(needs, "import_module", imported)

    return hide


def refusal(check, capsys):
    with pytest.raises(SystemExit) as stopped:
        check("command")
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("python -m profiling.command: ")


def test_nothing_is_said_where_nothing_is_missing(lacking, capsys):
    lacking()
    needs.counting("command")
    needs.launching("command")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("hidden", "said"),
    [
        (["ml_dtypes"], "ml-dtypes is not installed: pip install -e '.[test]'"),
        (["numba_cuda", "cuda.core"], "numba-cuda, cuda-core are not installed: pip install -e '.[test]'"),
    ],
)
def test_packages_that_counting_needs_are_named(lacking, capsys, hidden, said):
    lacking(*hidden)
    assert refusal(needs.counting, capsys) == said


def test_the_disassembler_is_looked_for_too(lacking, capsys):
    lacking(nvdisasm=None)
    assert refusal(needs.counting, capsys) == "nvdisasm is not installed: pip install -e '.[test]'"
    lacking("cupy")
    assert refusal(needs.launching, capsys) == "CuPy is not installed: pip install -e '.[cuda13]'"


@pytest.mark.parametrize("error", [ImportError("NumPy is too new"), AttributeError("row_stack")])
def test_packages_that_do_not_go_together_are_one_line(lacking, capsys, error):
    lacking(engine=error)
    said = f"the GPU engine cannot be imported ({error}): pip install -e '.[test]'"
    assert refusal(needs.counting, capsys) == said


@pytest.mark.parametrize("main", [command.main, latency.main], ids=["bench", "latency"])
def test_measuring_on_a_gpu_needs_cupy(lacking, capsys, main):
    lacking("cupy")
    with pytest.raises(SystemExit) as stopped:
        main(["--device", "cuda"])
    assert stopped.value.code == 2 and "CuPy is not installed" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["kernels", "model", "export"])
def test_a_command_ends_at_once_and_without_a_traceback(module, tmp_path):
    """In a process of its own, to which ml-dtypes and the packages of CUDA are hidden."""
    hidden = "ml_dtypes", "cuda", "numba_cuda"
    (tmp_path / "sitecustomize.py").write_text(HIDING.format(names=hidden))
    path = os.pathsep.join([str(tmp_path), os.getcwd()])
    finished = subprocess.run(
        [sys.executable, "-m", f"profiling.{module}"], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert (finished.returncode, finished.stdout) == (2, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"python -m profiling.{module}: ") and line.endswith("pip install -e '.[test]'")
