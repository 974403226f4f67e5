"""Adaptive pools on the CPU: windows that share the image out, every size, layout and hard values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gpuconv
from gpuconv import cpu
from gpuconv import threads as sharing
from gpuconv.algorithm import refusal
from gpuconv.call import forced, understand
from tests import reference
from tests.cases import POOL_DTYPES, dynamic_range, equal, integers, normal
from tests.layouts import READABLE, WRITABLE

CASES = (
    ((2, 3, 7, 9), (3, 4)), ((1, 2, 5, 6), (5, 6)), ((2, 2, 6, 8), (3, 2)), ((1, 3, 4, 3), (1, 1)),
    ((1, 2, 3, 4), (7, 9)), ((1, 1, 150, 40), (7, 3)), ((0, 2, 4, 4), (2, 3)), ((2, 0, 5, 5), (2, 3)),
    ((1, 2, 130, 131), (2, 1)), ((3, 5, 13, 70), (6, 33)), ((1, 2, 9, 1), (2, 1)), ((1, 2, 1, 9), (1, 2)),
    ((1, 2, 4, 5), (0, 2)), ((1, 2, 5, 0), (0, 0)),
)  # fmt: skip
BY_NAME = {algorithm.name: algorithm for algorithm in cpu.ALGORITHMS["pool"]}
ALGORITHMS = ["pool_widened", "pool_channels", "pool_adaptive", "pool_argmax", "pool_direct"]
FUNCTIONS = {"mean": gpuconv.adaptive_avg_pool2d, "max": gpuconv.adaptive_max_pool2d}

over_cases = pytest.mark.parametrize(("shape", "size"), CASES)


means, maxima = reference.adaptive_avg_pool2d, reference.adaptive_max_pool2d


def whole_means(shape, size, dtype):
    """Integers whose means are integers: multiples of what all windows are divided by."""
    counts = {count for _, _, count in reference.adaptive_windows(shape[2:], size)}
    return (integers(shape, "float64") * math.lcm(*counts)).astype(dtype)


def over_taken(function, **parameters):
    """Parametrize by `shape`, `size` and `algorithm`, over the cases that an algorithm takes."""
    taken = []
    for shape, size in CASES:
        for algorithm in ALGORITHMS:
            call = understand(function, np.zeros(shape, dtype_of(algorithm)), size, **parameters)
            if refusal(BY_NAME[algorithm], call.spec, call.layouts, call.device) is None:
                taken.append((shape, size, algorithm))
    return pytest.mark.parametrize(("shape", "size", "algorithm"), taken)


def dtype_of(algorithm):
    return "float16" if algorithm == "pool_widened" else "float32"


@over_cases
@pytest.mark.parametrize("dtype", POOL_DTYPES)
def test_values(shape, size, dtype):
    x = integers(shape, dtype)
    values, indices = maxima(x, size)
    equal(gpuconv.adaptive_max_pool2d(x, size), values.astype(dtype))
    y, found = gpuconv.adaptive_max_pool2d(x, size, return_indices=True)
    equal(y, values.astype(dtype))
    np.testing.assert_array_equal(found, indices, strict=True)
    if dtype in ("float32", "float64"):
        x = whole_means(shape, size, dtype)
        equal(gpuconv.adaptive_avg_pool2d(x, size), means(x, size).astype(dtype))


@over_taken(gpuconv.adaptive_max_pool2d, return_indices=True)
def test_indices_by_each_algorithm(shape, size, algorithm):
    x = integers(shape, dtype_of(algorithm))
    values, indices = maxima(x, size)
    y, found = forced(gpuconv.adaptive_max_pool2d, algorithm, x, size, True)()
    equal(y, values.astype(x.dtype))
    np.testing.assert_array_equal(found, indices, strict=True)


@over_taken(gpuconv.adaptive_max_pool2d)
def test_maxima_by_each_algorithm(shape, size, algorithm):
    x = integers(shape, dtype_of(algorithm))
    y = forced(gpuconv.adaptive_max_pool2d, algorithm, x, size)()
    equal(y, maxima(x, size)[0].astype(x.dtype))


@over_taken(gpuconv.adaptive_avg_pool2d)
def test_means_by_each_algorithm(shape, size, algorithm):
    for maker in (normal, dynamic_range):
        x = maker(shape, dtype_of(algorithm))
        y = forced(gpuconv.adaptive_avg_pool2d, algorithm, x, size)()
        info = np.finfo(x.dtype)
        bound = 8 * np.finfo("float32").eps * means(np.abs(x), size)
        bound += np.abs(means(x, size)) * float(info.eps) + float(info.smallest_subnormal)
        assert (np.abs(y - means(x, size)) <= bound).all()


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint64"])
def test_integers(dtype):
    for shape, size in CASES:
        x = integers(shape, dtype)
        values, indices = maxima(x, size)
        y, found = gpuconv.adaptive_max_pool2d(x, size, return_indices=True)
        for each in (y, gpuconv.adaptive_max_pool2d(x, size)):
            np.testing.assert_array_equal(each, values.astype(dtype), strict=True)
        np.testing.assert_array_equal(found, indices)


@given(st.tuples(*[st.integers(1, 40)] * 2), st.tuples(*[st.integers(1, 45)] * 2), st.integers(0, 99))
def test_any_size(image, size, seed):
    x = integers((1, 2, *image), "float32", seed)
    places = np.random.default_rng(seed).integers(0, x.size, 8)
    x.reshape(-1)[places] = [np.nan, np.inf, -np.inf, -0.0, -0.0, np.nan, -0.0, -np.inf]
    values, indices = maxima(x, size)
    y, found = gpuconv.adaptive_max_pool2d(x, size, return_indices=True)
    for each in (y, gpuconv.adaptive_max_pool2d(x, size)):
        equal(each, values.astype("float32"))
        numbers = ~np.isnan(values)
        np.testing.assert_array_equal(np.signbit(each)[numbers], np.signbit(values)[numbers])
    np.testing.assert_array_equal(found, indices)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(gpuconv.adaptive_avg_pool2d(x, size), means(x, size), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", READABLE)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
def test_inputs_of_every_layout(layout, dtype):
    for size in ((3, 4), (9, 2)):  # windows that are not alike, and such that are
        x = integers((2, 3, 9, 8), dtype)
        laid = READABLE[layout](x)
        values, indices = gpuconv.adaptive_max_pool2d(x, size, return_indices=True)
        np.testing.assert_array_equal(gpuconv.adaptive_max_pool2d(laid, size), values, strict=True)
        found = gpuconv.adaptive_max_pool2d(laid, size, return_indices=True)
        np.testing.assert_array_equal(found[0], values, strict=True)
        np.testing.assert_array_equal(found[1], indices)
        if dtype != "int64":
            expected = gpuconv.adaptive_avg_pool2d(x, size)
            np.testing.assert_array_equal(gpuconv.adaptive_avg_pool2d(laid, size), expected, strict=True)


@pytest.mark.parametrize("layout", WRITABLE)
def test_results_in_every_layout(layout):
    x = integers((2, 3, 9, 8), "float32")
    for function in FUNCTIONS.values():
        expected = function(x, (4, 3))
        out = WRITABLE[layout](np.full(expected.shape, np.nan, "float32"))
        assert function(x, (4, 3), out=out) is out
        np.testing.assert_array_equal(out, expected)


def test_a_workspace_of_few_bytes(limit_workspace):
    x = integers((3, 5, 29, 31), ">f4")
    expected = gpuconv.adaptive_avg_pool2d(x, (4, 7))
    limit_workspace(16384)
    np.testing.assert_array_equal(gpuconv.adaptive_avg_pool2d(x, (4, 7)), expected)


@pytest.mark.parametrize("function", FUNCTIONS.values())
def test_the_same_bits_from_any_number_of_threads(function, threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    x = dynamic_range((3, 5, 37, 70), "float32")
    threads(1)
    first = function(x, (10, 9))
    for n in (1, 2, 3, 7):
        threads(n)
        assert function(x, (10, 9)).tobytes() == first.tobytes()


@pytest.mark.parametrize("function", FUNCTIONS.values())
def test_none_keeps_an_axis(function):
    x = integers((1, 2, 6, 5), "float32")
    np.testing.assert_array_equal(function(x, None), x)
    np.testing.assert_array_equal(function(x, (None, 2)), function(x, (6, 2)))
    np.testing.assert_array_equal(function(x, [3, None]), function(x, (3, 5)))
    np.testing.assert_array_equal(function(x[0], 3), function(x, 3)[0])


@pytest.mark.parametrize("function", FUNCTIONS.values())
@pytest.mark.parametrize(
    ("size", "error"),
    [
        (-1, ValueError), ((2, -1), ValueError), ((1, 2, 3), ValueError), (2**31, ValueError),
        ((), ValueError), ("2", TypeError), (2.0, TypeError), (True, TypeError), ((None,), TypeError),
        ((2, "x"), TypeError),
    ],
)  # fmt: skip
def test_wrong_sizes(function, size, error):
    out = np.full((1, 2, 2, 2), 7, np.float32)
    with pytest.raises(error, match="output_size must be"):
        function(np.zeros((1, 2, 4, 4), np.float32), size, out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("function", FUNCTIONS.values())
def test_an_image_of_nothing(function):
    with pytest.raises(ValueError, match=r"input must have rows and columns .* shape \(1, 2, 0, 4\)"):
        function(np.zeros((1, 2, 0, 4)), 2)
    with pytest.raises(TypeError, match="return_indices must be True or False, got 1"):
        gpuconv.adaptive_max_pool2d(np.zeros((1, 2, 4, 4)), 2, 1)


@pytest.mark.parametrize(
    ("function", "size", "name"),
    [
        (gpuconv.adaptive_avg_pool2d, 3, "pool_adaptive"), (gpuconv.adaptive_avg_pool2d, 1, "pool_global"),
        (gpuconv.adaptive_max_pool2d, 5, "pool_small"),
    ],
)  # fmt: skip
def test_explained(function, size, name):
    verdicts = gpuconv.explain(function, np.zeros((2, 3, 10, 10), np.float32), size)
    assert verdicts[0][0] == name


def test_beside_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    for shape, size in CASES:
        if 0 in shape or 0 in size:
            continue
        x = normal(shape, "float32")
        y, indices = functional.adaptive_max_pool2d(torch.from_numpy(x), size, return_indices=True)
        found = gpuconv.adaptive_max_pool2d(x, size, return_indices=True)
        np.testing.assert_array_equal(found[0], y)
        np.testing.assert_array_equal(found[1], indices)
        expected = functional.adaptive_avg_pool2d(torch.from_numpy(x), size)
        np.testing.assert_allclose(gpuconv.adaptive_avg_pool2d(x, size), expected, rtol=1e-5, atol=1e-6)
