"""The shape arithmetic of ConvSpec and PoolSpec, and every argument that they refuse."""

import dataclasses
import pickle
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gpuconv.spec import Axis, ConvSpec, PoolSpec, check_out
from gpuconv.spec.dtypes import FLOAT32, FLOAT64
from tests import reference
from tests.cases import CONV_CASES, DTYPES, POOL_CASES, POOL_DTYPES

X, W = np.zeros((2, 4, 8, 9), np.float32), np.zeros((6, 4, 3, 3), np.float32)

sides = st.tuples(*[st.integers(0, 9)] * 2)
steps = st.integers(1, 9)


@given(st.integers(0, 60), st.integers(1, 9), sides, steps, steps, st.booleans())
def test_output_extent_counts_windows(size, kernel, sides, stride, dilation, ceil_mode):
    reach = dilation * (kernel - 1) + 1
    assume(sum(sides) + size >= reach)
    assume(not ceil_mode or max(sides) <= reach // 2)  # ceil_mode is a pool's
    expected = reference.output_size(size, kernel, sides, stride, dilation, ceil_mode)
    assert Axis(size, kernel, sides, stride, dilation).outputs(ceil_mode) == expected


@given(st.integers(0, 30), st.integers(1, 9), sides, steps, steps)
def test_no_output_where_the_kernel_does_not_fit(size, kernel, sides, stride, dilation):
    assume(sum(sides) + size < dilation * (kernel - 1) + 1)
    assert Axis(size, kernel, sides, stride, dilation).outputs() < 1


@pytest.mark.parametrize(("size", "kernel", "stride"), [(1, 2, 2), (2, 4, 3), (1, 3, 3)])
def test_ceil_mode_keeps_a_window_that_hangs_over_the_end(size, kernel, stride):
    assert reference.output_size(size, kernel, (0, 0), stride, 1, ceil_mode=True) == 1
    assert Axis(size, kernel, (0, 0), stride, 1).outputs(ceil_mode=True) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CONV_CASES, ids=str)
def test_the_spec_of_a_convolution(case, dtype):
    spec = case.spec(dtype)
    kernel = case.w[2:]
    P, Q = reference.output_shape(case.x[2:], kernel, case.stride, case.padding, case.dilation)
    assert case.x == (spec.N, spec.C, spec.H, spec.W)
    assert (spec.K, spec.C_group, spec.R, spec.S) == case.w
    assert spec.out_shape == (case.x[0], case.w[0], P, Q)
    assert spec.K_group * spec.groups == spec.K
    assert spec.dtype == dtype
    assert spec.itemsize == np.dtype(dtype).itemsize
    assert spec.flops == 2 * np.prod(spec.out_shape) * np.prod(case.w[1:])
    sizes = np.prod(case.x) + np.prod(case.w) + np.prod(spec.out_shape)
    assert spec.min_bytes == spec.itemsize * sizes
    assert spec.is_depthwise == case.name.startswith("depthwise")
    assert spec.is_pointwise == (kernel == (1, 1))
    assert spec.fits_int32


@pytest.mark.parametrize("dtype", POOL_DTYPES)
@pytest.mark.parametrize("case", POOL_CASES, ids=str)
def test_the_spec_of_a_pool(case, dtype):
    spec = case.spec(dtype)
    kernel = reference.as_pair(case.kernel_size)
    stride = kernel if case.stride is None else case.stride
    P, Q = reference.output_shape(case.x[2:], kernel, stride, case.padding, case.dilation, case.ceil_mode)
    assert spec.out_shape == (*case.x[:2], P, Q)
    assert (spec.reduction, spec.dtype) == (case.reduction, dtype)
    assert spec.flops == np.prod(spec.out_shape) * np.prod(kernel)
    assert spec.min_bytes == spec.itemsize * (np.prod(case.x) + np.prod(spec.out_shape))
    if case.op == "max":
        with_indices = case.spec(dtype, return_indices=True)
        assert with_indices.min_bytes == spec.min_bytes + 8 * np.prod(spec.out_shape)


def test_specs_are_values():
    spec, other = (ConvSpec.from_arrays(X, W, stride=stride) for stride in (2, [2, np.int64(2)]))
    assert spec == other
    assert hash(spec) == hash(other)
    assert spec != ConvSpec.from_arrays(X, W)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.N = 1
    assert not hasattr(spec, "__dict__")


