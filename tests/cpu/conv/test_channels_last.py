"""Convolution of channels-last arrays: read as they lie, or turned into planes; what lies so and what not."""

import numpy as np
import pytest

import gpuconv
from gpuconv import threads as sharing
from gpuconv.cpu.conv import channels_last, depthwise_pixels, relaid
from gpuconv.cpu.simd import LANES
from tests.cases import DTYPES, ConvCase, integers, normal
from tests.layouts import READABLE
from tests.taken import reason

CASES = [
    ConvCase("3x3", (2, 20, 9, 11), (33, 20, 3, 3), padding=1, bias=True),
    ConvCase("1x1, whole vectors", (3, 24, 5, 7), (64, 24, 1, 1), bias=True),
    ConvCase("1x1, more products than a sum", (1, 300, 3, 4), (17, 300, 1, 1)),
    ConvCase("fewer weights than lanes", (2, 3, 6, 5), (4, 3, 1, 1), bias=True),
    ConvCase("stem", (1, 3, 23, 22), (16, 3, 7, 7), stride=2, padding=3, bias=True),
    ConvCase("groups", (2, 12, 7, 6), (30, 4, 3, 2), groups=3, padding=((2, 0), (1, 3))),
    ConvCase("stride (3, 2), dilation (2, 3)", (2, 5, 20, 21), (7, 5, 3, 4), stride=(3, 2), dilation=(2, 3)),
    ConvCase("rows of taps that do not divide a sum", (1, 86, 38, 15), (2, 86, 17, 1), padding=(8, 0)),
    ConvCase("most taps over the border", (2, 18, 3, 4), (19, 18, 9, 13), padding=(6, 9), bias=True),
    ConvCase("windows of zeros alone", (2, 4, 2, 3), (16, 4, 2, 2), padding=((4, 3), (3, 4)), bias=True),
    ConvCase("more channels than are turned at a time", (1, 150, 5, 6), (5, 150, 3, 3)),
]
DEPTHWISE = [
    ConvCase("3x3, more channels than lanes", (2, 37, 9, 11), (37, 1, 3, 3), padding=1, groups=37, bias=True),
    ConvCase("fewer channels than lanes", (2, 5, 8, 6), (5, 1, 2, 3), padding=(0, 2), groups=5),
    ConvCase("stride (2, 3)", (1, 16, 15, 17), (16, 1, 5, 3), stride=(2, 3), padding=2, groups=16, bias=True),
    ConvCase("dilation (3, 2)", (1, 20, 19, 12), (20, 1, 3, 3), dilation=(3, 2), padding=3, groups=20),
    ConvCase("one column, many products", (1, 18, 70, 2), (18, 1, 63, 3), padding=(31, 1), groups=18),
    ConvCase("stride beyond the window", (2, 17, 13, 9), (17, 1, 1, 2), stride=4, padding=(0, 1), groups=17),
]
NAMES = ("conv_channels_last", "conv_relaid")
PAIRS = [(case, name) for case in CASES for name in NAMES]
PAIRS += [(case, "conv_depthwise_pixels") for case in DEPTHWISE]
over_pairs = pytest.mark.parametrize(("case", "name"), PAIRS, ids=str)
over_cases = pytest.mark.parametrize("case", CASES, ids=str)
over_names = pytest.mark.parametrize("name", NAMES)
last = READABLE["channels last"]


def filled(case, dtype="float32", lie=last):
    spec = case.spec(dtype)
    return lie(np.full(spec.out_shape, np.nan, dtype))


