"""Convolution on the CPU: every algorithm on every case, on any geometry and layout, and on hard values."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import gpuconv
from gpuconv import cpu
from gpuconv import threads as sharing
from tests import reference
from tests.cases import CONV_CASES, DTYPES, ConvCase, dynamic_range, integers, normal
from tests.layouts import READABLE, WRITABLE
from tests.taken import check_refusals, over_taken, reason, taking

ALGORITHMS = taking("conv", "float32")
NAMED = {case.name: case for case in CONV_CASES}

over_algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)
over_cases = pytest.mark.parametrize("case", CONV_CASES, ids=str)


def convolve(case, x, w, bias, algorithm, **keywords):
    """The forced algorithm's result; a skip where it refuses the case (`test_refusals_say_why`)."""
    if why := reason(gpuconv.conv2d, algorithm, (x, w, bias), **case.parameters):
        pytest.skip(f"{algorithm}: {why}")
    return gpuconv.conv2d(x, w, bias, **case.parameters, algorithm=algorithm, **keywords)


@over_algorithms
def test_refusals_say_why(algorithm):
    check_refusals(algorithm, CONV_CASES, DTYPES)


@over_taken(CONV_CASES, DTYPES)
def test_integers_are_exact(case, algorithm, dtype):
    x, w, bias = case.arrays(dtype, integers)
    y = convolve(case, x, w, bias, algorithm)
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype(dtype), strict=True)


@over_taken(CONV_CASES, DTYPES)
@pytest.mark.parametrize("make", [normal, dynamic_range])
def test_rounding_errors_stay_within_the_bound(case, make, algorithm, dtype):
    x, w, bias = case.arrays(dtype, make)
    y = convolve(case, x, w, bias, algorithm)
    if algorithm == "conv_winograd":  # an output sees the greatest input of its tile
        bound = reference.tile_error_bound(x, w, bias, dtype, padding=case.padding, groups=case.groups)
    else:
        bound = reference.error_bound(x, w, bias, dtype, **case.parameters)
    error = np.abs(y - case.expected(x, w, bias))
    assert y.dtype == dtype
    assert (error <= bound).all(), f"{(error / bound).max()} times the bound"


@over_algorithms
def test_long_sums_stay_within_the_bound(algorithm):
    case = ConvCase("2304 products", (1, 256, 6, 6), (2, 256, 3, 3))
    x, w, bias = case.arrays("float32", normal)
    error = np.abs(convolve(case, x, w, bias, algorithm) - case.expected(x, w, bias))
    scale = np.linalg.norm(case.expected(x, w, bias)) / np.sqrt(error.size)
    assert np.sqrt(np.mean(error**2)) < 1e-6 * scale  # one running sum of 2304 products comes close to it


@over_algorithms
@pytest.mark.parametrize("layout", READABLE)
@pytest.mark.parametrize("name", ["stride 2", "depthwise, multiplier 3", "1x1, padded", "same, stride 2"])
def test_inputs_of_every_layout(name, layout, algorithm):
    case = NAMED[name]
    x, w, bias = case.arrays("float32", integers)
    expected = case.expected(x, w, bias)
    arrays = [None if array is None else READABLE[layout](array) for array in (x, w, bias)]
    y = convolve(case, *arrays, algorithm)
    np.testing.assert_array_equal(y, expected.astype(np.float32), strict=True)
    for array, before in zip(arrays, (x, w, bias), strict=True):
        np.testing.assert_array_equal(array, before)  # never written to


@over_algorithms
@pytest.mark.parametrize("layout", WRITABLE)
@pytest.mark.parametrize("name", ["stride 2", "groups", "no input channels", "no images"])
def test_results_in_every_layout(name, layout, algorithm):
    case = NAMED[name]
    x, w, bias = case.arrays("float32", integers)
    expected = case.expected(x, w, bias)
    out = WRITABLE[layout](np.full(expected.shape, np.nan, np.float32))
    assert convolve(case, x, w, bias, algorithm, out=out) is out
    np.testing.assert_array_equal(out, expected)


