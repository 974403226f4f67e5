"""Deformable convolutions on the executor: groups, masks, arrays of any strides, blocks; planted faults."""

import numpy as np
import pytest

from gpuconv import precision
from gpuconv.cuda import deform
from gpuconv.cuda.deform import columns
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.operators import DEFORM_CONV2D
from gpuconv.spec import of_deformed
from tests import reference
from tests.cuda.execution import compute, layouts_of, on_device, poisoned
from tests.cuda.mutation import BEYOND, WRONG, changed_room, verdict
from tests.layouts import WRITABLE
from tests.test_deform_conv2d import BIAS, OPTIONS, SHAPE, W, X, masks, offsets

(ALGORITHM,) = deform.ALGORITHMS


def run(groups=2, masked=True, dtype="float32", layout="contiguous", algorithm=ALGORITHM, weights=None):
    """(y, what it should be)."""
    x, offset, w, bias = (array.astype(dtype) for array in (X, offsets(groups, SHAPE), W, BIAS))
    mask = masks(groups, SHAPE).astype(dtype) if masked else None
    laid = [WRITABLE[layout](array) for array in (x, offset)]
    others = WRITABLE[weights or layout](w), bias, None if mask is None else WRITABLE[layout](mask)
    spec = of_deformed(*laid, *others, **OPTIONS)
    y = WRITABLE[layout](poisoned(spec.out_shape, dtype))
    compute(algorithm, spec, (*laid, *others), (y,))
    return y, reference.deform_conv2d(x, offset, w, bias, **OPTIONS, mask=mask)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.wide)])
def test_quarters_of_pixels_are_exact(groups, masked, dtype):
    y, right = run(groups, masked, dtype)
    np.testing.assert_array_equal(y, right.astype(dtype))


@pytest.mark.parametrize("layout", ["reversed", "channels last", "strided"])
@pytest.mark.parametrize("weights", [None, "contiguous"])
def test_arrays_of_any_strides(layout, weights):
    y, right = run(layout=layout, weights=weights)
    np.testing.assert_array_equal(y, right.astype("float32"))


def test_images_in_blocks(monkeypatch):
    monkeypatch.setattr(columns, "COLUMNS_BYTES", 1)
    y, right = run()
    np.testing.assert_array_equal(y, right.astype("float32"))


@pytest.mark.parametrize("weights", ["contiguous", "reversed"])
def test_the_product_has_the_precision_of_the_program(monkeypatch, weights):
    asked = []
    monkeypatch.setattr(columns, "plan_by", lambda _, spec, *rest: asked.append(spec.precision))
    monkeypatch.setattr(precision, "default", "ieee")
    arrays = X, offsets(1, SHAPE), WRITABLE[weights](W), BIAS, None
    spec = DEFORM_CONV2D.spec(*arrays, OPTIONS["stride"], OPTIONS["padding"], 1)
    views = (on_device(array) for array in (*arrays, np.empty(spec.out_shape, "float32")))
    ALGORITHM.plan(spec, layouts_of(spec, *views), H200)
    assert asked == ["ieee"]


FAULTS = [
    ("the offsets of one group for all", "c // channels * R * S + t", "t"),
    ("the offset of the other axis", "offset[at + offset_c]", "offset[at]"),
    ("a pixel beyond the last row", "row + int32(i) < H", "row + int32(i) <= H"),
    ("the mask left out", "total = total * mask[place]", "total = total * scalar(1)"),
    ("the farther pixel counts more", "down if i == 1 else", "down if i == 0 else"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_planted_faults_are_caught(fault):
    _, old, new = fault
    (algorithm,) = changed_room("deform", "deform.columns", old, new).ALGORITHMS
    assert verdict(lambda: run(algorithm=algorithm)) in (WRONG, BEYOND)
