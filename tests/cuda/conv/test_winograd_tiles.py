"""What Winograd costs on the GPU, how it cuts a problem, and where it is chosen."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuconv.algorithm import select
from gpuconv.cuda import conv
from gpuconv.cuda.conv import winograd
from gpuconv.cuda.conv.split import partial_bytes
from gpuconv.cuda.conv.winograd import tiles as winograd_tiles
from gpuconv.cuda.conv.winograd.tiles import Cut, choose_splits
from gpuconv.cuda.runtime.cost import is_even
from gpuconv.cuda.runtime.gpu import GPUS, H200
from tests.cuda.execution import contiguous, refusal, worthwhile
from tests.cuda.layers import RESNET50, UNET, VGG16, convolution
from tests.ptx import machine_code

ALGORITHM = winograd.ALGORITHM


@pytest.mark.wide  # it counts instructions
@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_the_main_loop_is_mostly_arithmetic(arch):
    row = machine_code.of(winograd.KERNELS[0], arch)
    assert row["loop_math_pct"] >= 86
    assert (row["loop_mix"]["FFMA"], row["loop_mix"]["FADD"]) == (1024, 32)
    assert (row["loop_mix"]["LDS.128"], row["loop_mix"]["LDGSTS.128"]) == (64, 8)


@pytest.mark.wide  # seconds of the compiler
def test_predictions_use_the_instructions_of_the_machine_code():
    found = machine_code.of(winograd.KERNELS[0], "sm_90a")["loop_instructions"]
    assert abs(found - winograd_tiles.LOOP) <= 0.02 * winograd_tiles.LOOP


LAYERS = {spec for spec in (*RESNET50, *VGG16, *UNET) if refusal(ALGORITHM, spec) is None}


@pytest.mark.parametrize("spec", LAYERS, ids=str)
def test_layers_of_networks_but_the_first_are_worth_it(spec):
    others = tuple(each for each in conv.ALGORITHMS if "tf32" not in each.name)
    chosen = select(others, spec, contiguous(spec), H200)
    assert (chosen is ALGORITHM) == (spec.C >= 64)


def test_few_channels_or_tiles_are_not_worth_it():
    assert not worthwhile(ALGORITHM, convolution(8, 3, 224, 64, 3))
    assert not worthwhile(ALGORITHM, convolution(16, 16, 240, 32, 3))
    assert not worthwhile(ALGORITHM, convolution(8, 64, 56, 64, 3, groups=64))
    assert not worthwhile(ALGORITHM, convolution(1, 8, 8, 8, 3))
    assert not worthwhile(ALGORITHM, convolution(1, 64, 4, 64, 3))
    assert worthwhile(ALGORITHM, convolution(1, 64, 224, 64, 3))


def test_few_tiles_share_many_channels():
    assert choose_splits(convolution(1, 512, 14, 512, 3), 64 << 20, H200) == 8
    assert choose_splits(convolution(1, 512, 14, 512, 3), 16 << 20, H200) == 1
    assert choose_splits(convolution(8, 64, 224, 64, 3), 64 << 20, H200) == 1


channels = st.integers(1, 300)


@given(channels, channels, st.integers(1, 60), st.integers(2**16, 2**26))
def test_a_choice_keeps_to_the_workspace_and_gives_every_block_a_slab(C, K, size, limit):
    spec = convolution(1, C, size, K, 3)
    splits, cut = choose_splits(spec, limit, H200), Cut.of(spec)
    assert splits == 1 or splits * partial_bytes(spec) + 4 * cut.weight_words <= limit
    assert is_even(cut.slabs, splits)
    assert (splits - 1) * -(-cut.slabs // splits) < cut.slabs


def test_a_cut_is_made_for_the_gpu_at_hand():
    """What an L4 and an H200 do is not the same: the one has 58 multiprocessors, the other 132."""
    spec = convolution(1, 512, 14, 512, 3)
    assert choose_splits(spec, 64 << 20, GPUS["l4"]) < choose_splits(spec, 64 << 20, H200)


def test_what_the_cache_cannot_keep_between_kernels_is_paid_for():
    """34 MB of transformed weights and 8 MB of each two shares of sums, in the 41 MB that an L4 keeps."""
    spec, small = convolution(1, 512, 32, 1024, 3), GPUS["l4"]
    large = replace(small, l2_mbytes=2 * small.l2_mbytes)
    assert choose_splits(spec, 64 << 20, small) == 1
    assert choose_splits(spec, 64 << 20, large) > 1


def test_weights_that_the_cache_cannot_keep_are_left_to_the_implicit_gemm():
    """67 MB of transformed weights, which pass twice through a memory of 300 GB/s."""
    spec, small = convolution(1, 1024, 32, 1024, 3), GPUS["l4"]
    assert not ALGORITHM.worth(spec, contiguous(spec), small)
    assert ALGORITHM.worth(spec, contiguous(spec), replace(small, l2_mbytes=2 * small.l2_mbytes))
    assert ALGORITHM.worth(spec, contiguous(spec), replace(small, device_gbytes=3000))
