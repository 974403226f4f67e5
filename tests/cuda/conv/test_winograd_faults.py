"""Faults planted in the Winograd kernels are caught, by the executor or by a wrong result."""

from dataclasses import dataclass

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
    """A problem, how many blocks share its channels, and what some of its inputs are."""

    case: ConvCase
    splits: int = 1
    special: str = ""


RAGGED = Use(
    ConvCase(
        "two groups of two blocks and three slabs", (2, 40, 7, 9), (140, 20, 3, 3), padding=((1, 1), (0, 2)),
        groups=2, bias=True,
    )
)  # fmt: skip
SHARED = Use(RAGGED.case, splits=2)
SPOILT = Use(
    ConvCase("not finite", (1, 20, 8, 10), (70, 20, 3, 3), padding=1, bias=True), special="not finite"
)  # fmt: skip
LARGE = Use(ConvCase("large", (1, 9, 9, 9), (70, 9, 3, 3), padding=1), special="large")
ALIGNED = Use(ConvCase("aligned", (1, 16, 8, 16), (64, 16, 3, 3), padding=1))

# (what, the problem, the old source, the new source, the verdicts that may come first)
KERNEL_FAULTS = [
    ("no barrier between slabs", RAGGED,
     "cuda.syncthreads()  # this slab is there, the one before has been read",
     "pass", f"{RACE} {LATE} {UNSET}"),
    ("a wait for one group less", RAGGED,
     "wait_group(0)\n        cuda", "wait_group(1)\n        cuda", f"{LATE} {UNSET} {RACE}"),
    ("no groups", RAGGED, "        commit_group()\n        put", "        put", f"{LATE} {UNSET} {WRONG}"),
    ("no barrier before the sums", RAGGED,
     "    cuda.syncthreads()\n    rows", "    rows", f"{RACE} {LATE}"),
    ("no wait before the sums", RAGGED,
     "    wait_group(0)\n    cuda.syncthreads()\n    rows", "    cuda.syncthreads()\n    rows", LATE),
    ("weights of the slab behind the last", RAGGED,
     "uint32(16) if slab < slab_end else", "uint32(16) if slab <= slab_end else", BEYOND),
    ("channels behind the last", RAGGED,
     "uint32(min(C, uint32(slab_end * uint32(SLAB_C))))", "uint32(slab_end * uint32(SLAB_C))", BEYOND),
    ("the tile behind the last", RAGGED, "H, W) if tile < tiles", "H, W) if tile <= tiles", BEYOND),
    ("the stage that is filled", RAGGED, "uint32(stage ^ uint32(1))", "stage", f"{RACE} {LATE} {UNSET}"),
    ("where a share is put", SHARED, " + int64(split) * y_split", "", f"{RACE} {WRONG}"),
]  # fmt: skip
LOAD_FAULTS = [
    ("the border below", RAGGED, "< H else", "<= H else", f"{BEYOND} {WRONG}"),
    ("the border on the right", RAGGED, "< W else", "<= W else", f"{BEYOND} {WRONG}"),
]
PLACE_FAULTS = [
    ("one slab too few", RAGGED, "while slab < slab_end:", "while slab + 1 < slab_end:", WRONG),
    ("the inputs of a group", RAGGED, "int64(uint32(g * C)) * x_c", "int64(g) * x_c", WRONG),
    ("the weights of a group", RAGGED,
     "uint32(g * blocks_k + block_k) * all_slabs", "block_k * all_slabs", WRONG),
    ("the outputs of a group", RAGGED,
     "k = int64(uint32(g * K +", "k = int64(uint32(g +", f"{RACE} {WRONG}"),
    ("the bias of a group", RAGGED, "int64(uint32(g * K + k)) * bias_k", "int64(k) * bias_k", WRONG),
    ("the last bias", RAGGED, "uint32(BLOCK_K) and k < K", "uint32(BLOCK_K) and k <= K", BEYOND),
    ("the other half of a thread's channels", RAGGED, "(0, 32), (0, 16))", "(0, 28), (0, 16))", WRONG),
    ("the second element of a warp", RAGGED, "weights + uint32(4 * BLOCK_K)", "weights", WRONG),
    ("the last row", RAGGED,
     "rows = min(uint32(2), uint32(P - p))", "rows = uint32(2)", f"{RACE} {BEYOND} {WRONG}"),
    ("the last column", RAGGED,
     "columns = min(uint32(2), uint32(Q - q))", "columns = uint32(2)", f"{RACE} {BEYOND} {WRONG}"),
    ("the tile behind the last, stored", RAGGED,
     "uint32(P - p)) if tile < tiles", "uint32(P - p)) if tile <= tiles", f"{BEYOND} {RACE}"),
    ("a share of the channels", SHARED, "slab = uint32(split * slabs)", "slab = uint32(split)", WRONG),
    ("the weights of a channel, anew", SPOILT, "element_pointer(w, k * w_k", "element_pointer(w, k", WRONG),
]  # fmt: skip
STORE_FAULTS = [
    ("no barrier between putting and taking", RAGGED, "        cuda.syncthreads()\n", "", RACE),
    ("one buffer", RAGGED, "START = first // 2 % 2 * BUFFER", "START = 0", RACE),
    ("a channel behind the last", RAGGED,
     "here = k < channels", "here = k <= channels", f"{BEYOND} {RACE} {WRONG}"),
    ("both columns", RAGGED, "store_if(upper and second,", "store_if(upper,", f"{BEYOND} {RACE} {WRONG}"),
    ("the second row", ALIGNED,
     "store2_if(lower, y, place + y_p", "store2_if(lower, y, place + y_q", f"{RACE} MisalignedError"),
    ("a lane's channels", RAGGED, "& uint32(6)", "& uint32(4)", f"{RACE} {WRONG} {UNSET}"),
    ("the halves of the tiles", RAGGED,
     "half * HALF + i", "half * ROW * ROW + i", f"{WRONG} {UNSET} {RACE}"),
    ("results that are not finite", SPOILT, " if finite or not upper else uint32(1 << i)", "", WRONG),
    ("outputs that are not there, anew", SPOILT, "if finite or not upper", "if finite", BEYOND),
    ("infinite results", LARGE, "abs(value) <= float32(GREATEST)", "value == value", WRONG),
]  # fmt: skip
DIRECT_FAULTS = [
    ("the bits of a window", SPOILT,
     "seen = inside >> uint32(uint32(4) * a + b)", "seen = inside", f"{WRONG} {BEYOND}"),
    ("a channel behind the last, anew", SPOILT, "while c < C:", "while c <= C:", BEYOND),
    ("the bias, anew", SPOILT, "finish(total, start)", "total", WRONG),
    ("a row behind the last, anew", SPOILT, "while a < rows:", "while a <= rows:", f"{BEYOND} {RACE}"),
    ("the second four channels", SPOILT,
     "i // uint32(4) * uint32(32)", "i // uint32(4) * uint32(16)", f"{RACE} {WRONG}"),
]  # fmt: skip
TRANSFORM_FAULTS = [
    ("the inputs", RAGGED, "c - b, d - b", "c - b, b - d", WRONG),
    ("the outputs", RAGGED, "b - c + d", "b - c - d", WRONG),
]  # fmt: skip
WEIGHTS_FAULTS = [
    ("no barrier", RAGGED, "    cuda.syncthreads()\n", "", RACE),
    ("the channel behind the last", RAGGED, "uint32(c_first + c) < C", "uint32(c_first + c) <= C", BEYOND),
    ("the output behind the last", RAGGED,
     "rows = uint32(K - k_first)", "rows = uint32(K - k_first + uint32(1))", BEYOND),
    ("the weights of a group", RAGGED, "uint32(g * K + k_first + warp)", "uint32(k_first + warp)", WRONG),
    ("a half", RAGGED, "_half(a + c + b) if", "(a + c + b) if", WRONG),
    ("the pitch", RAGGED,
     "RUN, PITCH = SLAB_C * TAPS, SLAB_C * TAPS + 1",
     "RUN, PITCH = SLAB_C * TAPS, SLAB_C * TAPS - 1", f"{RACE} {BEYOND}"),
    ("where a slab is put", RAGGED,
     "u_first + int64(uint32(cuda.blockIdx.x))", "u_first + int64(slab)", f"{RACE} {UNSET}"),
]  # fmt: skip


