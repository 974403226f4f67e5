"""Winograd with precision="tf32": large inputs of a tile spoil no output that does not see them."""

from dataclasses import replace

import numpy as np
import pytest

import gpuconv
from gpuconv import call as calls
from gpuconv import threads as sharing
from gpuconv.cpu.conv import direct
from gpuconv.cpu.conv import winograd as conv_winograd
from gpuconv.spec import ConvSpec
from tests import reference
from tests.cpu.problems import run

PLACES = {
    "a pixel": np.s_[1, 0, 9, 10],
    "a corner": np.s_[1, 0, -1, -1],
    "a row": np.s_[1, :, 9],
    "a column": np.s_[1, :, :, 7],
    "a block": np.s_[1, :, 9:14, 5:11],
    "half of a channel": np.s_[1, 0, :10],
    "half of an image": np.s_[1, :, :, 11:],
    "all but a block": np.s_[1, :, [[h] for h in range(20) if not 5 < h < 13]],
}


def arrays(C, groups=1, size=(20, 22)):
    """Ones, and weights and a bias of N(0, 1)."""
    rng = np.random.default_rng(C)
    x = np.ones((2, C, *size), np.float32)
    w = rng.standard_normal((8 * groups, C // groups, 3, 3)).astype("float32")
    return x, w, rng.standard_normal(8 * groups).astype("float32")


def convolve(x, w, bias, **parameters):
    return gpuconv.conv2d(x, w, bias, **parameters, precision="tf32", algorithm="conv_winograd")


def bound(x, w, bias, **parameters):
    """2^-11 of the inputs that an output sees, times its channel's greatest weight; and float32's own."""
    greatest = np.broadcast_to(np.abs(w).max((1, 2, 3), keepdims=True), w.shape)
    rounding = reference.error_bound(x, w, bias, **parameters)
    return 2.0**-11 * reference.conv2d(np.abs(x), greatest, **parameters) + rounding


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("C", [1, 3, 32])
@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("background", [1, 0])
def test_what_a_window_does_not_hold_does_not_spoil_it(background, name, C, padding):
    x, w, bias = arrays(C)
    for value in (10, 1e2, 1e3, 1e4, 1e6, 1e10, 1e20, 1e30, 1e35):
        x[:] = background
        x[PLACES[name]] = value
        error = np.abs(convolve(x, w, bias, padding=padding) - reference.conv2d(x, w, bias, padding=padding))
        assert (error <= bound(x, w, bias, padding=padding)).all(), value


def test_a_hot_pixel_in_any_place_of_a_wide_image():
    x, w, bias = arrays(2, size=(7, 37))
    for h in range(7):
        for v in range(37):
            x[:] = 1
            x[1, 1, h, v] = 1e9
            error = np.abs(convolve(x, w, bias, padding=1) - reference.conv2d(x, w, bias, padding=1))
            assert (error <= bound(x, w, bias, padding=1)).all(), (h, v)


def test_a_group_is_spoilt_by_its_own_channels_alone():
    x, w, bias = arrays(4, groups=2)
    x[1, 3, 9, 9] = 1e9
    x[:, 0, 4, 4] = 0.5
    parameters = {"padding": 1, "groups": 2}
    error = np.abs(convolve(x, w, bias, **parameters) - reference.conv2d(x, w, bias, **parameters))
    assert (error <= bound(x, w, bias, **parameters)).all()


SMALL = {  # the powers of ten of the inputs, and of the weights of the two halves of the output channels
    "weights": (36, -43, -43),
    "inputs": (-43, 36, 36),
    "half of the weights": (36, -44, -1),
    "products": (-20, -19, -19),
    "weights that a window of large inputs meets": (30, -38, -38),
}


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("signs", ["positive", "mixed"])
@pytest.mark.parametrize("name", SMALL)
def test_numbers_that_are_rounded_as_subnormal_ones_are(name, signs, padding):
    rng = np.random.default_rng(5)
    draw = rng.random if signs == "positive" else rng.standard_normal
    inputs, first, second = (10.0**power for power in SMALL[name])
    x = (draw((2, 64, 12, 13)) * inputs).astype("float32")
    w = (draw((32, 64, 3, 3)) * np.repeat((first, second), 16)[:, None, None, None]).astype("float32")
    bias = np.zeros(32, "float32")
    error = np.abs(convolve(x, w, bias, padding=padding) - reference.conv2d(x, w, bias, padding=padding))
    assert (error <= bound(x, w, bias, padding=padding)).all()


def test_images_of_ordinary_numbers_are_not_computed_anew(monkeypatch):
    """Nor are black ones, or channels whose weights are 0."""
    x, w, bias = arrays(32)
    x[0], x[1, :, :9], w[3] = 0, 0, 0
    monkeypatch.setattr(calls, "_known", {})  # no plan of before, and none that stays
    monkeypatch.setattr(conv_winograd, "plan_anew", lambda *problem: pytest.fail)
    gpuconv.conv2d(x * 1e-12, w * 1e-12, bias, padding=1, precision="tf32", algorithm="conv_winograd")


@pytest.mark.parametrize("strided", [False, True])
def test_windows_of_zeros_have_the_bias_for_a_result(strided):
    x, w, bias = arrays(32)
    x[:, :, :, :10] = 0
    x[:, :, 9:11] = 0
    out = np.full((2, 8, 26, 56), np.nan, np.float32)[..., ::2] if strided else None
    y = convolve(x[:, :, ::-1] if strided else x, w, bias, padding=4, out=out)
    blank = reference.conv2d(x[:, :, ::-1] if strided else x, np.ones_like(w), padding=4) == 0
    assert blank.any() and not blank.all()
    np.testing.assert_array_equal(y[blank], np.broadcast_to(bias[:, None, None], y.shape)[blank])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_shows_over_zeros(value):
    x, w, bias = arrays(32)
    x[:, :, :, :10] = 0
    w[3, 4, 1, 1] = value
    y = convolve(x, w, bias, padding=4)
    assert np.isnan(y[:, 3, :, :8]).all()
    assert np.isfinite(np.delete(y, 3, 1)).all()


def computed_anew(x, precision="tf32"):
    """Which images another algorithm has computed."""
    N, C, H, W = x.shape
    images = []

    def plan(spec, layouts, device):
        computed = direct.ALGORITHM.plan(spec, layouts, device)
        return lambda image, *others: images.append(image) or computed(image, *others)

    spec = ConvSpec(N, C, H, W, 8, 3, 3, ((1, 1), (1, 1)), precision=precision)
    w = np.random.default_rng(0).standard_normal((8, C, 3, 3)).astype("float32")
    y = np.empty(spec.out_shape, np.float32)
    algorithm = conv_winograd.beside((replace(direct.ALGORITHM, plan=plan),))
    run(algorithm, spec, x, w, np.zeros(8, np.float32), y)
    return [n for n in range(N) if any(np.shares_memory(image, x[n]) for image in images)]


def test_only_the_images_that_need_it_are_computed_anew():
    x = np.ones((5, 4, 20, 21), np.float32)
    x[1, 2, 3, 3], x[4, 0, 0, 0], x[3, 0, 5, 5] = 1e6, 1e12, 2
    assert computed_anew(x) == [1, 4]
    assert computed_anew(x, precision=None) == []


def test_data_of_networks_are_left_to_winograd():
    rng = np.random.default_rng(1)
    normal = rng.standard_normal((4, 32, 28, 30), np.float32)
    sparse = np.where(rng.random(normal.shape) < 0.9, 0, normal**3).astype("float32")
    pixels = rng.integers(1, 256, normal.shape).astype("float32")
    for x in (
        normal,
        np.maximum(normal, 0),
        sparse,
        pixels,
        np.pad(pixels, ((0, 0), (0, 0), (9, 7), (5, 8))),
    ):
        assert computed_anew(x) == []


def test_the_same_bits_from_any_number_of_threads(threads, monkeypatch):
    monkeypatch.setattr(sharing, "MIN_WORK", 1)
    x, w, bias = arrays(32)
    x[1, 0, 9, 10], x[0, :, :, :9] = 1e9, 0
    threads(1)
    first = convolve(x, w, bias, padding=1)
    for n in (2, 3, 7):
        threads(n)
        assert convolve(x, w, bias, padding=1).tobytes() == first.tobytes()
