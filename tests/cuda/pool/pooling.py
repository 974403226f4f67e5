"""What the tests of the single pooling algorithms have in common: one call, and what it must give."""

import math

import numpy as np

from gpuconv.cuda.runtime.gpu import H200
from gpuconv.spec.layouts import Layout, PoolLayouts
from tests import reference
from tests.cases import equal
from tests.cuda.execution import compute, poisoned
from tests.layouts import WRITABLE

LAYOUTS = sorted(set(WRITABLE) - {"byte-swapped", "unaligned"})  # those that a GPU array can have


def pool(algorithm, spec, x, y=None, indices=None):
    """(values, indices) by an algorithm; in `y` and `indices` if given."""
    y = poisoned(spec.out_shape, spec.dtype) if y is None else y
    if spec.return_indices and indices is None:
        indices = poisoned(spec.out_shape, "int64")
    compute(algorithm, spec, (x,), (y, indices))
    return y, indices


def check(algorithm, case, x, y=None):
    """Values and, of maxima where the algorithm gives them, indices, with what `case` says."""
    y, _ = pool(algorithm, case.spec(x.dtype.name), x, y)
    equal(y, case.expected(x).astype(x.dtype))
    if case.op == "max" and True in algorithm.takes.get("return_indices", ()):
        values, places = reference.max_pool2d(x, **case.parameters)
        y, indices = pool(algorithm, case.spec(x.dtype.name, True), x)
        equal(y, values.astype(x.dtype))
        np.testing.assert_array_equal(indices, places)


def layouts_of(spec, x_offset=0, y_offset=0, pitch=None):
    """How contiguous arrays lie, or rows of x `pitch` elements apart, that begin at these bytes."""
    x_shape = (spec.N, spec.C, spec.H, spec.W)
    return PoolLayouts(
        Layout(x_shape, _strides(x_shape, pitch, spec.dtype), np.dtype(spec.dtype), x_offset),
        Layout(spec.out_shape, _strides(spec.out_shape, None, spec.dtype), np.dtype(spec.dtype), y_offset),
        Layout(spec.out_shape, _strides(spec.out_shape, None, "int64"), np.dtype("int64"))
        if spec.return_indices
        else None,
    )


def _strides(shape, pitch, dtype):
    lines = (*shape[:3], pitch or shape[3])
    return tuple(math.prod(lines[axis + 1 :]) * np.dtype(dtype).itemsize for axis in range(4))


def plan(algorithm, spec, gpu=H200, **layout):
    """The launch for arrays that lie as `layouts_of` says."""
    layouts = layouts_of(spec, **layout)
    assert algorithm.unsupported(spec, layouts, gpu) is None
    return algorithm.plan(spec, layouts, gpu)


def refusal(algorithm, spec):
    """Why an algorithm cannot take contiguous arrays of a geometry, or None."""
    return algorithm.unsupported(spec, layouts_of(spec), H200)
