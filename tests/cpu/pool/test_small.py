"""Windows of 2 x 2 at stride 2 and of 3 x 3 at stride 1: rows of all lengths, borders, what others do."""

import itertools

import numpy as np
import pytest

import gpuconv
from gpuconv import threads as sharing
from gpuconv.algorithm import select
from gpuconv.cpu import pool
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.pool import small as pool_small
from gpuconv.cpu.simd import LANES
from gpuconv.spec import PoolSpec
from gpuconv.spec.layouts import PoolLayouts
from tests.cases import DTYPES, PoolCase, integers
from tests.cpu import problems

FUNCTIONS = {"max": gpuconv.max_pool2d, "avg": gpuconv.avg_pool2d}
over_dtypes = pytest.mark.parametrize("dtype", DTYPES)
over_operators = pytest.mark.parametrize("op", FUNCTIONS)

PADS = [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((1, 0), (0, 1)), ((0, 1), (1, 0)), ((0, 0), (1, 1))]
WINDOWS = [{"kernel_size": 2}, *({"kernel_size": 3, "stride": 1, "padding": pads} for pads in PADS)]
over_windows = pytest.mark.parametrize("window", WINDOWS, ids=str)


def run(case, x, y):
    """Compute `case` into `y` by this algorithm alone."""
    problems.run(pool_small.ALGORITHM, case.spec(x.dtype.name), x, y, None)
    return y


def empty(case, dtype):
    return np.full(case.spec(dtype).out_shape, 77, dtype)


@pytest.fixture
def several_threads(threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    threads(3)


@over_windows
@over_operators
@over_dtypes
def test_rows_of_every_length(dtype, op, window, several_threads):
    width = LANES[dtype]
    lengths = {3, 4, *(vectors * width + more for vectors in (1, 2, 3, 4, 6) for more in (-1, 0, 1, 2))}
    for length, height in itertools.product(sorted(lengths - {1, 2}), (3, 4, 9)):
        case = PoolCase("rows", op, (2, 3, height, length), **window)
        x = integers(case.x, dtype)
        np.testing.assert_array_equal(run(case, x, empty(case, dtype)), case.expected(x).astype(dtype))


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 2), (2, 40)], ids=str)
@over_operators
def test_images_smaller_than_a_window(op, size):
    case = PoolCase("small", op, (2, 3, *size), 3, 1, 1)
    x = integers(case.x, "float32") - 9  # maxima are less than the zero of an unused lane
    np.testing.assert_array_equal(run(case, x, empty(case, "float32")), case.expected(x).astype(np.float32))


@over_windows
@over_operators
def test_values_that_are_not_finite_reach_their_windows_alone(op, window):
    case = PoolCase("special", op, (2, 3, 20, 37), **window)
    x = integers(case.x, "float32")
    places = np.random.default_rng(5)
    for value in (np.inf, -np.inf, np.nan):
        x[places.random(x.shape) < 0.02] = value
    np.testing.assert_array_equal(run(case, x, empty(case, "float32")), case.expected(x).astype(np.float32))


@over_windows
@pytest.mark.parametrize("shape", [(1, 1, 50, 40), (5, 7, 6, 6), (3, 5, 7, 9)], ids=str)
def test_tasks_that_begin_and_end_anywhere(shape, window, several_threads, monkeypatch):
    case = PoolCase("tasks", "avg", shape, **window)
    x = integers(case.x, "float32")
    for tasks in (1, 3, 50, 10_000):
        monkeypatch.setattr(pool_small, "TASKS_PER_THREAD", tasks)
        y = run(case, x, empty(case, "float32"))
        np.testing.assert_array_equal(y, case.expected(x).astype(np.float32))


@over_windows
@over_operators
def test_rows_apart_and_backwards(op, window):
    """Neither what lies between the rows of x is read, nor what lies between those of y written."""
    case = PoolCase("inside", op, (2, 3, 9, 21), **window)
    x = np.full((3, 4, 12, 40), np.nan, np.float32)[1:, :3, 10:1:-1, 5:26]
    x[...] = integers(case.x, "float32")
    N, C, P, Q = case.spec("float32").out_shape
    whole = np.full((N + 1, C, 2 * P, Q + 3), 77, np.float32)
    y = whole[:N, ::-1, ::2, 2 : Q + 2]
    np.testing.assert_array_equal(run(case, x, y), case.expected(x).astype(np.float32))
    y[...] = 77
    assert (whole == 77).all()


@pytest.mark.parametrize("divisor", [1, 7, -2])
@pytest.mark.parametrize("window", [WINDOWS[0], WINDOWS[2]], ids=str)
def test_a_divisor(window, divisor):
    case = PoolCase("divided", "avg", (2, 3, 8, 30), **window, divisor_override=divisor)
    x = integers(case.x, "float64")
    np.testing.assert_array_equal(run(case, x, empty(case, "float64")), case.expected(x))


@pytest.mark.parametrize(
    "window", [*WINDOWS, {"kernel_size": (2, 3)}, {"kernel_size": 3, "stride": 3}], ids=str
)
def test_a_mean_of_negative_zeros_is_zero(window):
    y = gpuconv.avg_pool2d(np.full((1, 2, 9, 40), -0.0), **window)
    assert not np.signbit(y).any()


@pytest.mark.parametrize(
    ("op", "parameters"),
    [
        ("max", {"kernel_size": 2, "padding": 1}),
        ("max", {"kernel_size": 2, "ceil_mode": True}),
        ("max", {"kernel_size": 2, "stride": 1}),
        ("max", {"kernel_size": (2, 3), "stride": 2}),
        ("max", {"kernel_size": 3, "stride": 1, "dilation": 2}),
        ("max", {"kernel_size": 3, "stride": 2}),
        ("avg", {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False}),
    ],
    ids=str,
)
def test_what_is_left_to_others(op, parameters):
    case = PoolCase("other", op, (2, 3, 9, 11), **parameters)
    assert problems.refused(pool_small.ALGORITHM, case.spec("float32"))
    x = integers(case.x, "float32")
    y = FUNCTIONS[op](x, **parameters, algorithm="pool_separable")
    np.testing.assert_array_equal(y, case.expected(x).astype(np.float32))


def test_a_call_takes_it_where_rows_are_elements_side_by_side():
    x, out = np.zeros((1, 2, 8, 8), np.float32), np.ones((1, 2, 4, 8), np.float32)[..., ::2]
    halves, slides = {"kernel_size": 2}, {"kernel_size": 3, "stride": 1, "padding": 1}
    for op, image, window, to, name in (
        ("max", x, halves, None, "pool_small"),
        ("avg", x[:, :, 1:, 1:], slides, None, "pool_small"),
        ("max", x[..., ::2], halves, None, "pool_separable"),
        ("max", x, halves, out, "pool_separable"),
    ):
        spec = PoolCase("any", op, image.shape, **window).spec()
        y = np.empty(spec.out_shape, np.float32) if to is None else to
        lie = PoolLayouts(problems.layout(image), problems.layout(y))
        assert select(pool.ALGORITHMS, spec, lie, Processor(1)).name == name
        assert (FUNCTIONS[op](image, **window, out=to) == 0).all()


def test_one_image_is_work_for_every_thread():
    for threads in (2, 16):
        spec = PoolSpec("max", 1, 1, 2048, 2048, R=3, S=3, pads=((1, 1), (1, 1)))
        assert -(-2048 // pool_small.rows_of_task(spec, threads)) >= 4 * threads
