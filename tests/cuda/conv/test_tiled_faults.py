"""Faults planted in `conv_tiled` are caught: in its source, its plan and its PTX."""

import pytest

from gpuconv.cuda.conv import tiled
from tests.cases import ConvCase
from tests.cuda.mutation import (
    BEYOND,
    HARMLESS,
    MISALIGNED,
    RACE,
    UNSET,
    WRONG,
    changed_room,
    faults_of,
    ptx_changed,
    verdict_of_conv,
)

CASES = (
    ConvCase("more channels than a stage holds", (1, 70, 9, 11), (40, 70, 3, 3), padding=1, bias=True),
    ConvCase("stride and groups", (1, 6, 9, 150), (8, 3, 3, 2), 2, ((1, 2), (0, 3)), (1, 3), 2, bias=True),
    ConvCase("a stage of one tap", (1, 2, 3, 900), (2, 2, 1, 3), dilation=(1, 400)),
    ConvCase("depthwise, ragged", (1, 3, 18, 70), (3, 1, 3, 3), padding=1, groups=3),
    ConvCase("a stage of one row of taps", (1, 2, 33, 40), (5, 2, 29, 31), padding=(14, 15), bias=True),
)

# (what, old source, new source, the verdicts that may come first)
KERNEL_FAULTS = [
    (
        "more weights than the tile holds",
        "for k in range(warp, uint32(TILE_K), uint32(WARPS)):",
        "for k in range(warp, K, uint32(WARPS)):",
        f"{RACE} {BEYOND}",
    ),
    (
        "the barrier before a stage is loaded",
        "cuda.syncthreads()  # the stage before has been read",
        "pass",
        RACE,
    ),
    ("the barrier after a stage is loaded", "            cuda.syncthreads()\n\n", "\n", f"{RACE} {UNSET}"),
    (
        "the last channel of the weights",
        "if uint32(k_first + k) < K:",
        "if uint32(k_first + k) <= K:",
        BEYOND,
    ),
    ("a short last stage", "min(stage_c, uint32(C - c_first))", "stage_c", f"{BEYOND} {WRONG}"),
    (
        "one tap too many",
        "            for t in range(taps):\n                place",
        "            for t in range(taps + 1):\n                place",
        f"{UNSET} {BEYOND} {WRONG}",
    ),
    (
        "one tap too few",
        "            for t in range(taps):\n                place",
        "            for t in range(1, taps):\n                place",
        WRONG,
    ),
    (
        "the sums of the stage before",
        "                partial[i] = scalar(0)\n",
        "                partial[i] = total[i]\n",
        WRONG,
    ),
    (
        "the pitch of the weights",
        "weights += uint64(PITCH_K)",
        "weights += uint64(TILE_K)",
        f"{WRONG} {UNSET}",
    ),
    (
        "the place of a pixel",
        "e // tile_q * pixel_h * pitch",
        "e // tile_q * pixel_h * tile_w",
        f"{WRONG} {UNSET}",
    ),
    ("the group of the weights", "uint32(g * K + k_first + k)) * w_k", "uint32(k_first + k)) * w_k", WRONG),
    (
        "the first column of the taps",
        "q_first * stride_w + s_first * dilation_w + w_origin",
        "q_first * stride_w + w_origin",
        WRONG,
    ),
    (
        "the first row of the taps",
        "p_first * stride_h + r_first * dilation_h + h_origin",
        "p_first * stride_h + h_origin",
        WRONG,
    ),
    ("the stride of the tiles", "q_first * stride_w + s_first", "q_first + s_first", WRONG),
]
LOAD_FAULTS = [
    ("the border below", "if h < H and w < W:", "if h <= H and w < W:", f"{BEYOND} {WRONG}"),
    ("the border on the right", "if h < H and w < W:", "if h < H and w <= W:", f"{BEYOND} {WRONG}"),
    (
        "the border above",
        "if h < H and w < W:",
        "if (h < H or h > uint32(2**31)) and w < W:",
        f"{BEYOND} {WRONG}",
    ),
    (
        "the table of taps",
        "table[uint32(x_table + t)] = uint32((c",
        "table[uint32(x_table + t)] = uint32((r",
        f"{WRONG} {UNSET}",
    ),
    (
        "taps and weights",
        "int64(r) * w_r + int64(s) * w_s",
        "int64(s) * w_r + int64(r) * w_s",
        f"{WRONG} {BEYOND}",
    ),
    (
        "the last entries of the table",
        "for t in range(thread, stage_c * stage_r * stage_s, uint32(THREADS)):",
        "for t in range(thread, stage_c * stage_r * stage_s - uint32(1), uint32(THREADS)):",
        f"{UNSET} {WRONG}",
    ),
    (
        "the last column of the tile",
        "for column in range(lane, tile_w, uint32(32)):",
        "for column in range(lane, tile_w - uint32(1), uint32(32)):",
        UNSET,
    ),
    (
        "lanes beyond a warp",
        "for column in range(lane, tile_w, uint32(32)):",
        "for column in range(lane, tile_w, uint32(64)):",
        UNSET,
    ),
]
STAGE_FAULTS = [
    ("too little shared memory", "return (self.w_tile + self.c", "return (self.w_tile - 8 + self.c", BEYOND),
    (
        "tiles that overlap",
        "end = self.x_tile + self.c * self.rows.lines",
        "end = self.x_tile + self.c * (self.rows.lines - 1)",
        f"{RACE} {WRONG}",
    ),
    (
        "a table over the offsets",
        "return 2 * self.c * self.r * self.s",
        "return self.c * self.r * self.s",
        f"{RACE} {BEYOND}",
    ),
    (
        "a pitch that is too small",
        "least = -(-columns.lines // columns.pixel)",
        "least = columns.lines // columns.pixel - 1",
        f"{RACE} {WRONG}",
    ),
]
AXIS_FAULTS = [
    ("a halo one line short", "(taps - 1) * tap + 1)", "(taps - 1) * tap)", f"{UNSET} {WRONG} {BEYOND}"),
]
STORE_FAULTS = [
    ("the last row of the output", "if p < P and q < Q:", "if p <= P and q < Q:", f"{RACE} {BEYOND} {WRONG}"),
    ("the last column of the output", "if p < P and q < Q:", "if p < P and q <= Q:", f"{RACE} {BEYOND}"),
    (
        "the last channel of the output",
        "            if k < K:\n",
        "            if k <= K:\n",
        f"{BEYOND} {RACE}",
    ),
    (
        "rows and columns of the output",
        "int64(p) * y_p + int64(q) * y_q",
        "int64(q) * y_p + int64(p) * y_q",
        f"{WRONG} {BEYOND} {RACE}",
    ),
    ("the group of the bias", "widen(bias[channel * bias_k])", "widen(bias[int64(k) * bias_k])", WRONG),
]
FAULTS = faults_of(
    conv__tiled__store=STORE_FAULTS,
    conv__tiled__kernel=KERNEL_FAULTS, conv__tiled__load=LOAD_FAULTS, conv__tiled__tiles=STAGE_FAULTS,
    device__axis=AXIS_FAULTS,
)  # fmt: skip

