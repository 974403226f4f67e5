"""A small problem of each operator that goes back, or moves windows: all that `conv2d` and pools are not."""

from dataclasses import replace

from gpuconv.spec import WEIGHT_GRADIENT
from profiling.workloads import convolution, layers, pool

STRIDED = convolution(2, 4, (9, 12), 6, 3, 2, groups=2)
DILATED = replace(convolution(1, 3, 10, 2, 3, pad=2), dilation=(2, 2))
BACKWARD = [
    layers.backward(STRIDED),
    layers.backward(DILATED),
    layers.backward(convolution(1, 4, 8, 6, 1, 2, 0)),  # whose last row and column no window sees
    layers.backward(STRIDED, WEIGHT_GRADIENT),
    layers.backward(DILATED, WEIGHT_GRADIENT),
    layers.bias_gradient(3, 5, 6),
    layers.max_gradient(pool("max", 2, 3, 9, 3, stride=2, pad=1)),
    layers.mean_gradient(pool("mean", 2, 3, 9, 3, stride=2, pad=1)),
    layers.unpool(pool("max", 2, 3, 8, 2)),
    layers.patches("unfold", DILATED),
    layers.patches("fold", STRIDED),
]
