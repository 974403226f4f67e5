"""Faults planted in the implicit GEMM are caught: in its kernel, its gather, its plan and its second kernel.

A case computes with one tile; the fault is caught if the executor reports it, or if a result is wrong.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from gpuconv.cuda import conv_implicit_gemm, gather, gemm_kernel, split
from gpuconv.cuda.gemm_tiles import TILES, Choice
from tests import ptx
from tests.cases import ConvCase, integers
from tests.cuda import execution
from tests.cuda.execution import on_device, poisoned
from tests.cuda.mutation import HARMLESS, changed_module

WRONG, BEYOND, RACE, UNSET = "wrong result", "OutOfBoundsError", "RaceError", "UninitialisedError"
LATE = "AsynchronousError"


@dataclass(frozen=True)
class Use:
    """A problem, the tile that computes it, and how many blocks share its depth."""

    case: ConvCase
    choice: Choice


GATHERED = Use(
    ConvCase(
        "a period and a rest, two groups", (1, 36, 7, 9), (40, 18, 3, 3), padding=1, groups=2, bias=True
    ),
    Choice(TILES[3], 1),
)
STRIDED = Use(
    ConvCase("stride and dilation", (2, 3, 9, 11), (5, 3, 3, 2), (2, 1), ((1, 2), (0, 3)), (1, 3), bias=True),
    Choice(TILES[3], 1),
)
POINTWISE = Use(ConvCase("1x1", (2, 21, 4, 6), (40, 21, 1, 1), bias=True), Choice(TILES[1], 1))
SHARED = Use(ConvCase("shared depth", (1, 40, 5, 5), (7, 40, 3, 3), bias=True), Choice(TILES[3], 3))

# (what, where, the old source, the new source, the verdicts that may come first)
KERNEL_FAULTS = [
    (
        "a wait for one group less",
        GATHERED,
        "PENDING = AHEAD - 1",
        "PENDING = AHEAD",
        f"{LATE} {UNSET} {RACE} {WRONG}",
    ),
    (
        "no barrier",
        GATHERED,
        "cuda.syncthreads()  # this slab is there, the one before has been read",
        "pass",
        f"{RACE} {UNSET} {LATE}",
    ),
    ("no groups", GATHERED, "            commit_group()\n", "", f"{LATE} {UNSET} {RACE} {WRONG}"),
    (
        "a stage too many",
        GATHERED,
        "if stage == uint32(STAGES - 1):",
        "if stage == uint32(STAGES):",
        f"{RACE} {BEYOND} {UNSET} {WRONG}",
    ),
    ("one slab too few", GATHERED, "while slab < slabs_here:", "while slab < slabs_here - 1:", WRONG),
    (
        "one slab too many",
        GATHERED,
        "while slab < slabs_here:",
        "while slab <= slabs_here:",
        f"{WRONG} {UNSET}",
    ),
    ("weights of the channel behind the last", GATHERED, "uint32(channels - uint32(1))", "channels", BEYOND),
    (
        "weights of the tap behind the last",
        GATHERED,
        "if uint32(tap + uint32(j)) < left",
        "if tap + j <= left",
        BEYOND,
    ),
    (
        "the table's last rows",
        GATHERED,
        "(period if left <= uint32(SLAB) else in_period)",
        "in_period",
        BEYOND,
    ),
    (
        "no next period",
        GATHERED,
        "if in_period == period:",
        "if in_period > period:",
        f"{WRONG} {UNSET} {BEYOND}",
    ),
    ("the channels of a group", GATHERED, "int64(uint32(g * C)) * x_c", "int64(g) * x_c", WRONG),
    ("the weights of a group", GATHERED, "int64(uint32(g * K + k_first)) *", "int64(k_first) *", WRONG),
    (
        "the pitch of the weights",
        GATHERED,
        "make_slab_product(SLAB, PITCH,",
        "make_slab_product(SLAB, TILE_K,",
        f"{WRONG} {UNSET}",
    ),
    (
        "the lower half of a thread's channels",
        GATHERED,
        "TILE_PIXELS, (0, 16), range",
        "TILE_PIXELS, (0, 12), range",
        WRONG,
    ),
    ("the channel of a row of sums", GATHERED, "i // 4 * 16)", "i // 4 * 12)", f"{WRONG} {RACE}"),
    (
        "the last channel of the output",
        GATHERED,
        "uint32(K - k_first - k_thread) if",
        "uint32(K - k_first) if",
        f"{BEYOND} {RACE} {WRONG}",
    ),
    (
        "the last pixel of the output",
        STRIDED,
        "uint32(pixel + uint32(j)) < pixels",
        "uint32(pixel + j) <= pixels",
        f"{BEYOND} {RACE}",
    ),
    (
        "the bias of a group",
        GATHERED,
        "bias[int64(uint32(k + channel(i))) * bias_k]",
        "bias[int64(uint32(k_first + k_thread + channel(i))) * bias_k]",
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
        "4 pixels that are 3",
        POINTWISE,
        "VECTOR = 4 if pointwise",
        "VECTOR = 2 if pointwise",
        f"{WRONG} MisalignedError {RACE} {UNSET} {BEYOND}",
    ),
    ("the first channel of a thread", POINTWISE, "base += int64(tap_x) * x_c", "base += int64(0)", WRONG),
    (
        "a share of the depth",
        SHARED,
        "first = uint32(split * slabs * uint32(SLAB))",
        "first = uint32(split * uint32(SLAB))",
        WRONG,
    ),
    ("where a share is put", SHARED, " + int64(split) * y_split", "", f"{RACE} {WRONG}"),
    ("the period of a share", SHARED, " + int64(periods) * x_period", "", WRONG),
]
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
        "for entry in range(thread, uint32(period + uint32(SLAB)), uint32(threads)):",
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
    (
        "a row of the slab",
        GATHERED,
        "uint32(row + uint32(5 * PITCH))",
        "uint32(row + uint32(4 * PITCH))",
        f"{RACE} {LATE} {UNSET}",
    ),
    (
        "a channel behind the last",
        POINTWISE,
        "uint32(tap + uint32(i * step)) < left",
        "tap + i * step <= left",
        BEYOND,
    ),
    ("the step between channels", POINTWISE, "int64(i * step) * x_c", "int64(i) * x_c", WRONG),
]
SPLIT_FAULTS = [
    ("the last share", SHARED, "for _ in range(splits):", "for _ in range(splits - 1):", WRONG),
    ("a share too many", SHARED, "for _ in range(splits):", "for _ in range(splits + 1):", BEYOND),
    ("the last output", SHARED, "if pixel < pixels:", "if pixel <= pixels:", f"{BEYOND} {RACE}"),
    ("no bias", SHARED, "if has_bias != uint32(0):", "if has_bias > uint32(1):", WRONG),
]
HARMLESS_REASONS = {"the pixel behind the last": "it is loaded, where memory allows, and never stored"}


def verdict(use, kernel_module=gemm_kernel, split_kernel=split.KERNEL):
    """What is wrong with a changed kernel: a fault's name, "wrong result", or HARMLESS."""
    spec, (x, w, bias) = use.case.spec(), use.case.arrays("float32", integers)
    y = poisoned(spec.out_shape, "float32")
    made = {(tile, wide): kernel_module.make_kernel(tile, wide) for tile, wide in conv_implicit_gemm._KERNELS}
    conv_implicit_gemm.plan.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        execution.installed(patch, "sm_90a")
        patch.setattr(conv_implicit_gemm, "choose", lambda spec, workspace: use.choice)
        patch.setattr(conv_implicit_gemm, "_KERNELS", made)
        patch.setattr(split, "KERNEL", split_kernel)
        try:
            conv_implicit_gemm.run(spec, on_device(x), on_device(w), on_device(bias), on_device(y, True))
        except ptx.PtxError as fault:
            return type(fault).__name__
        finally:
            conv_implicit_gemm.plan.cache_clear()
    return HARMLESS if np.array_equal(y, use.case.expected(x, w, bias).astype("float32")) else WRONG


