"""Who imports whom: `profiling` nothing of the tests but `tests.ptx`, and no other test `profiling`."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROFILING = sorted((ROOT / "profiling").rglob("*.py"))
OURS, EXECUTOR = ROOT / "tests" / "profiling", ROOT / "tests" / "ptx"
FILES = "interrupts", "needs", "progress"  # what the commands have in common, which imports no room
OTHERS = [path for path in sorted((ROOT / "tests").rglob("*.py")) if not path.is_relative_to(OURS)]


def imported(path: Path) -> set[str]:
    """Full names of what a file imports, wherever it stands; of `from a import b` it is "a.b"."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def of(package: str, names: set[str]) -> set[str]:
    return {name for name in names if f"{name}.".startswith(f"{package}.")}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PROFILING, ids=name_of)
def test_profiling_imports_of_the_tests_the_executor_alone(path):
    names = imported(path)
    assert of("tests", names) == of("tests.ptx", names)


def test_no_other_test_imports_profiling():
    found = {name_of(path): of("profiling", imported(path)) for path in OTHERS}
    assert len(found) > 100
    assert {name: names for name, names in found.items() if names} == {}


def test_the_executor_knows_nothing_of_gpuconv():
    files = [path for path in EXECUTOR.rglob("*.py") if not path.is_relative_to(EXECUTOR / "tests")]
    assert len(files) > 50
    assert {name_of(path) for path in files if of("gpuconv", imported(path))} == set()


@pytest.mark.parametrize(
    ("room", "may"),
    [
        ("results", {"results"}),
        ("workloads", {"workloads"}),
        ("device", {"device"}),
        ("bench", {"bench", "device", "workloads", "results", *FILES}),
        ("counts", {"counts", "workloads", "results", *FILES}),
        ("model", {"model", "counts", "workloads", "results", *FILES}),
        ("export", {"export", "counts", "workloads", "results", *FILES}),
    ],
)
def test_rooms_lie_on_each_other_in_one_direction(room, may):
    for path in (ROOT / "profiling" / room).rglob("*.py"):
        rooms = {name.split(".")[1] for name in of("profiling", imported(path))}
        assert rooms <= may, name_of(path)
