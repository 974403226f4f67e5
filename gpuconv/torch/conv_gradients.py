"""The gradients of convolutions, composed of operators and so differentiable again.

A convolution y = x * w is linear in both, and so are its gradients: of an upstream gradient g

    dx = input(w, g), dw = weight(x, g)             of conv2d(x, w)
    dw = weight(h, g), dg = conv2d(h, w)            of input(w, g), by h
    dx = input(h, g), dg = conv2d(x, h)             of weight(x, g), by h

where of complex numbers `input` conjugates w, and `weight` x (`gpuconv.grad`).
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from gpuconv.spec.epilogue import as_epilogue
from gpuconv.spec.parameters import as_pads, as_pair
from gpuconv.torch import operators as ops
from gpuconv.torch.differentiation import Given, Gradients, Keeps, differentiate
from gpuconv.torch.operators import TorchOperator

Tensor = torch.Tensor
GEOMETRY = "stride", "padding", "padding_name", "dilation", "groups"


def _keeps_factors(one: str, other: str) -> Keeps:
    """Of a product, a factor where the gradient by the other is wanted; all for an activation."""

    def keeps(wants: dict[str, bool], given: dict[str, Any]) -> tuple[str, ...]:
        if given.get("activation") is not None:
            return tuple(name for name in ("input", "weight", "bias", "residual") if given[name] is not None)
        return tuple(name for name, by in ((one, other), (other, one)) if wants[by])

    return keeps


def _conv2d(given: Given, grad: Tensor) -> Gradients:
    grad = _before_activation(ops.CONV2D, given, grad)
    geometry, wants, size = given.some(GEOMETRY), given.wants, given.shapes["input"]
    found: Gradients = {"residual": grad}
    mode, sides = given["padding_mode"], _sides(given)
    if sides:
        geometry |= {"padding": [0], "padding_name": None}
        size = (*size[:-2], size[-2] + sides[2] + sides[3], size[-1] + sides[0] + sides[1])
    if wants["bias"]:
        found["bias"] = ops.CONV2D_BIAS.of(grad)
    if wants["input"]:
        dx = ops.CONV2D_INPUT.of(grad, given["weight"], input_size=size, **geometry)
        found["input"] = _folded_back(dx, given.shapes["input"], sides, mode) if sides else dx
    if wants["weight"]:
        x = F.pad(given["input"], sides, mode) if sides else given["input"]
        found["weight"] = ops.CONV2D_WEIGHT.of(x, grad, weight_size=given.shapes["weight"], **geometry)
    return found


def _sides(given: Given) -> tuple[int, ...]:
    """(left, right, top, bottom) of what is no padding of zeros; empty if there is none."""
    if given["padding_mode"] == "zeros":
        return ()
    parameters = ops.CONV2D.read(given.arguments)
    *_, H, W = given.shapes["input"]
    *_, R, S = given.shapes["weight"]
    stride, dilation = (as_pair(parameters[name], name, least=1) for name in ("stride", "dilation"))
    rows, columns = as_pads(parameters["padding"], (H, W), (R, S), stride, dilation)
    return (*columns, *rows) if any((*columns, *rows)) else ()


def _folded_back(padded: Tensor, shape: tuple[int, ...], sides: tuple[int, ...], mode: str) -> Tensor:
    """The gradient of `F.pad` by its input: what was taken from a place several times is added up there."""
    for axis, of_axis in ((-2, sides[2:]), (-1, sides[:2])):
        size = shape[axis]
        places = torch.arange(size, device=padded.device, dtype=torch.float64)
        places = F.pad(places[None, None], of_axis, mode)[0, 0].long()
        sums = list(padded.shape)
        sums[axis] = size
        padded = padded.new_zeros(sums).index_add(axis, places, padded)
    return padded


def _before_activation(operator: TorchOperator, given: Given, grad: Tensor) -> Tensor:
    """The gradient by what goes into the activation, which is computed anew."""
    if given["activation"] is None:
        return grad
    read = operator.read(given.arguments)["activation"]
    _, name, parameter = as_epilogue(read, False)
    others = {**given.arguments, "activation": None, "activation_parameter": None}
    sums = operator.of(**others)
    return ACTIVATIONS[name](grad, sums, parameter)


_aten = torch.ops.aten
ACTIVATIONS: dict[Any, Callable[[Tensor, Tensor, Any], Tensor]] = {
    "relu": lambda grad, x, _: _aten.threshold_backward(grad, x, 0),
    "relu6": lambda grad, x, _: _aten.hardtanh_backward(grad, x, 0, 6),
    "leaky_relu": lambda grad, x, slope: _aten.leaky_relu_backward(grad, x, slope, False),
    "sigmoid": lambda grad, x, _: _aten.sigmoid_backward(grad, x.sigmoid()),
    "tanh": lambda grad, x, _: _aten.tanh_backward(grad, x.tanh()),
    "gelu": lambda grad, x, _: _aten.gelu_backward(grad, x),
    "gelu_tanh": lambda grad, x, _: _aten.gelu_backward(grad, x, approximate="tanh"),
    "silu": lambda grad, x, _: grad * x.sigmoid() * (1 + x * (-x).sigmoid()),
    "hardswish": lambda grad, x, _: _aten.hardswish_backward(grad, x),
}


def _transposed(given: Given, grad: Tensor) -> Gradients:
    grad = _before_activation(ops.CONV_TRANSPOSE2D, given, grad)
    geometry, wants = given.some(GEOMETRY), given.wants
    found: Gradients = {"residual": grad}
    *_, P, Q = given.shapes["input"]
    rows, columns = _windows_behind(given)
    if wants["bias"]:
        found["bias"] = ops.CONV2D_BIAS.of(grad)
    if wants["input"]:
        found["input"] = ops.CONV2D.of(grad, given["weight"].conj(), **geometry)[..., :P, :Q]
    if wants["weight"]:
        x = F.pad(given["input"], (0, columns, 0, rows)) if rows or columns else given["input"]
        dw = ops.CONV2D_WEIGHT.of(grad, x, weight_size=given.shapes["weight"], **geometry)
        found["weight"] = dw.conj()
    return found


def _windows_behind(given: Given) -> tuple[int, int]:
    """How many more windows than its input a transposed convolution's output has, along each axis."""
    parameters = ops.CONV_TRANSPOSE2D.read(given.arguments)
    more = as_pair(parameters["output_padding"], "output_padding", least=0)
    stride = as_pair(parameters["stride"], "stride", least=1)
    return more[0] // stride[0], more[1] // stride[1]