def test_nothing_but_shapes_and_dtypes_is_read():
    class Unreadable:
        shape, dtype = (2, 4, 8, 9), np.dtype("float32")

    assert ConvSpec.from_arrays(Unreadable, W).out_shape == (2, 6, 6, 7)


@pytest.mark.parametrize(
    ("shapes", "fits"),
    [
        ({"N": 2**15, "C": 1, "H": 2**8, "W": 2**8, "K": 1}, False),
        ({"N": 2**15, "C": 1, "H": 2**8, "W": 2**8 - 1, "K": 1}, True),
        ({"N": 2**13, "C": 1, "H": 2**8, "W": 2**8, "K": 4}, False),
        ({"N": 1, "C": 2**16, "H": 1, "W": 1, "K": 2**15}, False),
    ],
)
def test_offsets_from_2_to_the_31(shapes, fits):
    assert ConvSpec(R=1, S=1, **shapes).fits_int32 is fits


def test_an_unbatched_image_is_a_batch_of_one():
    assert ConvSpec.from_arrays(X[0], W) == ConvSpec.from_arrays(X[:1], W)
    assert PoolSpec.from_arrays("max", X[0], 2) == PoolSpec.from_arrays("max", X[:1], 2)


def test_equal_problems_have_equal_specs():
    assert ConvSpec.from_arrays(X, W, stride=2) == ConvSpec.from_arrays(X.copy(), W, None, (2, np.int8(2)))
    assert PoolSpec.from_arrays("max", X, 2) == PoolSpec.from_arrays("max", X[:], (2, 2), 2)
    assert PoolSpec.from_arrays("max", X, 2) != PoolSpec.from_arrays("mean", X, 2)


def test_a_spec_travels_to_another_process():
    for spec in (ConvSpec.from_arrays(X, W), PoolSpec.from_arrays("max", X, 2)):
        copy = pickle.loads(pickle.dumps(spec))
        assert copy == spec and hash(copy) == hash(spec) and copy.dtype is FLOAT32


def test_a_spec_has_one_hash_in_every_process(fresh_python):
    """Strings have another in each; sets of specs must not be in another order there."""
    code = (
        "from gpuconv.spec import ConvSpec, PoolSpec;"
        "print([hash(ConvSpec(1, 1, 4, 4, 1, 3, 3)), hash(PoolSpec('max', 1, 1, 4, 4, 3, 3))])"
    )
    assert fresh_python(code, PYTHONHASHSEED="1") == fresh_python(code, PYTHONHASHSEED="2")


def test_a_dtype_may_be_said_by_its_name():
    assert ConvSpec(1, 1, 4, 4, 1, 3, 3, dtype="float64").dtype is FLOAT64
    with pytest.raises(ValueError, match="float128"):
        ConvSpec(1, 1, 4, 4, 1, 3, 3, dtype="float128")


@pytest.mark.parametrize("one", [True, 1.0, (1.0, 1.0), (True, 1), "1"])
@pytest.mark.parametrize("name", ["stride", "dilation", "padding"])
def test_what_equals_a_value_met_before_is_checked_all_the_same(name, one):
    ConvSpec.from_arrays(X, W, **{name: 1})
    ConvSpec.from_arrays(X, W, **{name: (1, 1)})
    with pytest.raises((TypeError, ValueError), match=name):
        ConvSpec.from_arrays(X, W, **{name: one})


def test_byte_order_is_no_dtype():
    assert ConvSpec.from_arrays(X.astype(">f4"), W.astype("<f4")) == ConvSpec.from_arrays(X, W)


