"""What `out` may be, through the public functions."""

import numpy as np
import pytest

import gpuconv
from tests.cases import integers

X, W, BIAS = integers((2, 6, 5, 6), "float32"), integers((4, 6, 2, 2), "float32", 1), np.zeros(4, np.float32)
SHAPE = (2, 4, 4, 5)


def convolve(out):
    return gpuconv.conv2d(X, W, BIAS, out=out)


def test_out_is_returned_and_filled():
    out = np.full(SHAPE, np.nan, np.float32)
    assert convolve(out) is out
    np.testing.assert_array_equal(out, gpuconv.conv2d(X, W, BIAS))


@pytest.mark.parametrize("shape", [(4, 4, 5), (2, 4, 5, 4), (2, 4, 4, 6), (0, 4, 4, 5), (2, 4, 4, 5, 1), ()])
def test_out_of_another_shape(shape):
    out = np.full(shape, 7.0, np.float32)
    with pytest.raises(ValueError) as caught:
        convolve(out)
    assert str(caught.value) == f"out must have the result's shape {SHAPE}, got {shape}"
    assert (out == 7).all()


def test_a_batched_out_for_an_unbatched_image():
    with pytest.raises(ValueError, match=r"out must have the result's shape \(4, 4, 5\), got \(1, 4, 4, 5\)"):
        gpuconv.conv2d(X[0], W, out=np.zeros((1, 4, 4, 5), np.float32))


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "bool", "object"])
def test_out_of_another_dtype(dtype):
    with pytest.raises(TypeError, match=f"out must have the input's dtype float32, got {dtype}"):
        convolve(np.zeros(SHAPE, dtype))


def test_out_that_is_read_only():
    out = np.zeros(SHAPE, np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        convolve(out)


@pytest.mark.parametrize(
    "step", [(80, 20, 4, 0), (0, 80, 20, 4), (80, 20, 4, 4), (80, 20, 16, 4), (80, 20, 20, 2)]
)
def test_out_whose_elements_share_memory(step):
    out = np.lib.stride_tricks.as_strided(np.zeros(999, np.float32), SHAPE, step)
    with pytest.raises(ValueError, match="out has elements that share memory: strides"):
        convolve(out)


@pytest.mark.parametrize("name", ["input", "weight", "bias"])
def test_out_that_overlaps_an_operand(name):
    storage = np.zeros(1000, np.float32)
    operands = {"input": X, "weight": W, "bias": BIAS}
    values = operands[name]
    operands[name] = storage[100 : 100 + values.size].reshape(values.shape)
    operands[name][...] = values
    out = storage[100 + values.size - 1 :][: np.prod(SHAPE)].reshape(SHAPE)  # one element in common
    with pytest.raises(ValueError, match=f"out overlaps {name} in memory"):
        gpuconv.conv2d(**operands, out=out)
    np.testing.assert_array_equal(operands[name], values)
    beside = storage[100 + values.size :][: np.prod(SHAPE)].reshape(SHAPE)
    np.testing.assert_array_equal(
        gpuconv.conv2d(**operands, out=beside), gpuconv.conv2d(X, W, BIAS), strict=True
    )


def test_out_that_is_the_input():
    x = integers((2, 3, 4, 4), "float32")
    with pytest.raises(ValueError, match="out overlaps input in memory"):
        gpuconv.max_pool2d(x, 1, out=x)
    with pytest.raises(ValueError, match="out overlaps input in memory"):
        gpuconv.avg_pool2d(x, 1, out=x[::-1, :, ::-1])


INTERLEAVED = {
    "halves of the channels": (np.s_[:, :4], np.s_[:, 4:]),
    "every other channel": (np.s_[:, ::2], np.s_[:, 1::2]),
    "every other channel, backwards": (np.s_[:, ::2], np.s_[:, ::-2]),
    "every other row": (np.s_[:, :, ::2], np.s_[:, :, 1::2]),
    "every other column": (np.s_[..., ::2], np.s_[..., 1::2]),
    "every other column, mirrored": (np.s_[..., ::2], np.s_[:, :, ::-1, ::-2]),
    "every other image": (np.s_[::2], np.s_[1::2]),
}


@pytest.mark.parametrize("shape", [(2, 8, 6, 6), (4, 8, 34, 30), (2, 8, 128, 130)])
@pytest.mark.parametrize("name", INTERLEAVED)
def test_interleaved_slices_of_one_buffer_do_not_overlap(name, shape):
    source, target = INTERLEAVED[name]
    both = integers(shape, "float32")
    values = both[source].copy()
    gpuconv.max_pool2d(both[source], 1, out=both[target])
    np.testing.assert_array_equal(both[target], values)
    np.testing.assert_array_equal(both[source], values)


def test_interleaved_channels_of_a_channels_last_buffer_do_not_overlap():
    both = integers((2, 16, 17, 8), "float32").transpose(0, 3, 1, 2)
    values = both[:, ::2].copy()
    gpuconv.max_pool2d(both[:, ::2], 1, out=both[:, 1::2])
    np.testing.assert_array_equal(both[:, 1::2], values)


def test_an_empty_out_overlaps_nothing():
    x = np.zeros((0, 3, 4, 4), np.float32)
    assert gpuconv.max_pool2d(x, 1, out=x) is x
