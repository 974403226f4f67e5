"""The implicit GEMM: every tile on ragged shapes, shared depths, layouts, its costs and its predictions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuconv.arrays import DeviceArray
from gpuconv.cuda.conv import implicit_gemm as conv_implicit_gemm
from gpuconv.cuda.conv import split
from gpuconv.cuda.conv import tiled as conv_tiled
from gpuconv.cuda.conv.implicit_gemm import tiles as gemm_tiles
from gpuconv.cuda.conv.implicit_gemm.gather import SLAB, Depth
from gpuconv.cuda.conv.implicit_gemm.tiles import TILES, Choice, choose, is_even, partial_bytes
from gpuconv.cuda.runtime.gpu import H200, Chip, chip
from gpuconv.spec import ConvSpec
from tests import reference
from tests.cases import ConvCase, integers
from tests.cuda import execution
from tests.cuda.execution import on_device, poisoned, with_far_images
from tests.cuda.layers import RESNET50, UNET, VGG16, convolution
from tests.ptx import machine_code

NAMES = [f"{tile.k}x{tile.pixels}" for tile in TILES]
STRIDED = ConvCase(
    "stride, dilation, groups", (1, 6, 15, 17), (10, 3, 3, 2), (2, 3), ((1, 2), (0, 3)), (1, 3), 2, bias=True
)
DEEP = ConvCase("one pixel of many channels", (1, 70, 3, 3), (8, 70, 3, 3), bias=True)
CASES = (
    ConvCase("ragged in every axis", (2, 5, 9, 11), (37, 5, 3, 3), padding=1, bias=True),
    STRIDED,
    DEEP,
    ConvCase("more than one block both ways", (1, 3, 13, 15), (140, 3, 2, 2)),
    ConvCase("whole slabs, and 4 pixels of one image", (2, 16, 6, 6), (32, 16, 1, 1), bias=True),
    ConvCase("1x1 that ends within a slab, and groups", (3, 42, 4, 6), (80, 21, 1, 1), groups=2),
    ConvCase("outputs along a column", (1, 3, 40, 3), (5, 3, 5, 3), padding=((2, 2), (0, 0))),
)
# What is reached of arithmetic in the main loop; the rest are loads, addresses and the loop itself.
LEAST_MATH = {
    "conv_implicit_gemm 128x128": 88, "conv_implicit_gemm 128x128 pointwise": 90,
    "conv_implicit_gemm 64x64": 85, "conv_implicit_gemm 64x64 pointwise": 88,
    "conv_implicit_gemm 32x128": 82, "conv_implicit_gemm 32x128 pointwise": 88,
}  # fmt: skip
GEMMS = [kernel for kernel in conv_implicit_gemm.KERNELS if kernel is not split.KERNEL]


@pytest.fixture
def chosen(monkeypatch):
    """Lets a test say which tile computes, and how many blocks share the depth; returns the reports."""
    reports = execution.installed(monkeypatch, "sm_90a")

    def use(tile, splits=1):
        monkeypatch.setattr(conv_implicit_gemm, "choose", lambda *problem: Choice(tile, splits))
        return reports

    return use


def convolve(spec, x, w, bias=None, y=None):
    y = poisoned(spec.out_shape, "float32") if y is None else y
    conv_implicit_gemm.run(spec, on_device(x), on_device(w), on_device(bias), on_device(y, True))
    return y


# Results


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("tile", TILES, ids=NAMES)
def test_every_tile_is_exact_on_integers(chosen, tile, case):
    chosen(tile)
    host = case.arrays("float32", integers)
    np.testing.assert_array_equal(convolve(case.spec(), *host), case.expected(*host).astype("float32"))


@pytest.mark.parametrize(
    ("case", "splits"), [(STRIDED, 2), (DEEP, 5), (DEEP, 40), (CASES[4], 1), (CASES[5], 2)], ids=str
)
def test_a_shared_depth_is_exact_on_integers(chosen, case, splits):
    reports = chosen(TILES[-1], splits)
    host = case.arrays("float32", integers)
    np.testing.assert_array_equal(convolve(case.spec(), *host), case.expected(*host).astype("float32"))
    assert len(reports) == (1 if splits == 1 else 2)


def test_the_same_bits_come_from_every_run(chosen):
    chosen(TILES[1], 3)
    shapes = (1, 30, 6, 6), (9, 30, 3, 3)
    x, w = (np.random.default_rng(0).standard_normal(shape).astype("float32") for shape in shapes)
    spec = ConvSpec.from_arrays(x, w)
    first, second = convolve(spec, x, w), convolve(spec, x, w)
    assert first.tobytes() == second.tobytes()
    assert (abs(first - reference.conv2d(x, w)) <= reference.error_bound(x, w)).all()


@pytest.mark.parametrize("arch", ["sm_75", "sm_120"])
def test_other_generations_compute_the_same(chosen, monkeypatch, arch):
    """Before sm_80 there are no asynchronous copies, and the kernel loads and stores."""
    chosen(TILES[2])
    execution.installed(monkeypatch, arch)
    host = STRIDED.arrays("float32", integers)
    np.testing.assert_array_equal(convolve(STRIDED.spec(), *host), STRIDED.expected(*host).astype("float32"))


# Layouts


def plan_of(spec, x, w, y, splits=1, x_aligned=True, y_aligned=True):
    choice = Choice(TILES[0], splits)
    return conv_implicit_gemm.plan(spec, x.strides, w.strides, None, y.strides, choice, x_aligned, y_aligned)


def arrays_of(spec):
    shapes = (spec.N, spec.C, spec.H, spec.W), (spec.K, spec.C_group, spec.R, spec.S), spec.out_shape
    return [np.broadcast_to(np.float32(0), shape).copy() for shape in shapes]


@pytest.mark.parametrize("C", [16, 21])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_what_is_not_aligned_is_loaded_and_stored_one_by_one(chosen, C, shift):
    """Both pointers are moved by `shift` elements; only 0 may use the kernel that copies 16 bytes."""
    reports = chosen(TILES[0])
    x = integers((2 * C * 64 + 4,), "float32")[shift : shift + 2 * C * 64].reshape(2, C, 8, 8)
    w = integers((12, C, 1, 1), "float32", 1)
    y = poisoned((2 * 12 * 64 + 4,), "float32")[shift : shift + 2 * 12 * 64].reshape(2, 12, 8, 8)
    convolve(ConvSpec.from_arrays(x, w), x, w, None, y)
    np.testing.assert_array_equal(y, reference.conv2d(x, w).astype("float32"))
    stores = {line.opcode for line in reports[-1].lines if line.opcode.startswith("st.global") and line.warps}
    assert stores == ({"st.global.v4.f32"} if x.ctypes.data % 16 == 0 else {"st.global.f32"})


def test_pixels_side_by_side_need_no_gather():
    spec = convolution(2, 32, 8, 128, 1)
    x, w, y = arrays_of(spec)
    assert plan_of(spec, x, w, y).kernel.name.endswith("pointwise")
    assert not plan_of(spec, x, w, y, x_aligned=False).kernel.name.endswith("pointwise")
    rows = np.zeros((2, 32, 8, 12), "float32")[..., :8]
    assert not plan_of(spec, rows, w, y).kernel.name.endswith("pointwise")
    for other in (convolution(2, 32, 8, 128, 1, stride=2), convolution(2, 32, 7, 128, 1)):
        assert not plan_of(other, *arrays_of(other)).kernel.name.endswith("pointwise")


def test_what_the_kernel_cannot_address_goes_to_conv_tiled():
    spec = convolution(1, 32, 8, 32, 3)
    x, w, y = arrays_of(spec)
    tiled = conv_tiled.KERNELS
    assert plan_of(spec, x, w, y).kernel not in tiled
    channels_last = np.zeros((32, 3, 3, 32), "float32").transpose(0, 3, 1, 2)
    assert plan_of(spec, x, channels_last, y).kernel in tiled
    wide = np.lib.stride_tricks.as_strided(x, x.shape, (0, 4 * 2**27, 32, 4), writeable=False)
    assert plan_of(spec, wide, w, y).kernel in tiled
    narrower = np.lib.stride_tricks.as_strided(x, x.shape, (0, 4 * 2**26, 32, 4), writeable=False)
    assert plan_of(spec, narrower, w, y).kernel not in tiled


def test_offsets_beyond_2_to_the_31_elements(chosen, monkeypatch):
    """The kernel is told that the second images lie 2^31 elements on; an access to them is folded back."""
    chosen(TILES[2])
    far = 4 * 2**31  # bytes
    x, w = integers((2, 4, 10, 10), "float32"), integers((5, 4, 3, 3), "float32", 2)
    spec = ConvSpec.from_arrays(x, w)
    y = poisoned(spec.out_shape, "float32")
    from_x, to_y = with_far_images(monkeypatch, far, x, y)
    conv_implicit_gemm.run(spec, from_x, on_device(w), None, to_y)
    np.testing.assert_array_equal(y, reference.conv2d(x, w).astype("float32"))


@pytest.mark.parametrize("change", [
    {"dtype": "float64"}, {"R": 20, "S": 20, "H": 30, "W": 30}, {"R": 11, "S": 11, "H": 30, "W": 30},
    {"C": 0}, {"C": 2**24}, {"N": 2**27}, {"stride": (1, 2**31), "W": 2**20}, {"N": 2**24, "K": 2**16},
])  # fmt: skip
def test_what_it_cannot_do_it_says(change):
    fields = {"N": 1, "C": 8, "H": 6, "W": 6, "K": 8, "R": 3, "S": 3} | change
    assert conv_implicit_gemm.unsupported(ConvSpec(**fields))
    fields = {"N": 1, "C": 8, "H": 6, "W": 6, "K": 8, "R": 3, "S": 3}
    assert conv_implicit_gemm.unsupported(ConvSpec(**fields)) is None


def test_few_channels_are_left_to_conv_tiled():
    assert not conv_implicit_gemm.worth(convolution(1, 4, 64, 4, 3))
    assert conv_implicit_gemm.worth(convolution(1, 64, 512, 2, 1))
    assert conv_implicit_gemm.worth(convolution(1, 8, 64, 32, 3))


def test_memory_between_the_kernels_comes_from_the_outputs_library():
    asked = []
    library = type("Library", (), {"scratch": lambda self, n, like: asked.append((n, like)) or "parts"})()
    launch = type("Launch", (), {"start": lambda self, output, *arrays: asked.append(arrays)})()
    passes = split.Passes(12, ((launch, (0, 1, 2, 4)), (launch, (4, 2, 3))))
    output = DeviceArray(0, (1,), (4,), np.dtype("float32"), 0, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "library_of", lambda owner, name: library)
        passes.start(output, "x", "w", None, "y")
    assert asked == [(12, output), ("x", "w", None, "parts"), ("parts", None, "y")]


# Costs and predictions


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
@pytest.mark.parametrize("kernel", GEMMS, ids=lambda kernel: kernel.name)
def test_the_main_loop_is_mostly_arithmetic(kernel, arch):
    row = machine_code.of(kernel, arch)
    assert row["loop_math_pct"] >= LEAST_MATH[kernel.name]
    assert row["loop_mix"]["FFMA"] == gemm_tiles.SUMS * SLAB


@pytest.mark.parametrize("pointwise", [False, True], ids=["gathered", "pointwise"])
@pytest.mark.parametrize("tile", TILES, ids=NAMES)
def test_predictions_use_the_instructions_of_the_machine_code(tile, pointwise):
    kernel = conv_implicit_gemm._KERNELS[tile, pointwise]
    found = machine_code.of(kernel, "sm_90a")["loop_instructions"]
    expected = tile.pointwise if pointwise else tile.gathered
    assert abs(found - expected) <= 0.02 * expected


@pytest.mark.parametrize("spec", (*RESNET50, *VGG16, *UNET), ids=str)
def test_layers_fill_an_h200(spec):
    choice = choose(spec, 64 << 20, H200)
    blocks = choice.tile.blocks(spec) * choice.splits
    assert blocks >= 0.75 * H200.multiprocessors


channels = st.integers(1, 200)


@given(channels, channels, st.sampled_from([1, 3, 5]), st.integers(1, 40), st.integers(0, 2**20))
def test_a_choice_keeps_to_the_workspace_and_gives_every_block_a_slab(C, K, kernel, size, workspace):
    spec = convolution(1, C, size, K, kernel)
    choice, slabs = choose(spec, workspace, H200), Depth.of(spec).slabs
    assert choice.splits == 1 or choice.splits * partial_bytes(spec) <= workspace
    assert is_even(slabs, choice.splits)
    assert (choice.splits - 1) * -(-slabs // choice.splits) < slabs


def test_few_pixels_share_a_long_depth():
    few, many = convolution(1, 512, 7, 512, 3), convolution(8, 64, 224, 64, 3)
    assert choose(few, 64 << 20, H200).splits > 4
    assert choose(few, 0, H200).splits == 1
    assert choose(many, 64 << 20, H200).splits == 1
    wide = convolution(2**12, 512, 28, 2**10, 1)
    assert partial_bytes(wide) > gemm_tiles.MAX_PARTIAL and choose(wide, 2**50, H200).splits == 1


def test_a_choice_is_made_for_the_gpu_at_hand():
    """196 tiles of 64x64: two for the busiest of 132 multiprocessors as of 108, but for these that is a whole
    wave; 132 do better with shares of the depth."""
    spec = convolution(8, 512, 28, 128, 1)
    assert choose(spec, 64 << 20, H200) == Choice(TILES[1], 2)
    assert choose(spec, 64 << 20, Chip(108, H200.shared_bytes, 128, 32)) == Choice(TILES[1], 1)


def test_without_a_driver_plans_are_for_an_h200():
    assert chip(0) == H200
    assert H200.blocks(0) == 228 and H200.blocks(113 * 1024) == 2 and H200.blocks(10**6) == 1
