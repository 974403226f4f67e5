"""Faults planted in the vectorised pools are caught, by the executor or by a wrong result."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gpuconv.cuda.runtime.launch import Launch
from tests import ptx, reference
from tests.cases import PoolCase, integers
from tests.cuda import execution
from tests.cuda.execution import on_device, poisoned
from tests.cuda.mutation import HARMLESS, seldom
from tests.cuda.pool.faults import GLOBAL_FAULTS, HALVES_FAULTS, ROWS_FAULTS

# The files that a kernel is written in, each after those that it imports.
ROWS = ("pool.rows.tiles", "pool.rows.argmax", "pool.rows")
HALVES = ("device.elements", *ROWS)
GLOBAL = ("pool.global_.teams", "pool.global_.argmax", "pool.global_")

ROWS_CASES = (
    PoolCase("several warps a row, whole vectors", "max", (1, 3, 9, 140), 3, 1, 1),
    PoolCase("a row that ends within a vector", "max", (1, 3, 8, 140), 3, 1, ((1, 1), (1, 0))),
    PoolCase("elements alone", "avg", (1, 3, 9, 35), 3, 1, 1, count_include_pad=False),
    PoolCase("a vector behind the image", "max", (2, 2, 9, 16), 3, 2, 1, ceil_mode=True),
    PoolCase("a pair over the edge", "max", (1, 2, 7, 7), 2, ceil_mode=True),
    PoolCase("divided by 5", "avg", (1, 3, 7, 8), 2, divisor_override=5),
)
HALVES_CASES = (
    PoolCase("four columns for four", "max", (1, 3, 9, 136), 3, 1, ((1, 1), (1, 0))),
    PoolCase("eight columns for four", "max", (2, 2, 9, 16), 3, 2, 1, ceil_mode=True),
    PoolCase("four columns", "avg", (1, 3, 9, 40), 3, 1, 1),
    PoolCase("two and four outputs", "max", (1, 2, 8, 16), 2),
)
GLOBAL_CASES = (
    PoolCase("warps, ragged", "avg", (3, 5, 7, 7), 7),
    PoolCase("warps, vectors", "max", (3, 5, 8, 8), 8),
    PoolCase("warps, rows", "max", (1, 3, 16, 16), 15),
    PoolCase("blocks", "avg", (1, 2, 33, 33), 33),
    PoolCase("blocks, several stages", "avg", (1, 1, 301, 303), (301, 303)),
)


def planted(files, file, old, new):
    """The last of the modules `files`, with one place of one of them changed."""
    with pytest.MonkeyPatch.context() as patch:
        for name in files:
            known = import_module(f"gpuconv.cuda.{name}")
            path = Path(known.__file__)
            source = path.read_text()
            if name == file:
                assert source.count(old) == 1, f"{source.count(old)} places of {name} read {old!r}"
                source = source.replace(old, new)
            module = ModuleType(known.__name__)
            module.__file__ = str(path)
            patch.setitem(sys.modules, module.__name__, module)
            exec(compile(source, path, "exec"), vars(module))
    return module


def verdict(module, cases, dtype="float32"):
    """A fault's name, "wrong result", or HARMLESS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Launch, "start", lambda self, output, *arrays: execution.execute(self, *arrays))
        try:
            return HARMLESS if all(pools(module, case, dtype) for case in cases) else "wrong result"
        except ptx.PtxError as fault:
            return type(fault).__name__


def pools(module, case, dtype):
    """Whether it pools as the case says, into rows that end where the next begins, and into others."""
    x = integers(case.x, dtype)
    if case.op == "max":
        x[..., 3:5, 2:6] = np.nan
        x[..., 5:8, 7:10] = -np.inf
        x[0, 0] = -1 - abs(integers(x[0, 0].shape, dtype))  # padding of zeros would win
    right = [right_result(module, case, x, pitch) for pitch in (1, 8)]
    return all(right) and (case.op == "avg" or right_indices(module, case, x))


def right_result(module, case, x, pitch):
    spec = case.spec(x.dtype.name)
    N, C, P, Q = spec.out_shape
    rows = poisoned((N, C, P, -(-Q // pitch) * pitch), spec.dtype)
    module.run(spec, on_device(x), on_device(rows[..., :Q], True), None)
    expected = case.expected(x).astype(x.dtype)
    return np.array_equal(rows[..., :Q], expected, equal_nan=True) and np.isnan(rows[..., Q:]).all()


def right_indices(module, case, x):
    spec = case.spec(x.dtype.name, return_indices=True)
    y, indices = poisoned(spec.out_shape, spec.dtype), poisoned(spec.out_shape, "int64")
    module.run(spec, on_device(x), on_device(y, True), on_device(indices, True))
    values, places = reference.max_pool2d(x, **case.parameters)
    return np.array_equal(y, values, equal_nan=True) and np.array_equal(indices, places)


@seldom(ROWS_FAULTS, 3)
def test_faults_in_pool_rows(fault):
    _, file, old, new, expected = fault
    found = verdict(planted(ROWS, file, old, new), ROWS_CASES)
    assert found != HARMLESS and found in expected


@seldom(HALVES_FAULTS, 3)
def test_faults_with_16_bits(fault):
    _, file, old, new, expected = fault
    found = verdict(planted(HALVES, file, old, new), HALVES_CASES, "float16")
    assert found != HARMLESS and found in expected


@seldom(GLOBAL_FAULTS, 3)
def test_faults_in_pool_global(fault):
    _, file, old, new, expected = fault
    found = verdict(planted(GLOBAL, file, old, new), GLOBAL_CASES)
    assert found != HARMLESS and found in expected


@pytest.mark.parametrize(
    ("files", "cases", "dtype"),
    [
        (ROWS, ROWS_CASES, "float32"),
        (HALVES, HALVES_CASES, "float16"),
        (GLOBAL, GLOBAL_CASES, "float32"),
        (GLOBAL, GLOBAL_CASES, "float16"),
    ],
)
def test_unharmed_kernels_raise_nothing(files, cases, dtype):
    assert verdict(planted(files, None, "", ""), cases, dtype) == HARMLESS
