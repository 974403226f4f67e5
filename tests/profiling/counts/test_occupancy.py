"""How many blocks a multiprocessor holds, worked out by hand from the table of limits."""

import doctest

import pytest

from gpuconv.cuda import ARCHITECTURES
from profiling.counts import occupancy
from profiling.counts.occupancy import blocks_per_sm, of_arch


@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "blocks"),
    [
        ("sm_75", 256, 32, 0, 4),  # 1024 threads
        ("sm_75", 64, 32, 32 * 1024, 2),
        ("sm_80", 256, 32, 0, 8),  # 2048 threads
        ("sm_80", 256, 33, 0, 6),  # rounded up to 40 registers: 12 warps in each partition
        ("sm_80", 32, 16, 0, 32),  # blocks
        ("sm_80", 128, 255, 0, 2),
        ("sm_80", 256, 32, 48 * 1024, 3),  # 49 KB each of 164
        ("sm_80", 256, 32, 163 * 1024, 1),
        ("sm_80", 256, 32, 164 * 1024, 0),
        ("sm_86", 32, 16, 0, 16),
        ("sm_89", 32, 16, 0, 24),
        ("sm_90a", 256, 128, 0, 2),
        ("sm_90a", 384, 168, 0, 1),  # three warpgroups
        ("sm_90a", 256, 64, 227 * 1024, 1),
        ("sm_90a", 1024, 64, 0, 1),
        ("sm_90a", 33, 255, 0, 4),  # two warps each, eight fit
        ("sm_90a", 32, 96, 0, 20),  # five warps in each partition, though 21 times 3072 registers are there
        ("sm_100", 256, 32, 113 * 1024, 2),
        ("sm_120", 512, 40, 0, 3),  # 1536 threads
        ("sm_120", 128, 32, 33 * 1024, 2),
    ],
)
def test_blocks_per_multiprocessor(arch, threads, registers, shared, blocks):
    assert blocks_per_sm(of_arch(arch), threads, registers, shared) == blocks


def test_the_limits_of_all_that_is_built_are_known():
    assert all(blocks_per_sm(of_arch(arch), 256, 32, 0) > 0 for arch in ARCHITECTURES)


def test_examples():
    results = doctest.testmod(occupancy)
    assert results.attempted > 0 and results.failed == 0
