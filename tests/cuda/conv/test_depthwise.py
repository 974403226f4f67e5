"""The depthwise convolution: strips, every sliding kernel, ragged shapes, layouts, bytes, planted faults."""

from dataclasses import replace

import numpy as np
import pytest

from gpuconv.cuda.conv import depthwise, depthwise_window
from gpuconv.cuda.conv.depthwise import tiles as strips
from gpuconv.cuda.conv.depthwise.kernel import SLIDING, WARPS
from gpuconv.cuda.conv.depthwise.slide import steps_of_round
from gpuconv.cuda.conv.depthwise.tiles import Strips, slides
from gpuconv.cuda.runtime.gpu import GPUS, H200
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import FLOAT32
from tests import reference
from tests.cases import ConvCase, integers, normal
from tests.cuda import execution
from tests.cuda.execution import compute, on_device, planned, poisoned, refusal, worthwhile
from tests.cuda.layers import convolution, mobilenet_depthwise
from tests.cuda.mutation import changed_room, faults_of, seldom, verdict_of_conv
from tests.ptx import machine_code
from tests.sampling import few

ALGORITHM = depthwise.ALGORITHM
# (extent, stride, outputs of a lane) -> shapes of x at which that kernel is taken
SHAPES = {(e, s, o): [(1, 2, 19, 64)] if o > 1 else [(2, 3, 11, 13)] for e, s, o in SLIDING}

CASES = (
    ConvCase(
        "several strips of several wide planes", (2, 3, 40, 28), (3, 1, 3, 3), padding=1, groups=3, bias=True
    ),
    ConvCase("wider than a warp, wide lanes", (1, 1, 9, 256), (1, 1, 5, 5), padding=2),
    ConvCase("wider than a warp, narrow lanes", (1, 2, 9, 71), (2, 1, 7, 7), padding=3, groups=2, bias=True),
    ConvCase("planes of two images in one warp", (3, 3, 7, 7), (3, 1, 3, 3), padding=1, groups=3, bias=True),
    ConvCase("multiplier 3", (2, 2, 6, 40), (6, 1, 3, 3), padding=1, groups=2, bias=True),
    ConvCase("no padding", (1, 2, 12, 32), (2, 1, 3, 3), groups=2),
    ConvCase(
        "more padding than the kernel needs", (1, 2, 5, 24), (2, 1, 3, 3), padding=((4, 3), (5, 6)), groups=2
    ),
    ConvCase("padding in whole vectors", (1, 1, 5, 24), (1, 1, 3, 3), padding=((1, 1), (5, 5))),
    ConvCase("pairs of columns", (1, 5, 14, 14), (5, 1, 3, 3), 2, 1, groups=5),
    ConvCase("pairs that begin anywhere", (1, 3, 14, 14), (3, 1, 5, 5), 2, ((1, 2), (1, 2)), groups=3),
    ConvCase("one row", (1, 2, 1, 33), (2, 1, 7, 7), padding=3, groups=2),
    ConvCase("one column", (1, 2, 33, 1), (2, 1, 5, 5), padding=2, groups=2, bias=True),
    ConvCase("narrower than its kernel", (2, 2, 6, 2), (2, 1, 7, 7), 2, 3, groups=2),
)


def convolve(spec, x, w, bias=None, y=None, algorithm=ALGORITHM):
    y = poisoned(spec.out_shape, spec.dtype) if y is None else y
    compute(algorithm, spec, (x, w, bias), (y,))
    return y


def kernel_of(spec, x, w, y=None):
    y = poisoned(spec.out_shape, spec.dtype) if y is None else y
    return planned(ALGORITHM, spec, on_device(x), on_device(w), None, on_device(y, True)).kernel