WRONG_CONVOLUTIONS = [
    ({"input": X[0, 0]}, ValueError, r"input must have shape .*got \(8, 9\)"),
    ({"input": X[None]}, ValueError, r"input must have shape .*got \(1, 2, 4, 8, 9\)"),
    (
        {"input": X.astype(np.float16)},
        TypeError,
        "weight must have the input's dtype float16, got",
    ),
    ({"input": X.astype(int)}, TypeError, "input must be float32, .*, got dtype int64"),
    ({"input": X.astype(bool)}, TypeError, "input must be float32, .*, got dtype bool"),
    ({"input": X.astype(complex)}, TypeError, "weight must have the input's dtype complex128, got float32"),
    ({"input": X.astype("clongdouble")}, TypeError, "input must be float32, .*, got dtype complex256"),
    ({"input": X.astype(object)}, TypeError, "input must be float32, .*, got dtype object"),
    ({"input": X.astype(str)}, TypeError, "input must be float32, .*, got dtype str"),
    ({"input": X.astype("M8[s]")}, TypeError, "input must be float32, .*, got dtype datetime64"),
    ({"input": np.zeros(X.shape, "f4,f4")}, TypeError, "input must be float32, .*, got dtype void"),
    ({"weight": W[0]}, ValueError, r"weight must have shape \(K, C / groups, R, S\), got \(4, 3, 3\)"),
    ({"weight": W[:, :, :0]}, ValueError, r"weight must have a kernel .*got shape \(6, 4, 0, 3\)"),
    ({"weight": W[:, :, :, :0]}, ValueError, r"weight must have a kernel .*got shape \(6, 4, 3, 0\)"),
    ({"weight": W[:, :3]}, ValueError, r"weight must have C / groups = 4 / 1 = 4 channels .*got 3"),
    ({"weight": W.astype(float)}, TypeError, "the input's dtype float32, got float64; .* pass weight.astype"),
    ({"bias": np.zeros(5, np.float32)}, ValueError, r"bias must have shape \(6,\).*got \(5,\)"),
    ({"bias": np.zeros((1, 6), np.float32)}, ValueError, r"bias must have shape \(6,\).*got \(1, 6\)"),
    ({"bias": np.zeros((), np.float32)}, ValueError, r"bias must have shape \(6,\).*got \(\)"),
    ({"bias": np.zeros(6)}, TypeError, "bias must have the input's dtype float32, got float64"),
    (
        {"groups": 3},
        ValueError,
        "groups=3 must divide the 4 channels of input and the 6 output",
    ),
    (
        {"groups": 4},
        ValueError,
        "groups=4 must divide the 4 channels of input and the 6 output",
    ),
    ({"groups": 2}, ValueError, r"weight must have C / groups = 4 / 2 = 2 channels .*got 4"),
    ({"groups": 0}, ValueError, "groups must be from 1 .*got 0"),
    ({"groups": (1, 1)}, TypeError, r"groups must be an integer, got \(1, 1\)"),
    ({"stride": 0}, ValueError, "stride must be from 1 .*got 0"),
    ({"stride": None}, TypeError, r"stride must be an integer or two \(height, width\), got None"),
    ({"stride": (1, 2, 3)}, ValueError, r"stride must be one integer or two .*got \(1, 2, 3\)"),
    ({"dilation": 0}, ValueError, "dilation must be from 1 .*got 0"),
    ({"dilation": 1.5}, TypeError, r"dilation must be an integer or two \(height, width\), got 1.5"),
    ({"dilation": 9}, ValueError, r"input is too small: its 8x9 .*19x19 .*3x3 with dilation \(9, 9\)"),
    ({"padding": -1}, ValueError, "padding must be from 0 .*got -1"),
    ({"padding": "mirror"}, ValueError, "padding must be an integer, .*got 'mirror'$"),
    ({"padding": "SAME"}, ValueError, r"got 'SAME'; did you mean 'same'\?"),
    ({"padding": "vaild"}, ValueError, r"got 'vaild'; did you mean 'valid'\?"),
    ({"weight": W[0, 0]}, ValueError, r"got \(3, 3\): one kernel of one channel is weight\[None, None\]"),
    ({"weight": W[0]}, ValueError, r"got \(4, 3, 3\): kernels of one channel are weight\[:, None\]"),
    ({"padding": "valid", "dilation": (1, 5)}, ValueError, "input is too small: its 8x9 .*3x11"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG_CONVOLUTIONS)
def test_wrong_convolutions(wrong, error, message):
    with pytest.raises(error, match=message):
        ConvSpec.from_arrays(**{"input": X, "weight": W, **wrong})


WRONG_POOLS = [
    ({"input": X[0, 0]}, ValueError, r"input must have shape .*got \(8, 9\)"),
    ({"input": X.astype(bool)}, TypeError, "input must be float32, float64, .* int64 or uint64, got"),
    ({"input": X.astype("V2")}, TypeError, "uint64, got dtype void16"),
    ({"kernel_size": 0}, ValueError, "kernel_size must be from 1 .*got 0"),
    ({"kernel_size": None}, TypeError, r"kernel_size must be an integer or two \(height, width\), got None"),
    ({"kernel_size": (2, 2, 2)}, ValueError, r"kernel_size must be one integer or two .*got \(2, 2, 2\)"),
    ({"kernel_size": 10}, ValueError, "input is too small: its 8x9 .*10x10"),
    ({"stride": 0}, ValueError, "stride must be from 1 .*got 0"),
    ({"stride": "2"}, TypeError, r"stride must be an integer or two \(height, width\), got '2'"),
    ({"dilation": -1}, ValueError, "dilation must be from 1 .*got -1"),
    (
        {"padding": 2},
        ValueError,
        "padding of a pool may be at most half .* 1 for kernel_size 3.*got padding=2",
    ),
    ({"padding": (0, 2)}, ValueError, r"padding of a pool .*got padding=\(0, 2\)"),
    ({"padding": ((0, 2), (0, 0))}, ValueError, r"padding of a pool .*got padding=\(\(0, 2\), \(0, 0\)\)"),
    ({"padding": "full"}, ValueError, "padding of a pool .*got padding='full'"),
    ({"padding": 1.0}, TypeError, "padding must be an integer, .*got 1.0"),
    ({"ceil_mode": 1}, TypeError, "ceil_mode must be True or False, got 1"),
    ({"count_include_pad": None}, TypeError, "count_include_pad must be True or False, got None"),
    ({"return_indices": "yes"}, TypeError, "return_indices must be True or False, got 'yes'"),
    ({"divisor_override": 0}, ValueError, "divisor_override must not be 0"),
    ({"divisor_override": 2.0}, TypeError, "divisor_override must be an integer, got 2.0"),
    ({"divisor_override": 2**31}, ValueError, "divisor_override must be from .*got 2147483648"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG_POOLS)
def test_wrong_pools(wrong, error, message):
    with pytest.raises(error, match=message):
        PoolSpec.from_arrays("max", **{"input": X, "kernel_size": 3, **wrong})


@pytest.mark.parametrize("empty", [(), [], range(0), np.array([]), np.zeros(0, int)], ids=repr)
@pytest.mark.parametrize("reduction", ["max", "mean"])
def test_an_empty_stride_is_the_kernel_size(reduction, empty):
    assert PoolSpec.from_arrays(reduction, X, (3, 2), empty) == PoolSpec.from_arrays(reduction, X, (3, 2))


@pytest.mark.parametrize("name", ["kernel_size", "dilation", "padding"])
def test_no_other_argument_of_a_pool_may_be_empty(name):
    with pytest.raises(ValueError, match=f"{name} must be one integer or two"):
        PoolSpec.from_arrays("max", X, **{"kernel_size": 2, name: ()})


@pytest.mark.parametrize("empty", ["", b"", bytearray()], ids=repr)
def test_an_empty_string_is_no_stride(empty):
    wanted = f"stride must be an integer or two (height, width), got {empty!r}"
    with pytest.raises(TypeError, match=re.escape(wanted)):
        PoolSpec.from_arrays("max", X, 2, empty)


@pytest.mark.parametrize(
    "empty", [{}, set(), np.zeros((0, 2), int), np.zeros((2, 0)), np.array("")], ids=repr
)
def test_nothing_else_that_is_empty_is_a_stride(empty):
    with pytest.raises((TypeError, ValueError), match="stride must be"):
        PoolSpec.from_arrays("max", X, 2, empty)


def test_a_mean_has_no_indices():
    with pytest.raises(ValueError, match="return_indices is for maxima"):
        PoolSpec("mean", 1, 1, 4, 4, 2, 2, return_indices=True)


def test_wrong_out():
    check_out(np.zeros((2, 3)), (2, 3), "float64")
    with pytest.raises(ValueError, match=r"out must have the result's shape \(2, 3\), got \(3, 2\)"):
        check_out(np.zeros((3, 2)), (2, 3), "float64")
    with pytest.raises(TypeError, match="out must have the input's dtype float32, got float64"):
        check_out(np.zeros((2, 3)), (2, 3), "float32")
