"""Zeros of either sign in maxima: the first among equals counts, in every algorithm, with indices or not."""

import numpy as np
import pytest

from gpuconv.cuda.pool import ALGORITHMS
from tests import reference
from tests.cases import PoolCase, equal
from tests.cuda.execution import refusal
from tests.cuda.pool.pooling import pool, same_zeros, signed_zeros

DTYPES = (
    "float32",
    "float16",
    *(pytest.param(each, marks=pytest.mark.slow) for each in ("float64", "bfloat16")),
)
CASES = (
    PoolCase("rows, stride 1, in vectors", "max", (2, 3, 9, 32), 3, 1, 1),
    PoolCase("rows, stride 1, element by element", "max", (2, 3, 9, 35), 3, 1, 1),
    PoolCase("rows, stride 2, in vectors", "max", (2, 3, 9, 64), 3, 2, 1),
    PoolCase("rows of pairs", "max", (2, 3, 8, 32), 2),
    PoolCase("rows of pairs, ragged", "max", (1, 2, 7, 13), 2, ceil_mode=True),
    PoolCase("a chain", "max", (1, 3, 11, 16), 5, 1, 2),
    PoolCase("tap by tap, in phases", "max", (2, 2, 13, 24), 5, 2, 2),
    PoolCase("dilated", "max", (1, 2, 12, 24), 3, 1, 1, (3, 2)),
    PoolCase("several tiles", "max", (1, 1, 60, 300), (6, 5), 1, (3, 2)),
    PoolCase("many small planes", "max", (2, 9, 6, 6), 4, 1, 2),
    PoolCase("whole small planes", "max", (3, 6, 7, 7), 7),
    PoolCase("whole small planes, in vectors", "max", (2, 9, 8, 8), 8),
    PoolCase("whole planes, leaving out their ends", "max", (1, 3, 17, 16), 15, 99),
    PoolCase("whole large planes", "max", (2, 3, 33, 33), 33),
    PoolCase("whole large planes, in vectors", "max", (2, 3, 40, 40), 40),
    PoolCase("whole large planes with a window that hangs over", "max", (1, 3, 40, 34), 40, 99, (1, 3)),
)  # fmt: skip


def planes(shape, dtype):
    """Planes that each ask for something else, in turn: mixed, rare, -0 before +0 and behind, alone, NaN."""
    x = signed_zeros(shape, dtype, 0.5)
    flat = x.reshape(-1, shape[2] * shape[3])
    for number, plane in enumerate(flat):
        kind = number % 6
        if kind == 1:
            plane[:] = signed_zeros(plane.shape, dtype, 0.96, number)
        elif kind == 2:
            plane[:], plane[0] = 0.0, -0.0
        elif kind == 3:
            plane[:], plane[-1], plane[len(plane) // 2] = -1, 0.0, -0.0
        elif kind == 4:
            plane[:] = -0.0
        elif kind == 5:
            plane[len(plane) // 3], plane[1], plane[len(plane) // 2 :: 5] = np.nan, -0.0, 2
    return x


def check(algorithm, case, x):
    values, places = reference.max_pool2d(x, **case.parameters)
    expected = values.astype(x.dtype)
    for return_indices in (False, True):
        spec = case.spec(x.dtype.name, return_indices)
        if refusal(algorithm, spec) is not None:
            continue
        y, indices = pool(algorithm, spec, x)
        equal(y, expected)
        assert same_zeros(y, expected)
        if return_indices:
            np.testing.assert_array_equal(indices, places)


def runs(cases=CASES):
    for case in cases:
        for algorithm in ALGORITHMS:
            if refusal(algorithm, case.spec()) is None:
                yield pytest.param(algorithm, case, id=f"{algorithm.name}, {case.name}")


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("algorithm", "case"), list(runs()))
def test_the_first_of_the_zeros_counts(algorithm, case, dtype):
    if refusal(algorithm, case.spec(dtype)) is not None:
        pytest.skip("it does not take the dtype")
    check(algorithm, case, planes(case.x, dtype))
    check(algorithm, case, -np.abs(planes(case.x, dtype)))  # where the maximum is a zero, all are -0
    check(algorithm, case, signed_zeros(case.x, dtype, 0.0))
