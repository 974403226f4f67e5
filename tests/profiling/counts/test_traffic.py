"""Bytes that pools request from memory on the workloads' full-size planes, counted on a sample of blocks."""

from dataclasses import replace

import pytest

from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import PoolSpec
from gpuconv.spec.dtypes import FLOAT16, FLOAT32
from profiling.counts import launches, selected
from profiling.counts.execution import execute
from profiling.counts.problems import variants
from profiling.workloads import WORKLOADS, is_forward, label

pytestmark = pytest.mark.wide  # minutes of the executor

BLOCKS = 24
PLANES = 192  # of a sample: whole planes, of the full height and width
LIMIT = 1.25  # times the input and the output once

SPECS = {
    layer.spec
    for make in WORKLOADS.values()
    for layer in make().layers
    if isinstance(layer.spec, PoolSpec) and is_forward(layer.spec)
    if not (layer.spec.return_indices or layer.channels_last)
}
SAMPLES = [
    pytest.param(spec, id=f"{label(spec)} {dtype}{' indices' * spec.return_indices}")
    for full in sorted(SPECS, key=repr)
    for dtype in (FLOAT32, FLOAT16)
    for spec in variants(replace(full, N=1, C=min(full.N * full.C, PLANES), dtype=dtype))
]


def sampled(spec):
    """(the launch of the selected algorithm, the report of its first blocks, their share of all)."""
    (captured,) = launches(spec, selected(spec))
    launch = captured.launch
    first = replace(captured, launch=Launch(launch.kernel, min(launch.blocks, BLOCKS), launch.shared_bytes,
                                            launch.scalars))  # fmt: skip
    (report,) = execute(spec, [first], "sm_90a")
    return launch, report, first.launch.blocks / launch.blocks


@pytest.mark.parametrize("spec", SAMPLES)
def test_each_element_is_requested_about_once(spec):
    launch, report, share = sampled(spec)
    assert launch.kernel.name.startswith(("pool_global", "pool_rows"))
    assert share / LIMIT < report.traffic("global").bytes / spec.min_bytes < share * LIMIT
