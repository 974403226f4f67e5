"""Convolutions of int8 and uint8: exact in int32, whatever is summed, modulo 2^32 beyond."""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gpuconv
from gpuconv.cpu.conv import integers as conv_integers
from tests.cases import CONV_CASES, TRANSPOSED_CASES, ConvCase, integers
from tests.layouts import READABLE, WRITABLE
from tests.test_conv2d import geometries
from tests.test_conv_transpose2d import problems

MIXES = [*itertools.product(("uint8", "int8"), repeat=2)]
over_mixes = pytest.mark.parametrize(("input", "weight"), MIXES)


def arrays_of(case, input, weight):
    """Numbers of all sizes, and a bias of as many bits as a sum."""
    (x, _, bias), w = case.arrays(input, integers), case.arrays(weight, integers)[1]
    return x, w, None if bias is None else bias * np.int32(12345)


def compute(case, *arrays, **keywords):
    function = gpuconv.conv_transpose2d if hasattr(case, "output_size") else gpuconv.conv2d
    return function(*arrays, **case.parameters, **keywords)


def wrapped(case, x, w, bias):
    """The sum modulo 2^32; float64 holds it before."""
    return case.expected(x, w, bias).astype(np.int64).astype(np.int32)


@pytest.mark.parametrize("case", (*CONV_CASES, *TRANSPOSED_CASES), ids=str)
@over_mixes
def test_every_case_is_exact(case, input, weight):
    arrays = arrays_of(case, input, weight)
    y = compute(case, *arrays, algorithm="conv_integers")
    np.testing.assert_array_equal(y, wrapped(case, *arrays), strict=True)


@pytest.mark.wide  # seconds of the compiler
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(geometries(), problems()), st.sampled_from(MIXES), st.integers(0, 3000),
    st.sampled_from([1 << 24, 1 << 20, 1 << 17]), st.data(),
)  # fmt: skip
def test_blocks_and_sums_of_any_size_in_any_layout(limit_workspace, case, mix, limit, exact, data):
    """What is exact in a smaller float is exact: so sums of few channels have more parts."""
    arrays = arrays_of(case, *mix)
    expected = wrapped(case, *arrays)
    readable = st.sampled_from(sorted(READABLE))
    laid = [None if array is None else READABLE[data.draw(readable)](array) for array in arrays]
    out = WRITABLE[data.draw(st.sampled_from(sorted(WRITABLE)))](np.full(expected.shape, -77, np.int32))
    limit_workspace(limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv_integers, "EXACT", exact)
        patch.setattr(gpuconv.call, "_known", {})
        assert compute(case, *laid, out=out, algorithm="conv_integers") is out
    np.testing.assert_array_equal(out, expected)


EXTREME = {"uint8": (255, 255), "int8": (-128, 127)}


@over_mixes
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("function", ["conv2d", "conv_transpose2d"])
def test_the_largest_products_of_many_channels_are_exact(function, groups, input, weight):
    """Odd numbers beyond 2^24 are no float32, so a sum that is too long would be rounded."""
    C = 520 * groups
    for a, b in itertools.product(EXTREME[input], EXTREME[weight]):
        x = np.full((1, C, 4, 4), a, input)
        w = np.full((2 * groups, 520, 3, 3) if function == "conv2d" else (C, 2, 3, 3), b, weight)
        x[0, ::520, 1, 1] = 1  # odd: one product less, and 1 times the weight
        y = getattr(gpuconv, function)(x, w, padding=1, groups=groups, algorithm="conv_integers")
        assert (y[0, :, 1, 1] == 9 * 520 * a * b - a * b + b).all()
    assert len(conv_integers.terms(gpuconv.call.understand(gpuconv.conv2d, x, x).spec)) > 1


def test_a_kernel_of_more_taps_than_a_float32_counts_is_exact():
    x = np.full((1, 2, 40, 40), 255, np.uint8)
    w = x.copy()
    w[0, 0, 0, 0] = 254
    assert gpuconv.conv2d(x, w, algorithm="conv_integers").item() == 255 * (255 * 3200 - 1)
    (name, verdict), *_ = gpuconv.explain(gpuconv.conv2d, x, w, algorithm="conv_integers")
    assert name == "conv_integers" and "exact in float64 by conv_" in verdict