def check(what, found, expected):
    assert found in expected, found
    assert found != HARMLESS or what in HARMLESS_REASONS


def over(faults):
    return pytest.mark.parametrize("fault", faults, ids=lambda fault: fault[0])


@over(KERNEL_FAULTS)
def test_faults_in_the_kernel(fault):
    what, use, old, new, expected = fault
    check(what, verdict(use, changed_module(gemm_kernel, old, new)), expected)


@over(GATHER_FAULTS)
def test_faults_in_the_gather(fault):
    what, use, old, new, expected = fault
    changed, kernel = changed_module(gather, old, new), changed_module(gemm_kernel, "AHEAD = ", "AHEAD = ")
    for name in ("fill_table", "locate_pixel", "make_gather", "make_rows"):
        setattr(kernel, name, getattr(changed, name))
    check(what, verdict(use, kernel), expected)


@over(SPLIT_FAULTS)
def test_faults_in_the_second_kernel(fault):
    what, use, old, new, expected = fault
    check(what, verdict(use, split_kernel=changed_module(split, old, new).KERNEL), expected)


@pytest.mark.parametrize("use", [GATHERED, STRIDED, POINTWISE, SHARED], ids=lambda use: str(use.case))
def test_unharmed_kernels_raise_nothing(use):
    assert verdict(use) == HARMLESS
