"""Faults planted in the Winograd kernels are caught, by the executor or by a wrong result."""

from dataclasses import dataclass

import numpy as np
import pytest

from gpuconv.cuda.conv import winograd as conv_winograd
from gpuconv.cuda.conv.winograd import direct as winograd_direct
from gpuconv.cuda.conv.winograd import kernel as winograd_kernel
from gpuconv.cuda.conv.winograd import store as winograd_tail
from gpuconv.cuda.conv.winograd import transform as winograd_transform
from tests import ptx
from tests.cases import ConvCase, integers
from tests.cuda import execution
from tests.cuda.execution import on_device, poisoned
from tests.cuda.mutation import HARMLESS, changed_module, seldom

WRONG, BEYOND, RACE, UNSET = "wrong result", "OutOfBoundsError", "RaceError", "UninitialisedError"
LATE = "AsynchronousError"


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
     "uint32(min(C, uint32(slab_end * uint32(SLAB))))", "uint32(slab_end * uint32(SLAB))", BEYOND),
    ("the border below", RAGGED, "< H else", "<= H else", f"{BEYOND} {WRONG}"),
    ("the tile behind the last", RAGGED, "H, W) if tile < tiles", "H, W) if tile <= tiles", BEYOND),
    ("the stage that is filled", RAGGED, "uint32(stage ^ uint32(1))", "stage", f"{RACE} {LATE} {UNSET}"),
    ("where a share is put", SHARED, " + int64(split) * y_split", "", f"{RACE} {WRONG}"),
]  # fmt: skip
PLACE_FAULTS = [
    ("one slab too few", RAGGED, "while slab < slab_end:", "while slab + 1 < slab_end:", WRONG),
    ("the border on the right", RAGGED, "< W else", "<= W else", f"{BEYOND} {WRONG}"),
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
TAIL_FAULTS = [
    ("no barrier between putting and taking", RAGGED, "        cuda.syncthreads()\n", "", RACE),
    ("one buffer", RAGGED, "START = first // 2 % 2 * BUFFER", "START = 0", RACE),
    ("a channel behind the last", RAGGED,
     "here = k < channels", "here = k <= channels", f"{BEYOND} {RACE} {WRONG}"),
    ("both columns", RAGGED, "store_if(upper and both,", "store_if(upper,", f"{BEYOND} {RACE} {WRONG}"),
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
    ("the bias, anew", SPOILT, "= total + start", "= total", WRONG),
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
     "RUN, PITCH = SLAB * TAPS, SLAB * TAPS + 1",
     "RUN, PITCH = SLAB * TAPS, SLAB * TAPS - 1", f"{RACE} {BEYOND}"),
    ("where a slab is put", RAGGED,
     "u_first + int64(uint32(cuda.blockIdx.x))", "u_first + int64(slab)", f"{RACE} {UNSET}"),
]  # fmt: skip


def copy_of(module):
    line = module.__doc__.splitlines()[0]
    return changed_module(module, line, line)


def main_kernel(module, old, new):
    """The main kernel with a fault in one of its modules."""
    copies = {
        each: copy_of(each) for each in (winograd_transform, winograd_direct, winograd_tail, winograd_kernel)
    }
    copies[module] = changed_module(module, old, new)
    kernel, tail = copies[winograd_kernel], copies[winograd_tail]
    tail.channel = copies[winograd_direct].channel
    tail.transform_output = copies[winograd_transform].transform_output
    kernel.compute_directly = copies[winograd_direct].compute_directly
    kernel.transform_input = copies[winograd_transform].transform_input
    for name in ("lane_k", "lane_tile", "store_tiles"):
        setattr(kernel, name, getattr(tail, name))
    return kernel.KERNEL


def arrays_of(use):
    x, w, bias = use.case.arrays("float32", integers)
    if use.special == "not finite":
        w[w == 0] = 1
        x[0, 3, 2, 3:5], x[0, 19, 7, 9] = np.inf, np.nan
    if use.special == "large":  # two weights overflow in their transform, which gives infinities and no NaN
        x[:], w[:] = x / 64, 0
        w[:, 8, :2, 0] = 2.0**127
    return x, w, bias


def verdict(use, kernel=conv_winograd.KERNEL, weights=winograd_transform.KERNEL):
    """What is wrong with changed kernels: a fault's name, "wrong result", or HARMLESS."""
    spec, (x, w, bias) = use.case.spec(), arrays_of(use)
    y = poisoned(spec.out_shape, "float32")
    conv_winograd.plan.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        execution.installed(patch, "sm_90a")
        patch.setattr(conv_winograd, "choose_splits", lambda spec, workspace, chip: use.splits)
        patch.setattr(conv_winograd, "KERNEL", kernel)
        patch.setattr(winograd_transform, "KERNEL", weights)
        try:
            conv_winograd.run(spec, on_device(x), on_device(w), on_device(bias), on_device(y, True))
        except ptx.PtxError as fault:
            return type(fault).__name__
        finally:
            conv_winograd.plan.cache_clear()
    expected = use.case.expected(x, w, bias).astype("float32")
    return HARMLESS if np.array_equal(y, expected, equal_nan=True) else WRONG


FAULTS = [
    (module, *fault)
    for module, faults in (
        (winograd_kernel, KERNEL_FAULTS), (winograd_tail, TAIL_FAULTS), (winograd_direct, DIRECT_FAULTS),
        (winograd_kernel, PLACE_FAULTS), (winograd_transform, TRANSFORM_FAULTS),
    )
    for fault in faults
]  # fmt: skip


@seldom(FAULTS, 4)
def test_faults_in_the_main_kernel(fault):
    module, _, use, old, new, expected = fault
    assert verdict(use, kernel=main_kernel(module, old, new)) in expected


@pytest.mark.parametrize("fault", WEIGHTS_FAULTS, ids=lambda fault: fault[0])
def test_faults_in_the_kernel_of_the_weights(fault):
    _, use, old, new, expected = fault
    assert verdict(use, weights=changed_module(winograd_transform, old, new).KERNEL) in expected


@pytest.mark.parametrize("use", [RAGGED, SHARED, SPOILT, LARGE, ALIGNED], ids=lambda use: str(use.case))
def test_unharmed_kernels_raise_nothing(use):
    assert verdict(use) == HARMLESS