def test_what_is_beyond_int32_is_left_modulo_2_to_the_32():
    x = np.full((1, 34000, 1, 1), 255, np.uint8)
    total = 34000 * 255 * 255
    assert total > 2**31
    bias = np.array([-total], np.int64).astype(np.int32)
    for algorithm in (None, "conv_integers"):
        assert gpuconv.conv2d(x, x, algorithm=algorithm).item() == total - 2**32
        assert gpuconv.conv2d(x, x, bias, algorithm=algorithm).item() == 0


def test_zeros_around_the_image_count_as_zeros():
    x, w = np.full((1, 1, 3, 3), 255, np.uint8), np.full((1, 1, 3, 3), -128, np.int8)
    y = gpuconv.conv2d(x, w, padding=1, algorithm="conv_integers")[0, 0]
    assert (y == 255 * -128 * np.array([[4, 6, 4], [6, 9, 6], [4, 6, 4]])).all()


def test_no_neighbours_are_mixed():
    x, w = np.zeros((8, 64, 28, 28), np.int8), np.zeros((64, 64, 3, 3), np.int8)
    explain = functools.partial(gpuconv.explain, gpuconv.conv2d, algorithm="conv_integers")
    for precision in (None, "tf32", "ieee"):
        assert "winograd" not in gpuconv.explain(gpuconv.conv2d, x, w, padding=1, precision=precision)[0][1]
        assert "winograd" not in explain(x, w, padding=1, precision=precision)[0][1]
    many = np.zeros((64, 200, 3, 3), np.int8)
    verdict = explain(np.zeros((1, 200, 9, 9), np.uint8), many)[0][1]
    assert verdict.endswith("exact in float32 by conv_implicit_gemm, in 4 parts")


def test_torch_and_a_plan():
    torch = pytest.importorskip("torch")
    case = ConvCase("torch", (2, 3, 8, 9), (4, 3, 3, 2), stride=2, padding=1, bias=True)
    x, w, bias = arrays_of(case, "uint8", "int8")
    y = gpuconv.conv2d(*map(torch.from_numpy, (x, w, bias)), 2, 1)
    assert y.dtype == torch.int32
    np.testing.assert_array_equal(y.numpy(), wrapped(case, x, w, bias))
    plan = gpuconv.plan_conv2d(x, w, bias, 2, 1)
    np.testing.assert_array_equal(plan(x, w, bias), y.numpy())


WRONG = [
    (
        {"weight": np.float32},
        r"weight must be int8 or uint8 beside input of uint8, got float32; .* cast silently",
    ),
    ({"weight": np.int32}, "weight must be int8 or uint8 .*: pass input.astype\\(weight.dtype\\)"),
    ({"input": np.float32}, "weight must have the input's dtype float32, got int8"),
    ({"input": np.int16}, "input must be .* int8 or uint8, got dtype int16: pass input.astype"),
    (
        {"bias": np.int8},
        r"bias must be int32, in which integers of 8 bits are summed, got int8.*astype\(np.int32",
    ),
    ({"bias": np.float32}, "bias must be int32"),
    ({"out": np.uint8}, "out must be int32, in which .* got uint8"),
    ({"out": np.int64}, "out must be int32"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_nothing_is_cast(wrong, message):
    arrays = {
        "input": np.ones((1, 2, 4, 4), "u1"), "weight": np.ones((3, 2, 2, 2), "i1"),
        "bias": np.ones(3, "i4"), "out": np.ones((1, 3, 3, 3), "i4"),
    }  # fmt: skip
    assert gpuconv.conv2d(**arrays) is arrays["out"] and (arrays["out"] == 9).all()
    ((name, dtype),) = wrong.items()
    with pytest.raises(TypeError, match=message):
        gpuconv.conv2d(**{**arrays, name: arrays[name].astype(dtype)})
