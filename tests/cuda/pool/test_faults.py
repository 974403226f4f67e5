"""Faults planted in the pools are caught, by the executor or by a wrong result."""

import numpy as np
import pytest

from gpuconv.spec import PoolSpec, of_adaptive
from tests import ptx, reference
from tests.cases import PoolCase, integers
from tests.cuda.execution import compute, poisoned
from tests.cuda.mutation import HARMLESS, WRONG, changed_room, file_of, seldom
from tests.cuda.pool.direct_faults import FAULTS as DIRECT_FAULTS
from tests.cuda.pool.faults import GLOBAL_FAULTS, HALVES_FAULTS, ROWS_FAULTS
from tests.cuda.pool.pooling import equals_cpu, same_zeros, signed_zeros
from tests.cuda.pool.separable_faults import FAULTS as SEPARABLE_FAULTS
from tests.cuda.pool.separable_faults import MEANS, PAIRS, TILES, VECTORS

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
    PoolCase("blocks, in which zeros are far", "max", (2, 12, 33, 71), (33, 71)),
    PoolCase("blocks, several stages", "avg", (1, 1, 301, 303), (301, 303)),
)
DIRECT_CASES = (
    PoolCase("ragged, of several blocks", "max", (2, 3, 29, 20), 3, 2, 1, ceil_mode=True),
    PoolCase("dilated", "max", (1, 2, 11, 12), (2, 3), (1, 2), 1, (3, 2)),
    PoolCase("padded", "avg", (2, 3, 9, 10), 3, 2, 1),
    PoolCase("padded, of the image alone", "avg", (2, 3, 9, 10), 2, 2, 1, count_include_pad=False),
    PoolCase(
        "ragged, hanging over the end", "avg", (1, 2, 7, 8), (3, 2), 3, ((1, 0), (0, 1)), ceil_mode=True
    ),
    PoolCase("divided by 5", "avg", (1, 2, 7, 8), 2, divisor_override=5),
    PoolCase("rows in runs", "avg", (1, 1, 3, 40), (2, 37), 1),
    PoolCase("of padding alone", "max", (1, 1, 1, 1), 2, 1, 1, 2),
    "minima", "adaptive maxima", "adaptive means",
)  # fmt: skip


def verdict(algorithm, cases, dtype="float32", pools=None):
    """A fault's name, "wrong result", or HARMLESS."""
    try:
        return HARMLESS if all((pools or pools_hard)(algorithm, case, dtype) for case in cases) else WRONG
    except ptx.PtxError as fault:
        return type(fault).__name__


def pools_any(algorithm, case, dtype):
    """The same, also of what is named: kinds of pools that no `PoolCase` is."""
    if isinstance(case, PoolCase):
        return pools_hard(algorithm, case, dtype)
    x = integers((1, 2, 9, 7), dtype)
    if case == "minima":
        return equals_cpu(algorithm, PoolSpec.from_arrays("min", x, 3, 2, 1), x)
    reduction = "max" if case == "adaptive maxima" else "mean"
    return equals_cpu(algorithm, of_adaptive(reduction, x, (4, 5), reduction == "max"), x)


def pools_hard(algorithm, case, dtype):
    """Whether it pools as the case says, into rows that end where the next begins, and into others."""
    x = integers(case.x, dtype)
    if case.op == "max":
        x[..., 3:5, 2:6] = np.nan
        x[..., 5:8, 7:10] = -np.inf
        x[0, 0] = -1 - abs(integers(x[0, 0].shape, dtype))  # padding of zeros would win
    right = [right_result(algorithm, case, x, pitch) for pitch in (1, 8)]
    return all(right) and (
        case.op == "avg" or (right_indices(algorithm, case, x) and pools_zeros(algorithm, case, dtype))
    )


def pools_zeros(algorithm, case, dtype):
    """Whether zeros keep the sign of the first, be they many or few."""
    parts = [signed_zeros(case.x, dtype, share) for share in (0.4, 0.9, 0.999)]
    indices = True in algorithm.takes.get("return_indices", ())
    return all(
        right_result(algorithm, case, x, 1) and (not indices or right_indices(algorithm, case, x))
        for x in parts
    )


