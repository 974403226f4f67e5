"""Pools on the CPU: every algorithm on every case, on any geometry and layout, and on hard values."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import gpuconv
from gpuconv import cpu
from gpuconv import threads as sharing
from tests import reference
from tests.cases import POOL_CASES, POOL_DTYPES, PoolCase, dynamic_range, integers, normal
from tests.layouts import READABLE, WRITABLE
from tests.taken import FUNCTIONS, check_refusals, over_taken, reason

ALGORITHMS = [
    algorithm.name
    for algorithm in cpu.ALGORITHMS["pool"]
    if "max" in algorithm.takes["reduction"] and "regular" in algorithm.takes.get("windows", ("regular",))
]
NAMED = {str(case): case for case in POOL_CASES}
MAX_CASES = [case for case in POOL_CASES if case.op == "max"]

over_algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)
over_cases = pytest.mark.parametrize("case", POOL_CASES, ids=str)


def dtype_of(algorithm):
    """A dtype that it takes."""
    return np.dtype("float16" if algorithm == "pool_widened" else "float32")


def pool(case, x, algorithm, **keywords):
    """The forced algorithm's result; a skip where it refuses the case (`test_refusals_say_why`)."""
    function = FUNCTIONS[case.op]
    if why := reason(function, algorithm, (x,), **case.parameters, **keywords):
        pytest.skip(f"{algorithm}: {why}")
    return function(x, **case.parameters, algorithm=algorithm, **keywords)


@over_algorithms
@pytest.mark.parametrize("return_indices", [False, True])
def test_refusals_say_why(algorithm, return_indices):
    cases, more = (MAX_CASES, {"return_indices": True}) if return_indices else (POOL_CASES, {})
    check_refusals(algorithm, cases, POOL_DTYPES, **more)


@over_taken(POOL_CASES, POOL_DTYPES)
def test_integers_are_exact(case, algorithm, dtype):
    x = integers(case.x, dtype)
    y = pool(case, x, algorithm)
    np.testing.assert_array_equal(y, case.expected(x).astype(dtype), strict=True)


@over_taken(MAX_CASES, POOL_DTYPES, return_indices=True)
def test_indices_of_the_first_among_equals(case, algorithm, dtype):
    x = integers(case.x, dtype)  # nine values, so that most windows have several greatest ones
    y, indices = pool(case, x, algorithm, return_indices=True)
    values, places = reference.max_pool2d(x, **case.parameters)
    np.testing.assert_array_equal(y, values.astype(dtype), strict=True)
    np.testing.assert_array_equal(indices, places, strict=True)


@over_taken(POOL_CASES, POOL_DTYPES)
@pytest.mark.parametrize("make", [normal, dynamic_range])
def test_rounding_errors_stay_within_the_bound(case, make, algorithm, dtype):
    x = make(case.x, dtype)
    y = pool(case, x, algorithm)
    if case.op == "max":
        np.testing.assert_array_equal(y, case.expected(x).astype(dtype))
    else:
        bound = reference.mean_bound(x, dtype, **case.parameters)
        assert (np.abs(y - case.expected(x)) <= bound).all()


@over_algorithms
@pytest.mark.parametrize("layout", READABLE)
@pytest.mark.parametrize("name", ["max, 3x3, stride 2, padded", "avg, four sides", "max, 2x2, ragged"])
def test_inputs_of_every_layout(name, layout, algorithm):
    case = NAMED[name]
    values = integers(case.x, dtype_of(algorithm))
    x = READABLE[layout](values)
    expected = case.expected(values).astype(dtype_of(algorithm))
    np.testing.assert_array_equal(pool(case, x, algorithm), expected, strict=True)
    np.testing.assert_array_equal(x, values)  # never written to


@over_algorithms
@pytest.mark.parametrize("layout", WRITABLE)
@pytest.mark.parametrize("name", ["max, 3x3, stride 2, padded", "avg, four sides", "max, no images"])
def test_results_in_every_layout(name, layout, algorithm):
    case = NAMED[name]
    x = integers(case.x, dtype_of(algorithm))
    expected = case.expected(x)
    out = WRITABLE[layout](np.full(expected.shape, np.nan, dtype_of(algorithm)))
    assert pool(case, x, algorithm, out=out) is out
    np.testing.assert_array_equal(out, expected)


@over_algorithms
def test_out_takes_the_values_beside_fresh_indices(algorithm):
    case = NAMED["max, 2x2, ceil"]
    x = integers(case.x, dtype_of(algorithm))
    values, places = reference.max_pool2d(x, **case.parameters)
    out = np.full(values.shape, np.nan, dtype_of(algorithm))
    y, indices = pool(case, x, algorithm, return_indices=True, out=out)
    assert y is out
    np.testing.assert_array_equal(out, values)
    np.testing.assert_array_equal(indices, places)