def _input_gradient(given: Given, grad: Tensor) -> Gradients:
    geometry, found = given.some(GEOMETRY), {}
    if given.wants["grad_output"]:
        found["grad_output"] = ops.CONV2D.of(grad, given["weight"], **geometry)
    if given.wants["weight"]:
        found["weight"] = ops.CONV2D_WEIGHT.of(
            grad, given["grad_output"], weight_size=given.shapes["weight"], **geometry
        )
    return found


def _weight_gradient(given: Given, grad: Tensor) -> Gradients:
    geometry, found = given.some(GEOMETRY), {}
    if given.wants["grad_output"]:
        found["grad_output"] = ops.CONV2D.of(given["input"], grad, **geometry)
    if given.wants["input"]:
        found["input"] = ops.CONV2D_INPUT.of(
            given["grad_output"], grad, input_size=given.shapes["input"], **geometry
        )
    return found


def _bias_gradient(given: Given, grad: Tensor) -> Gradients:
    return {"grad_output": grad[:, None, None].expand(given.shapes["grad_output"])}


def _refuse_deformed(wants: dict[str, bool], given: dict[str, Any]) -> tuple[str, ...]:
    wanted = ", ".join(name for name, is_wanted in wants.items() if is_wanted)
    raise TypeError(f"deform_conv2d has no gradient yet, and {wanted} requires one: pass a detached tensor")


differentiate(ops.CONV2D, _conv2d, _keeps_factors("input", "weight"))
differentiate(ops.CONV_TRANSPOSE2D, _transposed, _keeps_factors("input", "weight"))
differentiate(ops.CONV2D_INPUT, _input_gradient, _keeps_factors("grad_output", "weight"))
differentiate(ops.CONV2D_WEIGHT, _weight_gradient, _keeps_factors("input", "grad_output"))
differentiate(ops.CONV2D_BIAS, _bias_gradient)
differentiate(ops.DEFORM_CONV2D, lambda given, grad: {}, _refuse_deformed)
