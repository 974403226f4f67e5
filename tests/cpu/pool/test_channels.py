"""Windows over vectors of channels, or of planes that are turned: every cut into tiles, strips and lanes."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gpuconv
from gpuconv import threads as sharing
from gpuconv.cpu.pool import channels, tiles
from gpuconv.cpu.simd import LANES
from gpuconv.spec import PoolSpec
from gpuconv.spec.layouts import PoolLayouts
from tests import reference
from tests.cases import DTYPES, PoolCase, dynamic_range, integers
from tests.cpu import problems
from tests.cpu.pool.test_separable import geometries
from tests.layouts import READABLE, WRITABLE
from tests.taken import reason

FUNCTIONS = {"max": gpuconv.max_pool2d, "avg": gpuconv.avg_pool2d}
LAYOUTS = "contiguous", "channels last"
WIDTH = LANES["float32"]

# (name, shape of x, parameters): each cuts the problem in another way
CUTS = (
    ("few channels", (2, 3, 9, 11), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("runs along rows", (2, 3, 9, 21), {"kernel_size": (2, 3), "stride": 1, "padding": 1}),
    ("a vector and some channels", (1, WIDTH + 3, 6, 7), {"kernel_size": 3, "stride": (1, 3), "padding": 1}),
    ("four vectors", (2, 4 * WIDTH, 5, 6), {"kernel_size": 2}),
    ("four vectors and more", (1, 5 * WIDTH + 1, 5, 4), {"kernel_size": (3, 2), "stride": 1}),
    ("widened", (1, 5, 40, 40), {"kernel_size": 13, "stride": 1, "padding": 6}),
    ("widened, stride 2", (1, WIDTH, 40, 40), {"kernel_size": 15, "stride": 2, "padding": (7, 0)}),
    ("one row", (2, 5, 9, 13), {"kernel_size": (1, 4), "stride": (2, 1)}),
    ("one column", (2, 5, 13, 9), {"kernel_size": (4, 1), "stride": 1}),
    ("one column at a stride", (2, 5, 13, 9), {"kernel_size": (2, 1), "stride": (2, 3)}),
    ("images of one column", (3, 17, 21, 1), {"kernel_size": (8, 3), "stride": 1, "padding": (4, 1)}),
    ("more padding than rows", (2, 20, 2, 7), {"kernel_size": (21, 3), "stride": 1, "padding": (10, 1)}),
    ("global", (2, 19, 7, 7), {"kernel_size": 7}),
    ("many rows, many columns", (1, 18, 70, 40), {"kernel_size": (70, 40)}),
    ("strips of columns", (1, 100, 3, 900), {"kernel_size": (2, 3), "stride": 1}),
    ("several channels at a time", (1, 3000, 12, 2), {"kernel_size": (12, 2), "padding": (6, 1)}),
)
over_cuts = pytest.mark.parametrize(
    ("x", "parameters"), [cut[1:] for cut in CUTS], ids=[cut[0] for cut in CUTS]
)


@pytest.fixture
def several_threads(threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    threads(3)


def check(case, x, y_layout="contiguous"):
    """The values; and of maxima, once more, with their indices."""
    dtype = x.dtype.name
    expected = case.expected(x)
    y = WRITABLE[y_layout](np.full(expected.shape, np.nan, dtype))
    problems.run(channels.ALGORITHM, case.spec(dtype), x, y, None)
    same(y, expected, dtype)
    if case.op == "max":
        y = WRITABLE[y_layout](np.full(expected.shape, np.nan, dtype))
        indices = WRITABLE[y_layout](np.full(expected.shape, -7))
        problems.run(channels.ALGORITHM, case.spec(dtype, return_indices=True), x, y, indices)
        same(y, expected, dtype)
        np.testing.assert_array_equal(indices, reference.max_pool2d(x, **case.parameters)[1])


def same(y, expected, dtype):
    """The values, of maxima with the signs of zeros; a NaN is one value, whatever its bits."""
    np.testing.assert_array_equal(y, expected.astype(dtype), strict=True)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(y)[numbers], np.signbit(expected)[numbers])


@over_cuts
@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_integers_are_exact(layout, dtype, op, x, parameters, several_threads):
    case = PoolCase("cut", op, x, **parameters)
    check(case, READABLE[layout](integers(x, dtype)), layout)


@over_cuts
def test_hard_values_from_and_to_every_layout(x, parameters):
    """NaN, infinities and zeros of both signs."""
    rng = np.random.default_rng(5)
    values = rng.choice(
        np.float32([-np.inf, -1, -0.0, 0.0, 1, np.nan]), x, p=[0.3, 0.2, 0.2, 0.2, 0.09, 0.01]
    )
    case = PoolCase("cut", "max", x, **parameters)
    for source, result in itertools.product(LAYOUTS, repeat=2):
        if source != result:
            check(case, READABLE[source](values), result)
    check(case, READABLE["channels last"](values), "channels last")


@pytest.mark.parametrize("layout", ["strided", "reversed", "unaligned"])
def test_other_layouts(layout):
    for _, x, parameters in CUTS[:4]:
        case = PoolCase("cut", "avg", x, count_include_pad=False, **parameters)
        values = integers(x, "float32")
        if reason(gpuconv.avg_pool2d, "pool_channels", (READABLE[layout](values),), **case.parameters):
            continue
        check(case, READABLE[layout](values), "contiguous")
        check(case, READABLE["channels last"](values), layout)


def test_channels_that_are_a_part_of_a_larger_array():
    whole = np.full((2, 9, 11, 40), np.nan, np.float32)
    case = PoolCase("part", "max", (2, 21, 7, 8), 3, stride=2, padding=1)
    whole[:, 1:8, 2:10, 5:26] = np.moveaxis(integers(case.x, "float32"), 1, -1)
    check(case, np.moveaxis(whole[:, 1:8, 2:10, 5:26], -1, 1), "channels last")


@pytest.mark.wide  # seconds
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("size", "parameters"),
    [((60, 60), {"kernel_size": 40, "stride": 1}), ((1000, 9), {"kernel_size": (1000, 3)}),
     ((2, 900), {"kernel_size": (2, 900)}), ((130, 3), {"kernel_size": (50, 1), "stride": 50})],
    ids=str,
)  # fmt: skip
def test_long_sums_are_accurate(size, parameters, layout):
    case = PoolCase("long", "avg", (1, 5 * WIDTH + 2, *size), **parameters)
    x = np.abs(dynamic_range(case.x, "float32"))
    y = np.full(case.spec().out_shape, np.nan, np.float32)
    problems.run(channels.ALGORITHM, case.spec(), READABLE[layout](x), y, None)
    np.testing.assert_allclose(y, case.expected(x), rtol=8 * np.finfo(np.float32).eps)


@pytest.mark.wide  # seconds of the compiler
@given(
    geometries(), st.sampled_from(DTYPES), st.sampled_from((1, 3, 16, 21)), st.sampled_from(LAYOUTS),
    st.integers(1, 4096), st.integers(1, 5),
)  # fmt: skip
def test_any_geometry_in_tiles_of_any_size(case, dtype, C, layout, tile, threads):
    case = replace(case, x=(case.x[0], C, *case.x[2:]))
    before = gpuconv.get_num_threads(), tiles.TILE, tiles.WIDE_TILE
    try:
        tiles.TILE, tiles.WIDE_TILE = tile, 4 * tile
        gpuconv.set_num_threads(threads)
        check(case, READABLE[layout](integers(case.x, dtype)), layout)
    finally:
        gpuconv.set_num_threads(before[0])
        tiles.TILE, tiles.WIDE_TILE = before[1:]


@pytest.mark.parametrize(
    ("layout", "window", "selected"),
    [("channels last", {}, "pool_channels"), ("contiguous", {}, "pool_separable"),
     ("contiguous", {"return_indices": True}, "pool_channels")],
)  # fmt: skip
def test_what_is_selected(layout, window, selected):
    x = READABLE[layout](np.zeros((1, 32, 30, 30), np.float32))
    assert gpuconv.explain(gpuconv.max_pool2d, x, 3, 2, 1, **window)[0][0] == selected


def test_columns_of_pixels_are_no_wider_than_they_must():
    spec = PoolSpec("max", N=1, C=64, H=9, W=2000, R=3, S=3)
    last = problems.layout(READABLE["channels last"](np.zeros(spec.in_shape, np.float32)))
    y = problems.layout(READABLE["channels last"](np.zeros(spec.out_shape, np.float32)))
    cut = tiles.cut_tiles(spec, PoolLayouts(last, y), 1)
    assert cut.channels == 64 and cut.sizes["rows"] <= 2 * tiles.WIDE_TILE


@pytest.mark.parametrize("axis", [1, 2, 3])
@over_cuts
def test_broadcast_arrays(x, parameters, axis):
    """Whose elements along an axis are the same: the distance between them is 0."""
    whole = integers(x, "float32")
    seen = np.broadcast_to(READABLE["channels last"](whole.take([0], axis)), x)
    for op in FUNCTIONS:
        check(PoolCase("broadcast", op, x, **parameters), seen)
