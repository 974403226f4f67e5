"""Winograd on the GPU: ragged shapes, layouts, shared sums, values that are not finite, what it refuses."""

import numpy as np
import pytest

from gpuconv import workspace
from gpuconv.algorithm import select
from gpuconv.cuda import conv
from gpuconv.cuda.conv import implicit_gemm, winograd
from gpuconv.cuda.conv.winograd import plan
from gpuconv.cuda.conv.winograd.kernel import BLOCK_BYTES
from gpuconv.cuda.conv.winograd.tiles import Cut
from gpuconv.cuda.runtime.gpu import H200, MULTIPROCESSORS, Gpu
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import FLOAT32
from tests import ptx, reference
from tests.cases import ConvCase, dynamic_range, integers, normal
from tests.cuda.execution import compute, layouts_of, on_device, poisoned, refusal
from tests.cuda.layers import convolution
from tests.sampling import few

ALGORITHM = winograd.ALGORITHM
CASES = (
    ConvCase("ragged in every axis", (2, 13, 7, 9), (70, 13, 3, 3), padding=1, bias=True),
    ConvCase("three images in a block of tiles", (5, 9, 7, 5), (5, 9, 3, 3), padding=1, bias=True),
    ConvCase("groups of more than a block", (1, 26, 6, 7), (140, 13, 3, 3), groups=2, bias=True),
    ConvCase("groups of one channel", (2, 3, 5, 6), (6, 1, 3, 3), groups=3, padding=1),
    ConvCase("padding wider than the image", (1, 3, 2, 3), (4, 3, 3, 3), padding=((5, 7), (4, 9)), bias=True),
    ConvCase("four sides", (2, 8, 5, 6), (3, 8, 3, 3), padding=((2, 0), (1, 3))),
    ConvCase("one output", (1, 17, 3, 3), (64, 17, 3, 3)),
    ConvCase("one row", (1, 4, 3, 70), (3, 4, 3, 3), padding=((0, 0), (1, 1)), bias=True),
    ConvCase("one column", (1, 4, 70, 3), (3, 4, 3, 3), bias=True),
    ConvCase("one pixel", (3, 5, 1, 1), (7, 5, 3, 3), padding=1),
    ConvCase("whole blocks", (1, 16, 8, 16), (64, 16, 3, 3), padding=1),
)
DEEP = ConvCase("many slabs", (2, 80, 5, 9), (20, 40, 3, 3), padding=((1, 1), (0, 2)), groups=2, bias=True)
FEW = (CASES[0], CASES[4], DEEP)


@pytest.fixture
def split_in(monkeypatch):
    """Lets a test say how many blocks share the input channels."""

    def use(splits):
        monkeypatch.setattr(plan, "choose_splits", lambda spec, *rest: min(splits, Cut.of(spec).slabs))

    return use


def convolve(spec, x, w, bias=None, y=None, arch="sm_90a"):
    """(The result, the executor's reports.)"""
    y = poisoned(spec.out_shape, "float32") if y is None else y
    return y, compute(ALGORITHM, spec, (x, w, bias), (y,), arch)


def expect(case, x, w, bias, arch="sm_90a"):
    """The result for `case` equals the sum by the definition, where that is not finite too.

    Returns the executor's reports.
    """
    with np.errstate(over="ignore"):
        expected = case.expected(x, w, bias).astype("float32")
    found, reports = convolve(case.spec(), x, w, bias, arch=arch)
    np.testing.assert_array_equal(found, expected, strict=True)
    return reports


# Results


@pytest.mark.parametrize("case", few(CASES, 5), ids=str)
def test_integers_are_exact(split_in, case):
    split_in(1)
    expect(case, *case.arrays("float32", integers))


@pytest.mark.parametrize("splits", [1, 2, 3, 5])
def test_shared_sums_are_exact_on_integers(split_in, splits):
    split_in(splits)
    reports = expect(DEEP, *DEEP.arrays("float32", integers))
    assert len(reports) == (2 if splits == 1 else 3)


@pytest.mark.parametrize("make", [normal, dynamic_range])
@pytest.mark.parametrize("case", FEW, ids=str)
def test_errors_stay_within_the_bound_of_the_tile(split_in, case, make):
    split_in(2)
    x, w, bias = case.arrays("float32", make)
    found, _ = convolve(case.spec(), x, w, bias)
    error = abs(found - case.expected(x, w, bias))
    bound = reference.tile_error_bound(x, w, bias, padding=case.padding, groups=case.groups)
    assert (error <= bound).all(), f"{(error / bound).max()} times the bound"


