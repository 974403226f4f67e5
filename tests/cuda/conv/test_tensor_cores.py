"""The implicit GEMM on tensor cores: exact on integers, its errors, what is not finite, where it is taken.

How tensor cores add up is a model here, `multiplied`, as the executor rounds their sums once.
"""

from dataclasses import replace

import numpy as np
import pytest

from gpuconv import cuda
from gpuconv.algorithm import explain, select
from gpuconv.commands.covering import queued
from gpuconv.cuda import conv
from gpuconv.cuda.conv import implicit_gemm
from gpuconv.cuda.conv.implicit_gemm import plan
from gpuconv.cuda.conv.implicit_gemm.kernel import KERNELS_BY_TILE
from gpuconv.cuda.conv.implicit_gemm.tiles import SUMS, TF32_TILES, THREE_TF32_TILES, GemmChoice
from gpuconv.cuda.runtime.gpu import GPUS, H200
from gpuconv.spec import ConvSpec
from tests import reference
from tests.cases import ConvCase, integers
from tests.cuda.conv.test_implicit_gemm import CASES, DEEP, STRIDED
from tests.cuda.execution import compute, contiguous, poisoned, refusal, worthwhile
from tests.cuda.layers import convolution
from tests.cuda.mutation import ptx_changed
from tests.ptx import machine_code
from tests.sampling import few

