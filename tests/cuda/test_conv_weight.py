"""Gradients by the weight on the executor: every case, and arrays of any strides."""

import numpy as np
import pytest

from gpuconv.cuda import conv_weight
from gpuconv.cuda.conv_weight.exchanged import seen
from gpuconv.spec import Axis, of_weight_gradient
from tests import reference
from tests.cases import CONV_CASES, CONV_DTYPES, integers
from tests.cuda.execution import compute, poisoned
from tests.cuda.mutation import WRONG, changed_room, verdict
from tests.layouts import WRITABLE
from tests.sampling import few

(ALGORITHM,) = conv_weight.ALGORITHMS
CASES = sorted((case for case in CONV_CASES if not case.large), key=lambda case: "group" not in case.name)

TRIED = [
    *((case, CONV_DTYPES[0]) for case in CASES),
    *((case, dtype) for dtype in CONV_DTYPES[1:-2] for case in CASES[::3]),
]


def of_case(case, dtype):
    """(spec, x, dy) of a case."""
    x, dy = integers(case.x, dtype, 1), integers(case.spec().out_shape, dtype, 2)
    return of_weight_gradient(x, case.w, dy, **case.parameters), x, dy


@pytest.mark.parametrize(("case", "dtype"), few(TRIED, 5), ids=str)
def test_integers_are_exact(case, dtype):
    spec, x, dy = of_case(case, dtype)
    dw = poisoned(spec.out_shape, dtype)
    compute(ALGORITHM, spec, (x, dy), (dw,))
    np.testing.assert_array_equal(dw, reference.conv2d_weight(x, case.w, dy, **case.parameters).astype(dtype))


@pytest.mark.parametrize("layout", ["reversed", "channels last", "strided"])
def test_arrays_of_any_strides(layout):
    (case,) = (each for each in CASES if each.name == "groups")
    spec, x, dy = of_case(case, "float32")
    dw = WRITABLE[layout](poisoned(spec.out_shape, "float32"))
    compute(ALGORITHM, spec, (WRITABLE[layout](x), WRITABLE[layout](dy)), (dw,))
    np.testing.assert_array_equal(
        dw, reference.conv2d_weight(x, case.w, dy, **case.parameters).astype("float32")
    )


@pytest.mark.parametrize(
    "fault",
    [
        ("conv.tiled.kernel", "a product not conjugated", 'operands.conjugate == "input"', "False"),
        ("conv.tiled.kernel", "the other conjugated", 'operands.conjugate == "weight"', "operands.conjugate"),
        ("conv_weight.exchanged", "sums not of a group", "group * step for step", "0 * step for step"),
    ],
    ids=lambda fault: fault[1],
)
def test_planted_faults_are_caught(fault):
    module, _, old, new = fault
    (algorithm,) = changed_room("conv_weight", module, old, new).ALGORITHMS
    (case,) = (each for each in CASES if each.name == "groups")

    def compute_case():
        spec, x, dy = of_case(case, "complex64")
        dw = poisoned(spec.out_shape, "complex64")
        compute(algorithm, spec, (x, dy), (dw,))
        return dw, reference.conv2d_weight(x, case.w, dy, **case.parameters)

    assert verdict(compute_case) == WRONG


def test_sums_of_16_bits_are_rounded_once():
    """2048 + 1 lies half-way between two numbers of float16, and 2051 is rounded to 2052."""
    x, dy = np.array([2048, 1, 2], "f2").reshape(1, 1, 1, 3), np.ones((1, 1, 1, 3), "f2")
    dw = poisoned((1, 1, 1, 1), "f2")
    compute(ALGORITHM, of_weight_gradient(x, dw.shape, dy), (x, dy), (dw,))
    assert dw.item() == 2052


def test_only_what_windows_see_is_read():
    assert seen(Axis(8, 3, (1, 1), 2, 1), 4) == (8, (1, 0))
    assert seen(Axis(9, 2, (0, 0), 4, 1), 2) == (6, (0, 0))
    assert seen(Axis(2, 1, (5, 0), 3, 1), 2) == (0, (4, 0))
