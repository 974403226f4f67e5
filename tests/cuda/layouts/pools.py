"""Pools that between them execute every line of the pooling kernels of a dtype, each compared.

Maxima read zeros again, to tell their sign, and a warp without any goes another way; so does what lies in no
whole vector. So there are images of zeros of both signs, NaN and infinities, and images without.
"""

import itertools

import numpy as np

from gpuconv import cuda as engine
from gpuconv.spec import PoolSpec
from tests import reference
from tests.cases import integers
from tests.cuda.execution import compute, poisoned
from tests.cuda.layouts.layouts import contiguous, laid

ALGORITHMS = {each.name: each for each in engine.ALGORITHMS["pool"]}
ODD = "rows an odd number apart"
REFERENCES = {"max": reference.max_pool2d, "argmax": reference.max_pool2d}


def special(shape, dtype):
    """Zeros of both signs among smaller numbers, and a few NaN and infinities."""
    values = np.array([0.0, -0.0, -1, -2, -3, np.nan, np.inf, -np.inf]).astype(dtype)
    weights = np.array([6, 6, 4, 4, 4, 0.3, 0.3, 0.3])
    return np.random.default_rng(7).choice(values, shape, p=weights / weights.sum())


def without_zeros(shape, dtype):
    values = integers(shape, dtype, 1)
    return np.where(values == 0, np.array(5, values.dtype), values)


MAKERS = special, without_zeros


def pooled(algorithm, op, x, kernel_size, layouts=(None, None), **parameters):
    """A pool of x, compared with the reference; `layouts` are those of x and of the results."""
    with_indices = op == "argmax"
    spec = PoolSpec.from_arrays(
        {"argmax": "max"}.get(op, op), x, kernel_size, **parameters, return_indices=with_indices
    )
    with np.errstate(all="ignore"):
        if op == "mean":
            expected = reference.avg_pool2d(x, kernel_size, **parameters), None
        else:
            values, places = REFERENCES[op](x, kernel_size, **parameters)
            expected = values, places if with_indices else None
    check(algorithm, spec, x, expected, layouts)


def check(algorithm, spec, x, expected, layouts=(None, None)):
    place_x, place_y = (contiguous if name is None else (lambda array, name=name: laid(array, name))
                        for name in layouts)  # fmt: skip
    dtypes = spec.dtype, "int64"
    results = [
        None if each is None else place_y(poisoned(spec.out_shape, dtype))
        for each, dtype in zip(expected, dtypes, strict=True)
    ]
    compute(ALGORITHMS[algorithm], spec, (place_x(x),), results)
    exact = spec.reduction not in ("mean", "norm")
    eps = 4 * np.finfo("f2" if spec.itemsize == 2 else "f4").eps
    np.testing.assert_allclose(
        results[0].astype("f8"), expected[0].astype("f8"), rtol=0 if exact else eps, atol=0 if exact else eps
    )
    if results[1] is not None:
        np.testing.assert_array_equal(results[1], expected[1])


def rows(dtype):
    for op, (kernel, stride), make in itertools.product(
        ("max", "mean", "argmax"), ((3, 1), (3, 2), (2, 2)), MAKERS
    ):
        for W, padding in ((32, kernel // 2), (33, 0)):
            x = make((2, 3, 17, W), dtype)
            for layout in (None, ODD):
                pooled(
                    "pool_rows",
                    op,
                    x,
                    kernel,
                    (None, layout),
                    stride=stride,
                    padding=padding % 2 * (kernel == 3),
                )


def planes(dtype):
    for op, make, shape in itertools.product(
        ("max", "mean", "argmax"),
        MAKERS,
        ((2, 9, 8, 8), (2, 9, 7, 9), (1, 1, 160, 160), (1, 2, 41, 47), (1, 1, 161, 159)),
    ):
        x = make(shape, dtype)
        for layout in (None, "rows on 16 bytes", ODD):
            pooled("pool_global", op, x, shape[2:], (layout, None))


def separable(dtype):
    for op, make, W in itertools.product(("max", "mean"), MAKERS, (32, 33, 34)):
        x = make((2, 3, 12, W), dtype)
        for kernel, parameters in (
            (5, {"stride": 1, "padding": 2}),
            (3, {"stride": 3}),
            ((4, 7), {"stride": (2, 1), "padding": (1, 3)}),
            ((9, 2), {"stride": (1, 2), "padding": (4, 1)}),
        ):
            pooled("pool_separable", op, x, kernel, **parameters)
        if op == "max":
            pooled("pool_separable", op, x, 3, stride=(1, 2), dilation=2, padding=1)


FAMILIES = {"pool_rows": rows, "pool_global": planes, "pool_separable": separable}
