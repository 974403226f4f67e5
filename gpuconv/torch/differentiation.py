"""How gradients are registered: with autograd, by the operators, and with `torch.func`, by functions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from gpuconv.torch.batching import batching
from gpuconv.torch.operators import LIBRARY, TorchOperator

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Given:
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

    `keeps` are the names of the tensors that are needed, or what says them by the gradients that are wanted
    and by the arguments; `results` the places of the results that are needed, too. Autograd finds them by the
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
