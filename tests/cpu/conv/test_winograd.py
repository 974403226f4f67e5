"""Winograd's algorithm: its matrices, its accuracy, and what it does about values that are not finite."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import gpuconv
from gpuconv import threads as sharing
from gpuconv.algorithm import refusal
from gpuconv.cpu import conv
from gpuconv.cpu.conv import direct
from gpuconv.cpu.conv import winograd as conv_winograd
from gpuconv.cpu.conv.winograd.cook_toom import cook_toom
from gpuconv.cpu.conv.winograd.spans import cut_spans
from gpuconv.cpu.conv.winograd.tiles import POINTS
from gpuconv.spec import ConvSpec
from tests import reference
from tests.cases import CONV_CASES, DTYPES, ConvCase, dynamic_range, integers, normal
from tests.cpu.problems import problem, refused, run

ALGORITHM = next(each for each in conv.ALGORITHMS if each.name == "conv_winograd")
OWN_CASES = [
    ConvCase("one tile and a part", (1, 3, 3, 3), (4, 3, 3, 3), padding=1, bias=True),
    ConvCase("small images in one span", (9, 5, 7, 7), (20, 5, 3, 3), padding=1, bias=True),
    ConvCase("rows of several vectors", (1, 2, 5, 131), (3, 2, 3, 3), padding=1),
    ConvCase("channels beyond a block", (1, 150, 6, 6), (10, 150, 3, 3), padding=1),
    ConvCase("by channels", (1, 33, 8, 9), (200, 33, 3, 3), padding=1, bias=True),
    ConvCase("by channels, in groups", (2, 34, 5, 5), (180, 17, 3, 3), groups=2, padding=1),
    ConvCase("by tiles, in groups", (3, 6, 20, 21), (9, 2, 3, 3), groups=3, bias=True),
    ConvCase("padding wider than the image", (2, 3, 2, 3), (4, 3, 3, 3), padding=((5, 7), (4, 9))),
    ConvCase("full", (1, 2, 4, 30), (3, 2, 3, 3), padding="full"),
]
MANY_TILES = ConvCase("many tiles", (1, 40, 41, 41), (140, 20, 3, 3), groups=2, padding=1)
MANY_CHANNELS = ConvCase("many channels", (9, 60, 7, 8), (140, 60, 3, 3), padding=1)
CASES = OWN_CASES + [case for case in CONV_CASES if case.spec().N and refused(ALGORITHM, case.spec()) is None]
FEW = [CASES[1], CASES[4], CASES[6]]

over_cases = pytest.mark.parametrize("case", CASES, ids=str)
over_few = pytest.mark.parametrize("case", FEW, ids=str)
over_precisions = pytest.mark.parametrize("precision", [None, "tf32"])


def convolve(case, x, w, bias, **keywords):
    return gpuconv.conv2d(x, w, bias, **case.parameters, algorithm="conv_winograd", **keywords)


def tile_bound(case, x, w, bias, tile):
    keywords = {"padding": case.padding, "groups": case.groups, "tile": tile}
    return reference.tile_error_bound(x, w, bias, x.dtype, **keywords)


@pytest.mark.parametrize("points", [*POINTS.values(), (0, 1, -1, 2, -2), (0, -1, Fraction(1, 2), 2)])
def test_the_matrices_give_the_sums_they_are_made_for(points):
    A, G, B = (np.array(matrix) for matrix in cook_toom(points))
    m = len(points) - 1
    for i in range(m + 2):
        for r in range(3):
            d = np.array([Fraction(j == i) for j in range(m + 2)])
            g = np.array([Fraction(j == r) for j in range(3)])
            sums = A @ ((G @ g) * (B @ d))
            assert list(sums) == [int(i == output + r) for output in range(m)]


def test_the_matrices_of_f_2_3_are_the_known_ones():
    half = Fraction(1, 2)
    transform_back, of_weights, of_inputs = cook_toom(POINTS[2])
    assert transform_back == ((1, 1, 1, 0), (0, 1, -1, 1))
    assert of_weights == ((1, 0, 0), (half, half, half), (half, -half, half), (0, 0, 1))
    assert of_inputs == ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1))


def test_the_matrices_of_f_4_3_are_exact_but_for_the_weights():
    A, _, B = cook_toom(POINTS[4])
    for number in (number for matrix in (A, B) for row in matrix for number in row):
        assert Fraction(float(np.float32(float(number)))) == number


@pytest.mark.parametrize("dtype", DTYPES)
@over_cases
def test_integers_are_exact(case, dtype):
    x, w, bias = case.arrays(dtype, integers)
    y = convolve(case, x, w, bias)
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype(dtype), strict=True)


@over_precisions
@over_cases
@pytest.mark.parametrize("make", [normal, dynamic_range])
def test_errors_stay_within_the_bound_of_the_tile(case, make, precision):
    x, w, bias = case.arrays("float32", make)
    error = np.abs(convolve(case, x, w, bias, precision=precision) - case.expected(x, w, bias))
    bound = tile_bound(case, x, w, bias, tile=4 if precision else 2)
    assert (error <= bound).all(), f"{(error / bound).max()} times the bound"


@pytest.mark.parametrize(("precision", "limit"), [(None, 3.3e-7), ("tf32", 1.0e-6)])
@pytest.mark.parametrize("C", [16, 64, 512])
def test_the_mean_error_is_as_small_as_documented(C, precision, limit):
    case = ConvCase("normal", (1, C, 12, 12), (16, C, 3, 3), padding=1)
    x, w, _ = case.arrays("float32", normal)
    expected = case.expected(x, w, None)
    error = convolve(case, x, w, None, precision=precision) - expected
    assert np.linalg.norm(error) < limit * np.linalg.norm(expected)


@pytest.mark.wide  # seconds of the compiler
def test_float64_keeps_its_accuracy_whatever_the_precision():
    case = FEW[0]
    x, w, bias = case.arrays("float64", integers)
    np.testing.assert_array_equal(convolve(case, x, w, bias, precision="tf32"), case.expected(x, w, bias))


@over_precisions
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@over_few
def test_a_value_that_is_not_finite_reaches_its_windows_alone(case, value, precision):
    x, w, bias = case.arrays("float32", integers)
    w[w == 0] = 1  # so that infinity times a weight is infinity
    N, C, H, W = x.shape
    for place in ((0, 0, 0, 0), (N - 1, C - 1, H - 1, W - 1), (N // 2, C // 2, H // 2, W // 2)):
        spoilt = x.copy()
        spoilt[place] = value
        expected = case.expected(spoilt, w, bias)
        y = convolve(case, spoilt, w, bias, precision=precision)
        finite = np.isfinite(expected)
        assert 0 < (~finite).sum() <= 9 * y.shape[1]
        np.testing.assert_array_equal(y[~finite], expected[~finite].astype(np.float32))
        if precision is None:
            np.testing.assert_array_equal(y[finite], expected[finite])
        assert (np.abs(y[finite] - expected[finite]) <= 1e-3).all()


@over_precisions
@pytest.mark.parametrize("value", [np.nan, np.inf])
@over_few
def test_a_weight_that_is_not_finite_reaches_its_channel_alone(case, value, precision):
    x, w, bias = case.arrays("float32", integers)
    w[1, 0, 2, 0] = value
    y, expected = convolve(case, x, w, bias, precision=precision), case.expected(x, w, bias)
    np.testing.assert_array_equal(y, expected.astype(np.float32))


def test_only_the_images_that_need_it_are_computed_anew():
    case = ConvCase("five images", (5, 4, 6, 7), (3, 4, 3, 3), padding=1)
    x, w, _ = case.arrays("float32", integers)
    x[1, 2, 3, 3], x[4, 0, 0, 0] = np.nan, np.inf
    images = []

    def plan(spec, layouts, device):
        computed = direct.ALGORITHM.plan(spec, layouts, device)
        return lambda x, *others: images.append(x) or computed(x, *others)

    y = np.full(case.spec().out_shape, np.nan, np.float32)
    other = replace(direct.ALGORITHM, plan=plan)
    run(conv_winograd.beside((other,)), case.spec(), x, w, np.zeros(3, np.float32), y)
    assert [np.shares_memory(image, x[n]) for image, n in zip(images, (1, 4), strict=True)] == [True, True]
    np.testing.assert_array_equal(y, case.expected(x, w, None).astype(np.float32))


def test_what_computes_them_anew_is_another_algorithm():
    spec, layouts, device = problem(FEW[0].spec())
    others = ALGORITHM.plan.args[0]
    beside = (
        "conv_winograd", "conv_fft", "conv_regions", "conv_depthwise_pixels", "conv_channels_last",
        "conv_relaid",
    )  # fmt: skip
    assert [each.name for each in conv.SUMS if each.name not in beside] == [each.name for each in others]
    assert callable(conv_winograd.plan_anew(others, spec, layouts, device)())


@over_precisions
def test_finite_values_that_overflow_in_the_transform_do_no_harm(precision):
    case = ConvCase("overflow", (2, 1, 9, 9), (2, 1, 3, 3), padding=1)
    x, w = np.zeros(case.x, np.float32), np.zeros(case.w, np.float32)
    x[1, 0, 3:5, 3:5] = 3e38  # two of them side by side overflow when they are added
    w[:, 0, 1, 1] = 1, 2  # of the second channel the sum itself does
    y = convolve(case, x, w, None, precision=precision)
    np.testing.assert_array_equal(y[0], 0)
    np.testing.assert_array_equal(y[1, 0], x[1, 0])
    np.testing.assert_array_equal(y[1, 1], np.where(x[1, 0] > 0, np.float32(np.inf), 0))


@over_precisions
@over_few
def test_the_same_bits_from_any_number_of_threads(case, precision, threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    x, w, bias = case.arrays("float32", dynamic_range)
    threads(1)
    first = convolve(case, x, w, bias, precision=precision)
    for n in (2, 3, 7, 64):
        threads(n)
        assert convolve(case, x, w, bias, precision=precision).tobytes() == first.tobytes()


@over_precisions
@over_few
def test_strided_arrays(case, precision):
    x, w, bias = case.arrays("float32", integers)
    expected = convolve(case, x, w, bias, precision=precision)
    N, K, P, Q = expected.shape
    storage = np.full((N, K, P + 1, 2 * Q + 1), 7.5, np.float32)
    convolve(case, x, w, bias, precision=precision, out=storage[:, :, 1:, 1::2])
    np.testing.assert_array_equal(storage[:, :, 1:, 1::2], expected)
    storage[:, :, 1:, 1::2] = 7.5
    assert (storage == 7.5).all()
    reversed_rows = x[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1]
    for strided in (reversed_rows, np.asfortranarray(x), np.repeat(x, 2, 3)[..., ::2]):
        np.testing.assert_array_equal(convolve(case, strided, w, bias, precision=precision), expected)
    padded = np.full((N, *x.shape[1:-1], x.shape[-1] + 3), np.nan, np.float32)
    padded[..., 1:-2] = x  # rows whose neighbours would spoil the result
    np.testing.assert_array_equal(convolve(case, padded[..., 1:-2], w, bias, precision=precision), expected)


@over_precisions
@pytest.mark.parametrize("case", [MANY_TILES, MANY_CHANNELS], ids=str)
@pytest.mark.parametrize("limit", [40_000, 200_000, 500_000, 1_000_000])
def test_a_small_workspace_gives_the_same_result_or_a_reason(case, limit, precision):
    x, w, bias = case.arrays("float32", normal)
    expected = convolve(case, x, w, bias, precision=precision)
    spec = ConvSpec.from_arrays(x, w, bias, 1, 1, 1, case.groups, precision=precision)
    gpuconv.set_workspace_limit(limit)
    try:
        if refused(ALGORITHM, spec):
            with pytest.raises(ValueError, match=f"more than the limit of {limit}"):
                convolve(case, x, w, bias, precision=precision)
        else:
            cut = cut_spans(spec, gpuconv.get_num_threads(), limit)
            assert cut.needed(4) <= limit
            y = convolve(case, x, w, bias, precision=precision)
            np.testing.assert_array_equal(y, expected)
    finally:
        gpuconv.set_workspace_limit(64 << 20)


def test_both_orders_and_several_passes_are_tried():
    """The cases above reach each way to cut a problem."""
    cuts = [cut_spans(case.spec(), 1, 64 << 20) for case in OWN_CASES]
    assert {cut.by_tiles for cut in cuts} == {True, False}
    for case, limit, by_tiles in ((MANY_TILES, 200_000, True), (MANY_CHANNELS, 500_000, False)):
        cut = cut_spans(case.spec(), 1, limit)
        assert cut.by_tiles == by_tiles and len(cut.parts) > 1 and cut.needed(4) <= limit


def test_subnormal_weights_keep_their_bits():
    rng = np.random.default_rng(6)
    x, w = rng.standard_normal((1, 8, 8, 8)) * 1e30, rng.standard_normal((4, 8, 3, 3)) * 1e-41
    x, w = x.astype(np.float32), w.astype(np.float32)
    expected = reference.conv2d(x, w, None, padding=1)
    y = gpuconv.conv2d(x, w, padding=1, algorithm="conv_winograd")
    assert np.linalg.norm(y - expected) <= 5e-7 * np.linalg.norm(expected)


def test_threads_do_not_decide_whether_it_is_supported():
    spec = ConvSpec(8, 8, 14, 14, 256, 3, 3, ((1, 1), (1, 1)))
    try:
        for limit in (10_000, 100_000, 1_000_000):
            gpuconv.set_workspace_limit(limit)
            reasons = set()
            for count in (1, 2, 8, 64):
                reasons.add(refusal(ALGORITHM, *problem(spec, count)))
            assert len(reasons) == 1
    finally:
        gpuconv.set_workspace_limit(64 << 20)
