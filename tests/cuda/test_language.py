"""Kernels are written in what a successor of numba-cuda compiles alike, and take it from one module."""

import ast
from pathlib import Path

import pytest

import gpuconv

ENGINE = Path(gpuconv.__file__).parent / "cuda"
FILES = sorted(ENGINE.rglob("*.py"))


def modules(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def compared_with_itself(tree):
    """Comparisons `x != x`, which ordered comparisons of another compiler make false for a NaN."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.NotEq):
            yield from (each for each in node.comparators if ast.dump(each) == ast.dump(node.left))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ENGINE)))
def test_a_kernel_is_written_in_the_one_language(file):
    tree = ast.parse(file.read_text())
    if file.name != "language.py":
        assert not [name for name in modules(tree) if name and name.split(".")[0] in ("numba", "llvmlite")]
    assert not list(compared_with_itself(tree))


def test_what_a_successor_compiles_otherwise_is_found():
    assert len(list(compared_with_itself(ast.parse("a = x != x\nb = x[1] != x[1]\nc = x != y")))) == 2
    assert list(modules(ast.parse("from numba import cuda\nimport llvmlite.ir"))) == ["numba", "llvmlite.ir"]
