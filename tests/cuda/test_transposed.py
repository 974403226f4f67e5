"""Transposed convolutions on the executor: every case, and arrays of any strides."""

import numpy as np
import pytest

from gpuconv.cuda import conv_grad
from gpuconv.spec import of_transposed
from tests import reference
from tests.cases import TRANSPOSED_CASES, TransposedCase, integers
from tests.cuda.execution import compute, layouts_of, on_device, poisoned
from tests.layouts import WRITABLE

ALGORITHM, _ = conv_grad.ALGORITHMS


@pytest.mark.parametrize("case", TRANSPOSED_CASES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.wide)])
def test_integers_are_exact(case, dtype):
    arrays = case.arrays(dtype, integers)
    y = poisoned(case.spec(dtype).out_shape, dtype)
    compute(ALGORITHM, case.spec(dtype), arrays, (y,))
    np.testing.assert_array_equal(y, case.expected(*arrays).astype(dtype))


@pytest.mark.parametrize("layout", ["reversed", "channels last", "strided"])
@pytest.mark.parametrize("name", ["U-Net's 2x2 at stride 2", "groups", "depthwise, multiplier 3"])
def test_arrays_of_any_strides(name, layout):
    (case,) = (each for each in TRANSPOSED_CASES if each.name == name)
    x, w, bias = case.arrays("float32", integers)
    y = WRITABLE[layout](poisoned(case.spec().out_shape, "float32"))
    compute(ALGORITHM, case.spec(), (WRITABLE[layout](x), WRITABLE[layout](w), bias), (y,))
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype("float32"))


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("part", [np.s_[:, :3], np.s_[:, ::2], np.s_[:, 1:2]], ids=str)
def test_groups_whose_weights_are_a_part_of_larger_ones(part):
    case = TransposedCase("parts", (1, 4, 4, 5), (4, 6, 3, 2), 2, 1, groups=4)
    x, whole, _ = case.arrays("float32", integers)
    w = whole[part]
    spec = of_transposed(x, w, None, 2, 1, 0, 4)
    y = poisoned(spec.out_shape, "float32")
    compute(ALGORITHM, spec, (x, w, None), (y,))
    np.testing.assert_array_equal(y, reference.conv_transpose2d(x, w, None, 2, 1, 0, 4).astype("float32"))


def test_groups_of_several_channels_are_parts_of_their_own():
    counts = {}
    for case in TRANSPOSED_CASES:
        counts[case.name] = len(list(conv_grad.phases.parts_of(case.spec(), _layouts(case))))
    assert counts["groups"] == 4 * 3 and counts["depthwise"] == 4
    assert counts["groups of one output channel"] == 2 and counts["depthwise, multiplier 3"] == 1


def _layouts(case):
    arrays = case.arrays("float32", integers)
    y = poisoned(case.spec().out_shape, "float32")
    return layouts_of(case.spec(), *map(on_device, arrays), on_device(y, True))
