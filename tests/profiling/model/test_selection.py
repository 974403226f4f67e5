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
    depthwise(32, 256, 14, 9): "conv_depthwise_window",  # 18, 217, none, 247
    depthwise(32, 192, 28, 11): "conv_depthwise_window",  # 47, 196, none, 259
    depthwise(32, 192, 28, 11, stride=2): "conv_depthwise_window",  # 26, 3442, none, 280
    depthwise(1, 128, 56, 31): "conv_depthwise_window",  # 28, 37, none, 134
    depthwise(32, 128, 32, 5, dilation=2): "conv_depthwise_window",  # 27, none, 308, 88
    depthwise(32, 64, 28, 9, multiplier=2): "conv_depthwise_window",  # 27, 114, none, 89
    depthwise(1, 96, 56, 7): "conv_depthwise_window",  # 4.8, 8.5, 42, 14
    convolution(64, 1, 28, 6, 5): "conv_depthwise_window",  # 4.2, 5.2, 6.0, 8.7
    convolution(1, 1, 512, 64, 3): "conv_depthwise",  # 22, 24, 24, 66
    convolution(1, 1, 512, 16, 5): "conv_stem",  # 16, 11, 23, 32
    convolution(1, 4, 512, 16, 7): "conv_stem",  # none, 46, 90, 141
    convolution(8, 3, 224, 96, 11, 4): "conv_stem",  # none, 68, none, 125
    convolution(1, 3, 1080, 1, 3): "conv_stem",  # none, 25, 80, 48
    convolution(8, 3, 32, 16, 3): "conv_implicit_gemm",  # none, 6.4, 3.9, 9.2
    convolution(32, 3, 224, 64, 7, 2): "conv_implicit_gemm",  # none, 250, 178, 382
    convolution(8, 128, 56, 128, 3, groups=32): "conv_tiled",  # none, 135, 74, 38
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
