"""`pool_separable`: any geometry in any layout, hard values, accuracy, traffic, and what it takes."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpuconv.algorithm import select
from gpuconv.cuda.pool import ALGORITHMS, separable
from gpuconv.cuda.pool.separable.tiles import tile_for
from gpuconv.cuda.runtime.gpu import GPUS, H200
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import PoolSpec
from tests import reference
from tests.cases import PoolCase, integers, zeros
from tests.cuda.execution import contiguous, execute, on_device, planned, poisoned, refusal
from tests.cuda.pool import pooling
from tests.cuda.pool.pooling import LAYOUTS
from tests.layouts import WRITABLE
from tests.sampling import few

LIMIT = 1.25  # times the input and the output once
BLOCKS = 12  # of a launch, that traffic is counted on


pool, check = (functools.partial(each, separable.ALGORITHM) for each in (pooling.pool, pooling.check))


@st.composite
def geometries(draw):
    op = draw(st.sampled_from(("max", "avg")))
    window = draw(st.tuples(*[st.sampled_from((1, 2, 3, 4, 5, 6, 9))] * 2))
    stride = draw(st.tuples(*[st.sampled_from((1, 1, 1, 2, 3, 4, 6))] * 2))
    dilation = draw(st.tuples(*[st.sampled_from((1, 1, 2, 3))] * 2)) if op == "max" else (1, 1)
    size = draw(st.tuples(st.integers(1, 20), st.sampled_from((*range(1, 20), 28, 64, 70))))
    pads = tuple(draw(st.tuples(*[st.integers(0, taps // 2)] * 2)) for taps in window)
    parameters = {
        "kernel_size": window, "stride": stride, "padding": pads, "ceil_mode": draw(st.booleans()),
    }  # fmt: skip
    if op == "max":
        parameters["dilation"] = dilation
    else:
        parameters["count_include_pad"] = draw(st.booleans())
        parameters["divisor_override"] = draw(st.sampled_from((None, None, 7, -2)))
    assume(min(reference.output_shape(size, window, stride, pads, dilation)) > 0)
    return PoolCase("drawn", op, (draw(st.integers(1, 2)), draw(st.integers(1, 5)), *size), **parameters)


@pytest.mark.wide  # a bare pytest runs the lists of cases
@settings(max_examples=40)
@given(geometries(), st.sampled_from(("float32", "float32", "float64")), st.data())
def test_any_geometry_in_any_layout(case, dtype, data):
    x = WRITABLE[data.draw(st.sampled_from(LAYOUTS))](integers(case.x, dtype))
    y = poisoned(case.spec(dtype).out_shape, dtype)
    check(case, x, WRITABLE[data.draw(st.sampled_from(LAYOUTS))](y))


WINDOWS = (
    PoolCase("5x5, in vectors", "max", (2, 3, 11, 16), 5, 1, 2),
    PoolCase("13x13 in pairs", "avg", (3, 5, 14, 14), 13, 1, 6),
    PoolCase("dilation and stride", "max", (1, 2, 19, 40), 3, 2, 1, (2, 3)),
    PoolCase("7x7, element by element", "max", (2, 3, 13, 13), 7, 1, 3),
    PoolCase("5x5, in vectors", "avg", (2, 3, 11, 16), 5, 1, 2, count_include_pad=False),
    PoolCase("13x13 in pairs", "max", (3, 5, 14, 14), 13, 1, 6),
    PoolCase("5x5, stride 2", "max", (1, 2, 17, 32), 5, 2, 2),
    PoolCase("7x7, stride 4", "avg", (1, 2, 17, 32), 7, 4, 3),
    PoolCase("3x3, dilated", "max", (1, 2, 12, 24), 3, 1, 1, 3),
    PoolCase("several tiles down", "max", (1, 1, 150, 24), (11, 5), 1, (5, 2)),
    PoolCase("several tiles across", "avg", (1, 1, 6, 700), (2, 9), 1, (1, 4)),
    PoolCase("several tiles each way, strided", "max", (1, 1, 90, 1200), (7, 4), 2, (3, 2)),
    PoolCase("a plane too many for the last tile", "max", (1, 67, 6, 6), 5, 1, 2),
)


@pytest.mark.parametrize("case", few(WINDOWS, 2), ids=str)
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.wide)])
def test_windows_of_every_kind(case, dtype):
    check(case, integers(case.x, dtype))


@pytest.mark.parametrize("case", few(WINDOWS[:8], 3), ids=str)
def test_values_that_are_not_finite(case):
    """An infinity or a NaN reaches the windows that cover it and no other."""
    x = integers(case.x, "float32")
    places = np.random.default_rng(4)
    for value in (np.inf, -np.inf, np.nan, -0.0):
        x[places.random(x.shape) < 0.01] = value
    check(case, x)


@pytest.mark.parametrize("fill", [-np.inf, np.inf, np.nan, -0.0])
def test_equal_values(fill):
    check(PoolCase("equal", "max", (1, 1, 9, 20), 5, 1, 2), np.full((1, 1, 9, 20), fill, "float32"))


@pytest.mark.wide
def test_sums_that_overflow_stay_in_their_windows():
    x = integers((1, 1, 12, 32), "float32")
    x[..., 5, 9:12] = 3e38
    case = PoolCase("overflow", "avg", x.shape, 5, 1, 2)
    y, _ = pool(case.spec(), x)
    with np.errstate(over="ignore"):
        covered = case.expected(np.where(x > 1e38, np.inf, 0.0)) == np.inf
    alone = case.expected(np.where(x > 1e38, 1.0, 0.0)) * 25 == 1  # 3e38 in one window does not overflow
    np.testing.assert_array_equal(np.isinf(y), covered & ~alone)
    np.testing.assert_array_equal(y[~covered], case.expected(x).astype("float32")[~covered])


@pytest.mark.wide  # ten seconds, for a kernel that other tests run
def test_sums_are_as_accurate_as_sums_by_rows():
    x = 1000 + np.random.default_rng(3).standard_normal((1, 1, 70, 80)).astype("float32")
    case = PoolCase("large", "avg", x.shape, 31, 1, 0)
    (y, _), exact = pool(case.spec(), x), case.expected(x)
    assert np.abs(y / exact - 1).max() < 31 * np.finfo("float32").eps


@pytest.mark.wide  # compiles a kernel of its own, for five seconds
def test_a_padding_of_more_than_half_of_the_window():
    """As "same" asks for where a dilated window has few taps: some windows meet padding alone."""
    case = PoolCase("same", "max", (1, 2, 5, 9), 2, 1, "same", 6)
    check(case, integers(case.x, "float32"))


@pytest.mark.parametrize("offset", [0, 4, 8])
def test_arrays_that_begin_anywhere(offset):
    shape = (2, 3, 8, 16)
    x, y = (np.full(768 + 4, np.nan, "float32")[offset // 4 :][:768].reshape(shape) for _ in range(2))
    x[...] = integers(shape, "float32")
    check(PoolCase("anywhere", "max", shape, 5, 1, 2), x, y)


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("array", ["x", "y"])
def test_rows_and_columns_further_apart_than_32_bits_count_are_refused(array, axis):
    """Steps of 2^31 elements within a tile are left to `pool_direct`, which counts in 64 bits."""
    spec = PoolSpec("max", 1, 1, 8, 8, 5, 5)
    names = []
    for step in (2**33 - 4, 2**33, -(2**33), -(2**33) - 4):
        layouts = contiguous(spec)
        layout = getattr(layouts, array)
        strides = (*layout.strides[:axis], step, *layout.strides[axis + 1 :])
        layouts = layouts._replace(**{array: layout._replace(strides=strides)})
        names.append(select(ALGORITHMS, spec, layouts, H200).name)
    assert names == ["pool_separable", "pool_direct", "pool_separable", "pool_direct"]


# Which kernel, which tile


SAME = PoolCase("", "max", (1, 2, 16, 16), 5, 1, 2)


def plan(case, **layout):
    return pooling.plan(separable.ALGORITHM, case.spec(), **layout)


@pytest.mark.parametrize(
    ("launch", "width", "load"),
    [
        (plan(SAME), "wide", 4),
        (plan(SAME, x_offset=4), "narrow", 1),
        (plan(SAME, x_offset=8), "narrow", 2),
        (plan(SAME, y_offset=4), "narrow", 4),
        (plan(replace(SAME, x=(1, 2, 16, 14))), "narrow", 2),
        (plan(replace(SAME, x=(1, 2, 16, 15))), "narrow", 1),
        (plan(replace(SAME, padding=0)), "wide", 4),
        (plan(replace(SAME, padding=1)), "narrow", 4),
    ],
)
def test_vectors_are_taken_where_they_are_aligned(launch, width, load):
    assert launch.kernel.name.endswith(width)
    assert launch.scalars["load"] == load


BIG = PoolSpec("max", 1, 1, 64, 64, 5, 5, pads=((2, 2), (2, 2)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"W": 2**30}, "2^30"),
        ({"H": 2**29, "stride": (3, 1)}, None),
        ({"R": 64, "S": 64}, None),
        ({"H": 600, "R": 400}, "too large"),
        ({"W": 9000, "S": 8000}, "too large"),
        ({"H": 600, "R": 5, "dilation": (100, 1)}, "too large"),
        ({"N": 2**16, "C": 2**15}, "2^31"),
    ],
)
def test_what_it_cannot_do_is_named(changes, reason):
    assert refusal(separable.ALGORITHM, BIG) is None
    found = refusal(separable.ALGORITHM, replace(BIG, **changes))
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "pool_separable"),
        ({"R": 3, "S": 3, "pads": ((1, 1), (1, 1))}, "pool_rows"),
        ({"R": 3, "S": 3, "dilation": (2, 2)}, "pool_separable"),
        ({"R": 64, "S": 64, "pads": ((0, 0), (0, 0))}, "pool_global"),
        ({"return_indices": True}, "pool_direct"),
        ({"R": 1, "S": 1, "pads": ((0, 0), (0, 0)), "stride": (2, 2)}, "pool_direct"),
    ],
)
def test_what_is_chosen(changes, name):
    spec = replace(BIG, **changes)
    assert select(ALGORITHMS, spec, contiguous(spec), H200).name == name


def test_tiles_fit():
    for case in WINDOWS:
        for dtype in ("float32", "float64"):
            tile = tile_for(case.spec(dtype), H200, 1, 1, True)
            assert tile.shared_bytes <= 48 * 1024
            assert tile.pitch >= tile.phases * tile.phase_pitch >= tile.columns


def test_the_tile_is_that_for_the_gpu_at_hand():
    """Fewer multiprocessors are busy with larger tiles, which load less of the image twice."""
    spec = PoolSpec("max", 1, 64, 112, 112, 5, 5, ((2, 2), (2, 2)))
    few, many = (tile_for(spec, GPUS[name], 4, 4, True) for name in ("l4", "h200"))
    assert few != many


# Traffic: the full height and width, counted on some blocks


FULL = (
    PoolSpec("max", 1, 192, 14, 14, 5, 5, ((2, 2), (2, 2))),
    PoolSpec("max", 1, 192, 14, 14, 13, 13, ((6, 6), (6, 6))),
    PoolSpec("max", 1, 64, 112, 112, 5, 5, ((2, 2), (2, 2))),
    PoolSpec("max", 1, 64, 112, 112, 13, 13, ((6, 6), (6, 6))),
    PoolSpec("mean", 1, 64, 112, 112, 3, 3, stride=(3, 3)),
    PoolSpec("mean", 1, 128, 56, 56, 2, 2),
    PoolSpec("max", 1, 128, 56, 56, 3, 3, ((2, 2), (2, 2)), dilation=(2, 2)),
    PoolSpec("max", 1, 64, 112, 112, 5, 5, ((2, 2), (2, 2)), (2, 2)),
)


@pytest.mark.wide  # seconds of the executor
@pytest.mark.parametrize("spec", FULL, ids=lambda spec: f"{spec.reduction} {spec.R}x{spec.S} @{spec.H}")
def test_each_element_is_requested_about_once(spec):
    x, y = zeros((spec.N, spec.C, spec.H, spec.W), spec.dtype), poisoned(spec.out_shape, spec.dtype)
    views = on_device(x), on_device(y, True)
    launch = planned(separable.ALGORITHM, spec, *views)
    sample = Launch(launch.kernel, min(launch.blocks, BLOCKS), launch.shared_bytes, launch.scalars)
    report, share = execute(sample, *views, count_memory=True), sample.blocks / launch.blocks
    assert share / LIMIT < report.traffic("global").bytes / spec.min_bytes < share * LIMIT
    shared = report.traffic("shared")
    # Of rows as short as 14 outputs a warp reads several, which no pitch keeps apart altogether.
    assert shared.wavefronts / shared.phases < (1.1 if spec.Q >= 32 else 1.6)
