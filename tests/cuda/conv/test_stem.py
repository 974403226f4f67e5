"""The convolution of few channels: tiles, every kernel on ragged shapes, layouts, counts, planted faults."""

from dataclasses import replace

import numpy as np
import pytest

from gpuconv.cuda.conv import stem
from gpuconv.cuda.conv.stem import plan
from gpuconv.cuda.conv.stem.kernel import KERNELS_BY_SHAPE
from gpuconv.cuda.conv.stem.tiles import (
    FEW,
    SHAPES,
    STAGE_BYTES,
    WORD,
    StemStage,
    choose,
    shape_of,
    stage_of,
)
from gpuconv.cuda.device.limits import SHARED_BYTES
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import FLOAT32
from tests import reference
from tests.cases import ConvCase, integers, normal
from tests.cuda.execution import compute, poisoned, refusal, worthwhile
from tests.cuda.layers import RESNET50, convolution
from tests.cuda.mutation import changed_room, faults_of, seldom, verdict_of_conv
from tests.ptx import machine_code
from tests.sampling import few

ALGORITHM = stem.ALGORITHM
CASES = (
    ConvCase("the first layer of ResNet", (1, 3, 31, 37), (37, 3, 7, 7), 2, 3, bias=True),
    ConvCase("8 channels, several tiles", (2, 2, 19, 70), (8, 2, 3, 3), padding=1),
    ConvCase("16 channels, groups", (1, 6, 9, 41), (28, 3, 5, 2), groups=2, bias=True),
    ConvCase("40 channels, 4 of the input", (1, 4, 12, 18), (40, 4, 3, 5), (2, 1), 1),
    ConvCase("20 taps in a row", (1, 1, 11, 90), (32, 1, 5, 20), 2),
    ConvCase("stride 3, whole vectors", (1, 1, 13, 48), (6, 1, 4, 7), (1, 3), ((1, 2), (3, 1)), bias=True),
    ConvCase("stride beyond the kernel", (1, 1, 9, 40), (9, 1, 2, 2), (3, 5)),
    ConvCase("one channel, 31x31", (1, 1, 40, 50), (1, 1, 31, 31), padding=15, bias=True),
    ConvCase("one channel, 11x11", (2, 1, 37, 111), (1, 1, 11, 11), padding=5),
    ConvCase("few channels, even kernel", (1, 4, 10, 33), (3, 4, 8, 6), padding=((4, 3), (2, 3)), bias=True),
    ConvCase("few channels, stride 2", (1, 2, 30, 61), (2, 2, 9, 9), 2, 4),
    ConvCase("few channels, one tap a phase", (1, 1, 8, 50), (2, 1, 3, 2), (1, 2)),
    ConvCase("17 taps", (1, 1, 9, 40), (2, 1, 2, 17)),
    ConvCase("no rows but padding", (1, 2, 0, 4), (9, 2, 2, 3), padding=(2, 1), bias=True),
    ConvCase("no images", (0, 3, 9, 9), (9, 3, 3, 3)),
)


def convolve(spec, x, w, bias=None, y=None):
    y = poisoned(spec.out_shape, spec.dtype) if y is None else y
    compute(ALGORITHM, spec, (x, w, bias), (y,))
    return y


@pytest.mark.parametrize("case", few(CASES, 7), ids=str)
def test_ragged_shapes_are_exact_on_integers(case):
    host = case.arrays("float32", integers)
    np.testing.assert_array_equal(convolve(case.spec(), *host), case.expected(*host).astype("float32"))


def test_the_cases_reach_every_kernel():
    assert {shape_of(case.spec()) for case in CASES} == set(KERNELS_BY_SHAPE)


@pytest.mark.parametrize("lanes_q", [8, 16, 32])
@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[8], CASES[10]], ids=str)
def test_every_width_of_a_tile_is_exact(monkeypatch, case, lanes_q):
    def only(spec):
        return StemStage.of(spec, shape_of(spec), lanes_q, 1, min(2, spec.R))

    monkeypatch.setattr(plan, "stage_of", only)
    host = case.arrays("float32", integers)
    np.testing.assert_array_equal(convolve(case.spec(), *host), case.expected(*host).astype("float32"))


@pytest.mark.parametrize("case", [CASES[0], CASES[7]], ids=str)
def test_rounding_stays_within_the_error_bound(case):
    host = case.arrays("float32", normal)
    error = abs(convolve(case.spec(), *host) - case.expected(*host))
    assert (error <= reference.error_bound(*host, **case.parameters)).all()


@pytest.mark.wide  # seconds of the compiler
def test_long_sums_begin_anew():
    """2^24 + 1 is no float32: a single sum would lose each 1 that comes after 2^24."""
    x, w = np.ones((1, 1, 20, 31), "float32"), np.ones((1, 1, 20, 31), "float32")
    w[0, 0, 0, 0] = 2**24
    got = convolve(ConvSpec.from_arrays(x, w), x, w)
    assert 2**24 + 250 < got.item() <= 2**24 + 620


