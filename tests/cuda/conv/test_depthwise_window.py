"""The depthwise convolution with any window: tiles, every kernel on ragged shapes, counts, planted faults."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuconv.cuda.conv import depthwise_window
from gpuconv.cuda.conv.depthwise_window import plan
from gpuconv.cuda.conv.depthwise_window.kernel import KERNELS_BY_SHAPE
from gpuconv.cuda.conv.depthwise_window.tiles import SHAPES, WindowRows, WindowTile, choose, tile_of
from gpuconv.cuda.device.limits import LANES, SHARED_BYTES
from gpuconv.cuda.device.rings import CHUNK
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.spec import ConvSpec
from tests import reference
from tests.cases import ConvCase, integers, normal
from tests.cuda.execution import compute, on_device, planned, poisoned, refusal
from tests.cuda.layers import convolution
from tests.cuda.mutation import changed_room, faults_of, seldom, verdict_of_conv
from tests.ptx import machine_code
from tests.sampling import few

ALGORITHM = depthwise_window.ALGORITHM
CASES = (
    ConvCase("9x9, planes side by side", (2, 3, 14, 14), (3, 1, 9, 9), padding=4, groups=3, bias=True),
    ConvCase("two taps, several rows of tiles", (1, 2, 61, 9), (2, 1, 2, 2), groups=2),
    ConvCase("31x31", (1, 1, 34, 40), (1, 1, 31, 31), padding=15, bias=True),
    ConvCase("stride 2, two taps or one a phase", (1, 3, 23, 29), (3, 1, 3, 5), 2, 2, groups=3),
    ConvCase("stride 3 over 11 rows", (1, 2, 40, 31), (4, 1, 11, 4), (3, 1), 1, groups=2, bias=True),
    ConvCase("dilated", (1, 2, 13, 34), (4, 1, 3, 3), padding=4, dilation=(4, 3), groups=2, bias=True),
    ConvCase("stride and dilation", (1, 2, 30, 33), (2, 1, 5, 4), (2, 3), 2, (3, 2), groups=2),
    ConvCase("stride and dilation alike", (1, 1, 19, 20), (1, 1, 4, 3), 2, 3, 2),
    ConvCase("stride beyond the kernel", (1, 1, 19, 40), (1, 1, 2, 2), (3, 5)),
    ConvCase("one tap", (2, 2, 9, 7), (2, 1, 1, 1), (2, 1), 1, (3, 1), groups=2, bias=True),
    ConvCase("more dilated than rows", (1, 1, 30, 11), (1, 1, 4, 3), padding=(0, 1), dilation=(9, 1)),
    ConvCase("no rows but padding", (1, 2, 0, 4), (2, 1, 2, 3), padding=(2, 1), groups=2, bias=True),
    ConvCase("an even kernel", (2, 3, 9, 33), (3, 1, 4, 2), (1, 3), ((1, 2), (0, 1)), groups=3, bias=True),
    ConvCase("no images", (0, 3, 9, 9), (3, 1, 4, 4), groups=3),
)
EVERY = [(shape, dtype) for dtype, shapes in SHAPES.items() for shape in shapes]


def convolve(spec, x, w, bias=None, y=None):
    y = poisoned(spec.out_shape, spec.dtype) if y is None else y
    compute(ALGORITHM, spec, (x, w, bias), (y,))
    return y


@pytest.mark.parametrize(("shape", "dtype"), few(EVERY, 1), ids=str)
@pytest.mark.parametrize("case", few(CASES, 7), ids=str)
def test_ragged_shapes_are_exact_on_integers(monkeypatch, case, shape, dtype):
    monkeypatch.setattr(plan, "tile_of", lambda spec, gpu: (shape, choose(spec, shape, gpu)))
    host = case.arrays(dtype, integers)
    np.testing.assert_array_equal(convolve(case.spec(dtype), *host), case.expected(*host).astype(dtype))
    x, w, _ = map(on_device, host)
    y = on_device(poisoned(case.spec().out_shape, dtype), True)
    assert planned(ALGORITHM, case.spec(dtype), x, w, None, y).kernel is KERNELS_BY_SHAPE[shape]


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("cut", [(1, 1, 3, 1), (5, 2, 2, 2), (8, 1, 4, 3), (3, 3, 1, 9)], ids=str)
@pytest.mark.parametrize("case", [CASES[0], CASES[4], CASES[5], CASES[6]], ids=str)
def test_every_cut_is_exact(monkeypatch, case, cut):
    """Columns, groups of rows, slots and columns of taps that no problem of this size would take."""
    shape = SHAPES["float32"][-1]
    *parts, taps = cut

    def cut_so(spec, gpu):
        return shape, WindowTile.of(spec, shape, *parts, min(taps, spec.S), gpu)

    monkeypatch.setattr(plan, "tile_of", cut_so)
    host = case.arrays("float32", integers)
    np.testing.assert_array_equal(convolve(case.spec(), *host), case.expected(*host).astype("float32"))


@pytest.mark.parametrize("case", [CASES[0], CASES[2]], ids=str)
def test_rounding_stays_within_the_error_bound(case):
    host = case.arrays("float32", normal)
    error = abs(convolve(case.spec(), *host) - case.expected(*host))
    assert (error <= reference.error_bound(*host, **case.parameters)).all()


def test_long_sums_begin_anew():
    """2^24 + 1 is no float32: a single sum would lose each 1 that comes after 2^24."""
    x, w = np.ones((1, 1, 31, 20), "float32"), np.ones((1, 1, 31, 20), "float32")
    w[0, 0, 0, 0] = 2**24
    got = convolve(ConvSpec.from_arrays(x, w), x, w)
    assert 2**24 + 250 < got.item() <= 2**24 + 620


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("extent", [4, 9, 11])
def test_a_non_finite_input_reaches_exactly_the_outputs_that_see_it(extent, value):
    x, w = integers((1, 2, 40, 25), "float32"), np.ones((2, 1, extent, extent), "float32")
    clean = reference.conv2d(x, w, padding=extent - 1, groups=2)
    x[0, 1, 20, 13] = value
    got = convolve(ConvSpec.from_arrays(x, w, padding=extent - 1, groups=2), x, w)
    touched = np.zeros(got.shape, bool)
    touched[:, 1, 20 : 20 + extent, 13 : 13 + extent] = True
    np.testing.assert_array_equal(got[~touched], clean[~touched])
    assert not np.isfinite(got[touched]).any()


def test_any_strides_of_every_array():
    x = integers((2, 7, 29, 40), "float32")[:, ::-2, ::-1, 1::3]
    w = integers((9, 4, 1, 8), "float32", 1).transpose(3, 2, 0, 1)[:, :, ::-1]
    bias = integers((16,), "float32", 2)[::-2]
    spec = ConvSpec.from_arrays(x, w, bias, padding=1, groups=4)
    buffer = poisoned((2, spec.Q, 9, spec.P), "float32")
    y = buffer.transpose(0, 2, 3, 1)[:, 1:]
    convolve(spec, x, w, bias, y)
    np.testing.assert_array_equal(y, reference.conv2d(x, w, bias, padding=1, groups=4).astype("float32"))
    assert np.isnan(buffer[:, :, 0]).all()


# Tiles

geometry = st.tuples(
    st.integers(1, 3),  # planes
    st.tuples(st.integers(1, 60), st.integers(1, 60)),  # outputs
    st.tuples(st.integers(1, 33), st.integers(1, 33)),  # kernel
    st.tuples(st.integers(1, 4), st.integers(1, 4)),  # stride
    st.tuples(st.integers(1, 5), st.integers(1, 5)),  # dilation
)


def spec_of(planes, outputs, kernel, stride, dilation, dtype="float32"):
    H, W = (
        (n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(outputs, stride, dilation, kernel, strict=True)
    )
    return ConvSpec(1, planes, H, W, planes, *kernel, ((0, 0), (0, 0)), stride, dilation, planes, dtype)


@given(st.integers(1, 12), st.integers(1, 40), st.integers(1, 9), st.integers(1, 9))
def test_outputs_meet_their_taps_in_one_line(outputs, R, stride, dilation):
    """Output i of a class meets tap j of a phase where its own stride says."""
    rows = WindowRows.of(spec_of(1, (1, 1), (R, 1), (stride, 1), (dilation, 1)))
    assert rows.full * rows.phases + rows.longer == R
    for i, r in itertools.product(range(outputs), range(R)):
        j, phase = divmod(r, rows.phases)
        assert (i + j) * rows.row_step + phase * rows.phase_step == i * rows.spacing * stride + r * dilation


@settings(deadline=None)
@given(geometry, st.sampled_from(EVERY))
def test_a_tile_fits_covers_the_output_and_meets_all_banks(problem, which):
    shape, dtype = which
    spec = spec_of(*problem, dtype)
    tile, rows = choose(spec, shape, H200), WindowRows.of(spec)
    assert tile is not None and tile.bytes <= SHARED_BYTES
    assert tile.tile_q * tile.groups * tile.slots <= shape.threads
    reached = {
        of_class + rows.spacing * i
        for of_class in range(tile.classes)
        for i in range(tile.tiles_p * tile.groups * shape.pixels)
    }
    assert reached >= set(range(spec.P))
    assert tile.tiles_q * tile.tile_q >= spec.Q
    assert tile.phase_pitch >= tile.lines + -rows.longest % CHUNK
    assert tile.w_slot >= tile.taps * tile.w_column
    accesses = 16 // shape.itemsize
    places = [
        (lane // tile.tile_q * tile.slot_pitch + lane % tile.tile_q * tile.pitch) // accesses % 8
        for lane in range(min(LANES, tile.tile_q * tile.slots))
    ]
    assert all(len(set(places[i : i + 8])) == len(places[i : i + 8]) for i in range(0, len(places), 8))


def test_a_long_window_keeps_all_schedulers_busy():
    """With whole rows of 56, two of a block's four warps would compute, each for a scheduler of its own."""
    shape, tile = tile_of(convolution(1, 128, 56, 128, 31, groups=128), H200)
    assert shape.threads == 4 * LANES
    assert tile.tile_q * tile.groups * tile.slots > 3 * LANES


