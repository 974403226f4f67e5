"""The gradients of pools and of windows, composed of operators and so differentiable again.

A maximum is a choice of places, which its gradient and `max_unpool2d` put values to; a mean and `unfold` are
linear. Each has the other as its adjoint.
"""

from math import isinf

import torch

from gpuconv.spec.parameters import as_pair
from gpuconv.torch import operators as ops
from gpuconv.torch.differentiation import Given, Gradients, differentiate

Tensor = torch.Tensor
WINDOWS = "kernel_size", "stride", "padding", "padding_name", "dilation", "ceil_mode"
PATCHES = "kernel_size", "dilation", "padding", "padding_name", "stride"
MEANS = (
    "kernel_size", "stride", "padding", "padding_name", "ceil_mode", "count_include_pad", "divisor_override",
)  # fmt: skip


def _chosen(values: Tensor, indices: Tensor) -> Tensor:
    """Of each plane the values at its indices, and 0 where there is no place."""
    places = indices.flatten(-2).long()
    found = values.flatten(-2).gather(-1, places.clamp(min=0)).reshape(indices.shape)
    return torch.where(indices < 0, 0, found)


def _put_back(given: Given, grad: Tensor, indices: Tensor, windows: tuple[str, ...] = WINDOWS) -> Tensor:
    size = given.shapes["input"]
    return ops.MAX_POOL2D_GRADIENT.of(grad, indices, input_size=size, **given.some(windows))


def _max(given: Given, grad: Tensor) -> Gradients:
    return {"input": _put_back(given, grad, given.results[0])}


def _max_without_indices(given: Given, grad: Tensor) -> Gradients:
    _, indices = ops.MAX_POOL2D_WITH_INDICES.of(given["input"], **given.some(WINDOWS))
    return {"input": _put_back(given, grad, indices)}


def _min(given: Given, grad: Tensor) -> Gradients:
    _, indices = ops.MAX_POOL2D_WITH_INDICES.of(-given["input"], **given.some(WINDOWS))
    return {"input": _put_back(given, grad, indices)}


def _adaptive_max(given: Given, grad: Tensor) -> Gradients:
    return {"input": _put_back(given, grad, given.results[0], ())}


def _adaptive_max_without_indices(given: Given, grad: Tensor) -> Gradients:
    _, indices = ops.ADAPTIVE_MAX_POOL2D_WITH_INDICES.of(given["input"], output_size=given["output_size"])
    return {"input": _put_back(given, grad, indices, ())}


def _put(given: Given, grad: Tensor) -> Gradients:
    """As in PyTorch, also of a value whose place another one took."""
    return {"input": _chosen(grad, given["indices"])}


def _max_gradient(given: Given, grad: Tensor) -> Gradients:
    return {"grad_output": _chosen(grad, given["indices"])}


differentiate(ops.MAX_POOL2D_WITH_INDICES, _max, results=(1,))
differentiate(ops.MAX_POOL2D, _max_without_indices, ("input",))
differentiate(ops.MIN_POOL2D, _min, ("input",))
differentiate(ops.ADAPTIVE_MAX_POOL2D_WITH_INDICES, _adaptive_max, results=(1,))
differentiate(ops.ADAPTIVE_MAX_POOL2D, _adaptive_max_without_indices, ("input",))
differentiate(ops.MAX_UNPOOL2D, _put, ("indices",))
differentiate(ops.MAX_POOL2D_GRADIENT, _max_gradient, ("indices",))


def _mean(given: Given, grad: Tensor) -> Gradients:
    size = given.shapes["input"]
    return {"input": ops.AVG_POOL2D_GRADIENT.of(grad, input_size=size, **given.some(MEANS))}


def _mean_gradient(given: Given, grad: Tensor) -> Gradients:
    return {"grad_output": ops.AVG_POOL2D.of(grad, **given.some(MEANS))}


def _adaptive_mean(given: Given, grad: Tensor) -> Gradients:
    return {"input": ops.ADAPTIVE_AVG_POOL2D_GRADIENT.of(grad, input_size=given.shapes["input"])}


def _adaptive_mean_gradient(given: Given, grad: Tensor) -> Gradients:
    size = given.shapes["grad_output"][-2:]
    return {"grad_output": ops.ADAPTIVE_AVG_POOL2D.of(grad, output_size=size)}


def _norm(given: Given, grad: Tensor) -> Gradients:
    x, windows = given["input"], given.some(("kernel_size", "stride", "ceil_mode"))
    if not isinf(given["norm_type"]):
        norms = given.results[0]
        return {"input": ops.LP_POOL2D_GRADIENT.of(grad, x, norms, norm_type=given["norm_type"], **windows)}
    magnitudes = x.abs() if given["norm_type"] > 0 else -x.abs()
    _, indices = ops.MAX_POOL2D_WITH_INDICES.of(magnitudes, **windows)
    dx = ops.MAX_POOL2D_GRADIENT.of(grad, indices, input_size=given.shapes["input"], **windows)
    return {"input": dx * x.sign()}


def _norm_gradient(given: Given, grad: Tensor) -> Gradients:
    """Of x^(n - 1) B(g y^(1 - n)), where B is R S times the gradient of a mean, without its padding."""
    n, windows = given["norm_type"], given.some(("kernel_size", "stride", "ceil_mode"))
    g, x, y = (given[name] for name in ("grad_output", "input", "output"))
    size = as_pair(ops.LP_POOL2D_GRADIENT.read(given.arguments)["kernel_size"], "kernel_size", least=1)
    count = size[0] * size[1]
    passes = y != 0
    y = torch.where(passes, y, 1)
    weights = torch.where(passes, y.pow(1 - n), 0)
    back = count * ops.AVG_POOL2D.of(grad * x.pow(n - 1), **windows)  # adjoint of B
    found: Gradients = {"grad_output": back * weights}
    if given.wants["output"]:
        found["output"] = back * g * (1 - n) * torch.where(passes, y.pow(-n), 0)
    if given.wants["input"]:
        shares = ops.AVG_POOL2D_GRADIENT.of(g * weights, input_size=given.shapes["input"], **windows)
        slopes = x.pow(n - 2) if n != 1 else torch.zeros_like(x)  # of 0^-1 times n - 1 there would be a NaN
        found["input"] = count * (n - 1) * grad * slopes * shares
    return found


differentiate(ops.AVG_POOL2D, _mean)
differentiate(ops.AVG_POOL2D_GRADIENT, _mean_gradient)
differentiate(ops.ADAPTIVE_AVG_POOL2D, _adaptive_mean)
differentiate(ops.ADAPTIVE_AVG_POOL2D_GRADIENT, _adaptive_mean_gradient)
differentiate(ops.LP_POOL2D, _norm, ("input",), results=(0,))
differentiate(ops.LP_POOL2D_GRADIENT, _norm_gradient, ("grad_output", "input", "output"))


def _unfold(given: Given, grad: Tensor) -> Gradients:
    size = given.shapes["input"][-2:]
    return {"input": ops.FOLD.of(grad, output_size=size, **given.some(PATCHES))}


def _fold(given: Given, grad: Tensor) -> Gradients:
    return {"input": ops.UNFOLD.of(grad, **given.some(PATCHES))}


differentiate(ops.UNFOLD, _unfold)
differentiate(ops.FOLD, _fold)
