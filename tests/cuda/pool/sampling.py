"""Launches of which the executor carries out the first blocks, to count what they request from memory."""

import numpy as np

from gpuconv.cuda.runtime.launch import Launch
from tests.cuda.execution import execute, on_device, planned, poisoned


def sampled(algorithm, spec, blocks):
    """(the launch, the executor's report of its first blocks, their share of all)."""
    x = np.zeros((spec.N, spec.C, spec.H, spec.W), spec.dtype)
    indices = poisoned(spec.out_shape, "int64") if spec.return_indices else None
    views = on_device(x), on_device(poisoned(spec.out_shape, spec.dtype), True), on_device(indices, True)
    launch = planned(algorithm, spec, *views)
    sample = Launch(launch.kernel, min(launch.blocks, blocks), launch.shared_bytes, launch.scalars)
    return launch, execute(sample, *views, count_memory=True), sample.blocks / launch.blocks
