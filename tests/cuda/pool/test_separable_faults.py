"""Faults planted in `pool_separable` are caught, by the executor or by a wrong result."""

import numpy as np
import pytest

from gpuconv.cuda.runtime.launch import Launch
from tests import ptx
from tests.cases import integers
from tests.cuda import execution
from tests.cuda.execution import on_device, poisoned
from tests.cuda.mutation import HARMLESS, seldom
from tests.cuda.pool.separable_faults import FAULTS, MEANS, PAIRS, TILES, VECTORS
from tests.cuda.pool.test_faults import planted

# The files that the kernels are written in, each after those that it imports.
FILES = ("pool.separable.chains", "pool.separable.load", "pool.separable.passes", "pool.separable")


def verdict(module, case):
    """A fault's name, "wrong result", or HARMLESS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Launch, "start", lambda self, output, *arrays: execution.execute(self, *arrays))
        try:
            return HARMLESS if pools(module, case) else "wrong result"
        except ptx.PtxError as fault:
            return type(fault).__name__


def pools(module, case):
    """Whether it pools numbers below zero, which padding of zeros would win against."""
    x = -1 - abs(integers(case.x, "float32"))
    y = poisoned(case.spec().out_shape, "float32")
    module.run(case.spec(), on_device(x), on_device(y, True), None)
    return np.array_equal(y, case.expected(x).astype("float32"))


@seldom(FAULTS, 2)
def test_faults_in_pool_separable(fault):
    _, file, old, new, expected, case = fault
    found = verdict(planted(FILES, file, old, new), case)
    assert found != HARMLESS and found in expected


@pytest.mark.parametrize("case", [VECTORS, PAIRS, MEANS, TILES], ids=str)
def test_unharmed_kernels_raise_nothing(case):
    assert verdict(planted(FILES, None, "", ""), case) == HARMLESS
