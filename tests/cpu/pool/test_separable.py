"""Separable pooling: the shapes, blocks and layouts that its tasks, lines and vectors are cut into."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import gpuconv
from gpuconv import threads as sharing
from gpuconv.cpu.pool import separable as pool_separable
from gpuconv.cpu.simd import LANES
from gpuconv.spec import PoolSpec
from tests import reference
from tests.cases import DTYPES, PoolCase, dynamic_range, integers
from tests.cpu import problems
from tests.layouts import READABLE, WRITABLE

FUNCTIONS = {"max": gpuconv.max_pool2d, "avg": gpuconv.avg_pool2d}
over_dtypes = pytest.mark.parametrize("dtype", DTYPES)
over_operators = pytest.mark.parametrize("op", FUNCTIONS)

# (name, shape of x, parameters): each cuts the problem in another way
CUTS = (
    ("small planes, several in a task", (3, 11, 7, 7), {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("planes that count as one", (3, 5, 10, 10), {"kernel_size": 2}),
    ("planes that count as one, with gaps", (2, 5, 9, 8), {"kernel_size": 2, "stride": (3, 2)}),
    ("one long line", (2, 3, 7, 10), {"kernel_size": 2}),
    ("one long line, padded", (2, 3, 8, 10), {"kernel_size": 2, "padding": 1}),
    ("one long line, four rows", (2, 3, 8, 10), {"kernel_size": (4, 2)}),
    ("planes that count as one, ragged lines", (2, 3, 8, 13), {"kernel_size": (4, 2)}),
    ("stride 1, four columns", (2, 3, 7, 33), {"kernel_size": (3, 4), "stride": 1, "padding": 1}),
    ("ragged lines", (2, 3, 9, 13), {"kernel_size": 2}),
    ("lines of exactly one vector", (1, 2, 6, 16), {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("lines of a vector and one element", (1, 2, 6, 17), {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("stride 2, odd window", (2, 3, 20, 70), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("stride 3", (2, 3, 20, 40), {"kernel_size": 3}),
    ("stride 3, window 4", (1, 3, 20, 41), {"kernel_size": 4, "stride": 3, "padding": 2}),
    ("blocks of rows", (1, 2, 150, 200), {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("widened, several tasks", (2, 3, 60, 40), {"kernel_size": 9, "stride": 1, "padding": 4}),
    ("widened, stride 2", (1, 2, 60, 40), {"kernel_size": 13, "stride": 2, "padding": 3}),
    ("widened, stride 3", (1, 2, 40, 60), {"kernel_size": 17, "stride": 3, "padding": 8}),
    ("widened by a power of two", (1, 2, 24, 30), {"kernel_size": 16, "stride": 1, "padding": 8}),
    ("many rows, no overlap", (1, 2, 64, 64), {"kernel_size": (16, 8)}),
    ("four rows a line", (1, 2, 21, 33), {"kernel_size": (4, 1), "stride": (1, 1), "padding": (2, 0)}),
    ("five rows a line", (1, 2, 21, 33), {"kernel_size": (5, 1), "stride": (1, 2), "padding": (2, 0)}),
    ("one row, one column", (1, 2, 21, 40), {"kernel_size": (1, 4), "stride": 1}),
)
over_cuts = pytest.mark.parametrize(
    ("x", "parameters"), [cut[1:] for cut in CUTS], ids=[cut[0] for cut in CUTS]
)


def pool(case, x, **keywords):
    return FUNCTIONS[case.op](x, **case.parameters, algorithm="pool_separable", **keywords)


@pytest.fixture
def several_threads(threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    threads(3)


@over_cuts
@over_operators
@over_dtypes
def test_integers_are_exact(dtype, op, x, parameters, several_threads):
    case = PoolCase("cut", op, x, **parameters)
    x = integers(case.x, dtype)
    np.testing.assert_array_equal(pool(case, x), case.expected(x).astype(dtype), strict=True)


@over_cuts
@pytest.mark.parametrize("layout", ["strided", "reversed", "channels last", "unaligned"])
def test_every_cut_in_other_layouts(layout, x, parameters):
    case = PoolCase("cut", "avg", x, count_include_pad=False, **parameters)
    values = integers(case.x, "float32")
    expected = case.expected(values).astype(np.float32)
    out = WRITABLE[layout](np.full(expected.shape, np.nan, np.float32))
    np.testing.assert_array_equal(pool(case, READABLE[layout](values)), expected)
    assert pool(case, values, out=out) is out
    np.testing.assert_array_equal(out, expected)


@over_cuts
@over_operators
def test_values_that_are_not_finite_reach_their_windows_alone(op, x, parameters, several_threads):
    case = PoolCase("cut", op, x, **parameters)
    x = integers(case.x, "float32")
    places = np.random.default_rng(5)
    for value in (np.inf, -np.inf, np.nan):
        x[places.random(x.shape) < 0.01] = value
    np.testing.assert_array_equal(pool(case, x), case.expected(x).astype(np.float32))


def test_rows_of_a_view_are_not_read_beyond_their_ends():
    storage = np.full((2, 3, 12, 40), np.nan, np.float32)
    case = PoolCase("inside", "max", (2, 3, 8, 14), 3, stride=2, padding=1)
    x = storage[:, :, 2:10, 5:19]
    x[...] = integers(case.x, "float32")
    np.testing.assert_array_equal(pool(case, x), case.expected(x).astype(np.float32))


@pytest.mark.parametrize(
    ("x", "parameters"),
    [((1, 1, 60, 60), {"kernel_size": 40, "stride": 1}), ((1, 1, 1000, 9), {"kernel_size": (1000, 3)})],
    ids=str,
)
def test_sums_of_many_rows_are_accurate(x, parameters):
    case = PoolCase("many", "avg", x, **parameters)
    x = np.abs(dynamic_range(case.x, "float32"))
    np.testing.assert_allclose(pool(case, x), case.expected(x), rtol=8 * np.finfo(np.float32).eps)


def test_a_large_value_leaves_no_trace_in_the_next_window():
    case = PoolCase("large", "avg", (1, 1, 30, 30), 9, stride=1)
    x = np.ones(case.x, np.float32)
    x[0, 0, 0, 0] = 1e30
    y = pool(case, x)
    assert y[0, 0, 0, 0] > 1e28
    y[0, 0, 0, 0] = 1
    assert (y == 1).all()


@st.composite
def geometries(draw):
    """A PoolCase with windows large and small, over rows of up to several vectors."""
    op = draw(st.sampled_from(sorted(FUNCTIONS)))
    size = draw(st.integers(1, 40)), draw(st.integers(1, 3 * LANES["float32"] + 2))
    kernel = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    dilation = draw(st.tuples(*[st.integers(1, 3)] * 2)) if op == "max" else 1
    padding = tuple(tuple(draw(st.integers(0, taps // 2)) for _ in range(2)) for taps in kernel)
    case = PoolCase(
        "drawn", op, (draw(st.integers(1, 2)), draw(st.integers(1, 5)), *size),
        kernel, stride, padding, dilation, draw(st.booleans()), draw(st.booleans()),
        draw(st.sampled_from((None, 7, -2))),
    )  # fmt: skip
    assume(min(reference.output_shape(size, kernel, stride, padding, dilation)) > 0)
    return case


@given(geometries(), st.sampled_from(DTYPES), st.integers(20, 4096), st.integers(1, 5))
def test_any_geometry_in_blocks_of_any_size(case, dtype, block, threads):
    x = integers(case.x, dtype)
    before = gpuconv.get_num_threads(), pool_separable.BLOCK
    try:
        pool_separable.cut_blocks.cache_clear()
        pool_separable.BLOCK = block
        gpuconv.set_num_threads(threads)
        y = np.full(case.spec(dtype).out_shape, np.nan, dtype)
        problems.run(pool_separable.ALGORITHM, case.spec(dtype), x, y, None)
        np.testing.assert_array_equal(y, case.expected(x).astype(dtype), strict=True)
    finally:
        gpuconv.set_num_threads(before[0])
        pool_separable.BLOCK = before[1]
        pool_separable.cut_blocks.cache_clear()


def test_it_says_that_it_gives_no_indices():
    with pytest.raises(ValueError, match="of return_indices it takes False"):
        gpuconv.max_pool2d(np.zeros((1, 1, 4, 4)), 2, return_indices=True, algorithm="pool_separable")


def test_it_says_how_much_memory_it_needs():
    x = np.zeros((1, 1, 4, 4), np.float32)
    gpuconv.set_workspace_limit(0)
    try:
        with pytest.raises(ValueError, match=r"needs \d+ bytes .* limit of 0"):
            gpuconv.max_pool2d(x, 2, algorithm="pool_separable")
        assert (gpuconv.max_pool2d(x, 2) == 0).all()  # by another algorithm
    finally:
        gpuconv.set_workspace_limit(64 << 20)


@pytest.mark.parametrize("shape", [(8, 64, 112, 112), (1, 1, 4096, 4096), (2, 3, 7, 5), (1, 1, 1, 100_000)])
@pytest.mark.parametrize("window", [2, 3, 5])
def test_the_lines_of_a_task_lie_in_the_cache(shape, window):
    cut = pool_separable.cut_blocks(PoolSpec("max", *shape, R=1, S=window), True, True, 2)
    assert cut.group * cut.block * cut.pitch <= max(pool_separable.BLOCK, cut.pitch)


def test_one_image_is_work_for_every_thread():
    for shape in ((1, 1, 2048, 2048), (1, 3, 224, 224), (1, 512, 7, 7)):
        for threads in (1, 2, 16):
            spec = PoolSpec("max", *shape, R=3, S=3, pads=((1, 1), (1, 1)))
            assert pool_separable.cut_blocks(spec, True, True, threads).tasks >= 3 * threads


@pytest.mark.parametrize("op", ["max", "avg"])
@pytest.mark.parametrize(
    "view", [(slice(None), slice(None), None), (slice(None), slice(None), slice(None, None, -1))]
)
def test_the_stride_of_an_axis_of_one_element_means_nothing(view, op):
    """NumPy calls such arrays contiguous, whatever that stride is."""
    pool = {"max": gpuconv.max_pool2d, "avg": gpuconv.avg_pool2d}[op]
    x = np.random.default_rng(5).integers(-4, 5, (2, 64, 3, 40)).astype(np.float32)
    whole = np.full((6, 64, 19) if view[-1] is None else (6, 64, 1, 19), 77, np.float32)
    out = whole[2:4][view]
    expected = pool(x, (3, 3), (1, 2), algorithm="pool_direct")
    assert pool(x, (3, 3), (1, 2), out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert (whole[:2] == 77).all() and (whole[4:] == 77).all()


def test_an_image_of_no_columns_has_windows_of_padding():
    x = np.zeros((1, 1, 2, 0), np.float32)
    np.testing.assert_array_equal(gpuconv.max_pool2d(x, (1, 2), 1, (0, 1)), np.full((1, 1, 2, 1), -np.inf))
    np.testing.assert_array_equal(gpuconv.avg_pool2d(x, (1, 2), 1, (0, 1)), np.zeros((1, 1, 2, 1)))