@pytest.mark.parametrize(("extent", "stride", "outputs"), SHAPES)
def test_every_sliding_kernel_is_exact_on_integers(extent, stride, outputs):
    for shape in SHAPES[extent, stride, outputs]:
        x, w = integers(shape, "float32"), integers((shape[1], 1, extent, extent), "float32", 1)
        parameters = {"stride": stride, "padding": extent // 2, "groups": shape[1]}
        spec = ConvSpec.from_arrays(x, w, **parameters)
        got = convolve(spec, x, w)
        np.testing.assert_array_equal(got, reference.conv2d(x, w, **parameters).astype("float32"))
        assert kernel_of(spec, x, w) is SLIDING[extent, stride, outputs]


@pytest.mark.parametrize("case", few(CASES, 7), ids=str)
def test_ragged_shapes_are_exact_on_integers(case):
    host = case.arrays("float32", integers)
    np.testing.assert_array_equal(convolve(case.spec(), *host), case.expected(*host).astype("float32"))


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_kernel_of_any_window_takes_the_same_problems(case):
    host = case.arrays("float64", integers)
    found = convolve(case.spec("float64"), *host, algorithm=depthwise_window.ALGORITHM)
    np.testing.assert_array_equal(found, case.expected(*host))


@pytest.mark.parametrize("case", [CASES[0], CASES[8]], ids=str)
def test_rounding_stays_within_the_error_bound(case):
    host = case.arrays("float32", normal)
    error = abs(convolve(case.spec(), *host) - case.expected(*host))
    assert (error <= reference.error_bound(*host, **case.parameters)).all()


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("stride", [1, 2])
def test_rows_that_are_not_aligned_are_loaded_one_by_one(stride):
    buffer, w = integers((1, 2, 9, 65), "float32"), integers((2, 1, 3, 3), "float32", 1)
    for x, outputs in ((np.ascontiguousarray(buffer[..., 1:]), 4 // stride), (buffer[..., 1:], 1)):
        spec = ConvSpec.from_arrays(x, w, None, stride, 1, groups=2)
        got = convolve(spec, x, w)
        np.testing.assert_array_equal(
            got, reference.conv2d(x, w, None, stride, 1, groups=2).astype("float32")
        )
        assert kernel_of(spec, x, w) is SLIDING[3, stride, outputs]


def test_an_output_that_is_not_aligned_is_stored_one_by_one():
    x, w = integers((1, 2, 9, 64), "float32"), integers((2, 1, 3, 3), "float32", 1)
    buffer = poisoned((1, 2, 9, 66), "float32")
    spec = ConvSpec.from_arrays(x, w, padding=1, groups=2)
    convolve(spec, x, w, y=buffer[..., 1:65])
    np.testing.assert_array_equal(
        buffer[..., 1:65], reference.conv2d(x, w, padding=1, groups=2).astype("float32")
    )
    assert np.isnan(buffer[..., [0, 65]]).all()
    assert kernel_of(spec, x, w, buffer[..., 1:65]) is SLIDING[3, 1, 1]


@pytest.mark.parametrize(
    ("algorithm", "extent"), [(ALGORITHM, 3), (ALGORITHM, 5), (depthwise_window.ALGORITHM, 4)]
)
def test_any_strides_of_every_array(algorithm, extent):
    x = integers((2, 7, 9, 40), "float32")[:, ::-2, :, 1::3]
    w = integers((extent, extent, 1, 8), "float32", 1).transpose(3, 2, 0, 1)[:, :, ::-1]
    bias = integers((16,), "float32", 2)[::-2]
    spec = ConvSpec.from_arrays(x, w, bias, padding=1, groups=4)
    buffer = poisoned((2, spec.Q, 9, spec.P), "float32")
    y = buffer.transpose(0, 2, 3, 1)[:, 1:]
    convolve(spec, x, w, bias, y, algorithm)
    np.testing.assert_array_equal(y, reference.conv2d(x, w, bias, padding=1, groups=4).astype("float32"))
    assert np.isnan(buffer[:, :, 0]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(1, 3, 15, 64), (1, 3, 15, 15)])
def test_a_non_finite_input_reaches_exactly_the_outputs_that_see_it(shape, value):
    x, w = integers(shape, "float32"), np.ones((3, 1, 3, 3), "float32")
    clean = reference.conv2d(x, w, padding=1, groups=3)
    x[0, 1, 7, 12] = value
    got = convolve(ConvSpec.from_arrays(x, w, padding=1, groups=3), x, w)
    touched = np.zeros(got.shape, bool)
    touched[:, 1, 6:9, 11:14] = True
    np.testing.assert_array_equal(got[~touched], clean[~touched])
    assert not np.isfinite(got[touched]).any()


@pytest.mark.parametrize(("algorithm", "extent"), [(ALGORITHM, 3), (depthwise_window.ALGORITHM, 4)])
def test_zero_padding_is_multiplied_like_any_value(algorithm, extent):
    x, w = np.ones((1, 2, 5, 5), "float32"), np.ones((2, 1, extent, extent), "float32")
    w[1, 0, 0, 0] = np.inf
    got = convolve(ConvSpec.from_arrays(x, w, padding=1, groups=2), x, w, algorithm=algorithm)
    assert np.isnan(got[0, 1, 0, :]).all() and np.isnan(got[0, 1, :, 0]).all()
    assert (got[0, 1, 1:, 1:] == np.inf).all() and np.isfinite(got[0, 0]).all()


# How the work is cut


def test_small_planes_share_a_warp_and_wide_ones_are_cut_into_tiles():
    def cut(size, outputs):
        found = Strips.of(convolution(1, 64, size, 64, 3, groups=64), outputs, 4, H200)
        return found.pitch, found.slots, found.halo, found.out_lanes, found.tiles_q

    assert cut(7, 1) == (8, 4, 0, 7, 1)
    assert cut(14, 1) == (15, 2, 0, 14, 1)
    assert cut(56, 4) == (15, 2, 0, 14, 1)
    assert cut(112, 4) == (29, 1, 0, 28, 1)
    assert cut(240, 4) == (32, 1, 1, 30, 2)


def test_a_window_that_begins_inside_the_image_has_a_halo_in_every_plane():
    found = Strips.of(replace(convolution(1, 8, 10, 8, 3, groups=8), pads=((1, 1), (0, 0))), 1, 4, H200)
    assert (found.pitch, found.slots, found.halo, found.out_lanes) == (10, 3, 1, 8)


@pytest.mark.parametrize("batch", [1, 8])
def test_a_small_batch_is_cut_finer_but_never_into_too_many_bytes(batch):
    for spec in mobilenet_depthwise(batch):
        found = Strips.of(spec, 1, 4, H200)
        assert found.requested <= strips.MOST_REQUESTED
        assert found.strips * found.tile_p >= spec.P > (found.strips - 1) * found.tile_p
    few, many = (Strips.of(convolution(n, 32, 112, 32, 3, groups=32), 4, 4, H200) for n in (1, 64))
    assert few.tile_p < many.tile_p


def test_a_huge_image_is_planned_at_once():
    found = Strips.of(ConvSpec(1, 1, 2**30, 8, 1, 3, 3, ((1, 1), (1, 1))), 1, 4, H200)
    assert found.strips * found.tile_p >= 2**30 and found.requested <= strips.MOST_REQUESTED


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("place", range(10))
def test_bytes_requested_on_the_layers_of_mobilenet(batch, place):
    """Of whole planes, the first that a number of blocks computes: x, w and y, over each of them once."""
    spec = mobilenet_depthwise(batch)[place]
    x, y = np.zeros((spec.N, spec.C, spec.H, spec.W), "float32"), np.zeros(spec.out_shape, "float32")
    views = on_device(x), on_device(np.zeros((spec.K, 1, 3, 3), "float32")), None, on_device(y, True)
    whole = planned(ALGORITHM, spec, *views)
    outputs = {kernel: key[2] for key, kernel in SLIDING.items()}[whole.kernel]
    cut = Strips.of(spec, outputs, steps_of_round(spec.R, spec.stride[0], outputs), H200)
    blocks = cut.strips * cut.tiles_q  # WARPS groups of planes, each with all of its strips and tiles
    launch = Launch(whole.kernel, blocks, whole.shared_bytes, whole.scalars)
    report = execution.execute(launch, *views, count_memory=True)
    least = 4 * WARPS * cut.slots * (spec.H * spec.W + spec.P * spec.Q + spec.R * spec.S)
    assert least <= report.traffic("global").bytes <= 1.2 * least


# The machine code


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("arch", ["sm_90a"])
@pytest.mark.parametrize(("extent", "stride", "outputs"), SHAPES)
def test_the_loop_slides_without_a_branch(arch, extent, stride, outputs):
    row = machine_code.of(SLIDING[extent, stride, outputs], arch)
    mix = row["loop_mix"]
    assert mix["FFMA"] % (extent**2 * outputs) == 0
    rows = mix["FFMA"] // (extent**2 * outputs)  # of output, that the compiler unrolled the loop by
    assert mix["BRA"] == 1 and "BSSY" not in mix and "LDS" not in mix
    wide = {4: "LDG.128", 2: "LDG.64", 1: "LDG"}[outputs * stride]
    assert mix[wide] == rows * stride
    assert mix[{4: "STG.128", 2: "STG.64", 1: "STG"}[outputs]] == rows


def test_few_large_windows_are_left_to_the_other_kernel():
    many, few = (convolution(n, 96, 56, 96, 7, groups=96) for n in (8, 1))
    assert slides(many, H200) and not slides(few, H200)
    half = convolution(4, 96, 56, 96, 7, groups=96)
    assert slides(half, GPUS["l4"]) and not slides(half, H200)  # of half the multiprocessors
    assert not slides(convolution(32, 256, 14, 256, 7, groups=256), H200)
    assert slides(convolution(1, 32, 14, 32, 3, groups=32), H200)


def test_what_it_is_for_and_what_it_refuses():
    def worth(*arguments, **parameters):
        """That of the one of the two depthwise algorithms that comes first."""
        spec = convolution(*arguments, **parameters)
        return any(
            refusal(each, spec) is None and worthwhile(each, spec)
            for each in (ALGORITHM, depthwise_window.ALGORITHM)
        )

    assert worth(8, 144, 56, 144, 3, stride=2, groups=144)
    assert worth(1, 1, 2048, 1, 5) and not worth(1, 1, 512, 64, 5)
    assert worth(1, 1, 512, 64, 3) and not worth(1, 1, 1024, 64, 3, stride=2)
    assert worth(1, 64, 14, 64, 4, groups=64) and worth(1, 1, 2048, 1, 9)
    for algorithm in (ALGORITHM, depthwise_window.ALGORITHM):
        reason = refusal(algorithm, convolution(1, 4, 8, 4, 3, groups=2))
        assert reason == "each group has 2 input channels, not one"
        assert "2^31" in refusal(algorithm, ConvSpec(1, 1, 2**31, 1, 1, 3, 3, ((1, 1), (1, 1))))
        assert "2^33" in refusal(algorithm, ConvSpec(2**16, 1, 2**10, 2**10, 1, 3, 3))


@pytest.mark.parametrize(
    "change", [{"R": 4, "S": 4}, {"R": 3, "S": 5}, {"stride": (1, 2)}, {"dilation": (1, 2)}]
)
def test_windows_for_which_nothing_is_compiled(change):
    spec = replace(convolution(1, 8, 20, 8, 3, groups=8), **change)
    assert "only for windows of 3x3" in refusal(ALGORITHM, spec)
    assert refusal(depthwise_window.ALGORITHM, spec) is None
    assert ALGORITHM.takes["dtype"] == (FLOAT32,)


# Planted faults

WRONG, BEYOND, RACE, MISALIGNED = ["wrong result"], ["OutOfBoundsError"], ["RaceError"], ["MisalignedError"]
UNSET = ["UninitialisedError"]
STRAY = BEYOND + WRONG + RACE
WIDE, TILED, SLOTS, PAIRS = CASES[0], CASES[2], CASES[3], CASES[9]
LEFT_OVER = ConvCase("two lanes left over", (1, 5, 14, 14), (5, 1, 3, 3), padding=1, groups=5)

# (what, old source, new source, the case that shows it, the verdicts that may come first)
KERNEL_FAULTS = [
    ("no meeting of the warp", "        cuda.syncwarp()\n", "", SLOTS, RACE),
    ("the right border", "+ uint32(j)) < W)", "+ uint32(j)) <= W)", PAIRS, STRAY),
    ("the bottom", "min(end, int32(H))", "end", SLOTS, STRAY),
    ("rows before the first", "uint32(uint32(0) - uint32(BEFORE))", "uint32(0)", SLOTS, STRAY),
    ("rows after the last", "min(tile_p, uint32(P - p_first))", "tile_p", WIDE, STRAY),
    ("the last columns", " & (q < Q)", "", TILED, STRAY),
    ("lanes of the halo", " & (u < out_lanes)", "", TILED, STRAY),
    ("the last plane", " & (plane < planes)", "", SLOTS, BEYOND),
    ("lanes left over", "mine = (slot < slots) & (", "mine = (", LEFT_OVER, UNSET),
    ("weights", "(warp * uint32(slots + uint32(1)) + slot)", "slot", WIDE, RACE),
    ("sums that stay", "sums[i] = sums[i + outputs]", "sums[i] = sums[i]", WIDE, WRONG),
    ("rows that stay", "rows[i] = rows[i + STEP]", "rows[i] = rows[i]", SLOTS, WRONG),
]
PLAN_FAULTS = [
    ("too little memory", "shared_bytes = WARPS *", "shared_bytes =", SLOTS, BEYOND),
    ("the origin", "// 2 - left\n", "// 2 - left + 1\n", SLOTS, WRONG),
    ("unaligned rows", " and not any(misaligned)", "", TILED, MISALIGNED),
    ("a round too few", '"rounds": strips.rounds,', '"rounds": strips.rounds - 1,', WIDE, WRONG),
]
LOAD_FAULTS = [
    ("the neighbour", "(lane + uint32(distance))", "(lane - uint32(distance))", WIDE, WRONG),
    ("lanes going round", "& uint32(31))", "& uint32(15))", WIDE, WRONG),
    ("two columns", "row_inside & inside[1]", "row_inside & inside[0]", PAIRS, STRAY),
]
SLIDE_FAULTS = [
    ("the last tap", "for s in range(extent)\n", "for s in range(extent - 1)\n", WIDE, WRONG),
    ("a transposed kernel", "r * extent + s, j", "s * extent + r, j", WIDE, WRONG),
]
TILES_FAULTS = [
    ("no zeros", "needed + zeros, LANES // (needed + zeros)", "needed, LANES // needed", SLOTS, WRONG),
    ("a tile too wide", "pitch - left - right", "pitch - left", TILED, WRONG),
    ("no halo", "return pitch, LANES // pitch, left,", "return pitch, LANES // pitch, 0,", TILED, WRONG),
]
FAULTS = faults_of(
    conv__depthwise__kernel=KERNEL_FAULTS,
    conv__depthwise__plan=PLAN_FAULTS,
    conv__depthwise__load=LOAD_FAULTS,
    conv__depthwise__slide=SLIDE_FAULTS,
    conv__depthwise__tiles=TILES_FAULTS,
)


@seldom(FAULTS, 3)
def test_planted_faults_are_caught(fault):
    module, _, old, new, case, expected = fault
    assert verdict_of_conv(changed_room("conv.depthwise", module, old, new).ALGORITHM, case) in expected


@pytest.mark.parametrize("case", [WIDE, TILED, SLOTS, PAIRS, LEFT_OVER], ids=str)
def test_the_unharmed_kernels_raise_nothing(case):
    assert verdict_of_conv(ALGORITHM, case) == "harmless"
