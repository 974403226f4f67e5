"""Convolution by transforms: its tiles, how far it is off, and what it leaves to others."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import gpuconv
from gpuconv import threads as sharing
from gpuconv.algorithm import select
from gpuconv.cpu import conv
from gpuconv.cpu.conv import fft
from gpuconv.cpu.conv.fft import trust
from gpuconv.cpu.conv.fft.parts import parts_of
from gpuconv.cpu.conv.fft.tiles import best_length, cut, lengths
from gpuconv.cpu.conv.fft.transform import spectra_of
from gpuconv.spec import ConvSpec
from tests import reference
from tests.cases import ConvCase, dynamic_range, integers, normal
from tests.cpu.problems import problem, refused

ALGORITHM = next(each for each in conv.ALGORITHMS if each.name == "conv_fft")
CASES = [
    ConvCase("one tile", (1, 1, 40, 37), (1, 1, 13, 15), padding="same"),
    ConvCase("several tiles, images and channels", (2, 3, 90, 70), (4, 3, 9, 8), bias=True),
    ConvCase("many channels", (2, 9, 24, 26), (7, 9, 8, 7), padding=3, bias=True),
    ConvCase("groups", (1, 6, 40, 50), (4, 3, 9, 8), padding=((3, 2), (1, 0)), groups=2),
    ConvCase("depthwise", (2, 8, 40, 30), (16, 1, 11, 11), padding=5, groups=8, bias=True),
    ConvCase("full", (1, 2, 30, 40), (2, 2, 13, 15), padding="full", bias=True),
    ConvCase("strides", (1, 2, 60, 70), (3, 2, 11, 9), stride=(2, 3), padding=(5, 4)),
    ConvCase("dilation", (1, 2, 60, 70), (3, 2, 9, 7), dilation=(2, 3), padding=(8, 9), bias=True),
    ConvCase("strides and dilation", (1, 1, 70, 80), (2, 1, 8, 9), stride=(2, 4), dilation=(3, 2), padding=7),
    ConvCase("rows", (1, 2, 20, 150), (5, 2, 1, 31), stride=(1, 2), padding=(0, 15)),
    ConvCase("columns", (1, 2, 150, 20), (5, 2, 31, 1), padding=(15, 0), bias=True),
    ConvCase("small windows", (3, 2, 5, 6), (3, 2, 3, 2), padding=1),
    ConvCase("1x1", (2, 3, 9, 11), (4, 3, 1, 1), bias=True),
    ConvCase("padding wider than the image", (1, 1, 6, 7), (2, 1, 9, 9), padding=8),
]
over_cases = pytest.mark.parametrize("case", CASES, ids=str)
LARGE = ConvSpec(1, 1, 256, 256, 1, 63, 63, ((31, 31), (31, 31)))


def convolve(case, x, w, bias=None, **keywords):
    return gpuconv.conv2d(x, w, bias, **case.parameters, algorithm="conv_fft", **keywords)


@pytest.fixture
def anew(monkeypatch):
    """The boxes of outputs that are left to others, because transforms are not trusted with them."""
    boxes = []
    spoilt = fft.spoilt_outputs

    def spy(*arguments):
        found = [*spoilt(*arguments)]
        boxes.extend(found)
        return found

    monkeypatch.setattr(fft, "spoilt_outputs", spy)
    return boxes


@pytest.mark.parametrize("count", [1, 2])
@over_cases
def test_integers_are_exact(case, count, threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    threads(count)
    x, w, bias = case.arrays("float32", integers)
    np.testing.assert_array_equal(
        convolve(case, x, w, bias), case.expected(x, w, bias).astype(np.float32), strict=True
    )


def one_in_a_million(shape, dtype, seed=0):
    """Small numbers, and one that is greater by 2^40."""
    values = normal(shape, dtype, seed)
    values.reshape(-1)[values.size // 2] = 2.0**40
    return values


def bell(shape, dtype, seed=0):
    """Magnitudes from 1 in the middle down to 1e-14 at the corners, and black areas."""
    if len(shape) < 4:
        return normal(shape, dtype, seed)
    extents = np.reshape(shape[2:], (2, 1, 1))
    places = (np.indices(shape[2:]) - (extents - 1) / 2) / (extents / 8)
    values = np.broadcast_to(np.exp(-(places**2).sum(0)), shape).copy()
    values[..., shape[2] // 2 + 2 :, : shape[3] // 3] = 0
    return values.astype(dtype)


@pytest.mark.parametrize("make", [normal, dynamic_range, one_in_a_million, bell])
@over_cases
def test_each_output_is_bounded_by_its_own_products(case, make):
    x, w, bias = case.arrays("float32", make)
    y = convolve(case, x, w, bias).astype(np.float64)
    own = reference.conv2d(np.abs(x), np.abs(w), None if bias is None else np.abs(bias), **case.parameters)
    few = 3 if make is normal else reference.BOUND  # others of the list may have computed it
    assert (np.abs(y - case.expected(x, w, bias)) <= few * 2.0**-23 * own).all()


@over_cases
def test_what_is_nowhere_negative_has_no_negative_sum_and_zeros_give_the_bias(case):
    x, w, bias = case.arrays("float32", lambda *given: np.abs(normal(*given)))
    x[..., : x.shape[2] // 2, :] = 0
    w[..., -1] = 0
    y, expected = convolve(case, x, w, bias), case.expected(x, w, bias)
    assert (y >= 0).all()
    offset = np.zeros(len(w)) if bias is None else bias
    zero = expected == offset[:, None, None]
    assert (y[zero] == np.broadcast_to(offset[:, None, None], y.shape)[zero]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@over_cases
def test_a_value_that_is_not_finite_reaches_its_windows_alone(case, value):
    x, w, bias = case.arrays("float32", integers)
    w[w == 0] = 1
    x[0, 0, 0, 0] = x[-1, -1, -1, -1] = value
    np.testing.assert_array_equal(convolve(case, x, w, bias), case.expected(x, w, bias).astype(np.float32))
    x[0, 0, 0, 0] = x[-1, -1, -1, -1] = 1
    w[0, 0, 0, 0] = value
    np.testing.assert_array_equal(convolve(case, x, w, bias), case.expected(x, w, bias).astype(np.float32))


@over_cases
def test_random_data_need_no_other_algorithm(case, anew):
    """But for outputs beside wide padding, which are parted when it is planned."""
    x, w, bias = case.arrays("float32", lambda *given: np.abs(normal(*given)) + 0.1)
    convolve(case, x, w, bias)
    assert not anew


def test_only_the_outputs_that_need_it_are_computed_anew(anew):
    case = ConvCase("several tiles", (2, 1, 500, 40), (1, 1, 13, 15))
    x, w, _ = case.arrays("float32", lambda *given: np.abs(normal(*given)) + 0.1)
    x[1, 0, 250, 20] = np.nan
    convolve(case, x, w)
    assert 0 < sum(len(rows) for _, rows, _ in anew) < 488 and {n for n, *_ in anew} == {1}
    anew.clear()
    x[1, 0, 250, 20] = 1
    x[0, 0, :100] = 0  # a window of zeros alone, which nothing is known of: the range says that it is one
    convolve(case, x, w)
    assert not anew


def test_a_sum_beyond_float32_is_infinite():
    case = CASES[0]
    x, w = np.full(case.x, 3e38, np.float32), np.full(case.w, -3e38, np.float32)
    assert (convolve(case, x, w) == -np.inf).all()


@pytest.mark.parametrize("make", [normal, dynamic_range])
@pytest.mark.parametrize("case", [CASES[1], CASES[2], CASES[9]], ids=str)
def test_the_bound_holds_before_the_result_is_rounded_to_float32(case, make):
    x, w, _ = case.arrays("float32", make)
    spec = case.spec()
    tiles = cut(spec, 2**24)
    y = np.zeros(spec.out_shape)
    [*fft._convolve(spec, tiles, x, w, np.zeros(len(w)), y)]
    squares = (x.astype(np.float64) ** 2).sum((1, 2, 3)).reshape(spec.N, 1)  # of all tiles of an image
    weights = trust.weights_of(spec, w.reshape(1, *w.shape))
    errors = trust.errors_of(spec, tiles, weights, squares)[:, 0, :, None, None]
    off = np.abs(y - case.expected(x, w, None))
    assert (off <= 3 * errors).all() and (off > 0).any()


def test_epilogues_strided_results_and_channels_last():
    case = CASES[2]
    x, w, bias = case.arrays("float32", integers)
    expected = case.expected(x, w, bias)
    residual = integers(expected.shape, "float32", 5)
    out = np.full((*expected.shape[:3], 2 * expected.shape[3]), 7.5, np.float32)
    convolve(case, x, w, bias, residual=residual, activation="relu", out=out[..., ::2])
    np.testing.assert_array_equal(out[..., ::2], np.maximum(expected + residual, 0))
    assert (out[..., 1::2] == 7.5).all()
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(convolve(case, last, w, bias), expected)


@pytest.fixture
def limit():
    yield gpuconv.set_workspace_limit
    gpuconv.set_workspace_limit(64 << 20)


def test_the_workspace_is_bounded(limit):
    case = ConvCase("many spectra", (2, 16, 100, 90), (16, 16, 15, 15), padding=7)
    x, w, _ = case.arrays("float32", integers)
    expected = convolve(case, x, w)
    limit(4 << 20)
    y = np.empty_like(expected)
    tracemalloc.start()
    try:
        convolve(case, x, w, out=y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 << 20
    np.testing.assert_array_equal(y, expected)
    limit(1 << 16)
    assert "bytes to work in, more than the limit" in refused(ALGORITHM, case.spec())


def test_it_is_chosen_for_large_windows_and_never_for_ieee():
    assert select(conv.ALGORITHMS, *problem(LARGE)).name == "conv_fft"
    assert select(conv.ALGORITHMS, *problem(replace(LARGE, C=3, K=3))).name == "conv_fft"
    for change in ({"precision": "ieee"}, {"dtype": "float64"}, {"R": 3, "S": 3}):
        assert select(conv.ALGORITHMS, *problem(replace(LARGE, **change))).name != "conv_fft"


def test_gradients_and_numbers_of_16_bits_lower_to_it(monkeypatch):
    x, w = np.ones((1, 1, 256, 256), np.float16), np.ones((1, 1, 63, 63), np.float16)
    assert "by conv_fft" in gpuconv.explain(gpuconv.conv2d, x, w, padding=31)[0][1]
    convolved = []
    monkeypatch.setattr(fft, "spectra_of", lambda *given: convolved.append(given) or spectra_of(*given))
    x = integers((1, 1, 200, 200), "float32")
    w = integers((1, 1, 63, 63), "float32")
    found = gpuconv.grad.conv2d_input((1, 1, 262, 262), w, x)
    assert convolved
    np.testing.assert_array_equal(
        found, gpuconv.conv2d(x, w[..., ::-1, ::-1], padding="full", precision="ieee")
    )


def test_the_parts_have_each_output_once():
    for case in CASES:
        spec = case.spec()
        made = np.zeros((spec.P, spec.Q), int)
        for part in parts_of(spec):
            made[part.outputs] += 1
            assert made[part.outputs].shape == (part.spec.P, part.spec.Q)
        assert (made == 1).all()


def test_lengths_of_transforms():
    assert lengths()[:9] == (1, 2, 3, 4, 5, 6, 8, 9, 10) and lengths()[-1] == 2**14
    assert best_length(63, 256, 1, 10**6, even=True) == 320
    assert best_length(63, 256, 1, 100, even=True) <= 100
    assert best_length(63, 256, 1, 10, even=True) == 64


@pytest.mark.wide  # seconds
def test_products_beyond_float32_are_not_taken_for_trusted():
    """Least magnitudes whose product float32 does not hold, in a tile whose range is too wide."""
    rng = np.random.default_rng(0)
    x = rng.choice([-1e25, 1e25], (1, 1, 40, 40)).astype(np.float32)
    w = rng.choice([-1e14, 1e14], (1, 1, 9, 9)).astype(np.float32)
    x[0, 0, 20, 20] = 3e38
    with np.errstate(all="ignore"):
        expected = gpuconv.conv2d(x, w, algorithm="conv_direct")
        found = gpuconv.conv2d(x, w, algorithm="conv_fft")
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
