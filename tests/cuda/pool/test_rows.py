"""`pool_rows`: any geometry of its windows in any layout, hard values, and which kernel a layout gets."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpuconv.cuda.pool import rows
from gpuconv.spec import PoolSpec
from tests import reference
from tests.cases import DTYPES, PoolCase, integers
from tests.cuda.execution import poisoned, refusal
from tests.cuda.pool import pooling
from tests.cuda.pool.pooling import LAYOUTS
from tests.layouts import WRITABLE
from tests.sampling import few

WINDOWS = ((2, 2), (3, 2), (3, 1))


pool, check = (functools.partial(each, rows.ALGORITHM) for each in (pooling.pool, pooling.check))


@st.composite
def geometries(draw):
    op, (window, stride) = draw(st.sampled_from(("max", "avg"))), draw(st.sampled_from(WINDOWS))
    size = draw(st.tuples(st.integers(1, 20), st.sampled_from((*range(1, 20), 64, 132, 264))))
    pads = tuple(draw(st.tuples(*[st.integers(0, window // 2)] * 2)) for _ in range(2))
    parameters = {"kernel_size": window, "stride": stride, "padding": pads, "ceil_mode": draw(st.booleans())}
    if op == "avg":
        parameters["count_include_pad"] = draw(st.booleans())
        parameters["divisor_override"] = draw(st.sampled_from((None, None, 7, -2)))
    shape = draw(st.integers(1, 2)), draw(st.integers(1, 5)), *size
    case = PoolCase("drawn", op, shape, **parameters)
    assume(min(reference.output_shape(size, (window,) * 2, (stride,) * 2, pads, (1, 1))) > 0)
    return case


@pytest.mark.wide  # a bare pytest runs the lists of cases
@settings(max_examples=30)
@given(geometries(), st.sampled_from(("float32", "float64", "float16")), st.data())
def test_any_geometry_in_any_layout(case, dtype, data):
    values = integers(case.x, dtype)
    x = WRITABLE[data.draw(st.sampled_from(LAYOUTS))](values)
    y = poisoned(case.spec(dtype).out_shape, dtype)
    check(case, x, WRITABLE[data.draw(st.sampled_from(LAYOUTS))](y))


@pytest.mark.parametrize("columns", [16, 13])  # in vectors and not
@pytest.mark.parametrize(("window", "stride"), few(WINDOWS, 1))
@pytest.mark.parametrize("op", ["max", "avg"])
@pytest.mark.parametrize("dtype", [*DTYPES, "float16", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_values_that_are_not_finite(op, window, stride, columns, dtype):
    case = PoolCase("hard", op, (2, 3, 15, columns), window, stride, window // 2 if window == 3 else 0)
    x = integers(case.x, dtype)
    places = np.random.default_rng(4)
    for value in (np.inf, -np.inf, np.nan, -0.0):
        x[places.random(x.shape) < 0.1] = value
    check(case, x)


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize(("window", "stride"), few(WINDOWS, 1))
@pytest.mark.parametrize("fill", [-np.inf, np.inf, np.nan, 0.0])
def test_the_index_of_equals_is_the_first_inside(fill, window, stride):
    check(PoolCase("equal", "max", (1, 1, 8, 40), window, stride, window // 2), np.full((1, 1, 8, 40), fill))


@pytest.mark.wide
def test_neighbouring_lanes_hold_other_rows_and_planes():
    """Every lane's neighbour belongs to another row, plane or block somewhere."""
    x = np.arange(9 * 3 * 16, dtype="float32").reshape(3, 3, 3, 16) - 200
    for width in range(1, 17):
        check(PoolCase("narrower and narrower", "max", (3, 3, 3, width), 3, 1, 1), x[..., :width])


def plan(case, **layout):
    return pooling.plan(rows.ALGORITHM, case.spec(), **layout)


SAME = PoolCase("aligned", "max", (1, 2, 8, 16), 3, 1, 1)


@pytest.mark.parametrize(
    ("launch", "width", "vectors"),
    [
        (plan(SAME), "wide", True),
        (plan(SAME, pitch=20), "wide", True),
        (plan(SAME, pitch=18), "narrow", True),
        (plan(SAME, x_offset=4), "narrow", True),
        (plan(SAME, y_offset=4), "wide", False),
        (plan(replace(SAME, x=(1, 2, 8, 15))), "narrow", True),
        (plan(replace(SAME, padding=((1, 1), (0, 1)))), "narrow", True),
        (plan(replace(SAME, stride=2)), "wide", True),
        (plan(replace(SAME, kernel_size=2, stride=2, padding=0)), "wide", True),
        (plan(replace(SAME, kernel_size=2, stride=2)), "narrow", True),
    ],
)
def test_vectors_are_taken_where_they_are_aligned(launch, width, vectors):
    assert launch.kernel.name.endswith(width)
    assert launch.scalars["y_vectors"] == vectors


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("offset", [0, 4, 8])
@pytest.mark.parametrize("indices", [False, True])
def test_arrays_that_begin_anywhere(offset, indices):
    x = np.zeros(2 * 8 * 16 + 2, "float32")[offset // 4 :][: 2 * 8 * 16].reshape(1, 2, 8, 16)
    x[...] = integers(x.shape, "float32")
    spec = SAME.spec(return_indices=indices)
    y = poisoned(2 * 8 * 16 + 2, "float32")[offset // 4 :][: 2 * 8 * 16].reshape(spec.out_shape)
    places = poisoned(2 * 8 * 16 + 1, "int64")[offset // 8 :][: 2 * 8 * 16].reshape(spec.out_shape)
    pool(spec, x, y, places if indices else None)
    values, expected = reference.max_pool2d(x, 3, 1, 1)
    np.testing.assert_array_equal(y, values)
    if indices:
        np.testing.assert_array_equal(places, expected)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"R": 2}, "windows of 2x2"),
        ({"stride": (1, 2)}, "windows of 2x2"),
        ({"R": 5, "S": 5}, "windows of 2x2"),
        ({"dilation": (1, 2)}, "not dilated"),
        ({"pads": ((0, 2), (0, 0))}, "more than half"),
        ({"W": 0, "R": 2, "S": 2, "stride": (2, 2)}, "empty"),
        ({"W": 2**30}, "2^30"),
        ({"H": 2**20, "W": 2**12}, "2^32"),
        ({"N": 2**16, "C": 2**15}, "2^31 planes"),
        ({"N": 2**14, "C": 2**13}, "2^31 planes"),
    ],
)
def test_what_it_cannot_do_is_named(changes, reason):
    spec = PoolSpec("max", 1, 1, 64, 64, 3, 3, pads=((1, 1), (1, 1)), return_indices=True)
    assert refusal(rows.ALGORITHM, spec) is None
    assert reason in refusal(rows.ALGORITHM, replace(spec, **changes))