def pools_negative(algorithm, case, dtype):
    """Whether it pools numbers below zero, which padding of zeros would win against, and zeros."""
    right = right_result(algorithm, case, -1 - abs(integers(case.x, dtype)), 1)
    return right and (case.op == "avg" or pools_zeros(algorithm, case, dtype))


def right_result(algorithm, case, x, pitch):
    spec = case.spec(x.dtype.name)
    N, C, P, Q = spec.out_shape
    rows = poisoned((N, C, P, -(-Q // pitch) * pitch), spec.dtype)
    compute(algorithm, spec, (x,), (rows[..., :Q], None))
    expected = case.expected(x).astype(x.dtype)
    signs = case.op == "avg" or same_zeros(rows[..., :Q], expected)
    return np.array_equal(rows[..., :Q], expected, equal_nan=True) and signs and np.isnan(rows[..., Q:]).all()


def right_indices(algorithm, case, x):
    spec = case.spec(x.dtype.name, return_indices=True)
    y, indices = poisoned(spec.out_shape, spec.dtype), poisoned(spec.out_shape, "int64")
    compute(algorithm, spec, (x,), (y, indices))
    values, places = reference.max_pool2d(x, **case.parameters)
    return (
        np.array_equal(y, values, equal_nan=True)
        and same_zeros(y, values)
        and np.array_equal(indices, places)
    )


def check(room, fault, cases, dtype="float32", pools=None):
    file, _, old, new, expected = fault
    found = verdict(changed_room(room, file, old, new).ALGORITHM, cases, dtype, pools)
    assert found != HARMLESS and found in expected


ALL_FAULTS = (*ROWS_FAULTS, *HALVES_FAULTS, *GLOBAL_FAULTS, *SEPARABLE_FAULTS, *DIRECT_FAULTS)


def test_each_fault_has_one_place():
    """Most are planted in slow tests alone, which would not say that a kernel was written anew."""
    places = {
        fault[:2]: file_of(f"gpuconv.cuda.{fault[0]}").read_text().count(fault[2]) for fault in ALL_FAULTS
    }
    assert not {fault for fault, count in places.items() if count != 1}


@seldom(ROWS_FAULTS, 3)
def test_faults_in_pool_rows(fault):
    check("pool.rows", fault, ROWS_CASES)


@seldom(HALVES_FAULTS, 3)
def test_faults_with_16_bits(fault):
    check("pool.rows", fault, HALVES_CASES, "float16")


@seldom(GLOBAL_FAULTS, 3)
def test_faults_in_pool_global(fault):
    check("pool.global_", fault, GLOBAL_CASES)


@seldom(SEPARABLE_FAULTS, 2)
def test_faults_in_pool_separable(fault):
    *fault, case = fault
    check("pool.separable", fault, (case,), pools=pools_negative)


@pytest.mark.parametrize("fault", DIRECT_FAULTS, ids=lambda fault: fault[1])
def test_faults_in_pool_direct(fault):
    check("pool.direct", fault, DIRECT_CASES, pools=pools_any)


@pytest.mark.parametrize(
    ("room", "cases", "dtype", "pools"),
    [
        ("pool.rows", ROWS_CASES, "float32", pools_hard),
        ("pool.rows", HALVES_CASES, "float16", pools_hard),
        ("pool.global_", GLOBAL_CASES, "float32", pools_hard),
        ("pool.global_", GLOBAL_CASES, "float16", pools_hard),
        ("pool.separable", (VECTORS, PAIRS, MEANS, TILES), "float32", pools_negative),
        ("pool.direct", DIRECT_CASES, "float32", pools_any),
    ],
)
def test_unharmed_kernels_raise_nothing(room, cases, dtype, pools):
    assert verdict(changed_room(room, room).ALGORITHM, cases, dtype, pools) == HARMLESS
