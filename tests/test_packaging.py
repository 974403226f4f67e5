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
from gpuconv.engines import COMPILER_HINT
from tests.sampling import few

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
    packages = environment.DEMO_PACKAGES.values(), environment.LEARN_PACKAGES.values()
    assert names(EXTRAS["demo"]) == set().union(*packages)
    for extra in ("cuda12", "cuda13"):
        cupy = f"cupy-cuda{extra.removeprefix('cuda')}x"
        assert names(EXTRAS[extra]) == {cupy, "cuda-bindings"}
    assert set(environment.GPU_PACKAGES.values()) == {"CuPy", "cuda-bindings"}
    assert set(environment.ENGINE_PACKAGES.values()) == {"cuda-bindings"}


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
    assert {"gpuconv[demo]", "gpuconv[dask,xarray]"} <= {*EXTRAS["test-tools"]}
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
    described = set(re.findall(r"`((?:grad\.)?\w+)\(", README))
    functions = {name for name in gpuconv.__all__ if callable(getattr(gpuconv, name))}
    assert described == functions | {f"grad.{name}" for name in gpuconv.grad.__all__}


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


def build(kind, folder, **environment):
    """The file name of the wheel or sdist that hatchling builds into `folder`."""
    code = f"import sys, hatchling.build; print(hatchling.build.build_{kind}(sys.argv[1]))"
    finished = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
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


@pytest.fixture(scope="module")
def wheel_with_cubins(tmp_path_factory):
    """What a wheel with the machine code of sm_80 and sm_90a holds, unpacked; the code itself is made up."""
    pytest.importorskip("hatchling", reason=HATCHLING)
    from gpuconv.cuda import KERNELS
    from gpuconv.cuda.runtime.cubins import Cubin

    folder = tmp_path_factory.mktemp("release")
    compiled = folder / "compiled"
    compiled.mkdir()
    for kernel in KERNELS:
        for arch in ("sm_80", "sm_90a"):
            code = Cubin(f"{kernel.name} for {arch}".encode(), kernel.name, "", "of a machine far away")
            (compiled / kernel.file_name(arch)).write_bytes(code.to_bytes())
    name = build("wheel", folder, GPUCONV_CUBINS="sm_80 sm_90a", GPUCONV_CACHE_DIR=str(compiled))
    with zipfile.ZipFile(folder / name) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


@pytest.mark.wide  # seconds of the compiler
def test_a_release_wheel_carries_an_archive_of_each_architecture(wheel_with_cubins):
    from gpuconv.cuda import KERNELS

    archives = wheel_with_cubins / "gpuconv" / "cuda" / "cubins"
    assert sorted(path.name for path in archives.iterdir()) == ["sm_80.zip", "sm_90a.zip"]
    with zipfile.ZipFile(archives / "sm_80.zip") as archive:
        assert set(archive.namelist()) == {kernel.file_name("sm_80") for kernel in KERNELS}
        assert all(each.compress_type == zipfile.ZIP_DEFLATED for each in archive.infolist())


FIRST_CALL = """
import sys, time
sys.modules.update(dict.fromkeys(["numba.cuda", "numba_cuda", "cuda.core", "cuda.bindings.nvjitlink"]))
import gpuconv.cuda, tests.fakes as fakes
from gpuconv.cuda.runtime import driver, gpu, launch
from tests.cuda.noting_driver import NotingDriver
noting = NotingDriver()
for module in (driver, gpu, launch):
    module.driver = noting
sys.modules["cupy"] = fakes.cupy_module()
import numpy as np
x, w = (fakes.FakeCuPyArray(np.ones(shape, np.float32)) for shape in [(1, 1, 9, 9), (1, 1, 3, 3)])
begin = time.process_time()
gpuconv.conv2d(x, w)
print(time.process_time() - begin)
loads = [call[1] for call in noting.calls if call[0] == "cuLibraryLoadData"]
print(gpuconv.__file__, loads, len(noting.launches))
loaded = [name.split(".")[0] for name, module in sys.modules.items() if module]
print([name for name in loaded if name in ("numba_cuda", "nvidia")])
"""


def test_the_first_call_on_a_gpu_loads_no_compiler(wheel_with_cubins, tmp_path):
    finished = subprocess.run(
        [sys.executable, "-c", FIRST_CALL],
        env={
            **os.environ, "PYTHONPATH": os.pathsep.join([str(wheel_with_cubins), str(ROOT)]),
            "GPUCONV_CACHE_DIR": str(tmp_path / "cache"),
        },
        cwd=tmp_path, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    seconds, loaded, compilers = finished.stdout.splitlines()
    assert float(seconds) < 0.5  # of the processor; the machine does other things too
    assert loaded.startswith(str(wheel_with_cubins))
    assert re.search(r"\[b'conv_\w+ .* for sm_90a'\] 1$", loaded)
    assert compilers == "[]"
    assert not list((tmp_path / "cache").glob("*"))  # nothing was compiled and kept


@pytest.mark.parametrize("wanted", few(["sm_80 sm_70", "1"], 1))
def test_a_wheel_without_what_was_asked_for_is_not_built(wanted, tmp_path):
    pytest.importorskip("hatchling", reason=HATCHLING)
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules.update({'numba.cuda': None})")
    with pytest.raises(AssertionError, match=r"no compiler|unknown architecture sm_70"):
        build(
            "wheel", tmp_path, GPUCONV_CUBINS=wanted, GPUCONV_CACHE_DIR=str(tmp_path / "cache"),
            PYTHONPATH=str(tmp_path),
        )  # fmt: skip
    assert not list(tmp_path.glob("*.whl"))


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
        ".ci/cubins.py",
        "tests/conftest.py",
    )
    assert set(wanted) <= files
    assert not any("__pycache__" in file for file in files)