@pytest.mark.wide  # seconds of the executor
def test_the_mean_error_is_small(split_in):
    split_in(1)
    case = ConvCase("normal", (1, 256, 8, 8), (64, 256, 3, 3), padding=1)
    x, w, _ = case.arrays("float32", normal)
    expected = case.expected(x, w, None)
    error = convolve(case.spec(), x, w)[0] - expected
    assert np.linalg.norm(error) < 6e-7 * np.linalg.norm(expected)


def test_the_same_bits_come_from_every_run(split_in):
    split_in(3)
    host = DEEP.arrays("float32", normal)
    (first, _), (second, _) = convolve(DEEP.spec(), *host), convolve(DEEP.spec(), *host)
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("arch", ["sm_80", "sm_120"])
def test_other_generations_compute_the_same(arch):
    expect(CASES[0], *CASES[0].arrays("float32", integers), arch)


# Values that are not finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("case", FEW, ids=str)
def test_a_value_that_is_not_finite_reaches_its_windows_alone(split_in, case, value):
    split_in(2)
    x, w, bias = case.arrays("float32", integers)
    N, C, H, W = x.shape
    for place in ((0, 0, 0, 0), (N - 1, C - 1, H - 1, W - 1), (N // 2, C // 2, H // 2, W // 2)):
        spoilt = x.copy()
        spoilt[place] = value
        touched = ~np.isfinite(case.expected(spoilt, w, bias))
        assert 0 < touched.sum() <= 9 * len(w)
        expect(case, spoilt, w, bias)


def test_infinities_side_by_side_add_up(split_in):
    """Their differences, which the transform takes, would be NaN."""
    split_in(1)
    case = CASES[0]
    x, w, bias = case.arrays("float32", integers)
    x[1, 3, 2:5, 3:7] = np.inf
    w = abs(w) + 1
    expected = case.expected(x, w, bias)
    assert np.isposinf(expected).sum() == 70 * 5 * 6 and not np.isnan(expected).any()
    expect(case, x, w, bias)


def test_infinities_of_both_signs_are_nan_where_they_meet(split_in):
    split_in(1)
    case = CASES[0]
    x, w, bias = case.arrays("float32", integers)
    x[0, 2, 3, 2], x[0, 2, 3, 6] = np.inf, -np.inf
    expect(case, x, abs(w) + 1, bias)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("splits", [1, 2])
def test_a_weight_that_is_not_finite_reaches_its_channel_alone(split_in, value, splits):
    """Zero padding is multiplied by it too."""
    split_in(splits)
    case = CASES[0]
    x, w, bias = case.arrays("float32", integers)
    w[65, 12, 2, 0] = value
    assert np.isfinite(case.expected(x, w, bias)[:, :65]).all()
    expect(case, x, w, bias)


def test_values_that_overflow_in_a_transform_do_no_harm(split_in):
    split_in(1)
    case = ConvCase("overflow", (2, 1, 9, 9), (3, 1, 3, 3), padding=1, bias=True)
    x, w, bias = (np.zeros(shape, np.float32) for shape in (case.x, case.w, (3,)))
    x[1, 0, 2:6, 3:7] = x[0, 0, 4, 4:6] = 2.0**127  # the sum of two overflows; all others are exact
    w[0, 0, 1, 1], w[1, 0, 1, 1] = 1, 2  # of the second channel the sum by the definition does
    w[2, 0, 0, :2], bias[:] = 2.0**127, 1  # two weights side by side, in their own transform
    expect(case, x, w, bias)
    assert (case.expected(x, w, bias)[:, 0] < 2.0**128).all()


def test_a_bias_that_is_not_finite_is_added_last(split_in):
    split_in(1)
    x, w, bias = CASES[0].arrays("float32", integers)
    bias[3], bias[69] = np.inf, np.nan
    expect(CASES[0], x, w, bias)


# Layouts


def test_outputs_and_weights_may_lie_anywhere(split_in):
    split_in(1)
    case = CASES[0]
    x, w, bias = case.arrays("float32", integers)
    buffer = poisoned((9, 2, 3, 7, 70), "float32")
    y = buffer.transpose(1, 2, 4, 3, 0)[:, 1, ::-1]
    turned = np.ascontiguousarray(w[..., ::-1].transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)[..., ::-1]
    assert np.array_equal(turned, w) and turned.strides[3] < 0
    convolve(case.spec(), x, turned, np.repeat(bias, 2)[::2], y)
    np.testing.assert_array_equal(y, case.expected(x, w, bias).astype("float32"))
    assert np.isnan(buffer[:, :, ::2]).all()


def test_rows_channels_and_images_of_the_input_may_lie_anywhere(split_in):
    split_in(1)
    case = CASES[0]
    x, w, bias = case.arrays("float32", integers)
    wide = np.full((7, 13, 2, 12), np.nan, "float32")  # neighbours that would spoil the result
    wide[..., 2:11] = x.transpose(2, 1, 0, 3)[::-1]
    view = wide[..., 2:11].transpose(2, 1, 0, 3)[:, :, ::-1]
    assert np.array_equal(view, x)
    expect(case, view, w, bias)


@pytest.mark.parametrize("shift", [0, 1])
def test_outputs_that_are_not_aligned_are_stored_one_by_one(split_in, shift):
    split_in(1)
    case = CASES[-1]
    x, w, _ = case.arrays("float32", integers)
    y = poisoned((1 + 64 * 128,), "float32")[shift : shift + 64 * 128].reshape(1, 64, 8, 16)
    _, reports = convolve(case.spec(), x, w, None, y)
    np.testing.assert_array_equal(y, case.expected(x, w, None).astype("float32"))
    stores = {line.opcode for line in reports[-1].lines if line.opcode.startswith("st.global") and line.warps}
    assert {".v2." in store for store in stores} == {y.ctypes.data % 8 == 0}


def test_columns_that_are_not_side_by_side_are_refused(split_in):
    """Then the implicit GEMM comes next; a single column lies side by side with nothing."""
    x, w, _ = CASES[-1].arrays("float32", integers)
    spec = CASES[-1].spec()
    views = (
        on_device(np.repeat(x, 2, 3)[..., ::2]),
        on_device(w),
        None,
        on_device(poisoned(spec.out_shape, "f4")),
    )
    layouts = layouts_of(spec, *views)
    assert ALGORITHM.unsupported(spec, layouts, H200) == "the columns of the input do not lie side by side"
    assert select(conv.ALGORITHMS, spec, layouts, H200) is implicit_gemm.ALGORITHM
    split_in(1)
    column = ConvCase("a column", (1, 4, 9, 1), (3, 4, 3, 3), padding=1)
    x, w, _ = column.arrays("float32", integers)
    expect(column, np.repeat(x, 2, 3)[..., ::2], w, None)


def test_offsets_beyond_2_to_the_31_elements(split_in):
    split_in(1)
    far = 4 * 2**31  # bytes
    x, w = integers((2, 4, 10, 10), "float32"), integers((5, 4, 3, 3), "float32", 2)
    spec = ConvSpec.from_arrays(x, w)
    y = ptx.apart(poisoned(spec.out_shape, "float32"), 0, far)
    compute(ALGORITHM, spec, (ptx.apart(x, 0, far), w, None), (y,))
    np.testing.assert_array_equal(y, reference.conv2d(x, w).astype("float32"))


# What it cannot do, and what it leaves to others


@pytest.mark.parametrize("change", [
    {"R": 5}, {"S": 1}, {"stride": (1, 2)}, {"dilation": (2, 1)}, {"C": 0},
    {"N": 2**27}, {"C": 1024, "K": 1025},
])  # fmt: skip
def test_what_it_cannot_do_it_says(change):
    fields = {"N": 1, "C": 8, "H": 6, "W": 6, "K": 8, "R": 3, "S": 3}
    assert refusal(ALGORITHM, ConvSpec(**fields)) is None
    assert refusal(ALGORITHM, ConvSpec(**fields | change))
    assert ALGORITHM.takes["dtype"] == (FLOAT32,)


def test_transformed_weights_keep_to_the_workspace():
    spec = convolution(1, 64, 14, 64, 3)
    assert Cut.of(spec).weight_words == 16 * 64 * 64
    try:
        workspace.set_workspace_limit(4 * 16 * 64 * 64)
        assert refusal(ALGORITHM, spec) is None
        workspace.set_workspace_limit(4 * 16 * 64 * 64 - 1)
        assert "more than the limit" in refusal(ALGORITHM, spec)
    finally:
        workspace.set_workspace_limit(64 << 20)


def test_a_gpu_without_the_shared_memory_is_refused():
    spec = convolution(1, 64, 14, 64, 3)
    turing, ampere = (
        Gpu(f"sm_{major}{minor}", (major, minor), 40, 1.5, 300, 4) for major, minor in ((7, 5), (8, 0))
    )
    assert (
        refusal(ALGORITHM, spec, turing)
        == f"a block of sm_75 cannot have {BLOCK_BYTES} bytes of shared memory"
    )
    assert refusal(ALGORITHM, spec, ampere) is None


def test_from_sm_80_on_a_block_may_have_the_shared_memory():
    for capability, each in MULTIPROCESSORS.items():
        fits = BLOCK_BYTES + each.system_bytes <= each.shared_bytes
        assert fits == (capability >= (8, 0))
