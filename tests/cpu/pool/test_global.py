"""Global pooling: planes of all sizes, in groups and tasks of all sizes, and what the window leaves out."""

import numpy as np
import pytest

import gpuconv
from gpuconv import threads as sharing
from gpuconv.cpu.simd import LANES
from tests.cases import DTYPES, PoolCase, dynamic_range, integers
from tests.layouts import READABLE, WRITABLE

FUNCTIONS = {"max": gpuconv.max_pool2d, "avg": gpuconv.avg_pool2d}
over_dtypes = pytest.mark.parametrize("dtype", DTYPES)
over_operators = pytest.mark.parametrize("op", FUNCTIONS)


def pool(case, x, **keywords):
    return FUNCTIONS[case.op](x, **case.parameters, algorithm="pool_global", **keywords)


@pytest.fixture
def several_threads(threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    threads(3)


@over_operators
@over_dtypes
@pytest.mark.parametrize("size", [(1, 1), (1, 16), (3, 5), (7, 7), (4, 8), (14, 14), (70, 64)], ids=str)
@pytest.mark.parametrize("planes", [(1, 1), (2, 7), (3, 16), (2, 35)], ids=str)
def test_integers_are_exact(planes, size, dtype, op, several_threads):
    case = PoolCase("planes", op, (*planes, *size), size)
    x = integers(case.x, dtype) - 2  # most maxima are less than the zero of an unused lane
    np.testing.assert_array_equal(pool(case, x), case.expected(x).astype(dtype), strict=True)


@over_operators
@pytest.mark.parametrize("layout", READABLE)
@pytest.mark.parametrize("size", [(7, 7), (5, 40)], ids=str)
def test_inputs_of_every_layout(size, layout, op):
    case = PoolCase("planes", op, (2, 19, *size), size)
    values = integers(case.x, "float32")
    x = READABLE[layout](values)
    np.testing.assert_array_equal(pool(case, x), case.expected(values).astype(np.float32), strict=True)


@over_operators
@pytest.mark.parametrize("layout", WRITABLE)
def test_results_in_every_layout(layout, op):
    case = PoolCase("planes", op, (3, 19, 4, 4), 4)
    x = integers(case.x, "float32")
    out = WRITABLE[layout](np.full((3, 19, 1, 1), np.nan, np.float32))
    assert pool(case, x, out=out) is out
    np.testing.assert_array_equal(out, case.expected(x).astype(np.float32))


@over_operators
@pytest.mark.parametrize(
    "parameters",
    [
        {"kernel_size": 7, "padding": 1},
        {"kernel_size": (7, 6), "padding": ((2, 1), (0, 3))},
        {"kernel_size": 4, "stride": 9, "padding": 2},
        {"kernel_size": 5, "stride": 6},
        {"kernel_size": 4, "stride": 5, "padding": ((2, 0), (0, 0))},
    ],
    ids=str,
)
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_what_the_window_leaves_out(count_include_pad, parameters, op):
    case = PoolCase("cropped", op, (2, 5, 6, 6), **parameters, count_include_pad=count_include_pad)
    x = integers(case.x, "float32")
    y = pool(case, x)
    assert y.shape == (2, 5, 1, 1)
    np.testing.assert_array_equal(y, case.expected(x).astype(np.float32))


def test_a_divisor():
    case = PoolCase("divided", "avg", (2, 5, 6, 6), 6, divisor_override=-5)
    x = integers(case.x, "float64")
    np.testing.assert_array_equal(pool(case, x), case.expected(x))


@over_operators
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_reaches_its_plane_alone(value, op):
    lanes = LANES["float32"]
    case = PoolCase("planes", op, (1, 2 * lanes + 1, 5, 7), (5, 7))
    for at in (0, 17, 34):
        x = integers(case.x, "float32")
        x[0, lanes, at // 7, at % 7] = value
        np.testing.assert_array_equal(pool(case, x), case.expected(x).astype(np.float32))


def test_sums_of_large_planes_are_accurate():
    case = PoolCase("large", "avg", (1, 2, 1000, 900), (1000, 900))
    x = np.abs(dynamic_range(case.x, "float32"))
    np.testing.assert_allclose(pool(case, x), case.expected(x), rtol=2 * np.finfo(np.float32).eps)


@over_operators
def test_the_same_bits_from_any_number_of_threads(op, threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    case = PoolCase("planes", op, (3, 50, 9, 9), 9)
    x = dynamic_range(case.x, "float32")
    threads(1)
    first = pool(case, x).tobytes()
    for n in (2, 3, 7):
        threads(n)
        assert pool(case, x).tobytes() == first


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"kernel_size": 4}, "one window"),
        ({"kernel_size": 4, "dilation": 2}, "no dilation"),
        ({"kernel_size": 7, "return_indices": True}, "of return_indices it takes False"),
    ],
    ids=str,
)
def test_it_says_what_it_cannot_do(parameters, reason):
    x = np.zeros((1, 2, 8, 8) if reason == "one window" else (1, 2, 7, 7), np.float32)
    with pytest.raises(ValueError, match=reason):
        gpuconv.max_pool2d(x, **parameters, algorithm="pool_global")
