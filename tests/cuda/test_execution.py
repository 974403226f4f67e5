"""Every CUDA algorithm, its really compiled PTX executed on the CPU, on every case that it supports.

The executor reports races, accesses out of bounds or misaligned, reads of what nothing wrote, and barriers
that not all threads reach; each is an error here.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuconv import cuda as engine
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.spec import ConvSpec, PoolSpec
from tests import reference
from tests.cases import CONV_CASES, DTYPES, POOL_CASES, POOL_DTYPES, integers, normal
from tests.cuda.execution import compute, layouts_of, on_device, poisoned, refusal

over_architectures = pytest.mark.parametrize(
    "arch", [pytest.param("sm_80", marks=pytest.mark.slow), "sm_90a"]
)


def supported(algorithms, cases, dtypes=("float32",)):
    """(algorithm, case, dtype) of each case that an algorithm takes."""
    return [
        pytest.param(algorithm, case, dtype, id=f"{algorithm.name}, {case}, {dtype}")
        for algorithm in algorithms
        for case in cases
        for dtype in dtypes
        if refusal(algorithm, case.spec(dtype)) is None
    ]


def supporting(*extents):
    """The algorithms that take such a problem (N, C, H, W, K, R, S), which is not depthwise."""
    spec = ConvSpec(*extents)
    found = [each for each in engine.ALGORITHMS["conv"] if refusal(each, spec) is None]
    return pytest.mark.parametrize("algorithm", found, ids=lambda algorithm: algorithm.name)


def convolve(spec, x, w, bias, algorithm, y=None, arch="sm_90a"):
    y = poisoned(spec.out_shape, spec.dtype) if y is None else y
    compute(algorithm, spec, (x, w, bias), (y,), arch)
    return y


def pool(spec, x, algorithm, y=None, arch="sm_90a"):
    y = poisoned(spec.out_shape, spec.dtype) if y is None else y
    indices = poisoned(spec.out_shape, "int64") if spec.return_indices else None
    compute(algorithm, spec, (x,), (y, indices), arch)
    return y, indices


@over_architectures
@pytest.mark.parametrize(
    ("algorithm", "case", "dtype"), supported(engine.ALGORITHMS["conv"], CONV_CASES, DTYPES)
)
def test_convolutions_are_exact_on_integers(arch, algorithm, case, dtype):
    host = case.arrays(dtype, integers)
    got = convolve(case.spec(dtype), *host, algorithm, arch=arch)
    np.testing.assert_array_equal(got, case.expected(*host).astype(dtype))


@pytest.mark.parametrize(
    ("algorithm", "case", "dtype"), supported(engine.ALGORITHMS["conv"], CONV_CASES[::4])
)
def test_convolutions_stay_within_the_error_bound(algorithm, case, dtype):
    host = case.arrays(dtype, normal)
    got = convolve(case.spec(dtype), *host, algorithm)
    if algorithm.name == "conv_winograd":  # an output sees the greatest input of its tile
        bound = reference.tile_error_bound(*host, padding=case.padding, groups=case.groups)
    else:
        bound = reference.error_bound(*host, **case.parameters)
    assert (abs(got - case.expected(*host)) <= bound).all()


@over_architectures
@pytest.mark.parametrize(
    ("algorithm", "case", "dtype"), supported(engine.ALGORITHMS["pool"], POOL_CASES, POOL_DTYPES)
)
def test_pools_are_exact_on_integers(arch, algorithm, case, dtype):
    x = integers(case.x, dtype)
    if case.op == "avg":
        got, _ = pool(case.spec(dtype), x, algorithm, arch=arch)
        np.testing.assert_array_equal(got, case.expected(x).astype(dtype))
        return
    values, indices = reference.max_pool2d(x, **case.parameters)
    got, _ = pool(case.spec(dtype), x, algorithm, arch=arch)
    np.testing.assert_array_equal(got, values.astype(dtype))
    with_indices = case.spec(dtype, True)
    if refusal(algorithm, with_indices) is None:
        got, places = pool(with_indices, x, algorithm, arch=arch)
        np.testing.assert_array_equal(got, values.astype(dtype))
        np.testing.assert_array_equal(places, indices)


MEANS = [case for case in POOL_CASES if case.op == "avg"][::3]


@pytest.mark.parametrize(
    ("algorithm", "case", "dtype"), supported(engine.ALGORITHMS["pool"], MEANS, POOL_DTYPES)
)
def test_means_stay_within_the_error_bound(algorithm, case, dtype):
    x = normal(case.x, dtype)
    got, _ = pool(case.spec(dtype), x, algorithm)
    assert (abs(got - case.expected(x)) <= reference.mean_bound(x, dtype, **case.parameters)).all()


# Of columns of x, and of taps of w
NEED_NEIGHBOURS = "conv_winograd", "conv_implicit_gemm", "conv_implicit_gemm_3xtf32"


@supporting(2, 4, 9, 6, 4, 3, 3)
def test_any_strides_of_every_array(algorithm):
    x = integers((2, 7, 9, 16), "float32")[:, ::-2, :, 1::3]
    w = integers((3, 3, 4, 5), "float32", 1).transpose(3, 2, 0, 1)[:4, :, ::-1]
    bias = integers((8,), "float32", 2)[::-2]
    spec = ConvSpec.from_arrays(x, w, bias, padding=1)
    buffer = poisoned((2, spec.Q, 5, spec.P), "float32")
    y = buffer.transpose(0, 2, 3, 1)[:, 1:]
    views = [*map(on_device, (x, w, bias)), on_device(y, True)]
    reason = algorithm.unsupported(spec, layouts_of(spec, *views), H200)
    if algorithm.name in NEED_NEIGHBOURS:
        assert "do not lie side by side" in reason
        return
    convolve(spec, x, w, bias, algorithm, y)
    np.testing.assert_array_equal(y, reference.conv2d(x, w, bias, padding=1).astype("float32"))
    assert np.isnan(buffer[:, :, 0]).all()


WINDOWED = [
    algorithm
    for algorithm in engine.ALGORITHMS["pool"]
    if refusal(algorithm, PoolSpec("max", 1, 1, 8, 8, 2, 2, stride=(2, 2))) is None
]  # the others take one window for each plane


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("algorithm", WINDOWED, ids=lambda algorithm: algorithm.name)
@pytest.mark.parametrize("reduction", ["max", "mean"])
def test_pools_take_any_strides(algorithm, reduction):
    x = integers((2, 7, 9, 16), "float64")[:, ::-2, :, 1::3]
    spec = PoolSpec.from_arrays(reduction, x, 3, 2, 1)
    y = poisoned((2, spec.Q, 4, spec.P), "float64").transpose(0, 2, 3, 1)
    pool(spec, x, algorithm, y)
    expected = {
        "max": lambda: reference.max_pool2d(x, 3, 2, 1)[0],
        "mean": lambda: reference.avg_pool2d(x, 3, 2, 1),
    }
    np.testing.assert_array_equal(y, expected[reduction]())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@supporting(1, 2, 9, 40, 3, 3, 3)
def test_a_non_finite_input_reaches_exactly_the_outputs_that_see_it(algorithm, value):
    x, w = integers((1, 2, 9, 40), "float32"), np.ones((3, 2, 3, 3), "float32")
    clean = reference.conv2d(x, w, padding=1)
    x[0, 1, 4, 33] = value
    got = convolve(ConvSpec.from_arrays(x, w, padding=1), x, w, None, algorithm)
    touched = np.zeros(got.shape, bool)
    touched[:, :, 3:6, 32:35] = True
    np.testing.assert_array_equal(got[~touched], clean[~touched])
    assert not np.isfinite(got[touched]).any()


@supporting(1, 1, 5, 5, 2, 3, 3)
def test_zero_padding_is_multiplied_like_any_value(algorithm):
    x, w = np.ones((1, 1, 5, 5), "float32"), np.ones((2, 1, 3, 3), "float32")
    w[1, 0, 0, 0] = np.inf
    got = convolve(ConvSpec.from_arrays(x, w, padding=1), x, w, None, algorithm)
    assert np.isnan(got[0, 1, 0, :]).all() and np.isnan(got[0, 1, :, 0]).all()
    assert (got[0, 1, 1:, 1:] == np.inf).all() and np.isfinite(got[0, 0]).all()


@pytest.mark.parametrize("algorithm", WINDOWED, ids=lambda algorithm: algorithm.name)
def test_a_nan_is_the_greatest_and_the_first_of_them_counts(algorithm):
    x = np.array([[[[1, np.nan, np.nan, -np.inf], [5, 2, -np.inf, -np.inf]]]], "float32")
    lowest = np.full((1, 1, 2, 2), -np.inf, "float32")
    for return_indices in (False, True):
        spec = PoolSpec.from_arrays("max", x, 2, return_indices=return_indices)
        if refusal(algorithm, spec) is not None:
            continue
        got, indices = pool(spec, x, algorithm)
        np.testing.assert_array_equal(got, np.array([[[[np.nan, np.nan]]]]))
        one = PoolSpec.from_arrays("max", lowest, 2, return_indices=return_indices)
        least, first = pool(one, lowest, algorithm)
        assert least.item() == -np.inf
        if return_indices:
            np.testing.assert_array_equal(indices, [[[[1, 2]]]])
            assert first.item() == 0


extents = st.tuples(st.integers(1, 12), st.integers(1, 40))
small = st.tuples(st.integers(1, 3), st.integers(1, 3))


@pytest.mark.wide  # a bare pytest runs the lists of cases
@settings(max_examples=25)
@given(st.data(), extents, st.tuples(st.integers(1, 4), st.integers(1, 5)), small, small, st.integers(1, 3))
def test_convolutions_of_any_geometry(data, size, kernel, stride, dilation, groups):
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    pads = tuple(
        tuple(data.draw(st.tuples(st.integers(0, r), st.integers(max(0, r - extent), r + 1))))
        for extent, r in zip(size, reach, strict=True)
    )
    C, K = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 12))
    x = integers((2, groups * C, *size), "float32", 3)
    w = integers((groups * K, C, *kernel), "float32", 4)
    parameters = {"stride": stride, "padding": pads, "dilation": dilation, "groups": groups}
    spec = ConvSpec.from_arrays(x, w, **parameters)
    expected = reference.conv2d(x, w, **parameters).astype("float32")
    for algorithm in engine.ALGORITHMS["conv"]:
        if refusal(algorithm, spec) is None:
            np.testing.assert_array_equal(convolve(spec, x, w, None, algorithm), expected)
