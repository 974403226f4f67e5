"""Axes in the order of another library: where a call fails and they explain it, the error says so."""

import re

import numpy as np
import pytest

from gpuconv.spec import ConvSpec, PoolSpec

CHANNELS_LAST = "if they are input's last axis"


def message(make, *arguments, **keywords):
    with pytest.raises(ValueError) as caught:
        make(*arguments, **keywords)
    return str(caught.value)


def of_convolution(image, weight, **parameters):
    return message(
        ConvSpec.from_arrays, np.zeros(image, np.float32), np.zeros(weight, np.float32), **parameters
    )


def of_pool(image, window, **parameters):
    return message(PoolSpec.from_arrays, "max", np.zeros(image, np.float32), window, **parameters)


@pytest.mark.parametrize(
    ("image", "weight", "groups", "hint"),
    [
        ((1, 5, 5, 4), (8, 4, 3, 3), 1, "pass input.transpose(0, 3, 1, 2)"),
        ((1, 5, 5, 4), (3, 3, 4, 8), 1, "pass input.transpose(0, 3, 1, 2) and weight.transpose(3, 2, 0, 1)"),
        ((1, 5, 5, 4), (8, 3, 3, 4), 1, "pass input.transpose(0, 3, 1, 2) and weight.transpose(0, 3, 1, 2)"),
        ((5, 6, 4), (3, 3, 4, 8), 1, "pass input.transpose(2, 0, 1) and weight.transpose(3, 2, 0, 1)"),
        (
            (1, 4, 5, 5),
            (3, 3, 4, 8),
            1,
            "if weight is (R, S, C / groups, K), pass weight.transpose(3, 2, 0, 1)",
        ),
        (
            (1, 4, 5, 5),
            (8, 3, 3, 4),
            1,
            "if weight is (K, R, S, C / groups), pass weight.transpose(0, 3, 1, 2)",
        ),
        ((1, 5, 5, 4), (3, 3, 2, 8), 2, "pass input.transpose(0, 3, 1, 2) and weight.transpose(3, 2, 0, 1)"),
        ((1, 9, 9, 6), (3, 3, 6, 1), 6, "pass input.transpose(0, 3, 1, 2) and weight.transpose(2, 3, 0, 1)"),
        ((1, 64, 64, 3), (8, 64, 5, 5), 1, "pass input.transpose(0, 3, 1, 2)"),
    ],
)
def test_channels_that_agree_in_another_order(image, weight, groups, hint):
    assert of_convolution(image, weight, groups=groups).endswith(hint)


@pytest.mark.parametrize(
    ("image", "weight", "groups"),
    [
        ((1, 4, 5, 5), (8, 3, 3, 3), 1),
        ((2, 4, 8, 9), (6, 4, 3, 3), 3),
        ((1, 5, 5, 4), (7, 7, 4, 8), 1),  # a kernel that does not fit
        ((1, 64, 64, 5), (8, 64, 9, 9), 1),  # more than the channels of a picture
    ],
)
def test_channels_that_do_not(image, weight, groups):
    assert "pass" not in of_convolution(image, weight, groups=groups)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("parameters", [{}, {"stride": 2}, {"dilation": 2}, {"padding": (1, 0)}])
def test_a_picture_that_is_pooled_with_its_channels_last(channels, parameters):
    text = of_pool((1, 64, 64, channels), 5, **parameters)
    assert text.startswith("input is too small: its 6")
    assert text.endswith(f"; channels come before rows: {CHANNELS_LAST}, pass input.transpose(0, 3, 1, 2)")
    assert of_pool((64, 64, channels), 5).endswith("pass input.transpose(2, 0, 1)")


@pytest.mark.parametrize(
    "image", [(1, 64, 3, 64), (1, 4, 64, 3), (1, 64, 4, 3), (1, 64, 64, 0), (1, 64, 64, 5)]
)
def test_an_image_that_is_too_small_in_any_order(image):
    text = of_pool(image, 7)
    assert re.match("input is too small: .* covers$", text)
