"""Gradients of means on the executor."""

import numpy as np
import pytest

from gpuconv.cuda import pool_grad
from gpuconv.spec import of_adaptive_mean_gradient, of_mean_gradient
from tests import ptx, reference
from tests.cases import POOL_CASES, POOL_DTYPES, PoolCase, equal, integers
from tests.cuda.execution import compute, poisoned
from tests.cuda.mutation import BEYOND, HARMLESS, WRONG, changed_room, file_of, seldom
from tests.layouts import WRITABLE
from tests.sampling import few

(ALGORITHM,) = pool_grad.ALGORITHMS
CASES = sorted(
    (case for case in POOL_CASES if case.op == "avg" and not case.large),
    key=lambda case: case.name not in ("four sides not counted", "divisor -3", "ceil, padded", "whole image"),
)
LONG = PoolCase("rows in runs", "avg", (1, 1, 3, 90), (2, 40), 1)
ADAPTIVE = (((1, 2, 7, 9), (3, 4)), ((2, 1, 5, 6), (7, 8)), ((1, 1, 30, 21), (4, 9)))


def of_case(case, dtype):
    """(dy, what it comes to) of a case of means, of which each share is an integer."""
    windows = [*reference.mean_windows(case.x[2:], **case.parameters)]
    dy = integers(case.spec().out_shape, "float64", 1)
    for (p, q), _, divisor in windows:
        dy[:, :, p, q] *= divisor
    return dy.astype(dtype), reference.handed_on(dy, case.x, windows).astype(dtype)


def shared(spec, dy, algorithm=ALGORITHM):
    y = poisoned(spec.out_shape, spec.dtype)
    compute(algorithm, spec, (dy,), (y,))
    return y


@pytest.mark.parametrize("case", [LONG, *few(CASES, 6)], ids=str)
@pytest.mark.parametrize("dtype", few(POOL_DTYPES[:2], 1))
def test_shares_that_are_integers_are_exact(case, dtype):
    dy, expected = of_case(case, dtype)
    equal(shared(of_mean_gradient(dy, case.x, **case.parameters), dy), expected)


@pytest.mark.parametrize("case", few(CASES, 2), ids=str)
@pytest.mark.parametrize("dtype", few(["float16", "bfloat16"], 1))
def test_16_bits_are_rounded_once(case, dtype):
    dy = np.random.default_rng(1).standard_normal(case.spec().out_shape).astype(dtype)
    wide = dy.astype("float32")
    expected = shared(of_mean_gradient(wide, case.x, **case.parameters), wide).astype(dtype)
    equal(shared(of_mean_gradient(dy, case.x, **case.parameters), dy), expected)


@pytest.mark.parametrize(("size", "outputs"), ADAPTIVE, ids=str)
@pytest.mark.parametrize("dtype", few(POOL_DTYPES[:2], 1))
def test_adaptive_windows_share_a_plane_out(size, outputs, dtype):
    dy, expected = of_adaptive(size, outputs, dtype)
    equal(shared(of_adaptive_mean_gradient(dy, size), dy), expected)


def of_adaptive(size, outputs, dtype):
    windows = [*reference.adaptive_windows(size[2:], outputs)]
    dy = integers((*size[:2], *outputs), "float64", 1)
    for (p, q), _, divisor in windows:
        dy[:, :, p, q] *= divisor
    return dy.astype(dtype), reference.handed_on(dy, size, windows).astype(dtype)


@pytest.mark.parametrize("layout", ["reversed", "channels last", "strided"])
def test_arrays_of_any_strides(layout):
    case = CASES[0]
    dy, expected = of_case(case, "float32")
    y = WRITABLE[layout](poisoned(case.x, "float32"))
    spec = of_mean_gradient(dy, case.x, **case.parameters)
    compute(ALGORITHM, spec, (WRITABLE[layout](dy),), (y,))
    equal(y, expected)


FAULTS = [
    ("pool_grad.shares", "the first window", "if start >= taps:", "if start > taps:", f"{WRONG} {BEYOND}"),
    ("pool_grad.shares", "the last window", "min(uint32(start // stride + uint32(1)), outputs)",
     "uint32(start // stride + uint32(1))", f"{WRONG} {BEYOND}"),
    ("pool_grad.shares", "the last adaptive window",
     "* int64(outputs) + int64(size) - int64(1)) // int64(size)",
     "* int64(outputs) + int64(size)) // int64(size)", f"{WRONG} {BEYOND}"),
    ("pool_grad.shares", "the places of an adaptive window", "+ int64(outputs) - int64(1)) // int64(outputs)",
     ") // int64(outputs)", WRONG),
    ("pool_grad.shares", "runs that overlap", "range(first, min(q_last, uint32(first + uint32(RUN))))",
     "range(first, q_last)", WRONG),
    ("pool_grad.shares", "the divisor of the user", "divisor = scalar(divisor_override)",
     "divisor = scalar(1)", WRONG),
    ("pool_grad.shares", "the last thread", "if n < int64(N):", "if n <= int64(N):", f"{BEYOND} {WRONG}"),
]  # fmt: skip
HARD = (LONG, *CASES[:6])


def verdict(algorithm):
    try:
        right = True
        for case in HARD:
            dy, expected = of_case(case, "float32")
            found = shared(of_mean_gradient(dy, case.x, **case.parameters), dy, algorithm)
            right &= np.array_equal(found, expected)
        for size, outputs in ADAPTIVE:
            dy, expected = of_adaptive(size, outputs, "float32")
            right &= np.array_equal(shared(of_adaptive_mean_gradient(dy, size), dy, algorithm), expected)
        return HARMLESS if right else WRONG
    except ptx.PtxError as fault:
        return type(fault).__name__


def test_each_fault_has_one_place():
    for file, what, old, *_ in FAULTS:
        assert file_of(f"gpuconv.cuda.{file}").read_text().count(old) == 1, what


@seldom(FAULTS, 4)
def test_faults_are_caught(fault):
    file, _, old, new, expected = fault
    (algorithm,) = changed_room("pool_grad", file, old, new).ALGORITHMS
    found = verdict(algorithm)
    assert found != HARMLESS and found in expected


def test_unharmed_kernels_raise_nothing():
    assert verdict(ALGORITHM) == HARMLESS
