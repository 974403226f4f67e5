"""Activations and residuals on the executor: each, in place, with arrays of any strides; planted faults."""

import numpy as np
import pytest

from gpuconv.cuda import conv
from gpuconv.spec import ConvSpec
from tests import reference
from tests.cases import ConvCase, integers
from tests.cuda.execution import compute, poisoned
from tests.cuda.mutation import BEYOND, WRONG, changed_room, verdict
from tests.layouts import WRITABLE

ALGORITHM = next(each for each in conv.ALGORITHMS if each.name == "conv_then_epilogue")
ACTIVATIONS = [
    "relu", None, ("leaky_relu", 0.3), "relu6", "sigmoid", "tanh", "gelu", ("gelu", "tanh"), "silu",
    "hardswish",
]  # fmt: skip
CASE = ConvCase("padded", (2, 3, 5, 7), (4, 3, 3, 3), padding=1, bias=True)
ADDED = integers((2, 4, 5, 7), "float64", 3)


def run(activation, residual, dtype="float32", algorithm=ALGORITHM, layout="contiguous"):
    """(y, what it should be)."""
    x, w, bias = ((array / 2).astype(dtype) for array in CASE.arrays(dtype, integers))
    added = () if residual is None else (WRITABLE[layout](residual.astype(dtype)),)
    options = {"activation": activation, "residual": added[0] if added else None}
    spec = ConvSpec.from_arrays(x, w, bias, **CASE.parameters, **options)
    y = WRITABLE[layout](poisoned(spec.out_shape, dtype))
    compute(algorithm, spec, (x, w, bias, *added), (y,))
    sums = CASE.expected(x, w, bias)
    return y, reference.activate(sums if residual is None else sums + residual, activation)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.wide)])
def test_results_are_activated(activation, dtype):
    residual = ADDED if activation in (None, "relu", "silu") else None
    y, right = run(activation, residual, dtype)
    assert (np.abs(y - right) <= 8 * np.finfo(dtype).eps * (1 + np.abs(right))).all()


@pytest.mark.parametrize("layout", ["reversed", "channels last", "strided"])
def test_arrays_of_any_strides(layout):
    y, right = run("relu", ADDED, layout=layout)
    np.testing.assert_array_equal(y, right.astype("f4"))


FAULTS = [
    ("what is not positive stays", "result = zero if value <= zero", "result = value if value <= zero"),
    ("a residual of the wrong row", "int64(p) * residual_p", "int64(q) * residual_p"),
    ("a residual that is left out", "value = scalar(value + residual[place])", "value = scalar(value)"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_planted_faults_are_caught(fault):
    _, old, new = fault
    room = changed_room("conv", "conv.epilogue", old, new)
    (algorithm,) = (each for each in room.ALGORITHMS if each.name == "conv_then_epilogue")
    assert verdict(lambda: run("relu", ADDED, algorithm=algorithm)) in (WRONG, BEYOND)
