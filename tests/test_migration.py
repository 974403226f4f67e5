"""The README's table of migrations: each row's left side computes the same as its right side.

SciPy, OpenCV and PyTorch are compared with where they are installed; where a pixel of an even kernel goes,
which is what differs, is recorded as well.
"""

import numpy as np
import pytest

import gpuconv
from tests.cases import integers

X = np.arange(42, dtype=np.float32).reshape(6, 7) % 11
KERNELS = {"3x3": (3, 3), "2x2": (2, 2), "4x3": (4, 3), "1x5": (1, 5)}
over_kernels = pytest.mark.parametrize("shape", KERNELS.values(), ids=KERNELS)

# ndimage's and OpenCV's names of borders, and np.pad's
MODES = {
    "constant": "constant",
    "reflect": "symmetric",
    "mirror": "reflect",
    "nearest": "edge",
    "wrap": "wrap",
}


def kernel(shape):
    return (np.arange(np.prod(shape), dtype=np.float32) % 5 - 1).reshape(shape)


def plane(x, k, **parameters):
    """A plane filtered by one kernel."""
    return gpuconv.conv2d(x[None, None], k[None, None], **parameters)[0, 0]


def before_and_after(k):
    """How far a kernel reaches from its pixel, which on an even axis is the later of the middle two."""
    return [(taps // 2, (taps - 1) // 2) for taps in k.shape]


@over_kernels
@pytest.mark.parametrize("mode", MODES)
def test_ndimage_correlate(shape, mode):
    ndimage = pytest.importorskip("scipy.ndimage")
    k = kernel(shape)
    padded = np.pad(X, before_and_after(k), mode=MODES[mode])
    np.testing.assert_array_equal(plane(padded, k), ndimage.correlate(X, k, mode=mode))


@over_kernels
def test_ndimage_convolve(shape):
    ndimage = pytest.importorskip("scipy.ndimage")
    k = kernel(shape)
    after_and_before = [sides[::-1] for sides in before_and_after(k)]
    expected = ndimage.convolve(X, k, mode="constant")
    np.testing.assert_array_equal(plane(X, k[::-1, ::-1], padding=after_and_before), expected)


@over_kernels
@pytest.mark.parametrize("mode", ["full", "valid", "same"])
def test_signal_convolve2d(shape, mode):
    signal = pytest.importorskip("scipy.signal")
    k = kernel(shape)
    padding = before_and_after(k) if mode == "same" else mode
    expected = signal.convolve2d(X, k, mode)
    np.testing.assert_array_equal(plane(X, k[::-1, ::-1], padding=padding), expected)


@over_kernels
@pytest.mark.parametrize("mode", ["full", "valid", "same"])
def test_signal_correlate2d(shape, mode):
    signal = pytest.importorskip("scipy.signal")
    k = kernel(shape)
    np.testing.assert_array_equal(plane(X, k, padding=mode), signal.correlate2d(X, k, mode))


@over_kernels
def test_cv2_filter2d(shape):
    """Its own border is np.pad's "reflect"; the pixel of an even kernel is the later one."""
    cv2 = pytest.importorskip("cv2")
    k = kernel(shape)
    padded = np.pad(X, before_and_after(k), mode="reflect")
    np.testing.assert_array_equal(plane(padded, k), cv2.filter2D(X, -1, k))


def test_the_pixel_of_an_even_kernel():
    """Where a single pixel goes, as ndimage (SciPy 1.17.1) and filter2D (OpenCV 5.0.0) have it."""
    x, k = np.zeros((7, 7), np.float32), np.arange(1, 5, dtype=np.float32).reshape(2, 2)
    x[3, 3] = 1
    y = plane(x, k, padding=before_and_after(k))
    np.testing.assert_array_equal(np.argwhere(y), [(3, 3), (3, 4), (4, 3), (4, 4)])
    y = plane(x, k, padding="same")
    np.testing.assert_array_equal(np.argwhere(y), [(2, 2), (2, 3), (3, 2), (3, 3)])


def test_torch_takes_the_same_arguments():
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    x, w = (random.integers(-4, 5, shape).astype("float32") for shape in ((2, 4, 9, 8), (6, 2, 3, 3)))
    bias = np.arange(6, dtype=np.float32)
    arguments = bias, 2, 1, 1, 2  # bias, stride, padding, dilation, groups
    expected = torch.nn.functional.conv2d(*map(torch.from_numpy, (x, w, bias)), *arguments[1:])
    np.testing.assert_array_equal(gpuconv.conv2d(x, w, *arguments), expected.numpy())
    arguments = None, 2, 1, 0, 2  # bias, stride, padding, output_padding, groups
    back = torch.nn.functional.conv_transpose2d(expected, torch.from_numpy(w), *arguments)
    np.testing.assert_array_equal(gpuconv.conv_transpose2d(expected.numpy(), w, *arguments), back.numpy())
    pooled = torch.nn.functional.max_pool2d(torch.from_numpy(x), 3, 2, 1)
    np.testing.assert_array_equal(gpuconv.max_pool2d(x, 3, 2, 1), pooled.numpy())


def test_cudnn_of_cupy_pads_before_its_stride():
    """cupy.cudnn.convolution_forward(x, W, b, y, pad, stride, dilation, groups) of CuPy 13."""
    x, W, b = X[None, None], kernel((2, 1, 3, 3)), np.array([1, 2], np.float32)
    y = np.empty((1, 2, 3, 4), np.float32)
    pad, stride, dilation, groups = (1, 1), (2, 2), (1, 1), 1
    assert gpuconv.conv2d(x, W, b, stride, pad, dilation, groups, out=y) is y
    by_hand = [plane(np.pad(X, 1), W[k, 0])[::2, ::2] + b[k] for k in range(2)]
    np.testing.assert_array_equal(y[0], by_hand)


def test_pixels_of_bytes_with_their_channels_last():
    photo = np.arange(6 * 7 * 3, dtype=np.uint8).reshape(6, 7, 3)  # H W C
    with pytest.raises(TypeError, match=r"\.astype"):
        gpuconv.conv2d(photo.transpose(2, 0, 1), kernel((1, 3, 3, 3)))
    x = photo.transpose(2, 0, 1).astype(np.float32)
    y = gpuconv.conv2d(x, np.ones((1, 3, 1, 1), np.float32)).transpose(1, 2, 0)
    np.testing.assert_array_equal(y, photo.sum(2, keepdims=True))


# Pairs, banks and separable filters


def test_pairs_are_groups():
    pictures, filters = integers((5, 8, 9), "float32"), integers((5, 3, 2), "float32", 1)
    y = gpuconv.conv2d(pictures[None], filters[:, None], groups=5)[0]
    np.testing.assert_array_equal(y, [plane(*pair) for pair in zip(pictures, filters, strict=True)])


def test_pairs_with_channels_are_groups():
    x, w = integers((4, 3, 6, 7), "float32"), integers((4, 5, 3, 2, 3), "float32", 1)
    y = gpuconv.conv2d(x.reshape(1, 12, 6, 7), w.reshape(20, 3, 2, 3), groups=4).reshape(4, 5, 5, 5)
    one_by_one = [gpuconv.conv2d(image, bank) for image, bank in zip(x, w, strict=True)]
    np.testing.assert_array_equal(y, one_by_one)


def test_stencils_are_output_channels():
    stencils = integers((6, 3, 3), "float32")
    y = gpuconv.conv2d(X[None], stencils[:, None], padding="same")
    np.testing.assert_array_equal(y, [plane(X, stencil, padding="same") for stencil in stencils])


def test_a_separable_filter_is_two_calls():
    column, row = integers((5,), "float32"), integers((3,), "float32", 1)
    down = gpuconv.conv2d(X[None], column.reshape(1, 1, -1, 1), padding="same")
    y = gpuconv.conv2d(down, row.reshape(1, 1, 1, -1), padding="same")
    np.testing.assert_array_equal(y[0], plane(X, np.outer(column, row), padding="same"))
