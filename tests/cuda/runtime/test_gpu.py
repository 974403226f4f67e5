"""What is known of a GPU: the architecture that it runs, what its multiprocessors hold, what drivers tell."""

from dataclasses import replace

import pytest

from gpuconv.cuda.runtime.cost import (
    HOST_CALL,
    HOST_KERNEL,
    busiest,
    busiest_scheduler,
    cache_rate,
    cost,
    is_even,
    moving,
    start,
    uncached,
    waves,
)
from gpuconv.cuda.runtime.gpu import ADA, GPUS, H200, MEASURED, MULTIPROCESSORS, gpu, gpus
from tests.cuda.noting_driver import Status


@pytest.mark.parametrize(
    ("capability", "arch"),
    [((7, 5), "sm_75"), ((8, 0), "sm_80"), ((8, 6), "sm_80"), ((8, 9), "sm_80"), ((9, 0), "sm_90a"),
     ((10, 0), "sm_100"), ((10, 3), "sm_100"), ((12, 0), "sm_120"), ((12, 1), "sm_120"), ((13, 0), "sm_130")],
)  # fmt: skip
def test_the_architecture_of_a_gpu(capability, arch):
    assert replace(H200, capability=capability).arch == arch


def test_a_driver_is_asked_once_for_what_choices_depend_on(driver):
    found = gpu(0)
    assert (found.name, found.capability, found.multiprocessors) == ("Notebook GPU", (9, 0), 108)
    assert (found.clock, round(found.device_gbytes), found.l2_mbytes) == (1.41, 2039, 40)
    driver.capability = (7, 5)
    assert gpu(0).each.fp32 == 128
    assert (gpu(1).each.fp32, gpu(1).measured) == (64, ADA)
    assert gpus() == [gpu(0), gpu(1)]


def test_what_the_driver_does_not_tell_is_an_h200s(driver):
    asked = driver.cuDeviceGetAttribute
    driver.cuDeviceGetAttribute = lambda attribute, handle: (
        (Status.CUDA_SUCCESS, 0) if "clock" in attribute else asked(attribute, handle)
    )
    assert (gpu(0).clock, gpu(0).device_gbytes) == (H200.clock, H200.device_gbytes)


def test_without_a_driver_plans_are_for_an_h200(driver):
    driver.cuInit = lambda flags: (Status.CUDA_ERROR_LAUNCH_FAILED,)
    assert gpu(0) is H200
    assert gpus() == []


@pytest.mark.parametrize(("capability", "like"), [((8, 7), (8, 6)), ((10, 3), (10, 0)), ((7, 0), (7, 5))])
def test_an_unknown_gpu_is_taken_for_the_newest_that_is_not_newer(capability, like):
    found = replace(H200, capability=capability)
    assert (found.each, found.measured) == (MULTIPROCESSORS[like], MEASURED[like])


def test_what_a_multiprocessor_holds():
    assert (H200.resident(0), H200.resident(113 * 1024), H200.resident(10**6)) == (228, 2, 1)
    assert H200.block_shared_bytes == 227 * 1024
    assert GPUS["l4"].block_shared_bytes == 99 * 1024


def test_costs():
    assert [busiest(blocks, H200) for blocks in (0, 1, 132, 133)] == [0, 1, 1, 2]
    assert cache_rate(H200) == 35
    assert start(H200) == pytest.approx(2.5 * 1980)
    assert moving(35 * 132 * 1000, 0, H200) == pytest.approx(1000)
    assert moving(0, 0.9 * 4.8e12, H200) == pytest.approx(1.98e9)  # a second
    assert moving(35 * 132, 1e6, H200) == moving(0, 1e6, H200)
    assert (uncached(5.0, 37_000_000, H200), uncached(5.0, 38_000_000, H200)) == (0, 5)
    assert [splits for splits in range(1, 8) if is_even(7, splits)] == [1, 2, 3, 4, 7]


def test_warps_stay_with_their_scheduler():
    assert [busiest_scheduler(warps) for warps in (0, 1, 4, 5, 6, 8, 9)] == [0, 1, 1, 2, 2, 2, 3]


@pytest.mark.parametrize(
    ("blocks", "resident", "warps", "of_scheduler"),
    [
        (0, 8, 2, []),
        (1, 8, 2, [(1, 1, 1)]),
        (3, 8, 2, [(1, 3, 2)]),  # six warps: two schedulers have two
        (8, 8, 2, [(1, 8, 4)]),
        (11, 8, 2, [(1, 8, 4), (1, 3, 2)]),
        (5, 5, 2, [(1, 5, 3)]),
        (15, 5, 2, [(2, 5, 2.5), (1, 5, 3)]),  # a block that ends makes room before the others end
        (3, 1, 2, [(2, 1, 1), (1, 1, 1)]),  # two schedulers have nothing
        (3, 1, 6, [(2, 1, 2), (1, 1, 2)]),
        (7, 3, 8, [(2, 3, 6), (1, 1, 2)]),
    ],
)
def test_waves(blocks, resident, warps, of_scheduler):
    found = waves(blocks, resident, warps)
    assert [(each.times, each.blocks, each.scheduler_warps) for each in found] == of_scheduler
    assert sum(each.times * each.blocks for each in found) == blocks


def test_the_slower_of_host_and_device_decides_and_then_the_device():
    long, short = H200.cycles(100.0), H200.cycles(1.0)
    assert cost(long, 2, H200) == (long + start(H200), long)
    assert cost(short, 1, H200) == (H200.cycles(HOST_CALL), short)
    assert cost(short, 3, H200)[0] - cost(short, 1, H200)[0] == pytest.approx(H200.cycles(2 * HOST_KERNEL))
    assert cost(short / 2, 2, H200) < cost(short, 2, H200) < cost(short / 2, 3, H200)


def test_what_others_have_measured_is_known_of_every_kind():
    assert MEASURED.keys() == MULTIPROCESSORS.keys()


@pytest.mark.parametrize(
    ("card", "l2_tbytes_s", "kept_mbytes", "loads", "stream_us", "graph_us", "latency"),
    [("h200", 9.7, 41, 126, 2.5, 1.3, 689), ("a100", 5.4, 28, 126, 2.7, 1.4, 552),
     ("rtx4090", 5.2 * 128 / 142, 62, 64, 1.6, 1.0, 625)],
)  # fmt: skip
def test_cards_are_described_as_they_were_measured(
    card, l2_tbytes_s, kept_mbytes, loads, stream_us, graph_us, latency
):
    """RRZE gpu-benches: H200 (latency: GH200), A100 and, for the multiprocessors of an RTX 4090, an L40."""
    described = GPUS[card]
    rate = described.measured.l2_rate * described.multiprocessors * described.clock / 1e3
    assert rate == pytest.approx(l2_tbytes_s, rel=0.07)
    assert described.l2_bytes / 1e6 == pytest.approx(kept_mbytes, rel=0.1)
    assert described.measured.load_rate == pytest.approx(loads, rel=0.02)
    assert (described.measured.stream_us, described.measured.graph_us) == (stream_us, graph_us)
    assert described.measured.device_latency == latency
