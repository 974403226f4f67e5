"""Depthwise convolution: every window that slides over images, every way round that, and large filters."""

import numpy as np
import pytest

import gpuconv
from gpuconv import threads as sharing
from gpuconv.cpu.conv import depthwise as conv_depthwise
from gpuconv.cpu.simd import LANES, TILE
from gpuconv.cpu.simd.stream import STREAMED
from gpuconv.spec import ConvSpec
from tests import reference
from tests.cases import DTYPES, ConvCase, integers, normal
from tests.cpu.problems import problem

WIDTHS = (1, 7, 8, 9, 14, 16, 17, 31, 33, 56, 70, 101)  # below, at and above one, two and more vectors


def cases():
    """Each streamed window on images of each width, in pairs and alone."""
    for R, S, stride in STREAMED:
        for W in WIDTHS:
            for N, H, padding in ((3, 9, R // 2), (1, 1, ((R, 0), (S - 1, S // 2)))):
                name = f"{R}x{S}/{stride} on {N} of {H}x{W}"
                shape = (6, 1, R, S)
                yield ConvCase(name, (N, 3, H, W), shape, stride, padding, groups=3, bias=True)


OTHER_CASES = [
    ConvCase("dilation 3", (2, 2, 20, 40), (2, 1, 3, 3), padding=3, dilation=3, groups=2),
    ConvCase("dilation (2, 5), 5x5", (2, 2, 20, 40), (2, 1, 5, 5), padding=4, dilation=(2, 5), groups=2),
    ConvCase("stride (2, 1)", (2, 2, 20, 40), (2, 1, 3, 3), padding=1, stride=(2, 1), groups=2),
    ConvCase("stride 3, dilation 2", (2, 2, 20, 40), (4, 1, 4, 3), stride=3, dilation=2, groups=2, bias=True),
    ConvCase("stride 2, dilation 6", (1, 2, 40, 40), (2, 1, 4, 3), stride=2, dilation=6, groups=2),
    ConvCase("1x1", (2, 3, 9, 20), (3, 1, 1, 1), groups=3, bias=True),
    ConvCase("rows for every size of tile", (1, 1, 18, 70), (2, 1, 6, 9), padding=(2, 4)),
    ConvCase("window of 31x31", (1, 1, 40, 50), (1, 1, 31, 31), padding=15),
    ConvCase("padding of several vectors", (1, 2, 9, 50), (2, 1, 3, 90), padding=(1, 80), groups=2),
    ConvCase("padding of several vectors, 2", (1, 2, 9, 50), (2, 1, 3, 80), 2, (1, 75), groups=2),
    ConvCase("window of 1x300", (1, 1, 3, 400), (1, 1, 1, 300)),
    ConvCase("several bands each way", (1, 1, 150, 600), (1, 1, 9, 9), padding=4),
    ConvCase("blocks of rows", (1, 1, 200, 700), (1, 1, 3, 3), padding=1, bias=True),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [*cases(), *OTHER_CASES], ids=str)
def test_integers_are_exact(case, dtype, threads):
    threads(2)
    x, w, bias = case.arrays(dtype, integers)
    y = gpuconv.conv2d(x, w, bias, **case.parameters, algorithm="conv_depthwise")
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype(dtype), strict=True)


@pytest.mark.parametrize("threaded", [1, 3])
@pytest.mark.parametrize("kind", STREAMED, ids=str)
def test_images_and_bands_agree(kind, threaded, threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    threads(threaded)
    R, S, stride = kind
    case = ConvCase("", (3, 5, 30, 41), (10, 1, R, S), stride=stride, padding=2, groups=5, bias=True)
    x, w, bias = case.arrays("float32", integers)
    spec, layouts, device = problem(case.spec(), threaded)
    results = np.full((2, *spec.out_shape), np.nan, np.float32)
    conv_depthwise.plan_on_images(spec, layouts, device)(x, w, bias, results[0])
    conv_depthwise.plan_on_bands(spec, layouts)(x, w, bias, results[1])
    np.testing.assert_array_equal(results[0], case.expected(x, w, bias))
    np.testing.assert_array_equal(results[1], results[0])


@pytest.mark.parametrize("name", ["3x3/1 on 3 of 9x7", "7x7/1 on 3 of 9x56", "5x5/2 on 3 of 9x70"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_reaches_its_windows_alone(name, value):
    case = next(case for case in cases() if case.name == name)
    x, w, bias = case.arrays("float32", integers)
    w[w == 0] = 1
    for place in ((0, 0, 0, 0), (1, 2, 4, 5), (2, 1, 8, case.x[3] - 1)):
        x[place] = value
    y = gpuconv.conv2d(x, w, bias, **case.parameters, algorithm="conv_depthwise")
    assert 0 < np.isfinite(y).mean() < 1
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype(np.float32))


def test_large_windows_are_summed_in_blocks():
    case = ConvCase("", (1, 1, 64, 64), (1, 1, 31, 31))
    x, w, _ = case.arrays("float32", normal)
    expected = case.expected(x, w, None)
    error = gpuconv.conv2d(x, w, algorithm="conv_depthwise") - expected
    assert np.linalg.norm(error) < 5e-7 * np.linalg.norm(expected)  # one running sum: about 1e-6


def test_the_groups_hold_every_tap_once():
    spec = ConvSpec(N=1, C=1, H=90, W=90, K=1, R=13, S=40, stride=(2, 3), dilation=(3, 1))
    groups, ends, offsets = conv_depthwise.tables_of(spec)
    taps = []
    for rows, _, w_begin, first, count in groups.reshape(-1, 5):
        step = conv_depthwise.steps_of(spec)[1] * spec.S
        assert w_begin % spec.S == first
        taps += [w_begin + i * step + s for i in range(rows) for s in range(count)]
    assert sorted(taps) == list(range(13 * 40))
    assert ends.sum() == len(groups) // 5
    assert len(offsets) == 40


@pytest.mark.parametrize(
    ("change", "streams"),
    [({}, True), ({"stride": (2, 2)}, True), ({"dilation": (2, 2)}, True), ({"stride": (1, 2)}, False),
     ({"stride": (2, 2), "dilation": (2, 1)}, False), ({"R": 4}, False)],
)  # fmt: skip
def test_what_slides_over_images(change, streams):
    parameters = {"N": 1, "C": 2, "H": 20, "W": 20, "K": 2, "R": 3, "S": 3, "groups": 2}
    spec = ConvSpec(**{**parameters, **change})
    assert conv_depthwise.slides_over_images(spec) == (streams and TILE.bits > 128)


def test_more_than_one_input_channel_is_refused():
    x, w = np.ones((1, 4, 5, 5), np.float32), np.ones((2, 2, 3, 3), np.float32)
    with pytest.raises(ValueError, match="one input channel per group, not 2"):
        gpuconv.conv2d(x, w, groups=2, algorithm="conv_depthwise")


def test_a_band_beyond_the_limit_is_refused():
    x, w = np.ones((1, 1, 4, 4), np.float32), np.ones((1, 1, 2, 2), np.float32)
    with pytest.raises(ValueError, match="bytes to work in, more than the limit"):
        gpuconv.conv2d(x, w, padding=2**24, stride=2**24, dilation=2**25, algorithm="conv_depthwise")


def test_the_widths_meet_every_kind_of_strip():
    lanes = LANES["float32"]
    assert min(WIDTHS) < lanes // 2 < lanes < 4 * lanes < max(WIDTHS)
    assert reference.output_shape((9, 7), (3, 3), 1, 1, 1) == (9, 7)
