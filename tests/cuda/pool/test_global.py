"""`pool_global`: planes of any size in any layout, hard values, accuracy, and which kernel a problem gets."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuconv.cuda.pool import global_
from gpuconv.cuda.pool.global_ import kernel, tiles
from gpuconv.spec import PoolSpec
from tests.cases import DTYPES, PoolCase, integers
from tests.cuda.execution import poisoned, refusal
from tests.cuda.pool import pooling
from tests.cuda.pool.pooling import LAYOUTS
from tests.layouts import WRITABLE
from tests.sampling import few

pool, check = (functools.partial(each, global_.ALGORITHM) for each in (pooling.pool, pooling.check))


@st.composite
def geometries(draw):
    """One window that covers an image, or hangs over it, or leaves out its last rows and columns."""
    op, extent = draw(st.sampled_from(("max", "avg"))), st.sampled_from((1, 2, 3, 4, 7, 8, 12, 20, 33, 40))
    size = draw(st.tuples(extent, extent))
    spare = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    window = tuple(max(1, s - d) for s, d in zip(size, spare, strict=True))
    pads = tuple((draw(st.integers(0, 1)), 0) if w > 1 else (0, 0) for w in window)
    parameters = {"kernel_size": window, "stride": 99, "padding": pads}
    if op == "avg":
        parameters["count_include_pad"] = draw(st.booleans())
        parameters["divisor_override"] = draw(st.sampled_from((None, None, 7, -2)))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 11)), *size
    return PoolCase("drawn", op, shape, **parameters)


@pytest.mark.wide  # a bare pytest runs the lists of cases
@settings(max_examples=30)
@given(geometries(), st.sampled_from(("float32", "float64", "float16")), st.data())
def test_any_geometry_in_any_layout(case, dtype, data):
    values = integers(case.x, dtype)
    x = WRITABLE[data.draw(st.sampled_from(LAYOUTS))](values)
    y = poisoned(case.spec(dtype).out_shape, dtype)
    check(case, x, WRITABLE[data.draw(st.sampled_from(LAYOUTS))](y))


@pytest.mark.parametrize("extent", few([7, 40, 8, 33], 2))  # by warps and by blocks, in vectors and not
@pytest.mark.parametrize("op", ["max", "avg"])
@pytest.mark.parametrize("dtype", [*DTYPES, "float16", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_values_that_are_not_finite(op, extent, dtype):
    case = PoolCase("hard", op, (3, 4, extent, extent), extent)
    x = integers(case.x, dtype)
    x[0, 0, 3, 2], x[0, 0, 3, 4], x[0, 1, -1, -1], x[0, 2, 0, 0] = np.nan, np.nan, np.nan, np.inf
    x[0, 3], x[1, 0], x[1, 1], x[1, 2, 2, 2], x[1, 3, 4:] = -np.inf, np.inf, np.nan, -np.inf, np.nan
    x[2, 0], x[2, 1], x[2, 2, ::2], x[2, 3, 1:] = 0.0, -0.0, -0.0, -9
    check(case, x)


@pytest.mark.parametrize("extent", [7, 40])
def test_the_index_of_equals_is_the_first(extent):
    x = np.zeros((2, 5, extent, extent), "float32")
    x[:, :, 1:, 3], x[1, :, 1, 2:] = 1, 1
    check(PoolCase("equal", "max", x.shape, extent), x)


def test_large_planes_are_summed_accurately():
    case = PoolCase("large", "avg", (1, 2, 300, 500), (300, 500))
    x = np.full(case.x, 0.1, "float32")
    y, _ = pool(case.spec(), x)
    one_after_the_other = np.cumsum(x[0, 0].ravel())[-1] / x[0, 0].size
    assert abs(one_after_the_other - np.float32(0.1)) > 1e-4
    np.testing.assert_allclose(y, np.full(y.shape, np.float32(0.1)), rtol=1e-6)


def plan(case, dtype="float32", **layout):
    spec = case.spec(dtype, return_indices=case.name == "with indices")
    return pooling.plan(global_.ALGORITHM, spec, **layout)


SMALL, LARGE = (PoolCase("global", "max", (2, 9, s, s), s) for s in (8, 32))
RAGGED = PoolCase("global", "max", (2, 9, 7, 7), 7)


@pytest.mark.parametrize(
    ("launch", "name", "blocks"),
    [
        (plan(SMALL), "pool_global float32 max warp wide", 1),
        (plan(replace(SMALL, x=(5, 13, 8, 8))), "pool_global float32 max warp wide", 3),
        (plan(SMALL, x_offset=4), "pool_global float32 max warp narrow", 1),
        (plan(SMALL, pitch=12), "pool_global float32 max warp wide", 1),
        (plan(SMALL, pitch=9), "pool_global float32 max warp narrow", 1),
        (plan(RAGGED), "pool_global float32 max warp narrow", 1),
        (plan(replace(RAGGED, op="avg"), dtype="float64"), "pool_global float64 mean warp narrow", 1),
        (plan(LARGE), "pool_global float32 max block wide", 18),
        (plan(replace(LARGE, name="with indices")), "pool_global float32 argmax block", 18),
    ],
)
def test_the_kernel_fits_the_planes(launch, name, blocks):
    assert (launch.kernel.name, launch.blocks) == (name, blocks)


@pytest.mark.wide  # seconds of the compiler
def test_no_sum_is_longer_than_a_stage(monkeypatch):
    """With stages of one access the result of integers is the same."""
    monkeypatch.setattr(kernel, "STAGE", 1)
    for key in [key for key in kernel.KERNEL_OF if key[:2] == ("float32", "mean")]:
        monkeypatch.setitem(kernel.KERNEL_OF, key, kernel.make_kernel(*key))
    for extent in (7, 16, 70, 72):
        case = PoolCase("staged", "avg", (1, 3, extent, extent), extent)
        check(case, integers(case.x, "float32"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"R": 7, "stride": (1, 1)}, "one window"),
        ({"dilation": (2, 1), "R": 4}, "dilation"),
        ({"H": 0, "R": 2, "pads": ((1, 1), (0, 0))}, "padding alone"),
        ({"H": 2**15, "W": 2**15, "R": 2**15, "S": 2**15}, "2^30 elements"),
        ({"N": 2**15, "C": 2**15}, "2^30 planes"),
    ],
)
def test_what_it_cannot_do_is_named(changes, reason):
    spec = PoolSpec("max", 1, 1, 8, 8, 8, 8, stride=(9, 9))
    assert refusal(global_.ALGORITHM, spec) is None
    assert reason in refusal(global_.ALGORITHM, replace(spec, **changes))


def test_the_teams_are_those_that_the_kernels_are_written_for():
    """Halving goes through 8 planes of a warp, and 8 warps meet in a block."""
    warp, block = tiles.TEAMS
    assert (warp.threads, warp.planes, warp.parts) == (32, 8, 8)
    assert (block.threads, block.planes, block.block) == (256, 1, 256)