@pytest.mark.wide  # seconds of the compiler
def test_an_output_that_is_not_aligned():
    x, w = integers((1, 3, 9, 32), "float32"), integers((9, 3, 3, 3), "float32", 1)
    spec, buffer = ConvSpec.from_arrays(x, w, padding=1), poisoned((1, 9, 9, 34), "float32")
    convolve(spec, x, w, y=buffer[..., 1:33])
    np.testing.assert_array_equal(buffer[..., 1:33], reference.conv2d(x, w, padding=1).astype("float32"))
    assert np.isnan(buffer[..., [0, 33]]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("K", [2, 9])
@pytest.mark.parametrize("extent", [3, 9])
def test_a_non_finite_input_reaches_exactly_the_outputs_that_see_it(K, extent, value):
    half = extent // 2
    x, w = integers((1, 2, 20, 60), "float32"), np.ones((K, 2, extent, extent), "float32")
    clean = reference.conv2d(x, w, padding=half)
    x[0, 1, 10, 33] = value
    got = convolve(ConvSpec.from_arrays(x, w, padding=half), x, w)
    touched = np.zeros(got.shape, bool)
    touched[:, :, 10 - half : 11 + half, 33 - half : 34 + half] = True
    np.testing.assert_array_equal(got[~touched], clean[~touched])
    assert not np.isfinite(got[touched]).any()


# Tiles


def test_what_is_staged_fits_and_covers_what_is_read():
    for case in CASES:
        spec = case.spec()
        shape, stage = shape_of(spec), stage_of(spec)
        assert stage.words * WORD <= (SHARED_BYTES if stage.channels == 1 else STAGE_BYTES)
        assert stage.channels == 1 or stage.rows == spec.R
        assert stage.tile_p * stage.tile_q * shape.k == shape.threads * shape.thread_k * (
            shape.thread_rows * shape.thread_q
        )
        assert stage.pitch % 4 == stage.w_tile % 4 == 0  # accesses of 128 bits


def test_channels_are_staged_together_where_they_fit():
    three = stage_of(convolution(1, 3, 224, 64, 3))
    assert (three.channels, three.rows) == (3, 3)
    assert stage_of(convolution(1, 1, 4096, 1, 31)).rows == 31


def test_a_kernel_that_does_not_fit_is_refused():
    assert choose(ConvSpec(1, 1, 8, 20000, 1, 1, 12000), FEW) is None
    reason = refusal(ALGORITHM, ConvSpec(1, 1, 8, 20000, 1, 1, 12000))
    assert reason == "a row of taps and the pixels that it meets do not fit shared memory"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (convolution(1, 5, 8, 8, 3), "each group has 5 input channels"),
        (ConvSpec(1, 0, 8, 8, 8, 3, 3), "each group has 0 input channels"),
        (replace(convolution(1, 3, 8, 8, 3), dilation=(1, 2)), "dilated"),
        (ConvSpec(1, 1, 8, 2**31, 8, 3, 3), "2\\^31"),
    ],
)
def test_what_it_refuses(spec, reason):
    with pytest.raises(AssertionError, match=reason):
        assert not refusal(ALGORITHM, spec), refusal(ALGORITHM, spec)


def test_what_it_is_for():
    assert ALGORITHM.takes["dtype"] == (FLOAT32,)
    assert not worthwhile(ALGORITHM, RESNET50[0])  # predicted: the implicit GEMM takes 0.7 times as long
    assert worthwhile(ALGORITHM, convolution(8, 1, 128, 8, 7))
    assert not worthwhile(ALGORITHM, convolution(8, 3, 32, 16, 3))  # 16 blocks
    assert all(worthwhile(ALGORITHM, convolution(1, 1, 2048, 1, extent)) for extent in (7, 9, 11, 15))
    assert not worthwhile(
        ALGORITHM, convolution(8, 128, 56, 128, 3, groups=32)
    )  # small planes, 4 outputs of each
    assert not worthwhile(ALGORITHM, convolution(1, 4, 3, 8, 3))


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("arch", ["sm_80", "sm_90a", "sm_120"])
@pytest.mark.parametrize("shape", KERNELS_BY_SHAPE, ids=lambda shape: str(shape.k))
def test_the_loop_is_arithmetic(shape, arch):
    row = machine_code.of(KERNELS_BY_SHAPE[shape], arch)
    assert row["loop_math_pct"] >= 85
    assert row["loop_mix"]["FFMA"] == (256 if shape in SHAPES else 384)
    assert "LDS" not in row["loop_mix"]  # 128 bits at once, all of them


# Planted faults

