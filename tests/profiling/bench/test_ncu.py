"""Nsight Compute's rows have names, one for each kernel of an algorithm."""

import pytest

pytest.importorskip("gpuconv.cuda", reason="the GPU engine is not installed")

from gpuconv import cuda
from gpuconv.call import understand
from gpuconv.cuda.runtime.gpu import H200
from profiling.bench import ncu
from profiling.workloads import convolution, operands, pool, public_call


def call_of(spec, algorithm):
    """What the call means on an H200."""
    call = public_call(spec, operands(spec))
    understood = understand(call.func, *call.args, **call.keywords)
    listed = cuda.ALGORITHMS[understood.operator.room]
    return understood._replace(device=H200, algorithms=listed, forced=algorithm)


def test_each_pass_has_a_line():
    spec = convolution(1, 64, 8, 64, 3)
    assert [*ncu.named("winograd", call_of(spec, "conv_winograd"))] == [
        "winograd, 1 of 3: winograd_weights", "winograd, 2 of 3: conv_winograd",
        "winograd, 3 of 3: sum_splits float32",
    ]  # fmt: skip
    assert [*ncu.named("pool", call_of(pool("max", 1, 4, 16, 2), "pool_rows"))] == [
        "pool, 1 of 1: pool_rows float32 max 2/2 wide"
    ]
