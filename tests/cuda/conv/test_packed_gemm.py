"""16 and 8 bits by tensor cores: ragged shapes, every tile, shared depths, layouts, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from gpuconv import workspace
from gpuconv.cuda.conv import packed_gemm
from gpuconv.cuda.conv.packed_gemm import plan, tiles
from gpuconv.cuda.conv.packed_gemm.tiles import TILES, PackedChoice, PackedDepth
from gpuconv.cuda.runtime.gpu import GPUS, H200, Gpu
from gpuconv.spec import ConvSpec
from tests import reference
from tests.cases import BFLOAT16, CONV_CASES, ConvCase, integers, normal
from tests.cuda.execution import compute, on_device, planned, poisoned, refusal, worthwhile
from tests.cuda.mutation import (
    BEYOND,
    HARMLESS,
    LATE,
    RACE,
    UNSET,
    WRONG,
    changed_room,
    faults_of,
    seldom,
    verdict,
)  # fmt: skip
from tests.layouts import WRITABLE
from tests.sampling import few

ALGORITHM = packed_gemm.ALGORITHM
PAIRS = (  # of the input's dtype and the weights'
    ("float16", "float16"), ("uint8", "int8"), ("bfloat16", "bfloat16"), ("int8", "uint8"),
    ("uint8", "uint8"), ("int8", "int8"),
)  # fmt: skip
over_pairs = pytest.mark.parametrize(
    ("input", "weight"),
    [*few(PAIRS[:3], 2), *(pytest.param(*pair, marks=pytest.mark.slow) for pair in PAIRS[3:])],
)
RAGGED = ConvCase("ragged in every axis", (2, 13, 7, 9), (70, 13, 3, 3), padding=1, bias=True)
DEEP = ConvCase("many slabs", (2, 80, 5, 9), (20, 40, 3, 3), padding=((1, 1), (0, 2)), groups=2, bias=True)
CASES = (
    RAGGED,
    ConvCase("more than a tile", (3, 20, 9, 8), (140, 20, 1, 1), bias=True),
    ConvCase("stride, dilation, groups", (2, 18, 11, 12), (10, 9, 3, 2), 2, 2, (2, 3), groups=2, bias=True),
    ConvCase("whole pieces", (1, 64, 8, 8), (64, 64, 3, 3), padding=1),
    ConvCase("one channel", (2, 1, 9, 8), (5, 1, 5, 4), padding=2, bias=True),
    ConvCase("one piece a tap, one column", (1, 5, 30, 1), (3, 5, 9, 1), padding=((4, 4), (0, 0))),
    ConvCase("padding wider than the image", (1, 9, 2, 3), (4, 9, 3, 3), padding=((5, 7), (4, 9)), bias=True),
    ConvCase("one pixel", (3, 40, 1, 1), (7, 40, 3, 3), padding=1),
    ConvCase("three pieces a tap", (1, 24, 6, 7), (9, 24, 2, 5), padding=(1, 2)),
    DEEP,
)


@pytest.fixture
def choosing(monkeypatch):
    """Lets a test say which tile is taken, and how many blocks share the depth."""

    def use(tile, splits=1):
        def choose(spec, *rest):
            return PackedChoice(tile, min(splits, PackedDepth.of(spec).slabs))

        monkeypatch.setattr(plan, "choose", choose)

    return use


def arrays_of(case, input, weight, make=integers):
    x, _, bias = case.arrays(input, make)
    return x, case.arrays(weight, make)[1], bias


def run(case, arrays, lay=np.copy, arch="sm_90a", **changed):
    spec = replace(ConvSpec.from_arrays(*arrays, **case.parameters), **changed)
    y = lay(poisoned(spec.out_shape, spec.result.numpy))
    return y, compute(ALGORITHM, spec, arrays, (y,), arch)


def expect(case, arrays, lay=np.copy, **options):
    y, reports = run(case, arrays, lay, **options)
    expected = case.expected(*arrays)
    right = (expected.astype(np.int64) if y.dtype == "int32" else expected).astype(y.dtype)
    np.testing.assert_array_equal(y.astype("f8"), right.astype("f8"))
    return reports


@over_pairs
@pytest.mark.parametrize("case", few(CASES, 3), ids=str)
def test_integers_are_exact(case, input, weight):
    expect(case, arrays_of(case, input, weight))


@pytest.mark.parametrize("tile", few(TILES, 2), ids=lambda tile: f"{tile.k}x{tile.pixels}")
@pytest.mark.parametrize("case", CASES[:3], ids=str)
def test_every_tile_is_exact(choosing, case, tile):
    choosing(tile)
    expect(case, arrays_of(case, "float16", "float16"))


@pytest.mark.parametrize(("input", "weight"), few(PAIRS[:3], 1))
@pytest.mark.parametrize("splits", [2, 3, 5])
def test_shared_sums_are_exact(choosing, splits, input, weight):
    choosing(TILES[-1], splits)
    reports = expect(DEEP, arrays_of(DEEP, input, weight))
    assert len(reports) == 4  # two that pack, the product, its sum


@pytest.mark.parametrize("splits", [1, 3])
def test_unrounded_sums(choosing, splits):
    choosing(TILES[-1], splits)
    arrays = arrays_of(DEEP, "float16", "float16")
    y, _ = run(DEEP, arrays, unrounded=True)
    np.testing.assert_array_equal(y, DEEP.expected(*arrays).astype("f4"), strict=True)


# Layouts


@pytest.mark.parametrize("layout", few(["channels last", "reversed", "strided"], 2))
@pytest.mark.parametrize("case", (RAGGED, CASES[3]), ids=str)
def test_arrays_of_any_strides(layout, case):
    lay = WRITABLE[layout]
    expect(
        case, [array if array is None else lay(array) for array in arrays_of(case, "float16", "float16")], lay
    )


def channels_last(x, channels=None, before=0):
    """The same values in memory of (N, H, W, channels), from an element on that is `before` it."""
    N, C, H, W = x.shape
    memory = np.full(N * H * W * (channels or C) + 64, np.nan, x.dtype)
    start = -(memory.ctypes.data // x.itemsize) % (16 // x.itemsize) + before
    there = memory[start:][: N * H * W * (channels or C)].reshape(N, H, W, -1)
    view = there[..., :C].transpose(0, 3, 1, 2)
    view[...] = x
    return view


def names_of(case, arrays):
    views = [on_device(array) for array in arrays]
    spec = ConvSpec.from_arrays(*arrays, **case.parameters)
    y = on_device(poisoned(spec.out_shape, spec.result.numpy), True)
    steps = planned(ALGORITHM, spec, *views, y).steps
    return [step.plan.kernel.name.split()[0] for step in steps]


@pytest.mark.parametrize(
    ("channels", "before", "in_place"), [(None, 0, True), (72, 0, True), (68, 0, False), (None, 4, False)]
)
def test_an_input_is_read_as_it_lies_where_its_pieces_are_whole(channels, before, in_place):
    case = CASES[3]
    x, w, bias = arrays_of(case, "float16", "float16")
    arrays = channels_last(x, channels, before), w, bias
    packs = ["conv_pack_weights"] if in_place else ["conv_pack_weights", "conv_pack_pixels"]
    assert names_of(case, arrays)[: len(packs) + 1] == [*packs, "conv_packed_gemm"]
    expect(case, arrays)


def test_channels_that_are_one_in_memory_are_packed():
    case = CASES[3]
    x, w, bias = arrays_of(case, "float16", "float16")
    arrays = np.broadcast_to(x[:, :1], x.shape), w, bias
    assert "conv_pack_pixels" in names_of(case, arrays)
    expect(case, arrays)


@pytest.mark.parametrize("before", [0, 1])
def test_outputs_are_stored_in_pairs_where_they_lie_so(before):
    """Rows of an odd length, from an even element on and from an odd one."""
    case = ConvCase("rows", (1, 8, 5, 8), (20, 8, 3, 3), padding=1, bias=True)
    arrays = arrays_of(case, "float16", "float16")

    def lay(y):
        memory = np.full(y.size + 9, np.nan, y.dtype)
        start = -(memory.ctypes.data // 2) % 8 + before
        view = memory[start:][: y.size].reshape(y.shape)
        view[...] = y
        return view

    expect(case, arrays, lay)


# The workspace


def test_images_are_packed_as_many_at_a_time_as_the_workspace_holds():
    case = ConvCase("images", (5, 9, 6, 7), (10, 9, 3, 3), padding=1, bias=True)
    arrays = arrays_of(case, "float16", "float16")
    workspace.set_workspace_limit(10 * 5 * 64 + 2 * 6 * 7 * 32 + 64)
    try:
        assert names_of(case, arrays).count("conv_packed_gemm") == 3
        expect(case, arrays)
        workspace.set_workspace_limit(1000)
        spec = ConvSpec.from_arrays(*arrays, **case.parameters)
        assert refusal(ALGORITHM, spec).startswith("a packed image takes 4544 bytes")
    finally:
        workspace.set_workspace_limit(64 << 20)


def test_of_an_image_without_pixels_there_is_the_bias():
    case = ConvCase("no pixels", (2, 3, 0, 4), (5, 3, 3, 3), padding=2, bias=True)
    expect(case, arrays_of(case, "float16", "float16"))


# Values


@pytest.mark.parametrize("dtype", few([np.dtype("float16"), BFLOAT16], 1), ids=str)
@pytest.mark.parametrize("splits", [1, 3])
def test_sums_are_those_of_float32_rounded_once(choosing, dtype, splits):
    choosing(TILES[-1], splits)
    case = ConvCase("layer", (2, 50, 9, 8), (6, 50, 3, 3), padding=1, bias=True)
    x, w, bias = case.arrays(dtype, normal)
    expected, magnitudes = case.expected(x, w, bias), case.expected(abs(x), abs(w), abs(bias))
    error = abs(run(case, (x, w, bias))[0].astype("f8") - expected)
    assert (error <= reference.rounded_bound(expected, magnitudes, dtype)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_reaches_its_windows_alone(value):
    x, w, bias = arrays_of(RAGGED, "float16", "float16")
    for place in ((0, 0, 0, 0), (1, 12, 6, 8), (1, 6, 3, 4)):
        spoilt = x.copy()
        spoilt[place] = value
        expect(RAGGED, (spoilt, w, bias))


def test_weights_that_are_not_finite_meet_the_padding():
    x, w, bias = arrays_of(RAGGED, "float16", "float16")
    w[3, 5, 0, 1], w[69, 12, 2, 2] = np.inf, np.nan
    y, expected = run(RAGGED, (x, w, bias))[0], RAGGED.expected(x, w, bias)
    np.testing.assert_array_equal(y, expected.astype("f2"))
    assert np.isnan(expected[:, 3, 0]).all()  # 0 times infinity


def test_what_is_beyond_int32_is_left_modulo_2_to_the_32():
    case = ConvCase("wrapped", (1, 40, 1, 1), (1, 40, 1, 1), bias=True)
    x, w = np.full(case.x, 255, "u1"), np.full(case.w, 127, "i1")
    y, _ = run(case, (x, w, np.full(1, 2**31 - 1, np.int32)))
    assert y.item() == 40 * 255 * 127 - 2**31 - 1


# The choice


@pytest.mark.parametrize("case", CONV_CASES, ids=str)
def test_it_takes_every_problem_of_16_bits_but_those_of_no_channels(case):
    reason = refusal(ALGORITHM, case.spec("float16"))
    assert reason == (None if case.w[1] else "a group has no input channels")


def test_before_sm_80_it_is_refused():
    turing = Gpu("T4", (7, 5), 40, 1.5, 300, 4)
    assert refusal(ALGORITHM, RAGGED.spec("float16"), turing).startswith("sm_75 has no tensor cores")


@pytest.mark.parametrize("gpu", GPUS.values(), ids=lambda gpu: gpu.name)
def test_blocks_of_each_tile_fit_a_multiprocessor(gpu):
    for tile in TILES:
        assert gpu.resident(tile.shared_bytes) >= min(2, tile.blocks_per_sm)


def test_layers_of_networks_go_to_the_tensor_cores_and_depthwise_ones_do_not():
    def is_worthwhile(channels, outputs, groups=1):
        case = ConvCase(
            "layer", (32, channels, 28, 28), (outputs, channels // groups, 3, 3), padding=1, groups=groups
        )
        return worthwhile(ALGORITHM, case.spec("float16"), H200)

    assert is_worthwhile(64, 64) and is_worthwhile(512, 512)
    assert not is_worthwhile(64, 64, groups=64)


@pytest.mark.parametrize("images", [1, 64])
def test_images_of_one_pixel_go_to_the_tensor_cores(images):
    case = ConvCase("fully connected", (images, 2048, 1, 1), (1000, 2048, 1, 1))
    assert worthwhile(ALGORITHM, case.spec("float16"), H200)


def test_a_long_depth_is_shared_where_there_are_few_pixels():
    case = ConvCase("deep", (1, 512, 7, 7), (512, 512, 3, 3), padding=1)
    assert tiles.choose(case.spec("float16"), 64 << 20, H200).splits > 1


# Faults


DEEPER = ConvCase("a shared depth", (1, 512, 3, 3), (8, 512, 3, 3), padding=1)
# (what, old source, new source, the case that shows it, the verdicts that may come first)
FAULTS = faults_of(
    conv__packed_gemm__kernel=[
        ("a wait for one slab too few", "PENDING = STAGES - 2", "PENDING = STAGES - 1", DEEP, (LATE,)),
        ("no barrier before a slab is read",
         "cuda.syncthreads()  # this slab is", "# this slab is", DEEP, (RACE,)),
        ("the last slabs still on their way", "wait_group(0)\n", "pass\n", DEEP, (RACE, LATE)),
        ("sums turned before all have read",
         "wait_group(0)\n        cuda.syncthreads()", "wait_group(0)", DEEP, (RACE,)),
        ("a slab loaded where one is read", "write = read", "write = write", DEEP, (WRONG, RACE, LATE)),
        ("no end of a ring",
         "read == uint32(LAST)", "read > uint32(LAST)", DEEP, (BEYOND, UNSET, WRONG, RACE)),
        ("a share of the depth from its start",
         "depth = uint32(first", "depth = uint32(split", DEEPER, (WRONG,)),
        ("channels of another group",
         "uint32(g * K + k_first + row)", "uint32(k_first + row)", DEEP, (WRONG,)),
    ],
    conv__packed_gemm__load=[
        ("a row of the image beyond the last", "down) < H", "down) <= H", RAGGED, (WRONG, BEYOND, UNSET)),
        ("a tap beyond the window", "inside and r < window[2]", "inside", RAGGED, (WRONG, BEYOND, UNSET)),
        ("a column that never ends", "s >= S", "s > S", RAGGED, (WRONG, BEYOND)),
        ("pixels beyond the last",
         "uint32(OUTSIDE) if here >= pixels else h", "h", RAGGED, (BEYOND, UNSET)),
    ],
    conv__packed_gemm__store=[
        ("a channel beyond the last",
         "min(channels, uint32(STORED_K))", "uint32(STORED_K)", RAGGED, (WRONG, BEYOND)),
        ("a pixel beyond the last",
         "uint32(here + uint32(1)) < pixels", "here < pixels", CASES[7], (BEYOND, WRONG)),
        ("pairs in the wrong place",
         "pair // uint32(4)) ^", "pair // uint32(4)) +", CASES[3], (WRONG, UNSET, BEYOND, RACE)),
        ("a sum not rounded",
         "y[place + down] = narrow(values[0])", "y[place + down] = uint32(values[0])", RAGGED, (WRONG,)),
    ],
    conv__packed_gemm__pack=[
        ("missing channels not cleared",
         "c < C and pixel < pixels", "pixel < pixels", RAGGED, (WRONG, BEYOND, HARMLESS)),
        ("no barrier before it is turned", "        cuda.syncthreads()\n", "", RAGGED, (RACE,)),
        ("taps beyond the window packed", "r < R and channel < C", "channel < C", RAGGED, (BEYOND,)),
    ],
)  # fmt: skip


@seldom(FAULTS, 7)
def test_faults_in_the_source(fault):
    """Beside a NaN, which no zero of padded weights may meet."""
    module, _, old, new, case, expected = fault
    room, arrays = changed_room("conv.packed_gemm", module, old, new), arrays_of(case, "float16", "float16")
    arrays[0][0, 0, case.x[2] // 2, case.x[3] // 2] = np.nan

    def compute_case():
        spec = ConvSpec.from_arrays(*arrays, **case.parameters)
        y = poisoned(spec.out_shape, "float16")
        compute(room.ALGORITHM, spec, arrays, (y,))
        return y, case.expected(*arrays)

    assert verdict(compute_case) in expected