# (what, a pattern of the PTX, what takes its place, which match, the verdicts that may come first)
PTX_FAULTS = [
    ("no barrier", r"bar\.sync\s+0;", ";", 0, RACE),
    ("no second barrier", r"bar\.sync\s+0;", ";", 1, f"{RACE} {UNSET}"),
    (
        "a barrier of half the threads",
        r"bar\.sync(\s+)0;",
        r"bar.sync\g<1>0, 128;",
        0,
        f"{RACE} BarrierError",
    ),
    ("another barrier for all", r"bar\.sync(\s+)0;", r"bar.sync\g<1>1;", 0, HARMLESS),
    (
        "a shared load one word on",
        r"(ld\.shared\.f32\s+%f\d+, \[%r\w*\d+)\]",
        r"\g<1>+4]",
        0,
        f"{WRONG} {UNSET} {BEYOND}",
    ),
    ("a misaligned shared load", r"(ld\.shared\.f32\s+%f\d+, \[%r\w*\d+)\]", r"\g<1>+2]", 0, MISALIGNED),
    ("a store one element on", r"(st\.global\.f32\s+\[%rd\d+)\]", r"\g<1>+4]", 0, f"{BEYOND} {RACE} {WRONG}"),
    ("the lane for the thread", r"%tid\.x", "%laneid", 0, f"{RACE} {UNSET}"),
    (
        "a product without its sum",
        r"fma\.rn\.f32(\s+%f\d+, %f\d+, %f\d+), %f\d+;",
        r"mul.rn.f32\g<1>;",
        0,
        WRONG,
    ),
]
HARMLESS_REASONS = {
    "another barrier for all": "all threads of the block meet at barrier 1 as they did at 0",
}


def verdict(algorithm):
    """The first that is wrong with any case."""
    found = (verdict_of_conv(algorithm, case) for case in CASES)
    return next((each for each in found if each != HARMLESS), HARMLESS)


def check(what, found, expected):
    assert found in expected if expected != HARMLESS else found == HARMLESS, found
    assert (expected == HARMLESS) == (what in HARMLESS_REASONS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[1])
def test_faults_in_the_source(fault):
    module, what, old, new, expected = fault
    check(what, verdict(changed_room("conv.tiled", module, old, new).ALGORITHM), expected)


@pytest.mark.parametrize("fault", PTX_FAULTS, ids=lambda fault: fault[0])
def test_faults_in_the_compiled_text(fault):
    what, old, new, which, expected = fault
    with ptx_changed(old, new, which):
        check(what, verdict(changed_room("conv.tiled", "conv.tiled.kernel").ALGORITHM), expected)


def test_unharmed_kernels_raise_nothing():
    assert verdict(tiled.ALGORITHM) == HARMLESS
