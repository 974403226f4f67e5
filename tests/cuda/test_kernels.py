"""The compile gates: every kernel, for every architecture, without a spill. No GPU, and no skip."""

import re

import pytest

from gpuconv.cuda import ARCHITECTURES, KERNELS


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_no_spill_no_local_memory_and_the_promised_occupancy(kernel, arch):
    log = kernel.cubin(arch).log
    (frame,) = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log)
    assert frame == ("0", "0", "0")
    (registers,) = map(int, re.findall(r"Used (\d+) registers", log))
    assert registers * kernel.threads * kernel.blocks_per_sm <= 65536


def test_the_promised_architectures_are_built():
    assert {"sm_80", "sm_90a", "sm_100", "sm_120"} < set(ARCHITECTURES)


def test_names_are_unique():
    assert len({kernel.name for kernel in KERNELS}) == len(KERNELS)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_ptx_has_one_parameter_per_argument_and_is_for_the_architecture(kernel):
    text = kernel.ptx("sm_80")
    assert ".target sm_80" in text
    assert len(re.findall(r"^\s*\.param \.", text, re.MULTILINE)) == len(kernel.arguments)


@pytest.mark.parametrize("arch", ["90", "sm_9", "sm_90x", "compute_90", ""])
def test_a_wrong_architecture_is_named(arch):
    with pytest.raises(ValueError, match="arch must be of the form sm_90a"):
        KERNELS[0].ptx(arch)