WRONG, BEYOND, RACE, UNSET = ["wrong result"], ["OutOfBoundsError"], ["RaceError"], ["UninitialisedError"]
CAUGHT = BEYOND + WRONG + RACE + UNSET + ["AsynchronousError"]  # of a stray index, whichever comes first
MANY, GROUPS, SHORT, LONG, SIX, ODD, LARGE = (CASES[i] for i in (0, 2, 1, 8, 9, 10, 7))
BEFORE = "cuda.syncthreads()  # the stage before has been read"
AFTER = "wait_group(0)\n                cuda.syncthreads()"

# (what, old source, new source, the case that shows it, the verdicts that may come first)
MANY_FAULTS = [
    ("no barrier before", BEFORE, "pass", MANY, RACE),
    ("no barrier after", AFTER, "wait_group(0)", MANY, CAUGHT),
    ("no wait", "                wait_group(0)\n", "", SHORT, CAUGHT),
    ("the second tap", "if left > uint32(1):", "if left > uint32(2):", GROUPS, WRONG),
    ("a tap too many", "if left > uint32(3):", "if left > uint32(2):", MANY, CAUGHT),
    ("the pitch", "uint64(3 * pitch_k)", "uint64(2 * pitch_k)", MANY, WRONG),
    ("longer phases", "if uint32(phase) < longer:", "if uint32(phase) <= longer:", MANY, CAUGHT),
    ("the rows further down", "further * stride_h * pitch", "further * pitch", MANY, CAUGHT),
    ("the group", "uint32(g * C + uint32(c_first)", "uint32(uint32(c_first)", GROUPS, WRONG),
    ("the channel of a stage", "x_lane + (c * lines + r)", "x_lane + (r)", SHORT, WRONG),
]
FEW_FAULTS = [
    ("no barrier before", BEFORE, "pass", ODD, RACE),
]
RINGS_FAULTS = [
    ("a skipped place", "if skip < uint32(2):", "if skip < uint32(3):", SIX, CAUGHT),
    ("the ring", "(turn * CHUNK + j + tap) % ring", "(turn * CHUNK + j) % ring", LONG, CAUGHT),
    ("the weights ahead", "turn % 2 * CHUNK + tap, row", "tap, row", LONG, CAUGHT),
    ("a chunk too few", "if left > uint32(CHUNK):", "if left > uint32(2 * CHUNK):", LONG, WRONG),
    ("lost sums", "total[i] += sums[i]\n", "total[i] = sums[i]\n", LARGE, WRONG),
]
LOAD_FAULTS = [
    ("the border below", "if (h < H) & (w < W)", "if (h <= H) & (w < W)", MANY, CAUGHT),
    ("the right border", "if (h < H) & (w < W)", "if (h < H) & (w <= W)", MANY, CAUGHT),
    ("the last channels", "uint32(k + uint32(3)) < channels", "k < channels", MANY, BEYOND),
    ("the order of the taps", "min(phase, longer) + i", "i", MANY, CAUGHT),
]
TILES_FAULTS = [
    ("a halo too narrow", "stride_w + spec.S\n", "stride_w + spec.S - 1\n", SHORT, CAUGHT),
    ("too little memory", "w_tile + channels * rows * w_row", "w_tile + w_row", MANY, BEYOND),
    ("phases that overlap", "read = tile_q + CHUNK * chunks", "read = tile_q - 4", LONG, CAUGHT),
]
STORE_FAULTS = [
    ("no barrier at the end", "cuda.syncthreads()  # the last stage has been read", "pass", LONG, RACE),
    ("the last rows", "(k < K) & (p < P), q", "(k < K), q", SHORT, CAUGHT),
    ("the last channels", "(k < K) & (p < P), q", "(p < P), q", MANY, CAUGHT),
    ("the last pixels", "(uint32(q + uint32(3)) < Q)", "(q < Q)", MANY, CAUGHT),
    ("the last rows", "min(tile_p, uint32(P - p_first))", "tile_p", LONG, CAUGHT),
    ("the last columns", "min(tile_q, uint32(Q - q_first))", "tile_q", LONG, CAUGHT),
]
FAULTS = faults_of(
    conv__stem__store=STORE_FAULTS,
    conv__stem__many=MANY_FAULTS,
    conv__stem__few=FEW_FAULTS,
    device__rings=RINGS_FAULTS,
    conv__stem__load=LOAD_FAULTS,
    conv__stem__tiles=TILES_FAULTS,
)


@seldom(FAULTS, 3)
def test_planted_faults_are_caught(fault):
    module, _, old, new, case, expected = fault
    assert verdict_of_conv(changed_room("conv.stem", module, old, new).ALGORITHM, case) in expected


@pytest.mark.parametrize("case", [MANY, GROUPS, SHORT, LONG, SIX, ODD, LARGE], ids=str)
def test_the_unharmed_kernels_raise_nothing(case):
    assert verdict_of_conv(ALGORITHM, case) == "harmless"
