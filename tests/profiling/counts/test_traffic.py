"""Bytes that pools request from memory on the workloads' full-size planes, counted on a sample of blocks."""

from dataclasses import replace

import numpy as np
import pytest

from gpuconv import cuda as engine
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import PoolSpec
from profiling.counts.problems import variants
from profiling.workloads import WORKLOADS, label
from tests.cuda import execution
from tests.cuda.execution import on_device, poisoned

BLOCKS = 24
PLANES = 192  # of a sample: whole planes, of the full height and width
LIMIT = 1.25  # times the input and the output once

SPECS = {
    layer.spec for make in WORKLOADS.values() for layer in make().layers if isinstance(layer.spec, PoolSpec)
}
SAMPLES = [
    pytest.param(spec, id=f"{label(spec)} {dtype}{' indices' * spec.return_indices}")
    for full in sorted(SPECS, key=repr)
    for dtype in ("float32", "float16")
    for spec in variants(replace(full, N=1, C=min(full.N * full.C, PLANES), dtype=dtype))
]


def sampled(spec):
    """(the launch that the engine chooses, the executor's report of its first blocks, their share of all)."""
    found = []

    def start(self, output, *arrays):
        sample = Launch(self.kernel, min(self.blocks, BLOCKS), self.shared_bytes, self.scalars)
        report = execution.execute(sample, *arrays, count_memory=True)
        found.append((self, report, sample.blocks / self.blocks))

    x = np.zeros((spec.N, spec.C, spec.H, spec.W), spec.dtype)
    places = on_device(poisoned(spec.out_shape, "int64"), True) if spec.return_indices else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Launch, "start", start)
        engine.pool2d(spec, on_device(x), on_device(poisoned(spec.out_shape, spec.dtype), True), places)
    (only,) = found
    return only


@pytest.mark.parametrize("spec", SAMPLES)
def test_each_element_is_requested_about_once(spec):
    launch, report, share = sampled(spec)
    assert launch.kernel.name.startswith(("pool_global", "pool_rows"))
    assert share / LIMIT < report.traffic("global").bytes / spec.min_bytes < share * LIMIT
