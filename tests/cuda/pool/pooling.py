"""What the tests of the single pooling algorithms have in common: one call, and what it must give."""

import numpy as np

from gpuconv import cpu
from gpuconv.algorithm import plan_by
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.spec.layouts import PoolLayouts
from tests import reference
from tests.cases import equal
from tests.cpu.problems import problem
from tests.cuda.execution import compute, contiguous, poisoned
from tests.layouts import WRITABLE

LAYOUTS = sorted(set(WRITABLE) - {"byte-swapped", "unaligned"})  # those that a GPU array can have


def pool(algorithm, spec, x, y=None, indices=None):
    """(values, indices) by an algorithm; in `y` and `indices` if given."""
    y = poisoned(spec.out_shape, spec.dtype) if y is None else y
    if spec.return_indices and indices is None:
        indices = poisoned(spec.out_shape, "int64")
    compute(algorithm, spec, (x,), (y, indices))
    return y, indices


def equals_cpu(algorithm, spec, x, y=None, bound=0):
    """Whether the executor's result is that of the CPU's, which is tested beside definitions."""
    is_integer = np.dtype(spec.dtype).kind in "iu"
    if y is None:
        y = np.full(spec.out_shape, 77, spec.dtype) if is_integer else poisoned(spec.out_shape, spec.dtype)
    indices = poisoned(spec.out_shape, "int64") if spec.return_indices else None
    compute(algorithm, spec, (x,), (y, indices))
    expected = [np.empty(each.shape, each.dtype) for each in (y, indices) if each is not None]
    plan_by(cpu.ALGORITHMS["pool"], *problem(spec))(np.ascontiguousarray(x), *expected)
    with np.errstate(invalid="ignore"):
        off = np.abs(y.astype("f8") - expected[0].astype("f8"))
        same = (off <= bound * np.abs(expected[0].astype("f8"))) | (y == expected[0])
    same |= (y != y) & (expected[0] != expected[0])
    return bool(same.all()) and (indices is None or np.array_equal(indices, expected[1]))


def same_zeros(y, expected):
    """Whether zeros have the sign that they should."""
    found, expected = (array.astype(np.float64) for array in (y, expected))
    return np.array_equal(np.signbit(found)[expected == 0], np.signbit(expected)[expected == 0])


def signed_zeros(shape, dtype, share, seed=5):
    """Zeros of both signs among smaller numbers, of which there are `share`."""
    generator = np.random.default_rng(seed)
    values = np.where(generator.random(shape) < 0.5, -0.0, 0.0)
    return np.where(generator.random(shape) < share, -generator.integers(1, 4, shape), values).astype(dtype)


def check(algorithm, case, x, y=None):
    """Values and, of maxima where the algorithm gives them, indices, with what `case` says."""
    y, _ = pool(algorithm, case.spec(x.dtype.name), x, y)
    expected = case.expected(x).astype(x.dtype)
    equal(y, expected)
    if case.op == "max":
        assert same_zeros(y, expected)
    if case.op == "max" and True in algorithm.takes.get("return_indices", ()):
        values, places = reference.max_pool2d(x, **case.parameters)
        y, indices = pool(algorithm, case.spec(x.dtype.name, True), x)
        equal(y, values.astype(x.dtype))
        assert same_zeros(y, values)
        np.testing.assert_array_equal(indices, places)


def plan(algorithm, spec, x_offset=0, y_offset=0, pitch=None):
    """The launch for contiguous arrays, or rows of x `pitch` elements apart, that begin at these bytes."""
    x, y, indices = contiguous(spec)
    steps = (spec.C * spec.H * pitch, spec.H * pitch, pitch, 1) if pitch else x.elements
    strides = tuple(step * spec.itemsize for step in steps)
    layouts = PoolLayouts(
        x._replace(strides=strides, offset=x_offset), y._replace(offset=y_offset), indices
    )  # fmt: skip
    assert algorithm.unsupported(spec, layouts, H200) is None
    return algorithm.plan(spec, layouts, H200)
