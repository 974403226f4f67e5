"""Gabor filters of scikit-image on its own photographs, beside `scipy.ndimage`, kernel by kernel."""

import numpy as np
import pytest

from tests.clients import filter_bank

ndimage = pytest.importorskip("scipy.ndimage")
skimage = pytest.importorskip("skimage")

KERNELS = [
    skimage.filters.gabor_kernel(frequency, theta=angle * np.pi / 4, sigma_x=sigma, sigma_y=sigma)
    for angle in range(4)
    for sigma, frequency in ((1, 0.25), (3, 0.05))
]


def photographs():
    camera, coins = skimage.data.camera(), skimage.data.coins()
    crops = camera[:96, :112], camera[200:296, 150:262], coins[100:196, 100:212]
    return np.stack([skimage.util.img_as_float(crop) for crop in crops])


def test_responses_are_those_of_one_image_and_one_kernel_at_a_time():
    images = photographs()
    found = filter_bank.responses(images, KERNELS)
    assert found.shape == (3, 8, 96, 112)
    for number, kernel in enumerate(KERNELS):
        for image, response in zip(images, found[:, number], strict=True):
            real, imaginary = (
                ndimage.convolve(image, part, mode="wrap") for part in (kernel.real, kernel.imag)
            )
            np.testing.assert_allclose(response, np.hypot(real, imaginary), atol=1e-13)


def test_textures_are_told_apart_by_their_features():
    images = photographs()
    found = filter_bank.features(images, KERNELS)
    np.testing.assert_allclose(found[..., 0], filter_bank.responses(images, KERNELS).mean((2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found[..., 1], filter_bank.responses(images, KERNELS).var((2, 3)), rtol=1e-9)
    again = filter_bank.features(np.roll(images, (5, 11), (1, 2)), KERNELS)
    nearest = ((again[:, None] - found) ** 2).sum((2, 3)).argmin(1)
    assert nearest.tolist() == [0, 1, 2]  # wherever a texture begins
