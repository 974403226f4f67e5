"""The implicit GEMM: every tile on ragged shapes, shared depths, layouts, its costs and its predictions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuconv.algorithm import select
from gpuconv.cuda import conv
from gpuconv.cuda.conv import implicit_gemm, tiled
from gpuconv.cuda.conv.implicit_gemm import plan
from gpuconv.cuda.conv.implicit_gemm import tiles as gemm_tiles
from gpuconv.cuda.conv.implicit_gemm.gather import SLAB, Depth
from gpuconv.cuda.conv.implicit_gemm.kernel import KERNELS_BY_TILE
from gpuconv.cuda.conv.implicit_gemm.tiles import TILES, GemmChoice, choose
from gpuconv.cuda.conv.split import MAX_PARTIAL, partial_bytes
from gpuconv.cuda.runtime.cost import is_even
from gpuconv.cuda.runtime.gpu import GPUS, H200, gpu
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import FLOAT32
from tests import ptx, reference
from tests.cases import ConvCase, integers
from tests.cuda.execution import (
    compute,
    layouts_of,
    on_device,
    poisoned,
    refusal,
    worthwhile,
)
from tests.cuda.layers import RESNET50, UNET, VGG16, convolution
from tests.ptx import machine_code
from tests.sampling import few

ALGORITHM = implicit_gemm.ALGORITHM
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
MULTIPLY_ADDS = tuple(kernel for kernel in implicit_gemm.KERNELS if kernel.name in LEAST_MATH)


@pytest.fixture
def chosen(monkeypatch):
    """Lets a test say which tile computes, and how many blocks share the depth."""

    def use(tile, splits=1):
        monkeypatch.setattr(plan, "choose", lambda *problem: GemmChoice(tile, splits))

    return use


def convolve(spec, x, w, bias=None, y=None, arch="sm_90a"):
    """(The result, the executor's reports.)"""
    y = poisoned(spec.out_shape, "float32") if y is None else y
    return y, compute(ALGORITHM, spec, (x, w, bias), (y,), arch)


def expect(case, arch="sm_90a"):
    """The result for a case of integers is exact; returns the executor's reports."""
    host = case.arrays("float32", integers)
    found, reports = convolve(case.spec(), *host, arch=arch)
    np.testing.assert_array_equal(found, case.expected(*host).astype("float32"))
    return reports


# Results


@pytest.mark.parametrize("case", few(CASES, 4), ids=str)
@pytest.mark.parametrize("tile", TILES, ids=NAMES)
def test_every_tile_is_exact_on_integers(chosen, tile, case):
    chosen(tile)
    expect(case)


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize(
    ("case", "splits"), [(STRIDED, 2), (DEEP, 5), (DEEP, 40), (CASES[4], 1), (CASES[5], 2)], ids=str
)
def test_a_shared_depth_is_exact_on_integers(chosen, case, splits):
    chosen(TILES[-1], splits)
    assert len(expect(case)) == (1 if splits == 1 else 2)


@pytest.mark.wide  # compiles a kernel of its own, for three seconds
def test_the_same_bits_come_from_every_run(chosen):
    chosen(TILES[1], 3)
    shapes = (1, 30, 6, 6), (9, 30, 3, 3)
    x, w = (np.random.default_rng(0).standard_normal(shape).astype("float32") for shape in shapes)
    spec = ConvSpec.from_arrays(x, w)
    (first, _), (second, _) = convolve(spec, x, w), convolve(spec, x, w)
    assert first.tobytes() == second.tobytes()
    assert (abs(first - reference.conv2d(x, w)) <= reference.error_bound(x, w)).all()


@pytest.mark.parametrize("arch", ["sm_75", "sm_120"])
def test_other_generations_compute_the_same(chosen, arch):
    """Before sm_80 there are no asynchronous copies, and the kernel loads and stores."""
    chosen(TILES[2])
    expect(STRIDED, arch)


# Layouts


def kernel_of(spec, x, w, y, x_offset=0):
    layouts = layouts_of(spec, on_device(x), on_device(w), None, on_device(y, True))
    layouts = layouts._replace(x=layouts.x._replace(offset=x_offset), y=layouts.y._replace(offset=0))
    assert ALGORITHM.unsupported(spec, layouts, H200) is None
    return ALGORITHM.plan(spec, layouts, H200).kernel.name


def arrays_of(spec):
    shapes = (spec.N, spec.C, spec.H, spec.W), (spec.K, spec.C_group, spec.R, spec.S), spec.out_shape
    return [np.broadcast_to(np.float32(0), shape).copy() for shape in shapes]


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("C", [16, 21])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_what_is_not_aligned_is_loaded_and_stored_one_by_one(chosen, C, shift):
    """Both pointers are moved by `shift` elements; only 0 may use the kernel that copies 16 bytes."""
    chosen(TILES[0])
    x = integers((2 * C * 64 + 4,), "float32")[shift : shift + 2 * C * 64].reshape(2, C, 8, 8)
    w = integers((12, C, 1, 1), "float32", 1)
    y = poisoned((2 * 12 * 64 + 4,), "float32")[shift : shift + 2 * 12 * 64].reshape(2, 12, 8, 8)
    _, reports = convolve(ConvSpec.from_arrays(x, w), x, w, None, y)
    np.testing.assert_array_equal(y, reference.conv2d(x, w).astype("float32"))
    stores = {line.opcode for line in reports[-1].lines if line.opcode.startswith("st.global") and line.warps}
    assert stores == ({"st.global.v4.f32"} if x.ctypes.data % 16 == 0 else {"st.global.f32"})


def test_pixels_side_by_side_need_no_gather(chosen):
    chosen(TILES[0])
    spec = convolution(2, 32, 8, 128, 1)
    x, w, y = arrays_of(spec)
    assert kernel_of(spec, x, w, y).endswith("pointwise")
    assert not kernel_of(spec, x, w, y, x_offset=4).endswith("pointwise")
    rows = np.zeros((2, 32, 8, 12), "float32")[..., :8]
    assert not kernel_of(spec, rows, w, y).endswith("pointwise")
    for other in (convolution(2, 32, 8, 128, 1, stride=2), convolution(2, 32, 7, 128, 1)):
        assert not kernel_of(other, *arrays_of(other)).endswith("pointwise")


def test_layouts_that_the_kernel_cannot_address_are_refused_and_taken_by_conv_tiled():
    spec = convolution(1, 32, 8, 32, 3)
    x, w, y = arrays_of(spec)

    def reason(x, w):
        layouts = layouts_of(spec, on_device(x), on_device(w), None, on_device(y, True))
        found = ALGORITHM.unsupported(spec, layouts, H200)
        if found is not None:
            rest = conv.ALGORITHMS[conv.ALGORITHMS.index(ALGORITHM) :]
            assert select(rest, spec, layouts, H200) is tiled.ALGORITHM
        return found

    assert reason(x, w) is None
    channels_last = np.zeros((32, 3, 3, 32), "float32").transpose(0, 3, 1, 2)
    assert reason(x, channels_last) == "the taps of the weights do not lie side by side"
    wide = np.lib.stride_tricks.as_strided(x, x.shape, (0, 4 * 2**27, 32, 4), writeable=False)
    assert "2^31" in reason(wide, w)
    narrower = np.lib.stride_tricks.as_strided(x, x.shape, (0, 4 * 2**26, 32, 4), writeable=False)
    assert reason(narrower, w) is None


def test_offsets_beyond_2_to_the_31_elements(chosen):
    chosen(TILES[2])
    far = 4 * 2**31  # bytes
    x, w = integers((2, 4, 10, 10), "float32"), integers((5, 4, 3, 3), "float32", 2)
    spec = ConvSpec.from_arrays(x, w)
    y = ptx.apart(poisoned(spec.out_shape, "float32"), 0, far)
    compute(ALGORITHM, spec, (ptx.apart(x, 0, far), w, None), (y,))
    np.testing.assert_array_equal(y, reference.conv2d(x, w).astype("float32"))


@pytest.mark.parametrize("change", [
    {"R": 20, "S": 20, "H": 30, "W": 30}, {"R": 11, "S": 11, "H": 30, "W": 30},
    {"C": 0}, {"C": 2**24}, {"N": 2**27}, {"stride": (1, 2**31), "W": 2**20}, {"N": 2**24, "K": 2**16},
])  # fmt: skip
def test_what_it_cannot_do_it_says(change):
    fields = {"N": 1, "C": 8, "H": 6, "W": 6, "K": 8, "R": 3, "S": 3} | change
    assert refusal(ALGORITHM, ConvSpec(**fields))
    fields = {"N": 1, "C": 8, "H": 6, "W": 6, "K": 8, "R": 3, "S": 3}
    assert refusal(ALGORITHM, ConvSpec(**fields)) is None
    assert ALGORITHM.takes["dtype"] == (FLOAT32,)


def test_few_channels_are_left_to_conv_tiled():
    assert not worthwhile(ALGORITHM, convolution(1, 4, 64, 4, 3))
    assert worthwhile(ALGORITHM, convolution(1, 64, 512, 2, 1))
    assert worthwhile(ALGORITHM, convolution(1, 8, 64, 32, 3))


# Costs and predictions


@pytest.mark.wide  # it counts instructions
@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
@pytest.mark.parametrize("kernel", few(MULTIPLY_ADDS, 1), ids=lambda kernel: kernel.name)
def test_the_main_loop_is_mostly_arithmetic(kernel, arch):
    row = machine_code.of(kernel, arch)
    assert row["loop_math_pct"] >= LEAST_MATH[kernel.name]
    assert row["loop_mix"]["FFMA"] == 64 * SLAB


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("pointwise", [False, True], ids=["gathered", "pointwise"])
@pytest.mark.parametrize("tile", few(TILES, 1), ids=NAMES)
def test_predictions_use_the_instructions_of_the_machine_code(tile, pointwise):
    kernel = KERNELS_BY_TILE[tile, pointwise]
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
    assert partial_bytes(wide) > MAX_PARTIAL and choose(wide, 2**50, H200).splits == 1


def test_a_choice_is_made_for_the_gpu_at_hand():
    """196 tiles of 64x64, two for the busiest multiprocessor of 108 and of 132: four warps, one for each
    scheduler. In four shares six tiles come to one of 132, three warps of a quarter of the depth."""
    spec = convolution(8, 512, 28, 128, 1)
    assert choose(spec, 64 << 20, H200) == GemmChoice(TILES[1], 4)
    assert choose(spec, 64 << 20, replace(H200, multiprocessors=108)) == GemmChoice(TILES[1], 1)


def test_three_blocks_of_two_warps_take_as_long_as_four():
    def cycles(tile, blocks):
        """Of so many blocks on each multiprocessor of an H200."""
        images = 132 * blocks * tile.pixels // 8**2
        spec = convolution(images, 512, 8, tile.k, 1)
        return gemm_tiles.cycles(spec, GemmChoice(tile, 1), H200)

    large, small, _ = TILES
    assert (large.warps, small.warps) == (8, 2)
    assert cycles(small, 3) == cycles(small, 4) > 1.6 * cycles(small, 2)
    assert cycles(large, 3) < 0.8 * cycles(large, 4)


def test_where_memory_decides_the_tile_that_computes_least_is_taken():
    """64 channels of a 1x1 window on an L4: of 128 channels in a tile half would be nothing."""
    spec = convolution(8, 64, 56, 64, 1)
    assert choose(spec, 64 << 20, GPUS["l4"]).tile.k <= 64


def test_what_takes_the_host_longer_than_the_device_is_one_kernel():
    """Four microseconds of an H200: shares of the depth would take it three, and the host two more."""
    assert choose(convolution(1, 8, 8, 8, 3), 64 << 20, H200).splits == 1


def test_without_a_driver_plans_are_for_an_h200():
    assert gpu(0) == H200


def test_every_prediction_is_made_for_the_gpu_that_is_given():
    spec = convolution(8, 256, 14, 256, 3)
    assert len({implicit_gemm.least_cost(spec, 64 << 20, each) for each in GPUS.values()}) == len(GPUS) - 1
    assert "H100" in GPUS["h100"].name  # which differs from an H200 in its memory alone
