"""Results of dask arrays, chunked along every axis, are those of the arrays that are whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuconv
from tests import reference
from tests.cases import CONV_CASES, CONV_DTYPES, POOL_CASES, TRANSPOSED_CASES, integers, normal, result_of
from tests.sampling import few

da = pytest.importorskip("dask.array")

MODES = tuple(reference.PAD_MODES)


def even(length):
    return max(3, length // 6)


def ragged(length, seed):
    """Chunks of one to a few, and of none now and then."""
    random, sizes = np.random.default_rng((length, seed)), []
    while sum(sizes) < length:
        sizes.append(min(int(random.integers(0, 2 * even(length))), length - sum(sizes)))
    return tuple(sizes) or (0,)


CHUNKINGS = {
    "one": lambda shape: (-1,) * len(shape),
    "single elements": lambda shape: (1,) * len(shape),
    "even": lambda shape: tuple(map(even, shape)),
    "ragged": lambda shape: tuple(ragged(length, axis) for axis, length in enumerate(shape)),
}
over_chunkings = pytest.mark.parametrize("chunking", few(["ragged", "even"], 1))


def chunked(array, chunking):
    return None if array is None else da.from_array(array, chunks=CHUNKINGS[chunking](array.shape))


def check(result, expected):
    """That a lazy result says of itself what it comes to, and that this is as expected."""
    assert isinstance(result, da.Array) and type(result._meta) is np.ndarray
    computed = result.compute(scheduler="sync")
    assert (result.shape, result.dtype, result._meta.ndim) == (computed.shape, computed.dtype, computed.ndim)
    for index in np.ndindex(*result.numblocks[:2]):
        assert result.blocks[index].compute(scheduler="sync").shape == result.blocks[index].shape
    np.testing.assert_array_equal(computed, expected, strict=True)


@over_chunkings
@pytest.mark.parametrize("case", CONV_CASES, ids=str)
def test_convolutions(case, chunking):
    x, w, bias = case.arrays("float32", integers)
    expected = case.expected(x, w, bias).astype("float32")
    others = (w, bias) if chunking == "even" else (chunked(each, chunking) for each in (w, bias))
    check(gpuconv.conv2d(chunked(x, chunking), *others, **case.parameters), expected)


@over_chunkings
@pytest.mark.parametrize("case", TRANSPOSED_CASES, ids=str)
def test_transposed_convolutions(case, chunking):
    x, w, bias = case.arrays("float32", integers)
    expected = case.expected(x, w, bias).astype("float32")
    others = (w, bias) if chunking == "even" else (chunked(each, chunking) for each in (w, bias))
    check(gpuconv.conv_transpose2d(chunked(x, chunking), *others, **case.parameters), expected)


@over_chunkings
@pytest.mark.parametrize("case", POOL_CASES, ids=str)
def test_pools(case, chunking):
    x = integers(case.x, "float32")
    pool = getattr(gpuconv, f"{case.op}_pool2d")
    check(pool(chunked(x, chunking), **case.parameters), pool(x, **case.parameters))
    if case.op == "max":
        of_blocks = pool(chunked(x, chunking), **case.parameters, return_indices=True)
        expected = reference.max_pool2d(x, **case.parameters)
        for result, whole in zip(of_blocks, expected, strict=True):
            check(result, whole.astype(result.dtype))


@over_chunkings
@pytest.mark.parametrize("size", [(1, 1), (3, 4), (5, 6), (4, 11), (8, 7), (10, 12), (13, 2)])
def test_adaptive_pools(size, chunking):
    x = integers((2, 3, 8, 12), "float64")
    found = gpuconv.adaptive_avg_pool2d(chunked(x, chunking), size).compute(scheduler="sync")
    np.testing.assert_allclose(found, reference.adaptive_avg_pool2d(x, size), rtol=1e-12, atol=1e-13)
    of_blocks = gpuconv.adaptive_max_pool2d(chunked(x, chunking), size, return_indices=True)
    for result, whole in zip(of_blocks, reference.adaptive_max_pool2d(x, size), strict=True):
        check(result, whole.astype(result.dtype))


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("norm", [1, 2, np.inf, -np.inf])
def test_norms_and_minima(norm, ceil_mode):
    x = abs(integers((2, 3, 11, 12), "float32")) + 1
    for chunking in ("even", "ragged"):
        found = gpuconv.lp_pool2d(chunked(x, chunking), norm, (3, 2), 2, ceil_mode)
        expected = gpuconv.lp_pool2d(x, norm, (3, 2), 2, ceil_mode)
        np.testing.assert_allclose(found.compute(scheduler="sync"), expected, rtol=1e-6)
        check(gpuconv.min_pool2d(chunked(x, chunking), 3, 2, 1, 1, ceil_mode),
              gpuconv.min_pool2d(x, 3, 2, 1, 1, ceil_mode))  # fmt: skip


@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize("padding", [1, ((3, 0), (0, 4)), ((4, 4), (5, 5)), "same"])
@pytest.mark.parametrize("mode", MODES)
def test_padding_modes(mode, padding, chunking):
    x, w = integers((2, 3, 5, 6), "float32"), integers((4, 3, 3, 2), "float32", 1)
    for stride in (1, (2, 3)):
        found = gpuconv.conv2d(chunked(x, chunking), w, None, stride, padding, padding_mode=mode)
        expected = reference.conv2d(x, w, None, stride, padding, padding_mode=mode).astype("float32")
        check(found, expected)


@pytest.mark.parametrize("dtype", CONV_DTYPES)
def test_dtypes(dtype):
    (case,) = (each for each in CONV_CASES if each.name == "groups")
    arrays = case.arrays(dtype, integers)
    result = gpuconv.conv2d(*(chunked(each, "ragged") for each in arrays), **case.parameters)
    assert result.dtype == result_of(dtype) == result._meta.dtype
    whole = gpuconv.conv2d(*arrays, **case.parameters)
    np.testing.assert_array_equal(result.compute(scheduler="sync"), whole, strict=True)


def test_an_epilogue_is_applied_once_to_each_result():
    x, w, bias = (
        integers(shape, "float32", seed) for seed, shape in enumerate([(2, 6, 9, 8), (4, 6, 3, 3), (4,)])
    )
    residual = integers((2, 4, 9, 8), "float32", 5)
    keywords = {"padding": 1, "activation": ("leaky_relu", 0.5)}
    expected = gpuconv.conv2d(x, w, bias, residual=residual, **keywords)
    for each in (residual, chunked(residual, "ragged")):
        check(gpuconv.conv2d(chunked(x, "even"), w, bias, residual=each, **keywords), expected)


@pytest.mark.parametrize("slopes", [(0.0, -0.0), (-0.0, 0.0)])
def test_slopes_of_either_zero_are_told_apart(slopes):
    x, w = -abs(integers((1, 1, 6, 8), "float32")) - 1, np.ones((1, 1, 2, 2), "float32")
    for slope in slopes:
        keywords = {"activation": ("leaky_relu", slope)}
        found = gpuconv.conv2d(chunked(x, "even"), w, **keywords).compute(scheduler="sync")
        assert (np.signbit(found) == (np.copysign(1, slope) > 0)).all()


def test_one_image_comes_back_unbatched():
    x, w = integers((3, 9, 8), "float32"), integers((4, 3, 3, 3), "float32", 1)
    check(gpuconv.conv2d(chunked(x, "even"), w, padding=1), gpuconv.conv2d(x, w, padding=1))
    check(
        gpuconv.conv_transpose2d(chunked(x, "even"), w[:3], stride=2),
        gpuconv.conv_transpose2d(x, w[:3], stride=2),
    )
    for found, whole in zip(
        gpuconv.max_pool2d(chunked(x, "even"), 2, return_indices=True),
        gpuconv.max_pool2d(x, 2, return_indices=True),
        strict=True,
    ):
        check(found, whole)


def test_channels_are_summed_in_one_order():
    """However they are chunked: the bits of the whole, since a block sees all that it sums over."""
    x, w = normal((1, 24, 12, 11), "float32"), normal((8, 24, 3, 3), "float32", 1)
    whole = gpuconv.conv2d(x, w, padding=1, algorithm="conv_direct")
    chunks = da.from_array(x, chunks=(1, 5, 12, 11))
    found = gpuconv.conv2d(chunks, w, padding=1, algorithm="conv_direct")
    np.testing.assert_array_equal(found.compute(scheduler="sync"), whole)


def test_rounding_errors_of_blocks_stay_within_the_bound():
    x, w = normal((2, 7, 23, 31), "float32"), normal((5, 7, 3, 4), "float32", 1)
    found = gpuconv.conv2d(chunked(x, "ragged"), w, padding="same", precision="ieee").compute(
        scheduler="sync"
    )
    bound = reference.error_bound(x, w, padding="same")
    assert (np.abs(found - reference.conv2d(x, w, padding="same")) <= bound).all()


sides = st.tuples(st.integers(0, 9), st.integers(0, 9))
cuts = st.lists(st.integers(1, 7), min_size=1, max_size=4)


@given(st.data())
@settings(max_examples=40)
def test_any_convolution_of_any_chunks(data):
    rows, columns, channels = data.draw(cuts), data.draw(cuts), data.draw(cuts)
    groups = data.draw(st.sampled_from([each for each in range(1, 8) if sum(channels) % each == 0]))
    K, R, S = (
        groups * data.draw(st.integers(1, 3)),
        data.draw(st.integers(1, 5)),
        data.draw(st.integers(1, 5)),
    )
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    stride, dilation = data.draw(pair), data.draw(pair)
    x = integers((1, sum(channels), sum(rows), sum(columns)), "float32")
    d = da.from_array(x, chunks=((1,), tuple(channels), tuple(rows), tuple(columns)))
    if data.draw(st.booleans()):
        w = integers((sum(channels), K // groups, R, S), "float32", 1)
        function, keywords = (
            gpuconv.conv_transpose2d,
            {"stride": stride, "dilation": dilation, "groups": groups},
        )
        keywords["padding"] = data.draw(sides)
    else:
        w = integers((K, sum(channels) // groups, R, S), "float32", 1)
        function, keywords = gpuconv.conv2d, {"stride": stride, "dilation": dilation, "groups": groups}
        keywords["padding"] = (data.draw(sides), data.draw(sides))
        keywords["padding_mode"] = data.draw(st.sampled_from(MODES))
    v = da.from_array(w, chunks=data.draw(st.tuples(*[st.integers(1, 4)] * 4)))
    try:
        expected = function(x, w, **keywords)
    except ValueError as error:
        with pytest.raises(ValueError) as raised:
            function(d, v, **keywords)
        assert str(raised.value) == str(error)
        return
    check(function(d, v, **keywords), expected)