@over_algorithms
def test_nothing_beyond_a_strided_result_is_written(algorithm):
    case = NAMED["more than one tile each way"]
    x, w, bias = case.arrays("float32", integers)
    N, K, P, Q = case.spec().out_shape
    storage = np.full((N, K + 2, P + 3, 2 * Q + 3), 7.5, np.float32)
    inside = np.s_[:, 1:-1, 2:-1, 1 : 2 * Q + 1 : 2]
    convolve(case, x, w, bias, algorithm, out=storage[inside])
    np.testing.assert_array_equal(storage[inside], case.expected(x, w, bias))
    storage[inside] = 7.5
    assert (storage == 7.5).all()


@over_algorithms
def test_an_input_that_repeats_one_element(algorithm):
    x = np.broadcast_to(np.float32(2), (2, 3, 5, 6))
    w = np.broadcast_to(np.float32(3), (4, 3, 2, 2))
    case = ConvCase("broadcast", x.shape, w.shape)
    assert (convolve(case, x, w, None, algorithm) == 2 * 3 * 12).all()


@over_algorithms
def test_one_array_as_input_and_weight(algorithm):
    x = integers((3, 3, 4, 4), "float32")
    case = ConvCase("autocorrelation", x.shape, x.shape, padding="full")
    np.testing.assert_array_equal(convolve(case, x, x, None, algorithm), case.expected(x, x, None))


@st.composite
def geometries(draw):
    """A ConvCase of any small geometry that has an output."""
    few, extent, tap, step = st.integers(1, 3), st.integers(0, 14), st.integers(1, 5), st.integers(1, 4)
    groups = draw(few)
    C_group, K_group = draw(st.integers(0, 19)), draw(st.integers(0, 19))
    size, kernel = (draw(extent), draw(extent)), (draw(tap), draw(tap))
    stride, dilation = (draw(step), draw(step)), (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    side = st.integers(0, 5)
    four_sides = st.tuples(st.tuples(side, side), st.tuples(side, side))
    padding = draw(st.one_of(st.sampled_from(("valid", "same", "full")), four_sides))
    assume(min(reference.output_shape(size, kernel, stride, padding, dilation)) > 0)
    return ConvCase(
        "drawn",
        (draw(st.integers(0, 2)), groups * C_group, *size),
        (groups * K_group, C_group, *kernel),
        stride, padding, dilation, groups, draw(st.booleans()),
    )  # fmt: skip


readable = st.sampled_from(sorted(READABLE))


@given(geometries(), st.sampled_from(DTYPES), st.data())
def test_any_geometry_in_any_layout(case, dtype, data):
    x, w, bias = case.arrays(dtype, integers)
    expected = case.expected(x, w, bias)
    taken = [
        name for name in ALGORITHMS if reason(gpuconv.conv2d, name, (x, w, bias), **case.parameters) is None
    ]
    algorithm = data.draw(st.sampled_from(taken))
    arrays = [None if array is None else READABLE[data.draw(readable)](array) for array in (x, w, bias)]
    out = WRITABLE[data.draw(st.sampled_from(sorted(WRITABLE)))](np.full(expected.shape, np.nan, dtype))
    gpuconv.conv2d(*arrays, **case.parameters, algorithm=algorithm, out=out)
    np.testing.assert_array_equal(out, expected)


@over_algorithms
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name",
    ["odd", "stride 2", "dilation 2", "groups", "depthwise", "four sides", "1x1", "kernel 7x7, stride 2"],
)
def test_a_value_that_is_not_finite_reaches_its_windows_alone(name, value, algorithm):
    case = NAMED[name]
    x, w, bias = case.arrays("float32", integers)
    w[w == 0] = 1  # so that infinity times a weight is infinity
    n, c, h, v = (extent // 2 for extent in case.x)
    x[n, c, h, v] = value
    expected = case.expected(x, w, bias)
    assert 0 < np.isfinite(expected).mean() < 1
    np.testing.assert_array_equal(convolve(case, x, w, bias, algorithm), expected.astype(np.float32))


@over_taken([case for case in CONV_CASES if not case.large], ("float32",))
def test_values_that_are_not_finite_anywhere(case, dtype, algorithm):
    x, w, bias = case.arrays(dtype, integers)
    for array, seed in ((x, 4), (w, 5)):
        places = np.random.default_rng(seed)
        array[places.random(array.shape) < 0.02] = np.inf
        array[places.random(array.shape) < 0.01] = np.nan
    y = convolve(case, x, w, bias, algorithm)
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype(np.float32))


