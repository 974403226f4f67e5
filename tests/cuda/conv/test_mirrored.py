"""Padding by the image itself on the executor: every mode, any strides; planted faults."""

import numpy as np
import pytest

from gpuconv.cuda import conv
from gpuconv.spec import ConvSpec
from tests import reference
from tests.cases import CONV_DTYPES, integers
from tests.cuda.execution import compute, poisoned
from tests.cuda.mutation import BEYOND, UNSET, WRONG, changed_room, verdict
from tests.layouts import WRITABLE
from tests.sampling import few

ALGORITHM = next(each for each in conv.ALGORITHMS if each.name == "conv_mirrored")
MODES = ("reflect", "replicate", "circular")
PROBLEMS = {
    "four sides": ((2, 3, 6, 7), (4, 3, 3, 3), {"padding": ((2, 1), (3, 0))}),
    "strides": ((1, 2, 9, 8), (3, 2, 3, 2), {"stride": (2, 3), "padding": (2, 3), "dilation": (2, 1)}),
    "no window within": ((1, 2, 3, 3), (2, 2, 5, 5), {"padding": 2}),
    "groups": ((2, 4, 5, 6), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
}


def run(name, mode, dtype="float32", algorithm=ALGORITHM, layout="contiguous"):
    """(y, what it should be)."""
    shape, window, parameters = PROBLEMS[name]
    x, w = WRITABLE[layout](integers(shape, dtype)), integers(window, dtype, 1)
    spec = ConvSpec.from_arrays(x, w, None, **parameters, padding_mode=mode)
    y = WRITABLE[layout](poisoned(spec.out_shape, spec.result.numpy))
    compute(algorithm, spec, (x, w, None), (y,))
    return y, reference.conv2d(x, w, None, **parameters, padding_mode=mode)


@pytest.mark.parametrize("name", few([*PROBLEMS], 2))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", few([*CONV_DTYPES], 1))
def test_integers_are_exact(name, mode, dtype):
    y, right = run(name, mode, dtype)
    np.testing.assert_array_equal(y, right.astype(y.dtype))


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("dtype", few(["float16", "uint8", "complex64", "bfloat16", "int8", "complex128"], 3))
def test_integers_of_other_dtypes_are_exact(dtype):
    y, right = run("four sides", "circular", dtype, layout="strided")
    np.testing.assert_array_equal(y, right.astype(y.dtype))


@pytest.mark.parametrize("layout", ["reversed", "channels last", "strided"])
def test_arrays_of_any_strides(layout):
    y, right = run("four sides", "reflect", layout=layout)
    np.testing.assert_array_equal(y, right.astype("float32"))


FAULTS = [
    ("the border twice", "int32(2) * last - place", "int32(2) * last + int32(1) - place", "reflect"),
    ("around by one too few", "place + extent if", "place + extent - int32(1) if", "circular"),
    ("beyond the last", "min(max(place, int32(0)), last)", "max(place, int32(0))", "replicate"),
    (
        "a column for a row",
        "continued(int32(i) + h_first",
        "continued(int32(j) + h_first",
        "reflect",
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_planted_faults_are_caught(fault):
    _, old, new, mode = fault
    room = changed_room("conv", "conv.mirrored", old, new)
    (algorithm,) = (each for each in room.ALGORITHMS if each.name == "conv_mirrored")
    assert verdict(lambda: run("four sides", mode, algorithm=algorithm)) in (WRONG, BEYOND, UNSET)
