"""The gradients of the operators, composed of operators and so differentiable again.

As JAX has them of complex numbers: nothing is conjugated.
"""

from math import isinf
from typing import Any

import jax.numpy as jnp

from gpuconv.jax.operators import GRADIENTS, apply
from gpuconv.spec.parameters import as_pair

GEOMETRY = "stride", "padding", "dilation", "groups"
WINDOWS = "kernel_size", "stride", "padding", "dilation", "ceil_mode"
MEANS = "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"
NORMS = "kernel_size", "stride", "ceil_mode"
Given = dict[str, Any]


def _some(parameters: Given, names: tuple[str, ...]) -> Given:
    return {name: parameters[name] for name in names}


def _bias(given: Given, grad: Any) -> Given:
    return {} if given["bias"] is None else {"bias": apply("conv2d_bias", (grad,))}


def _conv2d(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    x, w, geometry = given["input"], given["weight"], _some(parameters, GEOMETRY)
    dx = apply("conv2d_input", (grad, w, None), input_size=x.shape, **geometry)
    dw = apply("conv2d_weight", (x, grad), weight_size=w.shape, **geometry)
    return {"input": dx, "weight": dw, **_bias(given, grad)}


def _transposed(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    x, w, geometry = given["input"], given["weight"], _some(parameters, GEOMETRY)
    dx = apply("conv2d", (grad, w, None, None), **geometry)[..., : x.shape[-2], : x.shape[-1]]
    more, stride = (as_pair(parameters[name], name, least=0) for name in ("output_padding", "stride"))
    behind = [(0, extra // step) for extra, step in zip(more, stride, strict=True)]  # windows of zeros alone
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + behind)
    dw = apply("conv2d_weight", (grad, x), weight_size=w.shape, **geometry)
    return {"input": dx, "weight": dw, **_bias(given, grad)}


def _input_gradient(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    dy, w, geometry = given["grad_output"], given["weight"], _some(parameters, GEOMETRY)
    return {
        "grad_output": apply("conv2d", (grad, w, None, None), **geometry),
        "weight": apply("conv2d_weight", (grad, dy), weight_size=w.shape, **geometry),
    }


def _weight_gradient(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    x, dy, geometry = given["input"], given["grad_output"], _some(parameters, GEOMETRY)
    return {
        "input": apply("conv2d_input", (dy, grad, None), input_size=x.shape, **geometry),
        "grad_output": apply("conv2d", (x, grad, None, None), **geometry),
    }


def _bias_gradient(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    return {"grad_output": jnp.broadcast_to(grad[:, None, None], given["grad_output"].shape)}


def _chosen(values: Any, indices: Any) -> Any:
    """Of each plane the values at its indices, and 0 where there is no place."""
    planes = values.reshape(*values.shape[:-2], -1)
    places = indices.reshape(*indices.shape[:-2], -1)
    found = jnp.take_along_axis(planes, jnp.maximum(places, 0), -1).reshape(indices.shape)
    return jnp.where(indices < 0, 0, found)


def _put_back(x: Any, grad: Any, indices: Any, **windows: Any) -> Any:
    return apply("grad.max_pool2d", (grad, indices), input_size=x.shape, **windows)


def _max(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    x, windows = given["input"], _some(parameters, WINDOWS)
    indices = result[1] if isinstance(result, tuple) else _places(x, windows)
    return {"input": _put_back(x, grad, indices, **windows)}


def _places(x: Any, windows: Given) -> Any:
    return apply("max_pool2d", (x,), return_indices=True, **windows)[1]


def _min(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    x, windows = given["input"], _some(parameters, WINDOWS)
    return {"input": _put_back(x, grad, _places(-x, windows), **windows)}


def _adaptive_max(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    x, size = given["input"], parameters["output_size"]
    if not isinstance(result, tuple):
        result = apply("adaptive_max_pool2d", (x,), output_size=size, return_indices=True)
    return {"input": _put_back(x, grad, result[1])}


def _max_gradient(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    return {"grad_output": _chosen(grad, given["indices"])}


def _mean(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    size = given["input"].shape
    return {"input": apply("grad.avg_pool2d", (grad,), input_size=size, **_some(parameters, MEANS))}


def _mean_gradient(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    return {"grad_output": apply("avg_pool2d", (grad,), **_some(parameters, MEANS))}


def _adaptive_mean(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    return {"input": apply("grad.adaptive_avg_pool2d", (grad,), input_size=given["input"].shape)}


def _adaptive_mean_gradient(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    size = given["grad_output"].shape[-2:]
    return {"grad_output": apply("adaptive_avg_pool2d", (grad,), output_size=size)}


def _norm(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    x, n, windows = given["input"], parameters["norm_type"], _some(parameters, NORMS)
    if not isinf(n):
        return {"input": apply("grad.lp_pool2d", (grad, x, result), norm_type=n, **windows)}
    magnitudes = jnp.abs(x) if n > 0 else -jnp.abs(x)
    return {"input": jnp.sign(x) * _put_back(x, grad, _places(magnitudes, windows), **windows)}


def _norm_gradient(parameters: Given, given: Given, result: Any, grad: Any) -> Given:
    """Of x^(n - 1) B(g y^(1 - n)), where B is R S times the gradient of a mean, without its padding."""
    n, windows = parameters["norm_type"], _some(parameters, NORMS)
    g, x, y = (given[name] for name in ("grad_output", "input", "output"))
    R, S = as_pair(parameters["kernel_size"], "kernel_size", least=1)
    passes = y != 0
    y = jnp.where(passes, y, 1)
    weights = jnp.where(passes, y ** (1 - n), 0)
    back = R * S * apply("avg_pool2d", (grad * x ** (n - 1),), **windows)
    shares = R * S * apply("grad.avg_pool2d", (g * weights,), input_size=x.shape, **windows)
    return {
        "grad_output": back * weights,
        "input": (n - 1) * grad * x ** (n - 2) * shares,
        "output": back * g * (1 - n) * jnp.where(passes, y**-n, 0),
    }


GRADIENTS |= {
    "conv2d": _conv2d,
    "conv_transpose2d": _transposed,
    "conv2d_input": _input_gradient,
    "conv2d_weight": _weight_gradient,
    "conv2d_bias": _bias_gradient,
    "max_pool2d": _max,
    "min_pool2d": _min,
    "adaptive_max_pool2d": _adaptive_max,
    "grad.max_pool2d": _max_gradient,
    "avg_pool2d": _mean,
    "grad.avg_pool2d": _mean_gradient,
    "adaptive_avg_pool2d": _adaptive_mean,
    "grad.adaptive_avg_pool2d": _adaptive_mean_gradient,
    "lp_pool2d": _norm,
    "grad.lp_pool2d": _norm_gradient,
}
