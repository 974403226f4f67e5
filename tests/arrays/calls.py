"""A call of every operator: the arrays that it takes, by name, and its other arguments."""

import numpy as np

import gpuconv
from tests.cases import integers

X, W, Y = (integers(s, "float32", i) for i, s in enumerate([(1, 2, 4, 4), (2, 2, 3, 3), (1, 2, 2, 2)]))
X, Y = abs(X) + 1, abs(Y) + 1
INDICES = np.array([[[[0, 2], [8, 10]], [[5, 7], [13, 15]]]])
SIZE, KERNELS, COLUMNS = X.shape, W.shape, integers((1, 8, 4), "float32")

CALLS = {
    "conv2d": (
        gpuconv.conv2d,
        {"input": X, "weight": W, "bias": np.ones(2, "f4"), "residual": Y, "out": np.zeros_like(Y)},
        {},
    ),
    "conv_transpose2d": (
        gpuconv.conv_transpose2d,
        {"input": Y, "weight": W, "bias": np.ones(2, "f4"), "residual": X, "out": np.zeros_like(X)},
        {},
    ),
    "deform_conv2d": (
        gpuconv.deform_conv2d,
        {
            "input": X,
            "offset": np.zeros((1, 18, 2, 2), "f4"),
            "weight": W,
            "bias": np.ones(2, "f4"),
            "mask": np.ones((1, 9, 2, 2), "f4"),
        },
        {},
    ),
    "max_pool2d": (gpuconv.max_pool2d, {"input": X, "out": np.zeros_like(Y)}, {"kernel_size": 2}),
    "min_pool2d": (gpuconv.min_pool2d, {"input": X, "out": np.zeros_like(Y)}, {"kernel_size": 2}),
    "avg_pool2d": (gpuconv.avg_pool2d, {"input": X, "out": np.zeros_like(Y)}, {"kernel_size": 2}),
    "lp_pool2d": (
        gpuconv.lp_pool2d,
        {"input": X, "out": np.zeros_like(Y)},
        {"norm_type": 2, "kernel_size": 2},
    ),
    "adaptive_avg_pool2d": (
        gpuconv.adaptive_avg_pool2d,
        {"input": X, "out": np.zeros_like(Y)},
        {"output_size": 2},
    ),
    "adaptive_max_pool2d": (
        gpuconv.adaptive_max_pool2d,
        {"input": X, "out": np.zeros_like(Y)},
        {"output_size": 2},
    ),
    "max_unpool2d": (gpuconv.max_unpool2d, {"input": Y, "indices": INDICES}, {"kernel_size": 2}),
    "unfold": (gpuconv.unfold, {"input": X}, {"kernel_size": 2, "stride": 2}),
    "fold": (gpuconv.fold, {"input": COLUMNS}, {"output_size": 4, "kernel_size": 2, "stride": 2}),
    "conv2d_input": (gpuconv.grad.conv2d_input, {"weight": W, "grad_output": Y}, {"input_size": SIZE}),
    "conv2d_weight": (gpuconv.grad.conv2d_weight, {"input": X, "grad_output": Y}, {"weight_size": KERNELS}),
    "conv2d_bias": (gpuconv.grad.conv2d_bias, {"grad_output": Y}, {}),
    "grad.max_pool2d": (
        gpuconv.grad.max_pool2d,
        {"grad_output": Y, "indices": INDICES},
        {"input_size": SIZE, "kernel_size": 2},
    ),
    "grad.avg_pool2d": (
        gpuconv.grad.avg_pool2d,
        {"grad_output": Y},
        {"input_size": SIZE, "kernel_size": 2},
    ),
    "grad.adaptive_avg_pool2d": (
        gpuconv.grad.adaptive_avg_pool2d,
        {"grad_output": Y},
        {"input_size": SIZE},
    ),
    "grad.lp_pool2d": (
        gpuconv.grad.lp_pool2d,
        {"grad_output": Y, "input": X, "output": Y},
        {"norm_type": 2, "kernel_size": 2},
    ),
}
ARGUMENTS = [(operator, name) for operator, (_, arrays, _) in CALLS.items() for name in arrays]


def call(operator, **others):
    """The call, with other arrays, and an `out` of its own."""
    function, arrays, parameters = CALLS[operator]
    copies = {name: array.copy() for name, array in arrays.items() if name == "out"}
    return function(**{**arrays, **copies, **others}, **parameters)


def array_of(operator, name):
    return CALLS[operator][1][name].copy()
