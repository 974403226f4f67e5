"""Deformable convolution on the CPU."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gpuconv
from gpuconv import call as calls
from gpuconv.cpu.deform import columns
from tests import reference
from tests.cases import CONV_CASES, DTYPES, integers, normal
from tests.layouts import READABLE, WRITABLE

X, W, BIAS = integers((2, 6, 7, 8), "f4"), integers((4, 3, 3, 2), "f4", 1), integers((4,), "f4", 2)
OPTIONS = {"stride": 2, "padding": 1}
SHAPE = (2, 4, 4, 5)  # of the result


def offsets(groups, shape, seed=5, taps=6, parts=4):
    """Multiples of 1 / `parts`, from -3 to 3, which are exact."""
    random = np.random.default_rng(seed).integers(
        -3 * parts, 3 * parts, (shape[0], 2 * groups * taps, *shape[2:])
    )
    return (random / parts).astype("f4")


def masks(groups, shape, seed=6, taps=6):
    random = np.random.default_rng(seed).integers(0, 5, (shape[0], groups * taps, *shape[2:]))
    return (random / 4).astype("f4")


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_quarters_of_pixels_are_exact(groups, masked, dtype):
    x, w, bias = (array.astype(dtype) for array in (X, W, BIAS))
    offset = offsets(groups, SHAPE).astype(dtype)
    mask = masks(groups, SHAPE).astype(dtype) if masked else None
    y = gpuconv.deform_conv2d(x, offset, w, bias, **OPTIONS, mask=mask)
    right = reference.deform_conv2d(x, offset, w, bias, **OPTIONS, mask=mask)
    np.testing.assert_array_equal(y, right.astype(dtype), strict=True)


@pytest.mark.parametrize("case", [case for case in CONV_CASES if case.spec().C], ids=str)
def test_without_offsets_it_is_a_convolution(case):
    x, w, bias = case.arrays("float32", integers)
    spec = case.spec()
    offset = np.zeros((spec.N, 2 * spec.R * spec.S, spec.P, spec.Q), "f4")
    parameters = {name: value for name, value in case.parameters.items() if name != "groups"}
    y = gpuconv.deform_conv2d(x, offset, w, bias, **parameters)
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype("f4"), strict=True)


@given(st.integers(1, 3), st.integers(1, 3), st.tuples(st.integers(1, 6), st.integers(1, 6)), st.booleans())
def test_any_geometry(groups, offset_groups, size, masked):
    x = integers((2, 6 if 6 % groups == 0 else 1, *size), "f8")
    w = integers((groups * 2, 6 // groups, 2, 3), "f8", 1)
    shape = (2, groups * 2, size[0] + 1, size[1])
    offset = offsets(offset_groups, shape).astype("f8")
    mask = masks(offset_groups, shape).astype("f8") if masked else None
    y = gpuconv.deform_conv2d(x, offset, w, padding=1, mask=mask)
    right = reference.deform_conv2d(x, offset, w, padding=1, mask=mask)
    np.testing.assert_array_equal(y, right, strict=True)


@pytest.mark.parametrize("layout", READABLE)
def test_inputs_of_every_layout(layout):
    arrays = X, offsets(2, SHAPE), W, BIAS
    laid = [READABLE[layout](array) for array in arrays]
    mask = READABLE[layout](masks(2, SHAPE))
    y = gpuconv.deform_conv2d(*laid, **OPTIONS, mask=mask)
    right = reference.deform_conv2d(*arrays, **OPTIONS, mask=masks(2, SHAPE))
    np.testing.assert_array_equal(y, right.astype("f4"), strict=True)


@pytest.mark.parametrize("layout", WRITABLE)
def test_outputs_of_every_layout(layout):
    out = WRITABLE[layout](np.full(SHAPE, np.nan, "f4"))
    assert gpuconv.deform_conv2d(X, offsets(1, SHAPE), W, **OPTIONS, out=out) is out
    np.testing.assert_array_equal(out, reference.deform_conv2d(X, offsets(1, SHAPE), W, **OPTIONS))


def test_one_image_needs_no_batch():
    offset, mask = offsets(2, SHAPE), masks(2, SHAPE)
    y = gpuconv.deform_conv2d(X[0], offset[0], W, **OPTIONS, mask=mask[0])
    whole = gpuconv.deform_conv2d(X, offset, W, **OPTIONS, mask=mask)
    np.testing.assert_array_equal(y, whole[0], strict=True)


@pytest.mark.parametrize("elements", [1, 700, 2000])
def test_blocks_of_rows_and_of_images(elements, monkeypatch):
    """The columns of a row of outputs are 180 numbers, and those of an image 720."""
    monkeypatch.setattr(calls, "_known", {})
    monkeypatch.setattr(columns, "BLOCK", elements)
    y = gpuconv.deform_conv2d(X, OFFSET, W, **OPTIONS)
    np.testing.assert_array_equal(y, reference.deform_conv2d(X, OFFSET, W, **OPTIONS).astype("f4"))


def test_values_that_are_not_finite():
    x, w = np.ones((1, 1, 3, 4), "f4"), np.ones((1, 1, 1, 1), "f4")
    x[0, 0, 0, 0] = np.inf
    offset = np.zeros((1, 2, 3, 4), "f4")
    offset[0, 0, 1, 1], offset[0, 1, 1, 2], offset[0, 0, 2, 0] = np.nan, np.inf, -np.inf
    y = gpuconv.deform_conv2d(x, offset, w)[0, 0]
    assert np.isnan(y[1, 1]) and y[1, 2] == 0 and y[2, 0] == 0 and np.isinf(y[0, 0])
    assert (y[1:, 3] == 1).all()


def test_grid_sample_has_the_same_samples():
    torch = pytest.importorskip("torch")
    x, offset = normal((1, 2, 6, 7), "float64"), normal((1, 2, 6, 7), "float64", 1) * 3
    h = np.arange(6)[:, None] + offset[0, 0]
    v = np.arange(7) + offset[0, 1]
    grid = torch.from_numpy(np.stack([v / 3 - 1, h / 2.5 - 1], axis=-1))[None]
    theirs = torch.nn.functional.grid_sample(torch.from_numpy(x), grid, align_corners=True)
    w = np.eye(2).reshape(2, 2, 1, 1)
    np.testing.assert_allclose(gpuconv.deform_conv2d(x, offset, w), theirs.numpy(), rtol=1e-12, atol=1e-12)


OFFSET = offsets(1, SHAPE)
WRONG = [
    ({"input": X.astype(int)}, TypeError, "input must be float32"),
    ({"input": X[0]}, ValueError, "offset must have shape"),
    ({"offset": OFFSET.astype("f8")}, TypeError, "offset must have the input's dtype"),
    ({"offset": OFFSET[:, :, :3]}, ValueError, r"offset must have shape \(2, 12 \* groups, 4, 5\), got"),
    ({"offset": OFFSET[:1]}, ValueError, "offset must have shape"),
    ({"offset": OFFSET[:, :11]}, ValueError, "offset must have 12 channels, 2 for each of 3x2 taps"),
    ({"offset": OFFSET[:, :0]}, ValueError, "offset must have 12 channels"),
    ({"offset": offsets(4, SHAPE)}, ValueError, "a number of groups that divides the 6 channels of input"),
    ({"offset": None}, TypeError, "offset must be an array"),
    ({"mask": masks(2, SHAPE)}, ValueError, "mask must have 6 channels, half of those of offset"),
    ({"mask": masks(1, SHAPE)[:, :, 1:]}, ValueError, "mask must have shape"),
    ({"mask": masks(1, SHAPE).astype("f8")}, TypeError, "mask must have the input's dtype"),
    ({"mask": 1.0}, TypeError, "mask must be an array"),
    ({"weight": W[:, :, 0]}, ValueError, "weight must have shape"),
    ({"weight": np.ones((4, 4, 3, 2), "f4")}, ValueError, "weight must have a number of channels"),
    ({"weight": np.ones((3, 3, 3, 2), "f4")}, ValueError, "weight must have a number of channels"),
    ({"weight": W.astype("f8")}, TypeError, "weight must have the input's dtype"),
    ({"bias": BIAS[:3]}, ValueError, r"bias must have shape \(4,\)"),
    ({"stride": 0}, ValueError, "stride must be"),
    ({"padding": -1}, ValueError, "padding must be"),
    ({"dilation": 0}, ValueError, "dilation must be"),
    ({"dilation": 99}, ValueError, "input is too small"),
    ({"algorithm": "conv_direct"}, ValueError, "algorithm must be None or one of deform_columns"),
    ({"out": X}, ValueError, "out must have the result's shape"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_wrong_arguments(wrong, error, message):
    with pytest.raises(error, match=message):
        gpuconv.deform_conv2d(**{"input": X, "offset": OFFSET, "weight": W, **OPTIONS, **wrong})
