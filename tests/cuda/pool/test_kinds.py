"""Pools of every kind on the executor: minima, integers, adaptive windows and norms."""

import math

import numpy as np
import pytest

from gpuconv.cuda import pool
from gpuconv.spec import PoolSpec, of_adaptive, of_norms
from gpuconv.spec.dtypes import INTEGERS
from tests import ptx
from tests.cases import POOL_DTYPES, integers, normal
from tests.cuda.execution import poisoned
from tests.cuda.mutation import BEYOND, HARMLESS, WRONG, changed_room, file_of, seldom
from tests.cuda.pool.pooling import LAYOUTS, equals_cpu
from tests.layouts import WRITABLE
from tests.sampling import few
from tests.test_extremes import any_integers

BY_NAME = {algorithm.name: algorithm for algorithm in pool.ALGORITHMS}
DIRECT, NORMS = BY_NAME["pool_direct"], BY_NAME["pool_norms"]
INTEGER_DTYPES = tuple(map(str, INTEGERS))
SIZES = (((2, 3, 7, 9), (3, 4)), ((1, 2, 5, 6), (7, 8)), ((1, 1, 30, 21), (4, 9)))


def minima_of(x):
    return PoolSpec.from_arrays("min", x, (3, 2), (2, 1), 1, (1, 2), True)


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("dtype", few(("float32", "int8", *POOL_DTYPES[1:], *INTEGER_DTYPES[1:]), 2))
def test_minima(dtype):
    x = any_integers((2, 2, 9, 8), dtype) if dtype in INTEGER_DTYPES else integers((2, 2, 9, 8), dtype)
    assert equals_cpu(DIRECT, minima_of(x), x)


@pytest.mark.parametrize("with_indices", [False, True])
@pytest.mark.parametrize("dtype", few(("uint64", *INTEGER_DTYPES[:-1]), 1))
def test_maxima_of_integers(dtype, with_indices):
    x = any_integers((2, 2, 9, 8), dtype)
    spec = PoolSpec.from_arrays("max", x, 3, 2, 1, (1, 2), True, return_indices=with_indices)
    assert equals_cpu(DIRECT, spec, x)


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("dtype", few(["float32", *INTEGER_DTYPES], 2))
def test_windows_of_padding_alone(dtype):
    x = np.ones((1, 2, 1, 1), dtype)
    assert equals_cpu(DIRECT, PoolSpec.from_arrays("min", x, 2, 1, 1, 2), x)
    assert equals_cpu(DIRECT, PoolSpec.from_arrays("max", x, 2, 1, 1, 2, return_indices=True), x)


def test_minima_of_what_is_not_finite():
    x = integers((2, 2, 9, 8), "float32")
    for place, value in enumerate((np.inf, -np.inf, np.nan)):
        x.reshape(-1)[3 + place :: 17] = value
    assert equals_cpu(DIRECT, minima_of(x), x)


@pytest.mark.parametrize(("shape", "size"), SIZES, ids=str)
@pytest.mark.parametrize("with_indices", [False, True])
@pytest.mark.parametrize("dtype", few((*POOL_DTYPES, *INTEGER_DTYPES), 1))
def test_adaptive_maxima(dtype, with_indices, shape, size):
    x = integers(shape, dtype)
    assert equals_cpu(DIRECT, of_adaptive("max", x, size, with_indices), x)


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize(("shape", "size"), few(SIZES, 1))
@pytest.mark.parametrize("dtype", few(POOL_DTYPES, 1))
def test_adaptive_means(dtype, shape, size):
    x = normal(shape, dtype)
    bound = {"float64": 1e-14, "float32": 1e-5, "float16": 1e-3, "bfloat16": 8e-3}[dtype]
    x = np.abs(x)
    assert equals_cpu(DIRECT, of_adaptive("mean", x, size), x, bound=bound)


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("norm", few([2, 3, math.inf, 1, 2.5, -1, -math.inf], 3))
@pytest.mark.parametrize("dtype", few(POOL_DTYPES, 1))
def test_norms(dtype, norm):
    bound = {"float64": 1e-14, "float32": 2e-6, "float16": 1e-3, "bfloat16": 8e-3}[dtype]
    x = np.abs(normal((2, 2, 9, 37), dtype)) + np.asarray(0.1, dtype)
    for windows in ((2,), ((2, 36), 1), ((3, 2), (2, 3), True)):
        assert equals_cpu(NORMS, of_norms(x, norm, *windows), x, bound=bound)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_magnitudes_are_exact(dtype):
    """The norm of 1 of integers: no power is rounded."""
    x = np.abs(integers((2, 2, 9, 37), dtype))
    assert equals_cpu(NORMS, of_norms(x, 1, (3, 2)), x, bound=0)


@pytest.mark.parametrize("norm", few([-math.inf, 2, 3, 2.5, math.inf], 1))
def test_norms_of_what_has_signs_and_is_not_finite(norm):
    x = integers((1, 2, 9, 8), "float64")
    for place, value in enumerate((np.inf, -np.inf, np.nan)):
        x.reshape(-1)[3 + place :: 17] = value
    assert equals_cpu(NORMS, of_norms(x, norm, 2), x, bound=1e-14)


@pytest.mark.parametrize("layout", few(LAYOUTS, 2))
def test_arrays_of_any_strides(layout):
    x = integers((2, 3, 9, 8), "float32")
    for algorithm, spec in (
        (DIRECT, minima_of(x)), (DIRECT, of_adaptive("max", x, (4, 5))), (NORMS, of_norms(x, math.inf, 2)),
    ):  # fmt: skip
        y = WRITABLE[layout](poisoned(spec.out_shape, "float32"))
        assert equals_cpu(algorithm, spec, WRITABLE[layout](x), y)


FAULTS = [
    ("pool.norms", "the last thread", "        if n < int64(N):\n            exponent",
     "        if n <= int64(N):\n            exponent", BEYOND),
    ("pool.norms", "runs that overlap", "range(first, min(w_last, uint32(first + uint32(RUN))))",
     "range(first, w_last)", WRONG),
    ("pool.norms", "a window beyond the image", "if places < taps:", "if places > taps:", WRONG),
    ("pool.norms", "the root", "scalar(libdevice.longlong_as_double(inverse_bits))", "exponent", WRONG),
    ("pool.norms", "the square", "value * value if is_square", "value if is_square", WRONG),
    ("pool.norms", "the least magnitude", "-value if is_least", "value if is_least", WRONG),
    ("pool.norms", "the magnitude", "value = abs(widen(", "value = (widen(", WRONG),
]  # fmt: skip


def verdict(algorithm):
    x = integers((1, 2, 3, 41), "float32")
    try:
        right = all(
            equals_cpu(algorithm, of_norms(x, norm, *windows), x, bound=1e-5)
            for norm, windows in ((2, (2, 2, True)), (4, ((1, 37), 2)), (math.inf, (2,)), (-math.inf, (2,)))
        )
        return HARMLESS if right else WRONG
    except ptx.PtxError as fault:
        return type(fault).__name__


@seldom(FAULTS, 2)
def test_faults_in_norms(fault):
    module, _, old, new, verdicts = fault
    (changed,) = (
        each for each in changed_room("pool", module, old, new).ALGORITHMS if each.name == "pool_norms"
    )
    found = verdict(changed)
    assert found != HARMLESS and found in verdicts


def test_unharmed_norms():
    assert verdict(NORMS) == HARMLESS


def test_each_fault_has_one_place():
    for module, _, old, *_ in FAULTS:
        assert file_of(f"gpuconv.cuda.{module}").read_text().count(old) == 1