def arrays_of(use):
    x, w, bias = use.case.arrays("float32", integers)
    if use.special == "not finite":
        w[w == 0] = 1
        x[0, 3, 2, 3:5], x[0, 19, 7, 9] = np.inf, np.nan
    if use.special == "large":  # two weights overflow in their transform, which gives infinities and no NaN
        x[:], w[:] = x / 64, 0
        w[:, 8, :2, 0] = 2.0**127
    return x, w, bias


def verdict(use, module="conv.winograd.kernel", old="", new=""):
    """What is wrong with a changed room: a fault's name, "wrong result", or HARMLESS."""
    room = changed_room("conv.winograd", module, old, new)
    room.plan.choose_splits = lambda *problem: use.splits
    return verdict_of_conv(room.ALGORITHM, use.case, arrays_of(use))


FAULTS = faults_of(
    conv__winograd__kernel=(*KERNEL_FAULTS, *PLACE_FAULTS),
    conv__winograd__load=LOAD_FAULTS,
    conv__winograd__store=STORE_FAULTS,
    conv__winograd__direct=DIRECT_FAULTS,
    conv__winograd__transform=TRANSFORM_FAULTS,
)


@seldom(FAULTS, 4)
def test_faults_in_the_main_kernel(fault):
    module, _, use, old, new, expected = fault
    assert verdict(use, module, old, new) in expected


@pytest.mark.parametrize("fault", WEIGHTS_FAULTS, ids=lambda fault: fault[0])
def test_faults_in_the_kernel_of_the_weights(fault):
    _, use, old, new, expected = fault
    assert verdict(use, "conv.winograd.transform", old, new) in expected


@pytest.mark.parametrize("use", [RAGGED, SHARED, SPOILT, LARGE, ALIGNED], ids=lambda use: str(use.case))
def test_unharmed_kernels_raise_nothing(use):
    assert verdict(use) == HARMLESS
