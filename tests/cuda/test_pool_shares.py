"""Gradients of means on the executor."""

import math

import numpy as np
import pytest

from gpuconv.cuda import pool_grad
from gpuconv.spec import of_adaptive_mean_gradient, of_mean_gradient, of_norm_gradient
from tests import ptx, reference
from tests.cases import POOL_CASES, POOL_DTYPES, PoolCase, equal, integers
from tests.cuda.execution import compute, poisoned
from tests.cuda.mutation import BEYOND, HARMLESS, WRONG, changed_room, file_of, seldom
from tests.layouts import WRITABLE
from tests.sampling import few

ALGORITHM, NORMS = pool_grad.ALGORITHMS
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


SIZES = (((1, 2, 3, 5), (1, 2, 5, 9), 2, None, True), ((1, 2, 5, 7), (1, 2, 10, 8), (3, 2), (2, 1), True))


def normed(algorithm, norm, size, dtype="float32"):
    """(whether it is right, the gradient, what it should be) of norms that are powers of two."""
    outputs, inputs, *windows = size
    dy, x = integers(outputs, dtype, 1), integers(inputs, dtype, 2)
    norms = np.exp2(integers(outputs, "float64", 3) // 2).astype(dtype)
    norms[:, 0, 1, 2] = 0
    spec = of_norm_gradient(dy, x, norms, norm, *windows)
    y = poisoned(inputs, dtype)
    compute(algorithm, spec, (dy, x, norms), (y,))
    kernel = reference.as_pair(windows[0])
    weights = np.zeros(outputs)
    np.divide(dy * math.prod(kernel), norms.astype("f8") ** (norm - 1), out=weights, where=norms != 0)
    weights = weights.astype(dtype)
    windows_of = reference.mean_windows(inputs[2:], *windows[:2], 0, windows[2])
    expected = reference.handed_on(weights, inputs, windows_of)
    with np.errstate(invalid="ignore"):
        expected *= x.astype("f8") ** (norm - 1)
    eps = np.finfo("float64" if dtype == "float64" else "float32").eps
    bound = 16 * eps * np.nanmax(np.abs(expected))
    if dtype == "float16":
        bound += 0.51 * np.finfo("float16").eps * abs(expected)
    return bool((abs(y - expected) <= bound).all()), y, expected


@pytest.mark.parametrize("norm", [2, 1, 3, 0.5])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", few(["float32", "float64", "float16"], 1))
def test_shares_of_norms(norm, size, dtype):
    right, found, expected = normed(NORMS, norm, size, dtype)
    if norm != 0.5:  # of which negative numbers have no power
        assert right, np.stack([found, expected])
    assert np.isnan(found).any() == (norm == 0.5)


@pytest.mark.parametrize("layout", ["reversed", "channels last", "strided"])
def test_arrays_of_any_strides(layout):
    case = CASES[0]
    dy, expected = of_case(case, "float32")
    y = WRITABLE[layout](poisoned(case.x, "float32"))
    spec = of_mean_gradient(dy, case.x, **case.parameters)
    compute(ALGORITHM, spec, (WRITABLE[layout](dy),), (y,))
    equal(y, expected)


FAULTS = [
    ("device.windows", "the first window", "if start >= taps:", "if start > taps:", f"{WRONG} {BEYOND}"),
    ("device.windows", "the last window", "min(uint32(start // stride + uint32(1)), outputs)",
     "uint32(start // stride + uint32(1))", f"{WRONG} {BEYOND}"),
    ("device.windows", "the last adaptive window",
     "* int64(outputs) + int64(size) - int64(1)) // int64(size)",
     "* int64(outputs) + int64(size)) // int64(size)", f"{WRONG} {BEYOND}"),
    ("device.windows", "the places of an adaptive window",
     "+ int64(outputs) - int64(1)) // int64(outputs)", ") // int64(outputs)", WRONG),
    ("pool_grad.shares", "runs that overlap", "range(first, min(q_last, uint32(first + uint32(RUN))))",
     "range(first, q_last)", WRONG),
    ("pool_grad.shares", "the divisor of the user", "divisor = scalar(divisor_override)",
     "divisor = scalar(1)", WRONG),
    ("pool_grad.norms", "a norm of 0", "shares_nothing = norm == scalar(0)",
     "shares_nothing = norm < scalar(0)", WRONG),
    ("pool_grad.norms", "the rows that a window has", "int32(R), int32(0), int32(H)",
     "int32(R), int32(0), int32(R)", WRONG),
    ("pool_grad.norms", "the second power", "narrow(total * value)", "narrow(total)", WRONG),
    ("pool_grad.shares", "the last thread", "if n < int64(N):", "if n <= int64(N):", f"{BEYOND} {WRONG}"),
]  # fmt: skip
HARD = (LONG, *CASES[:6])


def verdict(algorithm, norms):
    try:
        right = True
        for case in HARD:
            dy, expected = of_case(case, "float32")
            found = shared(of_mean_gradient(dy, case.x, **case.parameters), dy, algorithm)
            right &= np.array_equal(found, expected)
        for size, outputs in ADAPTIVE:
            dy, expected = of_adaptive(size, outputs, "float32")
            right &= np.array_equal(shared(of_adaptive_mean_gradient(dy, size), dy, algorithm), expected)
        right &= all(normed(norms, norm, size)[0] for norm in (2, 1) for size in SIZES)
        return HARMLESS if right else WRONG
    except ptx.PtxError as fault:
        return type(fault).__name__


def test_each_fault_has_one_place():
    for file, what, old, *_ in FAULTS:
        assert file_of(f"gpuconv.cuda.{file}").read_text().count(old) == 1, what


@seldom(FAULTS, 4)
def test_faults_are_caught(fault):
    file, _, old, new, expected = fault
    found = verdict(*changed_room("pool_grad", file, old, new).ALGORITHMS)
    assert found != HARMLESS and found in expected


def test_unharmed_kernels_raise_nothing():
    assert verdict(ALGORITHM, NORMS) == HARMLESS