TILES = (*TF32_TILES, *THREE_TF32_TILES)
SPLIT, ROUNDED = implicit_gemm.SPLIT_TF32, implicit_gemm.ROUNDED_TF32
ALGORITHMS = {each.name: each for each in (SPLIT, ROUNDED)}
NAMES = [f"{tile.arithmetic.algorithm} {tile.k}x{tile.pixels}" for tile in TILES]
TURING = replace(H200, name="a GPU before sm_80", capability=(7, 5))
LEAST_TAPS, MOST_TAPS = 32, 4608
WHOLE_NAN = np.array([0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)  # overflow if they are rounded


@pytest.fixture
def chosen(monkeypatch):
    """Lets a test say which tile computes, and how many blocks share the depth; gives its algorithm."""

    def use(tile, splits=1):
        monkeypatch.setattr(plan, "choose", lambda *problem: GemmChoice(tile, splits))
        return ALGORITHMS[tile.arithmetic.algorithm]

    return use


def convolve(algorithm, x, w, bias=None, arch="sm_90a", **parameters):
    spec = replace(ConvSpec.from_arrays(x, w, bias, **parameters), precision="tf32")
    y = poisoned(spec.out_shape, "float32")
    compute(algorithm, spec, (x, w, bias), (y,), arch)
    return y


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


# Results


@pytest.mark.parametrize("case", few(CASES, 3), ids=str)
@pytest.mark.parametrize("tile", few(TILES, 2), ids=lambda tile: f"{tile.arithmetic.algorithm} {tile.k}")
def test_every_tile_is_exact_on_integers(chosen, tile, case):
    x, w, bias = case.arrays("float32", integers)
    found = convolve(chosen(tile), x, w, bias, **case.parameters)
    np.testing.assert_array_equal(found, case.expected(x, w, bias).astype("float32"))


@pytest.mark.parametrize("arch", ["sm_80", "sm_120"])
def test_other_generations_compute_the_same(chosen, arch):
    x, w, bias = STRIDED.arrays("float32", integers)
    found = convolve(chosen(THREE_TF32_TILES[-1]), x, w, bias, arch, **STRIDED.parameters)
    np.testing.assert_array_equal(found, STRIDED.expected(x, w, bias).astype("float32"))


def bound(tile, x, w, **parameters):
    """What formats and sums lose of each output: of 1, two roundings to 2^-11 of a product; of three, what is
    not read of the two lower parts, and their product; and a rounding for each sum of 8 products."""
    magnitudes = reference.conv2d(abs(x), abs(w), **parameters)
    of_product = {1: 2.0**-10, 3: 2.0**-21}[tile.arithmetic.products]
    sums = w[0].size / 8 + 5
    return 1.01 * (of_product + sums * 2.0**-24) * magnitudes


@pytest.mark.parametrize("tile", [TF32_TILES[1], THREE_TF32_TILES[-1]], ids=["tf32", "3xtf32"])
@pytest.mark.parametrize("splits", [1, 3])
def test_errors_stay_within_what_the_formats_lose(chosen, tile, splits):
    x, w = normal(1, 70, 6, 6), normal(9, 70, 3, 3, seed=1)
    error = abs(convolve(chosen(tile, splits), x, w, padding=1) - reference.conv2d(x, w, padding=1))
    allowed = bound(tile, x, w, padding=1)
    assert (error <= allowed).all()
    assert (error > 2.0**-8 * allowed).any()  # it is not a bound of something else


def test_a_lower_part_that_is_lost_is_noticed(chosen):
    x, w = normal(1, 70, 6, 6), normal(9, 70, 3, 3, seed=1)
    algorithm = chosen(THREE_TF32_TILES[-1])
    with ptx_changed(r"sub(\S*)\.f32 (\s*%f\d+), (%f\d+), (%f\d+);", r"sub\1.f32 \2, \4, \4;"):
        error = abs(convolve(algorithm, x, w, padding=1) - reference.conv2d(x, w, padding=1))
    assert (error > bound(THREE_TF32_TILES[-1], x, w, padding=1)).any()


# Sums in tensor cores


def tf32(x):
    """Rounded to the nearest."""
    return ((x.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def read(x):
    """As a tensor core reads it: cut off."""
    return (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)


def multiplied(a, b, total):
    """a @ b + total as tensor cores are known to add at the worst (Fasi et al. 2021).

    Products are exact; 4 and what there is are shifted to the exponent of the greatest and cut off to the 24
    bits of float32 without a bit more, and so is their sum.
    """
    for k in range(0, a.shape[1], 4):
        terms = read(a)[:, k : k + 4, None] * read(b)[None, k : k + 4]
        terms = np.concatenate([terms, total[:, None, :].astype(np.float64)], axis=1)
        unit = np.exp2(np.frexp(abs(terms).max(axis=1))[1] - 24.0)
        whole = np.trunc(terms / unit[:, None, :]).sum(axis=1) * unit
        rounded = whole.astype(np.float32)
        total = np.where(abs(rounded) > abs(whole), np.nextafter(rounded, np.float32(0)), rounded)
    return total


def split_product(a, b):
    """a @ b as conv_implicit_gemm_3xtf32 computes it."""
    (a_high, a_low), (b_high, b_low) = ((tf32(x), x - tf32(x)) for x in (a, b))
    total = np.zeros((len(a), b.shape[1]), np.float32)
    for k in range(0, a.shape[1], 8):
        part, taps = np.zeros_like(total), slice(k, k + 8)
        for left, right in ((a_high, b_low), (a_low, b_high), (a_high, b_high)):
            part = multiplied(left[:, taps], right[taps], part)
        total = total + part
    return total


def chain(a, b):
    """a @ b as one chain of fused multiply-adds."""
    total = np.zeros((len(a), b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        total = (a[:, k, None].astype(np.float64) * b[k] + total).astype(np.float32)
    return total


def norm_error(found, a, b):
    expected = a.astype(np.float64) @ b
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


SCALES = {
    "N(0, 1)": lambda a, b: (a, b),
    "rows scaled": lambda a, b: (a * np.exp2(np.arange(len(a)) % 40 - 20.0)[:, None], b),
    "taps scaled": lambda a, b: (a * np.exp2(np.arange(a.shape[1]) % 30 - 15.0), b),
    "nothing negative": lambda a, b: (abs(a), abs(b)),
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("taps", [LEAST_TAPS, 576, MOST_TAPS])
def test_split_products_are_as_exact_as_multiply_adds(taps, scale):
    a, b = (each.astype("float32") for each in SCALES[scale](normal(12, taps), normal(taps, 12, seed=1)))
    most = 5 if scale == "taps scaled" else 2  # few of whose products decide
    assert norm_error(split_product(a, b), a, b) <= most * norm_error(chain(a, b), a, b)


def test_long_sums_in_tensor_cores_would_not_be():
    """Why 8 products are added up at a time: what is cut off goes all one way."""
    a, b = abs(normal(8, MOST_TAPS)), abs(normal(MOST_TAPS, 8, seed=1))
    (a_high, a_low), (b_high, b_low) = ((tf32(x), x - tf32(x)) for x in (a, b))
    total = np.zeros((8, 8), np.float32)
    for left, right in ((a_high, b_low), (a_low, b_high), (a_high, b_high)):
        total = multiplied(left, right, total)
    assert norm_error(total, a, b) > 4 * norm_error(split_product(a, b), a, b)


def test_a_longest_chain_of_tf32_loses_less_than_tf32_does():
    a, b = abs(normal(2, plan.LONG_CHAIN)), abs(normal(plan.LONG_CHAIN, 2, seed=1))
    assert norm_error(multiplied(tf32(a), tf32(b), np.zeros((2, 2), np.float32)), a, b) < 2.0**-10


# What is not finite


def extremes():
    """x and w with infinities and NaN next to zeros and to the greatest numbers."""
    x, w = normal(1, 6, 7, 20), normal(5, 6, 3, 3, seed=1)
    x[0, 2, 3, 4], x[0, 1, 5, 15] = np.inf, -np.inf
    x[0, 0, 0, 0], x[0, 3, 6, 19] = WHOLE_NAN
    w[0], w[1, :, 1, 1], w[2, 2, 0, 0] = 0, 1e-45, np.inf
    return x, w


def same(found, expected):
    for kind in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(kind(found), kind(expected))


@pytest.mark.parametrize("tile", [TF32_TILES[1], THREE_TF32_TILES[-1]], ids=["tf32", "3xtf32"])
@pytest.mark.parametrize("splits", [1, 2])
def test_what_is_not_finite_reaches_the_outputs_that_see_it_as_by_definition(chosen, tile, splits):
    x, w = extremes()
    with np.errstate(invalid="ignore"):
        expected = reference.conv2d(x, w, padding=1)
    same(convolve(chosen(tile, splits), x, w, padding=1), expected)


@pytest.mark.parametrize("tile", [TF32_TILES[1], THREE_TF32_TILES[-1]], ids=["tf32", "3xtf32"])
def test_the_greatest_numbers_are_not_infinite(chosen, tile):
    greatest = np.finfo("float32").max
    x, w = np.zeros((1, 3, 5, 6), "float32"), np.full((4, 3, 1, 1), 0.5, "float32")
    x[0, 0, 2, 3], x[0, 1, 4, 4], w[3] = greatest, -greatest, 4
    expected = reference.conv2d(x, w).astype("float32")
    found = convolve(chosen(tile), x, w)
    same(found, expected)
    np.testing.assert_array_equal(found[np.isfinite(found)], expected[np.isfinite(found)])


# Machine code and predictions


@pytest.mark.parametrize("pointwise", [False, True], ids=["gathered", "pointwise"])
@pytest.mark.parametrize("tile", few(TILES, 2), ids=lambda tile: f"{tile.arithmetic.algorithm} {tile.k}")
def test_the_main_loop_is_what_predictions_count(tile, pointwise):
    row = machine_code.of(KERNELS_BY_TILE[tile, pointwise], "sm_90a")
    mix, expected = row["loop_mix"], tile.pointwise if pointwise else tile.gathered
    assert mix["HMMA"] == tile.arithmetic.products * SUMS * 32 * 16 // 1024
    assert mix["LDS.128"] >= (32 + 64) * 16 // 128 and {"LDGSTS", "LDGSTS.128"} & mix.keys()
    assert not {"LDL", "STL", "LDS"} & {name for name in mix if mix[name] > 8}
    assert abs(row["loop_instructions"] - expected) <= 0.03 * expected


# Where it is taken


LAYER = convolution(32, 256, 28, 512, 1)


def taken(spec, gpu=H200):
    return select(conv.ALGORITHMS, spec, contiguous(spec), gpu).name


def test_who_is_chosen_for_a_layer_of_a_network():
    assert taken(LAYER) == SPLIT.name
    assert taken(replace(LAYER, precision="tf32")) == ROUNDED.name
    assert taken(replace(LAYER, precision="ieee")) == implicit_gemm.ALGORITHM.name
    assert taken(LAYER, GPUS["a100"]) == SPLIT.name
    assert taken(LAYER, GPUS["rtx4090"]) == taken(LAYER, TURING) == implicit_gemm.ALGORITHM.name


def test_the_reason_is_a_prediction():
    (name, verdict), *rest = explain(conv.ALGORITHMS, LAYER, contiguous(LAYER), H200)
    assert name == SPLIT.name and verdict.startswith("selected, predicted to take 0.")
    assert "predicted to take 0." in dict(rest)[implicit_gemm.ALGORITHM.name]


def test_images_are_filtered_by_multiply_adds():
    assert not worthwhile(SPLIT, convolution(8, 31, 256, 64, 3))
    assert worthwhile(SPLIT, convolution(8, 32, 256, 64, 3))


def test_what_it_cannot_do_it_says():
    rounded = replace(LAYER, precision="tf32")
    for algorithm in (SPLIT, ROUNDED):
        assert "no tensor cores for tf32" in refusal(algorithm, rounded, TURING)
        assert "not 'ieee'" in refusal(algorithm, replace(LAYER, precision="ieee"))
    assert "not None" in refusal(ROUNDED, LAYER)
    long = replace(convolution(1, plan.LONG_CHAIN + 1, 4, 64, 1), precision="tf32")
    assert "cut off" in refusal(ROUNDED, long) and refusal(SPLIT, long) is None


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect"])
def test_other_lists_take_it_for_their_convolutions(padding_mode):
    spec = replace(convolution(8, 128, 28, 128, 3), precision="tf32", padding_mode=padding_mode)
    names = queued(select(conv.ALGORITHMS, spec, contiguous(spec), H200).plan(spec, contiguous(spec), H200))
    assert any(name.startswith(ROUNDED.name) for name in names)


def test_a_case_of_every_kind_is_exact_by_the_list():
    case = ConvCase("a layer", (1, 40, 5, 6), (64, 40, 3, 3), padding=1)
    spec = replace(case.spec(), precision="tf32")
    assert {each.name for each in cuda.ALGORITHMS["conv"]} >= ALGORITHMS.keys()
    assert refusal(SPLIT, spec) is None and refusal(ROUNDED, spec) is None
    assert DEEP.spec().C_group > 1
