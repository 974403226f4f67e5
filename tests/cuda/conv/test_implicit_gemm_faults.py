"""Faults planted in the implicit GEMM are caught: in its kernel, its gather, its plan and its second kernel.

A case computes with one tile; the fault is caught if the executor reports it, or if a result is wrong.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.cases import ConvCase, integers
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
    verdict_of_conv,
)


@dataclass(frozen=True)
class Use:
    """A problem, the tile that computes it, how many blocks share its depth, and by which arithmetic.

    With `endless`, some inputs are infinite, and there are no zeros.
    """

    case: ConvCase
    tile: tuple[int, int]
    splits: int = 1
    arithmetic: str = "FLOAT32_SUMS"
    endless: bool = False


GATHERED = Use(
    ConvCase(
        "a period and a rest, two groups", (1, 36, 9, 9), (40, 18, 3, 3), padding=1, groups=2, bias=True
    ),
    (32, 128),
)
STRIDED = Use(
    ConvCase("stride and dilation", (2, 2, 9, 11), (5, 2, 3, 2), (2, 1), ((1, 2), (0, 3)), (1, 3), bias=True),
    (32, 128),
)
POINTWISE = Use(ConvCase("1x1", (2, 21, 4, 6), (40, 21, 1, 1), bias=True), (64, 64))
ROUNDED = Use(
    ConvCase("tensor cores", (1, 9, 9, 9), (70, 9, 3, 3), padding=1, bias=True), (64, 64), arithmetic="TF32"
)
ENDLESS = Use(
    ConvCase("what is not finite", (1, 4, 5, 6), (5, 4, 3, 2), padding=1, bias=True),
    (64, 64), arithmetic="THREE_TF32", endless=True,
)  # fmt: skip
SHARED = Use(ConvCase("shared depth", (1, 40, 5, 5), (7, 40, 3, 3), bias=True), (32, 128), 3)

# (what, where, the old source, the new source, the verdicts that may come first)
KERNEL_FAULTS = [
    (
        "a wait for one group less",
        GATHERED,
        "wait_group(0)",
        "wait_group(1)",
        f"{LATE} {UNSET} {RACE} {WRONG}",
    ),
    (
        "no barrier",
        GATHERED,
        "cuda.syncthreads()  # this slab is there, the one before has been read",
        "pass",
        f"{RACE} {UNSET} {LATE}",
    ),
    (
        "no barrier behind the tables",
        GATHERED,
        "cuda.syncthreads()  # the tables are there",
        "pass",
        f"{RACE} {UNSET}",
    ),
    ("no groups", GATHERED, "            commit_group()\n", "", f"{LATE} {UNSET} {RACE} {WRONG}"),
    (
        "one stage for both slabs",
        GATHERED,
        "stage = uint32(uint32(STAGE) - stage)",
        "stage = uint32(0)",
        f"{RACE} {LATE} {UNSET} {WRONG}",
    ),
    ("one slab too few", GATHERED, "while left > int32(0):", "while left > int32(SLAB):", WRONG),
    (
        "one slab too many",
        GATHERED,
        "while left > int32(0):",
        "while left > int32(-SLAB):",
        f"{BEYOND} {WRONG} {UNSET}",
    ),
    (
        "the channels of a group",
        GATHERED,
        "pixel_first, int64(uint32(g * C)) * x_c",
        "pixel_first, int64(g) * x_c",
        WRONG,
    ),
    (
        "the last channel of the output",
        GATHERED,
        "uint32(K - k)  # from",
        "uint32(K)  # from",
        f"{BEYOND} {RACE} {WRONG}",
    ),
    (
        "the channels of a group's output",
        GATHERED,
        "uint32(g * K + k),\n",
        "k,\n",
        f"{RACE} {WRONG}",
    ),
    (
        "a share of the depth",
        SHARED,
        "first = uint32(split * most)",
        "first = uint32(split * uint32(SLAB))",
        WRONG,
    ),
    ("the end of a share", SHARED, "int32(min(uint32(taps - first), most))", "int32(taps - first)", WRONG),
    (
        "where a share is put",
        SHARED,
        "has_bias, y, int64(split) * y_split",
        "has_bias, y, int64(0)",
        f"{RACE} {WRONG}",
    ),
]
INPUT_FAULTS = [
    (
        "the table's last slab",
        GATHERED,
        "if left == int32(last_left + int32(SLAB)):",
        "if left == int32(last_left):",
        f"{BEYOND} {UNSET} {WRONG}",
    ),
    ("the last slab of one", STRIDED, "last if left == last_left else uint32", "uint32", BEYOND),
    ("no next period", GATHERED, "if entry == end:", "if entry > end:", f"{WRONG} {UNSET} {BEYOND}"),
    ("the period of a share", SHARED, "base += int64(periods) * x_period", "base += int64(0)", WRONG),
    ("the taps of a share", SHARED, "uint32(ENTRY_BYTES) * in_period)", "uint32(0) * in_period)", WRONG),
    (
        "a thread's second pixel",
        GATHERED,
        "uint32(pixel + column + uint32(PIXEL_THREADS))",
        "uint32(pixel + column)",
        WRONG,
    ),
    (
        "4 pixels that are 2",
        POINTWISE,
        "PIXEL_THREADS = tile.pixels // 4",
        "PIXEL_THREADS = tile.pixels // 2",
        f"{WRONG} {RACE} {UNSET} {BEYOND} {LATE}",
    ),
    (
        "the first channel of a thread",
        POINTWISE,
        "int64(uint32(first + tap)) * strides[1]",
        "int64(first) * strides[1]",
        WRONG,
    ),
    ("a channel behind the last", POINTWISE, "if int32(tap) < mine", "if int32(tap) <= mine", BEYOND),
    ("the step between channels", POINTWISE, "int64(tap) * x_c", "int64(tap) // 4 * x_c", WRONG),
    (
        "the channels of the next slab",
        POINTWISE,
        "element_pointer(x_from, x_period)",
        "element_pointer(x_from, x_c)",
        WRONG,
    ),
]
WEIGHTS_FAULTS = [
    (
        "weights of the channel behind the last",
        GATHERED,
        "uint32(K - k_first - uint32(1))",
        "uint32(K - k_first)",
        BEYOND,
    ),
    ("weights of the tap behind the last", GATHERED, "if int32(tap) < left", "if int32(tap) <= left", BEYOND),
    ("the weights of a group", GATHERED, "int64(uint32(g * K + k_first)) *", "int64(k_first) *", WRONG),
    (
        "the taps between a thread's two",
        GATHERED,
        "+ int64(tap), bytes",
        "+ int64(4), bytes",
        f"{WRONG} {BEYOND}",
    ),
]
STORE_FAULTS = [
    (
        "the channel of a row of sums",
        GATHERED,
        "uint32(4) * uint32(STEP))",
        "uint32(4) * uint32(12))",
        f"{WRONG} {RACE}",
    ),
    (
        "the last pixel of the output",
        STRIDED,
        "uint32(pixel + uint32(j)) < pixels",
        "uint32(pixel + j) <= pixels",
        f"{BEYOND} {RACE}",
    ),
    (
        "the bias of a channel",
        GATHERED,
        "bias[int64(uint32(k + channel(i))) * bias_k]",
        "bias[int64(k) * bias_k]",
        WRONG,
    ),
    (
        "the last channel of the bias",
        GATHERED,
        "channel(i) < channels:\n                start",
        "channel(i) <= channels:\n                start",
        BEYOND,
    ),
    (
        "the right half of the sums",
        GATHERED,
        "uint32(pixel + uint32(STEP * quad))",
        "uint32(pixel + uint32(28 * quad))",
        f"{RACE} {WRONG}",
    ),
]
WARPS_FAULTS = [
    ("the pitch of the weights", GATHERED, "pitches = tile.k + PAD,", "pitches = tile.k,",
     f"{WRONG} {UNSET}"),
    ("the lower half of a thread's channels", GATHERED, "(0, 16), (0, 32)", "(0, 12), (0, 32)", WRONG),
    ("the right half of a thread's pixels", GATHERED, "(0, 16), (0, 32)", "(0, 16), (0, 28)", WRONG),
    ("the quads of lanes side by side", ROUNDED, "% uint32(2) * uint32(16)", "% uint32(2) * uint32(12)",
     f"{WRONG} {RACE}"),
    ("the taps of a lane", ROUNDED, "t * uint32(X_PITCH) + pixel", "pixel", WRONG),
    ("the pixels of a lane", ROUNDED, "uint32(pixel + t * uint32(4))", "uint32(pixel + t * uint32(8))",
     f"{WRONG} {RACE}"),
    ("from a thread's quad to the next", ROUNDED, "return Steps(32, 16,", "return Steps(32, 12,",
     f"{WRONG} {RACE}"),
]  # fmt: skip
DIRECT_FAULTS = [
    ("the channel of an input", ENDLESS, "place = int64(c) * x_c", "place = int64(r) * x_c", WRONG),
    ("the border", ENDLESS, "outside >> r |", "outside >> s |", f"{WRONG} {BEYOND}"),
    ("which channels", ENDLESS, "(found >> i)", "(found >> (i + uint32(1)))", WRONG),
    ("which pixels", ENDLESS, "(found >> uint32(j + uint32(ROWS)))", "(found >> uint32(j))", WRONG),
    ("the end of a share", ENDLESS, "while tap < end:", "while tap < end - uint32(1):", WRONG),
]  # fmt: skip
GATHER_FAULTS = [
    ("a tap behind the last", GATHERED, "if tap >= taps else", "if tap > taps else", BEYOND),
    ("the border below", GATHERED, "* dilation_h) >= H:", "* dilation_h) > H:", f"{BEYOND} {WRONG}"),
    ("the border on the right", GATHERED, "* dilation_w) >= W:", "* dilation_w) > W:", f"{BEYOND} {WRONG}"),
    (
        "rows for columns",
        GATHERED,
        "uint32(1) << r | uint32(1) << uint32(R + s)",
        "uint32(1) << s | uint32(1) << uint32(R + r)",
        f"{BEYOND} {WRONG}",
    ),
    (
        "a table without its end",
        GATHERED,
        "for entry in range(thread, uint32(period + uint32(2 * SLAB)), uint32(threads)):",
        "for entry in range(thread, period, uint32(threads)):",
        UNSET,
    ),
    (
        "the pixel behind the last",
        STRIDED,
        "if pixel >= pixels:",
        "if pixel > pixels:",
        f"{BEYOND} {HARMLESS}",
    ),
    ("stride", STRIDED, "uint32(p * stride_h + h_origin)", "uint32(p + h_origin)", f"{WRONG} {BEYOND}"),
    ("dilation", STRIDED, "int64(uint32(s * dilation_w)) * x_w", "int64(s) * x_w", f"{WRONG} {BEYOND}"),
    ("the slab beyond", SHARED, "uint32(end + uint32(SLAB_BYTES))", "end", f"{BEYOND} {HARMLESS}"),
    (
        "a row of the slab",
        GATHERED,
        "uint32(pitch * (first + i))",
        "uint32(pitch * (first + i // 2))",
        f"{RACE} {LATE} {UNSET}",
    ),
    (
        "the border of a thread's second pixel",
        GATHERED,
        "bits & outside[1]",
        "bits & outside[0]",
        f"{BEYOND} {WRONG}",
    ),
]
SPLIT_FAULTS = [
    ("the last share", SHARED, "for _ in range(splits):", "for _ in range(splits - 1):", WRONG),
    ("a share too many", SHARED, "for _ in range(splits):", "for _ in range(splits + 1):", BEYOND),
    ("the last output", SHARED, "and here < pixels:", "and here <= pixels:", f"{BEYOND} {RACE} {WRONG}"),
    ("the last quad", SHARED, "if quad < all_quads:", "if quad <= all_quads:", f"{BEYOND} {RACE}"),
    ("no bias", SHARED, "has_bias != uint32(0) else", "has_bias > uint32(1) else", WRONG),
    (
        "a quad's second pixel",
        SHARED,
        "uint32(pixel + uint32(i))",
        "uint32(pixel + uint32(i // 2))",
        f"{RACE} {WRONG}",
    ),
]
FAULTS = faults_of(
    conv__implicit_gemm__kernel=KERNEL_FAULTS, conv__implicit_gemm__load=INPUT_FAULTS,
    conv__implicit_gemm__load_weights=WEIGHTS_FAULTS, conv__implicit_gemm__store=STORE_FAULTS,
    conv__implicit_gemm__gather=GATHER_FAULTS, conv__implicit_gemm__warps=WARPS_FAULTS,
    conv__implicit_gemm__direct=DIRECT_FAULTS,
)  # fmt: skip
HARMLESS_REASONS = {
    "the pixel behind the last": "it is loaded, where memory allows, and never stored",
    "the slab beyond": "it is loaded, where memory allows, and not multiplied",
}


def verdict(use, module="conv.implicit_gemm.kernel", old="", new=""):
    """What is wrong with a changed room: a fault's name, "wrong result", or HARMLESS."""
    room = changed_room("conv.implicit_gemm", module, old, new)
    arithmetic = getattr(room.plan, use.arithmetic)
    tiles = room.plan.TILES_OF[arithmetic]
    tile = next(tile for tile in tiles if (tile.k, tile.pixels) == use.tile)
    room.plan.choose = lambda *problem: room.plan.GemmChoice(tile, use.splits)
    algorithms = room.ALGORITHM, room.SPLIT_TF32, room.ROUNDED_TF32
    algorithm = next(each for each in algorithms if each.name == arithmetic.algorithm)
    if use.arithmetic != "FLOAT32_SUMS":
        algorithm = replace(algorithm, takes={**algorithm.takes, "precision": (None,)})
    arrays = use.case.arrays("float32", integers)
    if use.endless:
        arrays[0][:] = abs(arrays[0]) + 1
        arrays[0][0, [0, 2, 3], [0, 3, 4], [1, 4, 5]] = np.inf, -np.inf, np.nan
        arrays[1][:] = np.where(arrays[1] == 0, 2, arrays[1])
    return verdict_of_conv(algorithm, use.case, arrays)


def check(what, found, expected):
    assert found in expected, found
    assert found != HARMLESS or what in HARMLESS_REASONS


@seldom(FAULTS, 3)
def test_faults_in_the_kernel(fault):
    module, what, use, old, new, expected = fault
    check(what, verdict(use, module, old, new), expected)


@pytest.mark.parametrize("fault", SPLIT_FAULTS, ids=lambda fault: fault[0])
def test_faults_in_the_second_kernel(fault):
    what, use, old, new, expected = fault
    check(what, verdict(use, "conv.split", old, new), expected)


@pytest.mark.parametrize(
    "use", [GATHERED, STRIDED, POINTWISE, SHARED, ROUNDED, ENDLESS], ids=lambda use: str(use.case)
)
def test_unharmed_kernels_raise_nothing(use):
    assert verdict(use) == HARMLESS
