"""What the tests of the single pooling algorithms have in common: one call, and what it must give."""

import numpy as np

from tests import reference
from tests.cases import equal
from tests.cuda.execution import on_device, poisoned


def pool(algorithm, spec, x, y=None, indices=None):
    """(values, indices) by a module of `gpuconv.cuda`; in `y` and `indices` if given."""
    y = poisoned(spec.out_shape, spec.dtype) if y is None else y
    if spec.return_indices and indices is None:
        indices = poisoned(spec.out_shape, "int64")
    algorithm.run(spec, on_device(x), on_device(y, True), on_device(indices, True))
    return y, indices


def check(algorithm, case, x, y=None):
    """Values and, of maxima where the algorithm gives them, indices, with what `case` says."""
    y, _ = pool(algorithm, case.spec(x.dtype.name), x, y)
    equal(y, case.expected(x).astype(x.dtype))
    spec = case.spec(x.dtype.name, True) if case.op == "max" else None
    if spec and algorithm.unsupported(spec) is None:
        values, places = reference.max_pool2d(x, **case.parameters)
        y, indices = pool(algorithm, spec, x)
        equal(y, values.astype(x.dtype))
        np.testing.assert_array_equal(indices, places)
