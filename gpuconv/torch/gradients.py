"""What autograd knows of the operators: the gradients of each, composed of operators and so differentiable again.

A convolution y = x * w is linear in both, and so are its gradients: of an upstream gradient g

    dx = input(w, g), dw = weight(x, g)             of conv2d(x, w)
    dw = weight(h, g), dg = conv2d(h, w)            of input(w, g), by h
    dx = input(h, g), dg = conv2d(x, h)             of weight(x, g), by h

where of complex numbers `input` conjugates w, and `weight` x (`gpuconv.grad`). An average pool and `unfold` are
linear, with the gradients as adjoints; a maximum is a choice of places, `gather`, with the same.
"""

from collections.abc import Callable
from math import isinf
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from gpuconv.spec.epilogue import as_epilogue
from gpuconv.spec.parameters import as_pads, as_pair
from gpuconv.torch import operators as ops
from gpuconv.torch.batching import batching
from gpuconv.torch.operators import LIBRARY, TorchOperator

Tensor = torch.Tensor
GEOMETRY = "stride", "padding", "padding_name", "dilation", "groups"
WINDOWS = "kernel_size", "stride", "padding", "padding_name", "dilation", "ceil_mode"
PATCHES = "kernel_size", "dilation", "padding", "padding_name", "stride"
MEANS = (
    "kernel_size", "stride", "padding", "padding_name", "ceil_mode", "count_include_pad", "divisor_override",
)  # fmt: skip


class Given(NamedTuple):
    """What a backward pass knows of the call.

    Attributes
    ----------
    arguments : dict
        Of the operator of torch, by name; of tensors, those that the formula keeps.
    shapes : dict
        Of its tensors.
    wants : dict
        Whether the gradient by an argument is asked for.
    results : tuple of Tensor
        If the formula keeps them.
    """

    arguments: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    wants: dict[str, bool]
    results: tuple[Any, ...]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def some(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: self.arguments[name] for name in names}


Gradients = dict[str, Any]  # by the arguments that they are of
Keeps = Callable[[dict[str, bool], dict[str, Any]], tuple[str, ...]]


def differentiate(
    operator: TorchOperator,
    backward: Callable[[Given, Tensor], Gradients],
    keeps: Keeps | tuple[str, ...] = (),
    results: tuple[int, ...] = (),
) -> None:
    """Register the gradients of an operator.

    `keeps` are the names of the tensors that are needed, or what says them by the gradients that are wanted and
    by the arguments; `results` the places of the results that are needed, too. Autograd finds them by the
    operator, transforms of `torch.func` by a function (`TorchOperator.run`).
    """

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        given = operator.named(inputs)
        wants = dict(zip(operator.arguments, ctx.needs_input_grad, strict=False))
        outputs = output if isinstance(output, tuple) else (output,)
        ctx.kept = keeps(wants, given) if callable(keeps) else keeps
        ctx.mark_non_differentiable(*outputs[1:])
        ctx.save_for_backward(*[given[name] for name in ctx.kept], *[outputs[place] for place in results])
        ctx.shapes = {name: tuple(given[name].shape) for name in operator.arrays if given[name] is not None}
        ctx.others = {name: given[name] for name in operator.arguments[len(operator.arrays) :]}

    def gradients(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        saved, kept = ctx.saved_tensors, ctx.kept
        arguments = {**ctx.others, **dict(zip(kept, saved, strict=False))}
        wants = dict(zip(operator.arguments, ctx.needs_input_grad, strict=False))
        found = backward(Given(arguments, ctx.shapes, wants, saved[len(kept) :]), grads[0])
        return tuple(found.get(name) if wants[name] else None for name in operator.arguments)

    torch.library.register_autograd(f"gpuconv::{operator.name}", gradients, setup_context=setup, lib=LIBRARY)
    torch.library.register_vmap(f"gpuconv::{operator.name}", batching(operator), lib=LIBRARY)
    operator.function = type(
        operator.name,
        (torch.autograd.Function,),
        {
            "forward": staticmethod(operator.overload),
            "setup_context": staticmethod(setup),
            "backward": staticmethod(gradients),
            "vmap": staticmethod(batching(operator)),
        },
    )


# Convolutions


def _keeps_factors(one: str, other: str) -> Keeps:
    """Of a product, a factor where the gradient by the other is wanted; all for an activation."""

    def keeps(wants: dict[str, bool], given: dict[str, Any]) -> tuple[str, ...]:
        if given.get("activation") is not None:
            return tuple(name for name in ("input", "weight", "bias", "residual") if given[name] is not None)
        return tuple(
            name for name, by in ((one, other), (other, one)) if wants[by]
        )

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


# Maxima and minima: choices of places


def _chosen(values: Tensor, indices: Tensor) -> Tensor:
    """Of each plane the values at its indices, and 0 where there is no place: the adjoint of putting them there."""
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


# Means and norms


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
        found["input"] = count * (n - 1) * grad * x.pow(n - 2) * shares
    return found


differentiate(ops.AVG_POOL2D, _mean)
differentiate(ops.AVG_POOL2D_GRADIENT, _mean_gradient)
differentiate(ops.ADAPTIVE_AVG_POOL2D, _adaptive_mean)
differentiate(ops.ADAPTIVE_AVG_POOL2D_GRADIENT, _adaptive_mean_gradient)
differentiate(ops.LP_POOL2D, _norm, ("input",), results=(0,))
differentiate(ops.LP_POOL2D_GRADIENT, _norm_gradient, ("grad_output", "input", "output"))


# Windows as columns


def _unfold(given: Given, grad: Tensor) -> Gradients:
    size = given.shapes["input"][-2:]
    return {"input": ops.FOLD.of(grad, output_size=size, **given.some(PATCHES))}


def _fold(given: Given, grad: Tensor) -> Gradients:
    return {"input": ops.UNFOLD.of(grad, **given.some(PATCHES))}


differentiate(ops.UNFOLD, _unfold)
differentiate(ops.FOLD, _fold)