@pytest.mark.parametrize("threaded", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@over_pairs
def test_integers_are_exact(case, name, dtype, threaded, threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    monkeypatch.setattr(channels_last, "LEAST", 8)
    monkeypatch.setattr(depthwise_pixels, "BAND", 1 << 12)
    threads(threaded)
    x, w, bias = case.arrays(dtype, integers)
    y = gpuconv.conv2d(last(x), w, bias, **case.parameters, algorithm=name, out=filled(case, dtype))
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype(dtype), strict=True)


@over_pairs
def test_arrays_with_gaps(case, name):
    """Beside the pixels, the rows and the images of both lies something else."""
    x, w, bias = case.arrays("float32", integers)
    expected = case.expected(x, w, bias)

    def cropped(shape, filler):
        N, C, H, W = shape
        storage = np.full((N + 1, H + 2, W + 3, C + 5), filler, np.float32)
        return storage, storage[1:, 1:-1, 2:-1, 2 : C + 2].transpose(0, 3, 1, 2)

    _, crop = cropped(x.shape, np.nan)
    crop[...] = x
    storage, out = cropped(expected.shape, 7.5)
    gpuconv.conv2d(crop, w, bias, **case.parameters, algorithm=name, out=out)
    np.testing.assert_array_equal(out, expected)
    out[...] = 7.5
    assert (storage == 7.5).all()


@pytest.mark.parametrize("sides", [(last, np.copy), (np.copy, last)], ids=["x", "y"])
@over_cases
def test_one_of_both_lies_so(case, sides):
    x, w, bias = case.arrays("float32", integers)
    out = filled(case, lie=sides[1])
    y = gpuconv.conv2d(sides[0](x), w, bias, **case.parameters, algorithm="conv_relaid", out=out)
    np.testing.assert_array_equal(y, case.expected(x, w, bias))
    assert "channels lie side by side" in reason(
        gpuconv.conv2d, "conv_channels_last", (sides[0](x), w, bias), **case.parameters, out=out
    )


@pytest.mark.wide  # seconds
@over_names
@pytest.mark.parametrize("options", [{"activation": "relu"}, {"activation": "tanh"}, {"residual": True}])
@pytest.mark.parametrize("case", [CASES[0], CASES[1]], ids=str)
def test_an_epilogue(case, options, name):
    x, w, bias = case.arrays("float32", normal)
    plain = gpuconv.conv2d(last(x), w, bias, **case.parameters, algorithm=name)
    given = dict(options)
    activate = {"relu": lambda y: np.maximum(y, 0), "tanh": np.tanh, None: np.copy}
    expected = activate[given.get("activation")](plain)
    if given.pop("residual", False):
        given["residual"] = last(normal(plain.shape, "float32", 5))
        expected = plain + given["residual"]
    y = gpuconv.conv2d(last(x), w, bias, **case.parameters, algorithm=name, **given)
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("case", "name"),
    [*((CASES[8], name) for name in NAMES), (DEPTHWISE[4], "conv_depthwise_pixels")],
    ids=str,
)
@pytest.mark.parametrize("place", ["input", "weight"])
def test_a_value_that_is_not_finite_reaches_its_windows_alone(place, case, name):
    """That of a weight, what it multiplies: zeros over the border, too."""
    x, w, _ = case.arrays("float32", integers)
    (x if place == "input" else w)[0, 0, 1, 1] = np.inf
    with np.errstate(invalid="ignore"):
        expected = case.expected(x, w, None)
        y = gpuconv.conv2d(last(x), w, **case.parameters, algorithm=name)
    np.testing.assert_array_equal(y, expected.astype("float32"))


def test_what_is_chosen():
    """As the arrays lie, but where planes are faster: for Winograd's transforms, or few channels."""
    named = {"1x1": ((8, 64, 56, 56), (64, 64, 1, 1)), "3x3": ((8, 64, 56, 56), (64, 64, 3, 3))}
    chosen = {
        name: gpuconv.explain(gpuconv.conv2d, last(np.zeros(x, "float32")), np.zeros(w, "float32"))[0]
        for name, (x, w) in named.items()
    }
    assert chosen["1x1"][0] == "conv_channels_last"
    x, w = np.zeros((8, 64, 56, 56), "float32"), np.zeros((64, 1, 3, 3), "float32")
    assert gpuconv.explain(gpuconv.conv2d, last(x), w, groups=64)[0][0] == "conv_depthwise_pixels"
    assert chosen["3x3"][0] == "conv_relaid" and "summed by conv_winograd" in chosen["3x3"][1]


def test_blocks_cover_all_pixels_and_channels():
    spec = CASES[0].spec()
    for threads in (1, 2, 7):
        chunk, block = channels_last.blocking(spec, threads)
        assert chunk % LANES["float32"] == 0 and chunk >= spec.K and block % channels_last.PIXELS == 0


@pytest.mark.parametrize("shape", [(1, 3, 40, 50), (2, 40, 17, 19), (3, 16, 1, 700), (1, 700, 2, 2)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_images_are_turned(shape, dtype):
    x = normal(shape, dtype)
    for source, target in ((last, np.copy), (np.copy, last), (last, last), (READABLE["strided"], last)):
        y = target(np.full(shape, np.nan, dtype))
        relaid.copy(source(x), y)
        np.testing.assert_array_equal(y, x)
