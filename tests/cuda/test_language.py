"""Kernels are written in what a successor of numba-cuda compiles alike, and take it from one module.

What one compiler makes of valid code and another does not, as far as the source shows it: comparisons of a
number with itself, shuffles of more than a word, indices and numbers in memory whose width is left to the
compiler, the number of a thread in a grid, rounding. CONTRIBUTING says what a move takes besides.
"""

import ast
from pathlib import Path

import pytest

import gpuconv

ENGINE = Path(gpuconv.__file__).parent / "cuda"
FILES = sorted(ENGINE.rglob("*.py"))
SHUFFLES = ENGINE / "device" / "shuffles.py"
POINTERS = {"x", "y", "w", "weights", "bias", "indices", "target", "parts"}  # parameters that are pointers
INTEGERS = {"indices"}  # to integers, of 64 bits
NARROW = {"uint16", "int32", "uint32"}
WIDE = {"int64", "uint64"}


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


def name_of(node):
    """The function that is called, or "" ."""
    called = node.func if isinstance(node, ast.Call) else None
    return getattr(called, "id", None) or getattr(called, "attr", "")


def shuffles(tree):
    """Shuffles, which move 32 bits of what they are given."""
    return [name_of(node) for node in ast.walk(tree) if name_of(node).startswith("shfl_")]


def in_another_width(tree):
    """`cuda.grid`, which has 32 bits or 64, and `round`, which takes halves to even numbers or not."""
    for node in ast.walk(tree):
        if name_of(node) in ("grid", "gridsize", "round"):
            yield name_of(node)


def functions(tree):
    """(parameters that are pointers, what each name is given, the function)"""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            given = {}
            for node in ast.walk(function):
                if isinstance(node, ast.Assign):
                    for name, value in pairs(node.targets[0], node.value):
                        given.setdefault(name, []).append(value)
            yield {each.arg for each in function.args.args} & POINTERS, given, function


def pairs(target, value):
    """(name, what it is given), of tuples one by one."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for part, given in zip(target.elts, value.elts, strict=True):
            yield from pairs(part, given)
    elif isinstance(target, ast.Name):
        yield target.id, value


def is_narrow(node, given):
    """Whether a number, or a part of a sum, has 32 bits, so that the compiler decides how it is widened."""
    if isinstance(node, ast.BinOp):
        return is_narrow(node.left, given) or is_narrow(node.right, given)
    if isinstance(node, ast.Name):
        return node.id in given and all(name_of(value) in NARROW for value in given[node.id])
    return name_of(node) in NARROW


def narrow_indices(tree):
    """Places behind a pointer that are not written in 64 bits."""
    for pointers, given, function in functions(tree):
        for node in ast.walk(function):
            behind = isinstance(node, ast.Subscript) and getattr(node.value, "id", "") in pointers
            if behind and is_narrow(node.slice, given):
                yield ast.unparse(node)


def stored_as_it_comes(tree):
    """Integers that are stored through a pointer without saying how wide they are."""
    for pointers, _, function in functions(tree):
        for node in ast.walk(function):
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            stores = (
                isinstance(target, ast.Subscript) and getattr(target.value, "id", "") in INTEGERS & pointers
            )
            if stores and name_of(node.value) not in WIDE:
                yield ast.unparse(node)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ENGINE)))
def test_a_kernel_is_written_in_the_one_language(file):
    tree = ast.parse(file.read_text())
    if file.name != "language.py":
        assert not [name for name in modules(tree) if name and name.split(".")[0] in ("numba", "llvmlite")]
    if file != SHUFFLES:
        assert not shuffles(tree)
    for find in (compared_with_itself, in_another_width, narrow_indices, stored_as_it_comes):
        if "runtime" not in file.parts:
            assert not list(find(tree)), find.__doc__


SOURCE = """
def kernel(x, y, indices, P):
    i, far = uint32(cuda.threadIdx.x), int64(P) * int64(4)
    j = uint32(i + uint32(1))
    y[i] = x[far + j]
    y[far + int64(j)] = x[int64(uint32(i))]
    y[far + uint32(i)] = round(x[far])
    indices[far] = i
    indices[far] = int64(i)
    indices[int32(2)] = int64(i)
    shared[i] = cuda.shfl_xor_sync(0xFFFFFFFF, shared[j], 1)
    k = cuda.grid(1)
"""


def test_what_a_successor_compiles_otherwise_is_found():
    assert len(list(compared_with_itself(ast.parse("a = x != x\nb = x[1] != x[1]\nc = x != y")))) == 2
    assert list(modules(ast.parse("from numba import cuda\nimport llvmlite.ir"))) == ["numba", "llvmlite.ir"]
    tree = ast.parse(SOURCE)
    assert shuffles(tree) == ["shfl_xor_sync"]
    assert sorted(in_another_width(tree)) == ["grid", "round"]
    assert sorted(narrow_indices(tree)) == ["indices[int32(2)]", "x[far + j]", "y[far + uint32(i)]", "y[i]"]
    assert list(stored_as_it_comes(tree)) == ["indices[far] = i"]