def test_stages_where_a_window_is_too_large_at_once():
    tile = choose(convolution(1, 1, 300, 1, 201), SHAPES["float32"][0], H200)
    assert tile is not None and tile.taps < 201
    spec = ConvSpec(1, 1, 20000, 8, 1, 12000, 1)
    assert all(choose(spec, shape, H200) is None for shape in SHAPES["float32"])
    reason = refusal(ALGORITHM, spec)
    assert reason == "a column of taps and the pixels that it meets do not fit shared memory"


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
@pytest.mark.parametrize(("shape", "dtype"), EVERY, ids=str)
def test_the_loop_is_arithmetic(shape, dtype, arch):
    row = machine_code.of(KERNELS_BY_SHAPE[shape], arch)
    products = row["loop_mix"]["FFMA" if dtype == "float32" else "DFMA"]
    assert products == shape.pixels * shape.ring
    assert row["loop_instructions"] <= {28: 1.1, 16: 1.15, 8: 1.5}[shape.pixels] * products
    loads = {name for name in row["loop_mix"] if name.startswith("LDS")}
    assert loads == {"LDS.128"}


# Planted faults

WRONG, BEYOND, RACE, UNSET = ["wrong result"], ["OutOfBoundsError"], ["RaceError"], ["UninitialisedError"]
CAUGHT = BEYOND + WRONG + RACE + UNSET + ["AsynchronousError"]
PLANES, TALL, LARGE, STRIDE, PHASES, DILATED, BOTH = CASES[:7]
# Columns, groups of rows, slots and columns of taps: slots without a tile, several stages.
CUTS = {
    PLANES: (14, 2, 4, 9), TALL: (8, 4, 2, 2), LARGE: (16, 2, 1, 9), STRIDE: (8, 2, 2, 5),
    PHASES: (12, 2, 2, 4), DILATED: (20, 1, 3, 3), BOTH: (6, 1, 3, 4),
}  # fmt: skip
# (what, old source, new source, the case that shows it, the verdicts that may come first)
KERNEL_FAULTS = [
    ("no barrier before", "cuda.syncthreads()  # the stage before has been read", "pass", PLANES, CAUGHT),
    ("no barrier after", "wait_group(0)\n            cuda.syncthreads()", "wait_group(0)", PLANES, CAUGHT),
    ("no wait", "            wait_group(0)\n", "", PLANES, CAUGHT),
    ("the last tile", "task < tasks", "task <= tasks", PLANES, CAUGHT),
    ("the class", "spacing + of_class)", "spacing)", DILATED, CAUGHT),
    ("longer phases", "if phase < longer:", "if phase <= longer:", STRIDE, CAUGHT),
    ("the next column of taps", "while residue >= residues:", "while residue > residues:", STRIDE, CAUGHT),
    ("the slot", "x_tile + slot * slot_pitch + column", "x_tile + column", PLANES, CAUGHT),
]
RINGS_FAULTS = [
    ("lost sums", "total[i] += sums[i]\n", "total[i] = sums[i]\n", LARGE, WRONG),
    ("the ring", "(turn * CHUNK + j + tap) % ring", "(turn * CHUNK + j) % ring", LARGE, CAUGHT),
    ("the weights ahead", "turn % 2 * CHUNK + tap, row", "tap, row", LARGE, CAUGHT),
    ("a skipped place", "if skip < uint32(2):", "if skip < uint32(3):", STRIDE, CAUGHT),
    ("a chunk too few", "if left > uint32(CHUNK):", "if left > uint32(2 * CHUNK):", LARGE, CAUGHT),
]
LOAD_FAULTS = [
    ("the border below", "if h < inside", "if h <= inside", PLANES, CAUGHT),
    ("the right border", "< W else uint32(0)", "<= W else uint32(0)", PLANES, CAUGHT),
    ("no image", "H if valid else uint32(0)", "H", PLANES, CAUGHT),
    ("the rows between", "row_step * uint32(ROWS))", "uint32(ROWS))", DILATED, CAUGHT),
    (
        "the remainder of a column",
        "(column - nth * residues) * residue_pitch + nth",
        "column",
        STRIDE,
        CAUGHT,
    ),
    ("weights beyond the row", "if s >= taps:", "if s > taps:", LARGE, CAUGHT),
    ("the phase of a weight", "phase = uint32(r - i * phases)", "phase = uint32(0)", PHASES, CAUGHT),
]
TILES_FAULTS = [
    ("a halo too low", "+ rows.longest - 1\n", "+ rows.longest - 2\n", PLANES, CAUGHT),
    ("a halo too narrow", "if spec.S > 1 else 0) + 1\n", "if spec.S > 1 else 0)\n", PLANES, CAUGHT),
    (
        "slots that overlap",
        "w_tile = x_tile + slots * slot_pitch",
        "w_tile = x_tile + slot_pitch",
        PLANES,
        CAUGHT,
    ),
]
STORE_FAULTS = [
    ("the last rows", "mine & (p < P) & (q < Q)", "mine & (q < Q)", TALL, CAUGHT),
    ("the last columns", "mine & (p < P) & (q < Q)", "mine & (p < P)", PHASES, CAUGHT),
    (
        "a row below",
        "p + spacing), place + int64(spacing)",
        "p + uint32(1)), place + int64(1)",
        DILATED,
        CAUGHT,
    ),
]
FAULTS = faults_of(
    conv__depthwise_window__store=STORE_FAULTS,
    conv__depthwise_window__kernel=KERNEL_FAULTS,
    device__rings=RINGS_FAULTS,
    conv__depthwise_window__load=LOAD_FAULTS,
    conv__depthwise_window__tiles=TILES_FAULTS,
)


@seldom(FAULTS, 3)
def test_planted_faults_are_caught(fault):
    module, _, old, new, case, expected = fault
    assert verdict(changed_room("conv.depthwise_window", module, old, new), case) in expected


@pytest.mark.parametrize("case", CUTS, ids=str)
def test_the_unharmed_kernels_raise_nothing(case):
    assert verdict(changed_room("conv.depthwise_window", "conv.depthwise_window.kernel"), case) == "harmless"


def verdict(room, case):
    """What is wrong with a room, which is made to cut the case as CUTS says."""

    def cut_so(spec, gpu):
        shape = tiles.SHAPES["float32"][-1]
        return shape, tiles.WindowTile.of(spec, shape, *CUTS[case], gpu)

    tiles, room.plan.tile_of = room.tiles, cut_so
    return verdict_of_conv(room.ALGORITHM, case)
