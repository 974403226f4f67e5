"""Problems drawn at random: the same for a seed, within their bounds, and of every kind."""

import numpy as np
import pytest

from gpuconv.spec import ConvSpec, PoolSpec
from profiling.workloads import drawn, flops, operands_of
from profiling.workloads.drawn import MOST_BYTES, MOST_FLOPS


def test_a_seed_draws_the_same_problems():
    assert drawn(50, seed=3) == drawn(50, seed=3)
    assert drawn(50, seed=3) != drawn(50, seed=4)


def test_problems_are_within_bounds():
    for layer in drawn(300, seed=1).layers:
        assert layer.spec.min_bytes <= MOST_BYTES and flops(layer.spec) <= MOST_FLOPS
        assert max(layer.spec.R, layer.spec.S) <= 63 and layer.spec.N <= 64
        assert 0 not in layer.spec.out_shape


@pytest.mark.parametrize(
    "kind",
    [
        lambda spec: isinstance(spec, ConvSpec) and spec.groups == 1 < spec.C,
        lambda spec: isinstance(spec, ConvSpec) and spec.groups == spec.C > 1,
        lambda spec: isinstance(spec, ConvSpec) and 1 < spec.groups < spec.C,
        lambda spec: isinstance(spec, ConvSpec) and spec.dilation[0] != spec.dilation[1],
        lambda spec: isinstance(spec, PoolSpec) and spec.reduction == "mean",
        lambda spec: isinstance(spec, PoolSpec) and spec.return_indices,
        lambda spec: spec.W == 1 < spec.H,
        lambda spec: spec.S > 20,
        lambda spec: spec.stride[0] > 1 and spec.pads[0][0] > 0,
    ],
)
def test_each_kind_is_drawn(kind):
    assert any(kind(layer.spec) for layer in drawn(300, seed=1).layers)


def test_a_quarter_lies_channels_last():
    layers = drawn(300, seed=1).layers
    assert 50 < sum(layer.channels_last for layer in layers) < 100
    layer = next(layer for layer in layers if layer.channels_last and layer.spec.C > 1 < layer.spec.W)
    assert all(array.strides[1] == array.itemsize for array in operands_of(layer))
    plain = operands_of(type(layer)(layer.label, layer.spec))
    assert all(map(np.array_equal, operands_of(layer), plain))
