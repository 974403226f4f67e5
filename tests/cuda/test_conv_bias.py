"""Gradients by the bias on the executor: at once, and in passes where the rows of planes lie apart."""

import numpy as np
import pytest

from gpuconv.algorithm import refusal
from gpuconv.cuda import conv_bias
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.spec import of_bias_gradient
from tests.cases import integers
from tests.cuda.execution import compute, layouts_of, on_device, poisoned
from tests.cuda.mutation import UNSET, WRONG, changed_room, verdict
from tests.layouts import WRITABLE
from tests.sampling import few

AT_ONCE, IN_PASSES, OF_PARTS = conv_bias.ALGORITHMS
SUMS = AT_ONCE, IN_PASSES
DY = integers((3, 4, 5, 7), "float32")


@pytest.mark.parametrize("algorithm", SUMS, ids=lambda each: each.name)
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


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("dtype", ["float16", pytest.param("float64", marks=pytest.mark.wide)])
def test_other_dtypes(dtype):
    dy, db = DY.astype(dtype), poisoned((4,), dtype)
    compute(AT_ONCE, of_bias_gradient(dy), (dy,), (db,))
    np.testing.assert_array_equal(db, DY.sum(axis=(0, 2, 3)).astype(dtype))


@pytest.mark.parametrize("layout", few(["contiguous", "strided", "reversed", "channels last"], 2))
@pytest.mark.parametrize("dtype", few(["complex64", "complex128"], 1))
def test_of_complex_numbers_each_part_is_added_up(dtype, layout):
    host = integers((3, 4, 5, 7), dtype)
    dy, db = WRITABLE[layout](host), WRITABLE[layout](poisoned((4,), dtype))
    compute(OF_PARTS, of_bias_gradient(dy), (dy,), (db,))
    np.testing.assert_array_equal(db, host.sum(axis=(0, 2, 3)))


@pytest.mark.parametrize(
    "fault",
    [
        ("one part for both", "for moved in (0, part.itemsize)", "for moved in (0, 0)"),
        ("a part of another result", "(DB, moved)", "(DB, 0)"),
    ],
    ids=lambda fault: fault[0],
)
def test_faults_in_the_parts(fault):
    _, old, new = fault
    room = changed_room("conv_bias", "conv_bias.parts", old, new)

    def compute_case():
        dy = integers((2, 3, 2, 3), "complex64")
        db = np.zeros(3, "complex64")
        compute(room.ALGORITHMS[-1], of_bias_gradient(dy), (dy,), (db,))
        return db, dy.sum(axis=(0, 2, 3))

    assert verdict(compute_case) in (WRONG, UNSET)


@pytest.mark.wide  # seconds of the compiler
def test_of_no_images_there_is_nothing():
    dy, db = np.zeros((0, 4, 5, 7), "f4"), poisoned((4,), "float32")
    for algorithm in SUMS:
        db[:] = np.nan
        compute(algorithm, of_bias_gradient(dy), (dy,), (db,))
        assert (db == 0).all()
