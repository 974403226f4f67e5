"""The algorithm that the engine selects is predicted to be about the fastest.

Layers for which a depthwise algorithm or `conv_stem` could be taken: those of the workloads, and others for
which kernels were written. The predictions are those of `profiling.model` for an H200; nothing was measured.
"""

from dataclasses import replace

import pytest

from gpuconv.cuda.runtime.gpu import H200
from gpuconv.spec import ConvSpec
from profiling.counts import selected, supported
from profiling.model import predict
from profiling.workloads import WORKLOADS, convolution, label

WITHIN = 1.1  # times the fastest


def depthwise(N, C, size, kernel, stride=1, multiplier=1, dilation=1):
    pad = kernel // 2 * dilation
    spec = convolution(N, C, size, C * multiplier, kernel, stride, groups=C)
    return replace(spec, dilation=(dilation, dilation), pads=((pad, pad), (pad, pad)))


# The algorithm, and predicted us of the depthwise ones, conv_stem, conv_implicit_gemm, conv_tiled on an H200.
OTHERS = {
    depthwise(32, 256, 14, 9): "conv_depthwise_window",  # 20, 223, none, 256
    depthwise(32, 192, 28, 11): "conv_depthwise_window",  # 49, 206, none, 267
    depthwise(32, 192, 28, 11, stride=2): "conv_depthwise_window",  # 32, 3300, none, 291
    depthwise(1, 128, 56, 31): "conv_depthwise_window",  # 31, 39, none, 136
    depthwise(32, 128, 32, 5, dilation=2): "conv_depthwise_window",  # 26, none, 304, 93
    depthwise(32, 64, 28, 9, multiplier=2): "conv_depthwise_window",  # 31, 117, none, 90
    depthwise(1, 96, 56, 7): "conv_depthwise_window",  # 5.9, 9.6, 43, 15
    convolution(64, 1, 28, 6, 5): "conv_depthwise_window",  # 5.0, 6.0, 7.7, 11
    convolution(1, 1, 512, 64, 3): "conv_depthwise",  # 19, 26, 25, 69
    convolution(1, 1, 512, 16, 5): "conv_stem",  # 17, 12, 22, 39
    convolution(1, 4, 512, 16, 7): "conv_stem",  # none, 49, 83, 148
    convolution(8, 3, 224, 96, 11, 4): "conv_stem",  # none, 68, none, 131
    convolution(1, 3, 1080, 1, 3): "conv_stem",  # none, 27, 79, 59
    convolution(8, 3, 32, 16, 3): "conv_implicit_gemm",  # none, 7.7, 5.6, 10
    convolution(32, 3, 224, 64, 7, 2): "conv_implicit_gemm",  # none, 267, 186, 432
    convolution(8, 128, 56, 128, 3, groups=32): "conv_tiled",  # none, 147, 72, 39
}


def names(spec):
    return [each.name for each in supported(spec)]


FOR_FEW = {"conv_depthwise", "conv_depthwise_window", "conv_stem"}


def candidates():
    """The problems of the workloads that one of these algorithms supports."""
    found = dict.fromkeys(
        layer.spec
        for make in WORKLOADS.values()
        for layer in make().layers
        if isinstance(layer.spec, ConvSpec) and FOR_FEW & set(names(layer.spec))
    )
    return [*found, *OTHERS]


def name_of(spec):
    return f"{label(spec)} N{spec.N}"


@pytest.mark.parametrize("spec", OTHERS, ids=name_of)
def test_what_is_selected(spec):
    assert selected(spec).name == OTHERS[spec]


@pytest.mark.slow
@pytest.mark.parametrize("spec", candidates(), ids=name_of)
def test_what_is_selected_is_predicted_to_be_fast(spec):
    predicted = {name: predict(spec, name, H200).us for name in names(spec)}
    chosen = selected(spec).name
    assert predicted[chosen] <= WITHIN * min(predicted.values()), predicted
