"""What ships, and that the files around the package say the same as the package."""

import ast
import doctest
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import gpuconv
from gpuconv import cli
from gpuconv.arrays import GPU_ENGINE_HINT
from gpuconv.commands import environment
from gpuconv.cuda.runtime.compiler import COMPILER_HINT

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
README = (ROOT / "README.md").read_text()
HATCHLING = "builds in this process, which needs hatchling here: pip install hatchling"


def names(requirements):
    return {Requirement(text).name for text in requirements}


def shell_lines(text):
    """The lines of the ```sh blocks, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]


def extras_named_in(text):
    return {extra for group in re.findall(r"\.?\[([a-z0-9,]+)\]'", text) for extra in group.split(",")}


# Version and extras


def test_the_version_is_one_number_in_the_package_and_the_changelog():
    assert PROJECT["dynamic"] == ["version"]
    tree = ast.parse((ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"]).read_text())
    (version,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__version__"
    )
    assert version == gpuconv.__version__ == str(Version(version))
    headings = re.findall(r"^## \[(.+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[:2] == ["Unreleased", version]


def test_the_extras_hold_what_the_command_line_asks_for():
    assert names(EXTRAS["demo"]) == set(environment.DEMO_PACKAGES.values())
    for extra in ("cuda12", "cuda13"):
        cupy = f"cupy-cuda{extra.removeprefix('cuda')}x"
        assert names(EXTRAS[extra]) == {cupy, "cuda-bindings"}
    assert set(environment.GPU_PACKAGES.values()) == {"CuPy", "cuda-bindings"}


@pytest.mark.parametrize("toolkit", ["12", "13"])
def test_what_compiles_kernels_is_an_extra_with_a_linker_that_needs_no_driver(toolkit):
    numba_cuda, linker = map(Requirement, EXTRAS[f"compile{toolkit}"])
    assert numba_cuda.name == "numba-cuda" and numba_cuda.extras == {f"cu{toolkit}"}
    assert linker.name == "cuda-core"
    assert "0.6.0" not in linker.specifier and "0.7.0" in linker.specifier


def test_no_release_of_numpy_is_refused_for_being_new():
    texts = [*PROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)]
    numpy = [Requirement(text) for text in texts if Requirement(text).name == "numpy"]
    assert numpy and all("2.5.2" in each.specifier and "3.0" in each.specifier for each in numpy)


def test_the_test_extra_runs_the_demo_and_the_dev_extra_the_tests():
    assert "gpuconv[demo]" in EXTRAS["test-tools"]
    assert "gpuconv[test-tools]" in EXTRAS["test"] and "gpuconv[test]" in EXTRAS["dev"]


def test_the_tests_compile_with_what_users_compile_with():
    assert "gpuconv[compile13]" in EXTRAS["test"]


@pytest.mark.parametrize("hint", [GPU_ENGINE_HINT, COMPILER_HINT, environment.DEMO_HINT])
def test_the_pip_commands_of_error_messages_name_extras_that_exist(hint):
    (extra,) = re.findall(r"pip install 'gpuconv\[(\w+)\]'", hint)
    assert extra in EXTRAS


def test_the_entry_point_exists():
    assert PROJECT["scripts"] == {"gpuconv": "gpuconv.cli:main"}
    assert callable(cli.main)


# environment.yml


def test_the_conda_environment_agrees_with_pyproject():
    described = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [item for item in described["dependencies"] if isinstance(item, str)]
    (pip,) = (item["pip"] for item in described["dependencies"] if isinstance(item, dict))
    assert set(conda) == {"python" + PROJECT["requires-python"], "pip", *PROJECT["dependencies"]}
    assert len(pip) == 1
    extras = re.fullmatch(r"\.\[([a-z0-9,]+)\]", pip[0])[1].split(",")
    assert set(extras) <= set(EXTRAS) and "cuda13" in extras
    assert described["channels"] == ["conda-forge"]


# Documents


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md", ".github/CONTRIBUTING.md"])
def test_a_document_names_files_and_modules_that_exist(document):
    text = (ROOT / document).read_text()
    files = re.findall(r"[\w.]*\b(?:tests|profiling|gpuconv|cuda|cpu|commands)/[\w./]*\w", text)
    modules = re.findall(r"(?:python -m |`)(profiling\.\w+)", text)
    assert files or document == "CHANGELOG.md"
    for path in files:
        assert (ROOT / path).exists() or (ROOT / "gpuconv" / path).exists(), path
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


# README


def test_the_examples_of_the_readme_give_what_it_says():
    results = doctest.testfile(
        str(ROOT / "README.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert results.attempted >= 8 and results.failed == 0


@pytest.mark.parametrize("line", ["pip install '.[demo]' && gpuconv demo", "pip install '.[test]' && pytest"])
def test_the_two_commands_are_in_the_readme(line):
    assert line in shell_lines(README)


def test_the_readme_installs_extras_that_exist():
    assert {"demo", "test", "cuda12", "cuda13", "compile12", "compile13"} <= extras_named_in(README)
    assert extras_named_in(README) <= set(EXTRAS)


def test_the_commands_of_the_readme_are_understood():
    lines = [line for line in shell_lines(README) if line.startswith("gpuconv ")]
    parsed = [cli._parser().parse_args(shlex.split(line)[1:]).command for line in lines]
    assert set(parsed) == set(cli._COMMANDS)


def test_the_readme_lists_the_public_functions():
    described = set(re.findall(r"`(\w+)\(", README))
    assert described == set(gpuconv.__all__)


def test_the_readme_names_architectures_that_are_compiled_for():
    from gpuconv.cuda import ARCHITECTURES

    named = set(re.findall(r"sm_\d+[a-z]?", README))
    assert named and named <= set(ARCHITECTURES)


# Continuous integration


def test_ci_run_is_executable_and_runs_the_readme_s_command():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "pip install '.[test]' && pytest" in script.read_text()
    checked = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_the_workflow_tests_supported_versions_the_lowest_among_them():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    versions = jobs["test"]["strategy"]["matrix"]["python"]
    supported = SpecifierSet(PROJECT["requires-python"])
    assert all(version in supported for version in versions)
    lowest = min(versions, key=Version)
    assert PROJECT["requires-python"] == f">={lowest}"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py" + lowest.replace(".", "")
    assert PYPROJECT["tool"]["mypy"]["python_version"] == lowest
    assert {"run": ".ci/run"} in jobs["test"]["steps"]


def test_the_hooks_need_no_network():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    hooks = repos[0]["hooks"]
    assert [hook["id"] for hook in hooks] == ["ruff", "ruff-format", "mypy"]
    assert all(hook["language"] == "system" for hook in hooks)
    assert {hook["entry"].split()[0] for hook in hooks} | {"pre-commit"} <= names(EXTRAS["dev"])


# What ships


def build(kind, folder):
    """The file name of the wheel or sdist that hatchling builds into `folder`."""
    code = f"import sys, hatchling.build; print(hatchling.build.build_{kind}(sys.argv[1]))"
    finished = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.split()[-1]


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path):
    pytest.importorskip("hatchling", reason=HATCHLING)
    name = build("wheel", tmp_path)
    assert name == f"gpuconv-{gpuconv.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(tmp_path / name) as wheel:
        files = set(wheel.namelist())
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "gpuconv").rglob("*.py")}
    metadata = f"gpuconv-{gpuconv.__version__}.dist-info/"
    assert {file for file in files if not file.startswith(metadata)} == sources
    assert {metadata + "entry_points.txt", metadata + "licenses/LICENSE"} <= files


def test_the_source_distribution_holds_the_tests(tmp_path):
    pytest.importorskip("hatchling", reason=HATCHLING)
    name = build("sdist", tmp_path)
    with tarfile.open(tmp_path / name) as archive:
        files = {member.partition("/")[2] for member in archive.getnames()}
    wanted = (
        "pyproject.toml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "environment.yml",
        "tests/conftest.py",
    )
    assert set(wanted) <= files
    assert not any("__pycache__" in file for file in files)