@over_algorithms
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_shows_at_zero_padded_borders(value, algorithm):
    case = ConvCase("border", (1, 1, 3, 4), (1, 1, 3, 3), padding=1)
    x, w = np.ones(case.x, np.float32), np.ones(case.w, np.float32)
    w[0, 0, 0, 1] = value  # the tap above: over zeros along the first row of outputs
    y = convolve(case, x, w, None, algorithm)[0, 0]
    assert np.isnan(y[0]).all()
    np.testing.assert_array_equal(y[1:], np.full((2, 4), value, np.float32))


@over_algorithms
def test_finite_values_overflow_only_where_their_sum_does(algorithm):
    case = ConvCase("overflow", (1, 1, 8, 8), (1, 1, 3, 3), padding=1)
    x, w = np.zeros(case.x, np.float32), np.zeros(case.w, np.float32)
    x[0, 0, 3:5, 3:5] = 3e38  # two of them side by side overflow in any transform that adds neighbours
    w[0, 0, 1, 1] = 1
    np.testing.assert_array_equal(convolve(case, x, w, None, algorithm), x)


@over_algorithms
def test_subnormal_values_are_kept(algorithm):
    case = ConvCase("subnormal", (1, 2, 4, 4), (1, 2, 1, 1))
    x = np.full(case.x, np.float32(1e-45))
    y = convolve(case, x, np.ones(case.w, np.float32), None, algorithm)
    np.testing.assert_array_equal(y, np.full((1, 1, 4, 4), 2 * np.float32(1e-45)))


@over_algorithms
@pytest.mark.parametrize("name", ["more than one tile each way", "130 of 70 channels", "odd"])
def test_the_same_bits_from_any_number_of_threads_and_every_run(name, algorithm, threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    case = NAMED[name]
    x, w, bias = case.arrays("float32", dynamic_range)
    threads(1)
    first = convolve(case, x, w, bias, algorithm)
    for n in (1, 2, 3, 7, 2):
        threads(n)
        assert convolve(case, x, w, bias, algorithm).tobytes() == first.tobytes()


@over_cases
def test_the_choice_is_explained_and_taken(case):
    x, w, bias = case.arrays("float32", integers)
    verdicts = gpuconv.explain(gpuconv.conv2d, x, w, bias, **case.parameters)
    assert sorted(name for name, _ in verdicts) == sorted(each.name for each in cpu.ALGORITHMS["conv"])
    assert [verdict.startswith("selected") for _, verdict in verdicts] == [True] + [False] * (
        len(verdicts) - 1
    )
    forced = gpuconv.conv2d(x, w, bias, **case.parameters, algorithm=verdicts[0][0])
    assert gpuconv.conv2d(x, w, bias, **case.parameters).tobytes() == forced.tobytes()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc tells the peak of memory used")
def test_the_workspace_is_bounded_where_the_result_is_small(fresh_python):
    code = """
import re, numpy as np, gpuconv
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
x, w = np.ones((1, 1, 4, 4), np.float32), np.ones((1, 1, 2, 2), np.float32)
gpuconv.conv2d(x, w)
before = peak()
y = gpuconv.conv2d(x, w, padding=2**25, stride=2**25, dilation=2**26)
print(y.shape, peak() - before < 64)
"""
    assert fresh_python(code) == "(1, 1, 1, 1) True"


@pytest.mark.slow
@over_algorithms
def test_offsets_beyond_2_to_the_31(algorithm, tmp_path):
    """Every other element of each array lies more than 2^31 elements beyond the first, in a sparse file."""
    case = ConvCase("far", (2, 2, 3, 3), (2, 2, 2, 2))
    x, w, bias = case.arrays("float32", integers)
    far = [_far_apart(array, tmp_path / name) for name, array in (("x", x), ("w", w))]
    y = _far_apart(np.full((2, 2, 2, 2), np.nan, np.float32), tmp_path / "y")
    assert y.strides[1] // 4 > 2**31
    convolve(case, *far, bias, algorithm, out=y)
    np.testing.assert_array_equal(y, case.expected(x, w, bias))


def _far_apart(array, path):
    """A copy whose channels lie 2^31 + 5 elements apart."""
    apart = 2**31 + 5
    storage = np.memmap(path, array.dtype, "w+", shape=(apart * array.shape[1],))
    row = array.strides[2], array.strides[3]
    image = array[0, 0].nbytes
    view = np.lib.stride_tricks.as_strided(storage, array.shape, (image, apart * array.itemsize, *row))
    view[...] = array
    return view