@over_algorithms
@pytest.mark.parametrize("op", FUNCTIONS)
def test_nothing_beyond_a_strided_result_is_written(op, algorithm):
    case = NAMED[f"{op}, more than one tile"]
    x = integers(case.x, dtype_of(algorithm))
    N, C, P, Q = case.spec().out_shape
    storage = np.full((N, C + 2, P + 3, 2 * Q + 3), 7.5, dtype_of(algorithm))
    inside = np.s_[:, 1:-1, 2:-1, 1 : 2 * Q + 1 : 2]
    pool(case, x, algorithm, out=storage[inside])
    np.testing.assert_array_equal(storage[inside], case.expected(x).astype(dtype_of(algorithm)))
    storage[inside] = 7.5
    assert (storage == 7.5).all()


@st.composite
def geometries(draw):
    """A PoolCase of any small geometry that has an output."""
    op = draw(st.sampled_from(sorted(FUNCTIONS)))
    extent, tap, step = st.integers(1, 14), st.integers(1, 5), st.integers(1, 6)
    size, kernel = (draw(extent), draw(extent)), (draw(tap), draw(tap))
    stride = draw(st.one_of(st.none(), st.tuples(step, step)))
    dilation = draw(st.tuples(*[st.integers(1, 3)] * 2)) if op == "max" else 1
    padding = tuple(tuple(draw(st.integers(0, taps // 2)) for _ in range(2)) for taps in kernel)
    case = PoolCase(
        "drawn", op, (draw(st.integers(0, 2)), draw(st.integers(0, 3)), *size),
        kernel, stride, padding, dilation, draw(st.booleans()), draw(st.booleans()),
        draw(st.sampled_from((None, 1, 7, -2))),
    )  # fmt: skip
    assume(min(reference.output_shape(size, kernel, stride or kernel, padding, dilation)) > 0)
    return case


@given(geometries(), st.sampled_from(POOL_DTYPES), st.data())
def test_any_geometry_in_any_layout(case, dtype, data):
    values = integers(case.x, dtype)
    x = READABLE[data.draw(st.sampled_from(sorted(READABLE)))](values)
    indices = {"return_indices": True} if case.op == "max" and data.draw(st.booleans()) else {}
    expected = case.expected(values).astype(dtype)
    out = WRITABLE[data.draw(st.sampled_from(sorted(WRITABLE)))](np.full(expected.shape, np.nan, dtype))
    taken = [
        name
        for name in ALGORITHMS
        if reason(FUNCTIONS[case.op], name, (x,), **case.parameters, **indices, out=out) is None
    ]
    algorithm = data.draw(st.sampled_from(taken))
    result = FUNCTIONS[case.op](x, **case.parameters, algorithm=algorithm, out=out, **indices)
    np.testing.assert_array_equal(out, expected)
    if indices:
        places = reference.max_pool2d(values, **case.parameters)[1]
        np.testing.assert_array_equal(result[1], places, strict=True)


@over_algorithms
@over_cases
def test_values_that_are_not_finite(case, algorithm):
    x = integers(case.x, dtype_of(algorithm))
    places = np.random.default_rng(4)
    for value in (np.inf, -np.inf, np.nan):
        x[places.random(x.shape) < 0.05] = value
    np.testing.assert_array_equal(pool(case, x, algorithm), case.expected(x).astype(dtype_of(algorithm)))
    if case.op == "max":
        y, indices = pool(case, x, algorithm, return_indices=True)
        np.testing.assert_array_equal(y, case.expected(x).astype(dtype_of(algorithm)))
        np.testing.assert_array_equal(indices, reference.max_pool2d(x, **case.parameters)[1])


@over_algorithms
@pytest.mark.parametrize("fill", [-np.inf, np.inf, np.nan, 0.0, -1.0])
def test_the_index_of_equals_is_the_first_inside(fill, algorithm):
    case = PoolCase("equal", "max", (1, 1, 4, 4), 3, stride=2, padding=1)
    y, indices = pool(case, np.full(case.x, fill, dtype_of(algorithm)), algorithm, return_indices=True)
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), fill))
    assert indices.tolist() == [[[[0, 1], [4, 5]]]]


@over_algorithms
def test_the_two_zeros_are_equal(algorithm):
    case = PoolCase("zeros", "max", (1, 1, 1, 2), (1, 2))
    for x in ([0.0, -0.0], [-0.0, 0.0]):
        y, indices = pool(
            case, np.array(x, dtype_of(algorithm)).reshape(case.x), algorithm, return_indices=True
        )
        assert (y.item(), indices.item()) == (0, 0)


@over_algorithms
@pytest.mark.parametrize(
    "case",
    [
        PoolCase("taps that all miss", "max", (2, 3, 1, 1), 2, stride=1, dilation=2, padding=1),
        PoolCase("no rows", "max", (2, 3, 0, 4), 2, padding=1),
    ],
    ids=str,
)
def test_a_window_of_padding_alone_has_no_greatest(case, algorithm):
    y, indices = pool(case, integers(case.x, dtype_of(algorithm)), algorithm, return_indices=True)
    assert y.size > 0
    assert (y == -np.inf).all()
    assert (indices == -1).all()


@over_algorithms
@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("divisor_override", [None, 3])
def test_a_window_of_padding_alone_has_the_mean_0(divisor_override, count_include_pad, algorithm):
    case = PoolCase(
        "no rows", "avg", (2, 3, 0, 4), 2, padding=1,
        count_include_pad=count_include_pad, divisor_override=divisor_override,
    )  # fmt: skip
    y = pool(case, np.zeros(case.x, dtype_of(algorithm)), algorithm)
    assert y.shape == (2, 3, 1, 3)
    assert (y == 0).all()


@over_algorithms
def test_the_mean_of_a_large_window_is_accurate(algorithm):
    case = PoolCase("1e6 values", "avg", (1, 1, 1000, 1000), 1000)
    x = np.full(case.x, 0.1, dtype_of(algorithm))
    assert pool(case, x, algorithm).item() == pytest.approx(float(x[0, 0, 0, 0]), rel=1e-5)


@over_algorithms
@pytest.mark.parametrize("op", FUNCTIONS)
def test_the_same_bits_from_any_number_of_threads_and_every_run(op, algorithm, threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    case = NAMED[f"{op}, more than one tile"]
    x = dynamic_range(case.x, dtype_of(algorithm))
    threads(1)
    first = pool(case, x, algorithm)
    for n in (1, 2, 3, 7, 2):
        threads(n)
        assert pool(case, x, algorithm).tobytes() == first.tobytes()


@over_cases
def test_the_choice_is_explained_and_taken(case):
    x = integers(case.x, "float32")
    function = FUNCTIONS[case.op]
    verdicts = gpuconv.explain(function, x, **case.parameters)
    assert sorted(name for name, _ in verdicts) == sorted(each.name for each in cpu.ALGORITHMS["pool"])
    assert [verdict.startswith("selected") for _, verdict in verdicts] == [True] + [False] * (
        len(verdicts) - 1
    )
    forced = function(x, **case.parameters, algorithm=verdicts[0][0])
    assert function(x, **case.parameters).tobytes() == forced.tobytes()


@over_algorithms
def test_indices_beyond_2_to_the_31(algorithm):
    """An image of 70000 x 70000 that is one column, repeated, so that it takes no memory."""
    x = np.broadcast_to(np.zeros((1, 1, 70000, 1), dtype_of(algorithm)), (1, 1, 70000, 70000))
    case = PoolCase("far", "max", x.shape, 2, stride=69998)
    _, indices = pool(case, x, algorithm, return_indices=True)
    corner = 69998 * 70000
    assert indices.tolist() == [[[[0, 69998], [corner, corner + 69998]]]]
    assert case.x == x.shape


@pytest.mark.slow
@over_algorithms
@pytest.mark.parametrize("op", FUNCTIONS)
def test_offsets_beyond_2_to_the_31(op, algorithm, tmp_path):
    """The channels of input and output lie more than 2^31 elements apart, in sparse files."""
    apart = 2**31 + 5
    case = PoolCase("far", op, (1, 2, 4, 4), 2)
    values, size = integers(case.x, dtype_of(algorithm)), dtype_of(algorithm).itemsize
    x, y = (
        np.lib.stride_tricks.as_strided(
            np.memmap(tmp_path / name, dtype_of(algorithm), "w+", shape=(2 * apart,)),
            (1, 2, extent, extent), (size, size * apart, size * extent, size),
        )
        for name, extent in (("x", 4), ("y", 2))
    )  # fmt: skip
    x[...], y[...] = values, np.nan
    pool(case, x, algorithm, out=y)
    np.testing.assert_array_equal(y, case.expected(values))


@pytest.mark.parametrize(
    "padding", [np.array([1, 1]), np.array([[1, 1], [1, 1]]), [np.int64(1), 1]], ids=repr
)
def test_padding_as_an_array(padding):
    x = integers((1, 2, 6, 7), "float32")
    np.testing.assert_array_equal(
        gpuconv.max_pool2d(x, 3, padding=padding), gpuconv.max_pool2d(x, 3, padding=1)
    )


@pytest.mark.parametrize("function", FUNCTIONS.values())
@pytest.mark.parametrize("empty", [(), []], ids=repr)
def test_an_empty_stride_is_the_kernel_size(empty, function):
    """PyTorch's own sample inputs pass one."""
    x = integers((1, 2, 6, 7), "float32")
    for _ in range(2):  # learned, and remembered
        np.testing.assert_array_equal(function(x, (3, 2), empty), function(x, (3, 2)), strict=True)
    assert gpuconv.explain(function, x, (3, 2), empty) == gpuconv.explain(function, x, (3, 2))
