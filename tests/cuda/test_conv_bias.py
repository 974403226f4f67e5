"""Gradients by the bias on the executor: at once, and in passes where the rows of planes lie apart."""

import numpy as np
import pytest

from gpuconv.algorithm import refusal
from gpuconv.cuda import conv_bias
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.spec import of_bias_gradient
from tests.cases import integers
from tests.cuda.execution import compute, layouts_of, on_device, poisoned
from tests.layouts import WRITABLE

AT_ONCE, IN_PASSES = conv_bias.ALGORITHMS
DY = integers((3, 4, 5, 7), "float32")


@pytest.mark.parametrize("algorithm", conv_bias.ALGORITHMS, ids=lambda each: each.name)
@pytest.mark.parametrize("layout", ["contiguous", "channels last", "reversed", "strided"])
def test_integers_are_exact(algorithm, layout):
    dy, db = WRITABLE[layout](DY), poisoned((4,), "float32")
    spec = of_bias_gradient(dy)
    reason = refusal(algorithm, spec, layouts_of(spec, on_device(dy), on_device(db, True)), H200)
    if reason is not None:
        assert (algorithm, layout) == (AT_ONCE, "strided") and "do not follow each other" in reason
        return
    compute(algorithm, spec, (dy,), (db,))
    np.testing.assert_array_equal(db, DY.sum(axis=(0, 2, 3)))


@pytest.mark.parametrize("dtype", ["float16", pytest.param("float64", marks=pytest.mark.wide)])
def test_other_dtypes(dtype):
    dy, db = DY.astype(dtype), poisoned((4,), dtype)
    compute(AT_ONCE, of_bias_gradient(dy), (dy,), (db,))
    np.testing.assert_array_equal(db, DY.sum(axis=(0, 2, 3)).astype(dtype))


def test_of_no_images_there_is_nothing():
    dy, db = np.zeros((0, 4, 5, 7), "f4"), poisoned((4,), "float32")
    for algorithm in conv_bias.ALGORITHMS:
        db[:] = np.nan
        compute(algorithm, of_bias_gradient(dy), (dy,), (db,))
        assert (db == 0).all()
