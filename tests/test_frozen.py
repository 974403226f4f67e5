"""Programs of their own, frozen with this package in them: they start, and keep what they compiled."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuconv import freezing
from gpuconv.cpu.engine import sources
from tests.conftest import ROOT
from tests.cpu.test_cache import COUNT

# What the program does not need, and what would make it large and slow to build.
LEFT_OUT = (
    "cupy",
    "IPython",
    "jax",
    "matplotlib",
    "numba_cuda",
    "nvidia",
    "pytest",
    "scipy",
    "skimage",
    "sklearn",
    "torch",
)

PROGRAM = f"""{COUNT}
import inspect, os, sys
import numpy as np, gpuconv

x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
assert gpuconv.max_pool2d(x, 2, algorithm="pool_direct").ravel().tolist() == [5, 7, 13, 15]
assert (gpuconv.conv2d(x, x[:, :, :1, :1] + 2, algorithm="conv_direct") == 2 * x).all()
source = inspect.getfile(gpuconv.cpu.conv.direct.convolve_rows.function)
print(sys.frozen, len(compiled) > 0, os.path.exists(source), gpuconv.cpu.engine.sources.digest())
"""


ROOMS = "gpuconv.torch", "gpuconv.jax", "gpuconv.blocks", "gpuconv.labels"  # that users or a hook name


def file_of(module):
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_every_module_is_reached_by_statements():
    """What freezes a program follows them, and no name in a string."""
    reached, work = set(), ["gpuconv", "gpuconv.cli", *ROOMS]
    while work:
        name = work.pop()
        file = file_of(name)
        if name in reached or not file.is_file():
            continue
        reached.add(name)
        work.append(name.rpartition(".")[0] or name)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                work += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                work += [alias.name for alias in node.names]
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "gpuconv").rglob("*.py")]
    modules = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    apart = {"gpuconv.freezing", "gpuconv.freezing.hook-gpuconv"}
    programs = {name for name in modules - reached if "__main__" in file_of(name).read_text()}  # python -m
    assert modules - reached == apart | programs


@pytest.mark.slow
@pytest.mark.parametrize("hooks", [[], freezing.hook_folders()], ids=["bytecode alone", "our hook"])
def test_a_program_frozen_by_pyinstaller_starts_and_keeps_its_cache(hooks, tmp_path):
    pytest.importorskip("PyInstaller", reason="builds a program, which needs it: pip install pyinstaller")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--onedir", "--log-level", "ERROR"]
    command += [f"--exclude-module={name}" for name in LEFT_OUT]
    command += [f"--additional-hooks-dir={folder}" for folder in hooks]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYINSTALLER_CONFIG_DIR": str(tmp_path / "config")}
    built = subprocess.run(
        [*command, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900
    )
    assert built.returncode == 0, built.stderr

    def run(folder):
        folder.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in ("SYSTEMROOT", "TEMP") if name in os.environ}
        finished = subprocess.run(
            [str(tmp_path / "dist" / "program" / "program")],
            cwd=folder, env={**kept, "HOME": str(tmp_path / "home"), "LOCALAPPDATA": str(tmp_path / "home")},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stderr
        frozen, compiled, has_sources, digest = finished.stdout.split()
        assert frozen == "True"
        if hooks:
            assert (has_sources, digest) == ("True", sources.digest())
        return compiled, digest, finished.stderr

    first, digest, said = run(tmp_path / "one folder")
    assert (first, said) == ("True", "")
    assert run(tmp_path / "another folder") == ("False", digest, "")
    assert not list((tmp_path / "dist").rglob("*.nbc"))
    assert list((tmp_path / "home").rglob("*.nbc"))


def test_the_hook_is_found_where_the_package_is_installed():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pyinstaller40"] == {"hook-dirs": "gpuconv.freezing:hook_folders"}
    (folder,) = freezing.hook_folders()
    assert (Path(folder) / "hook-gpuconv.py").is_file()
