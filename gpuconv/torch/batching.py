"""What `torch.vmap` knows of the operators: B calls as one.

Where images alone are many, they are images of one call; where kernels are, each has groups of channels of
its own:

    (B, N, C, H, W) -> (B N, C, H, W)
    (B, N, C, H, W) -> (N, B C, H, W),  (B, K, C / groups, R, S) -> (B K, C / groups, R, S)
"""

from collections.abc import Callable
from typing import Any

import torch

from gpuconv.torch.operators import (
    CONV2D,
    CONV2D_BIAS,
    CONV2D_INPUT,
    CONV2D_WEIGHT,
    CONV_TRANSPOSE2D,
    DEFORM_CONV2D,
    TorchOperator,
)

Tensor = torch.Tensor
IMAGES = "input", "grad_output", "residual"  # of convolutions
SIZES = "input_size", "output_size"  # that may have the axis of images


def batching(operator: TorchOperator) -> Callable[..., Any]:
    """The rule of an operator, as `torch.library.register_vmap` takes it."""
    rule = {
        CONV2D.name: _by_kernels_or_images,
        CONV_TRANSPOSE2D.name: _by_kernels_or_images,
        CONV2D_INPUT.name: _by_kernels_or_images,
        CONV2D_WEIGHT.name: _by_groups,
        CONV2D_BIAS.name: _by_groups,
        DEFORM_CONV2D.name: _one_by_one,
    }.get(operator.name, _by_images)

    def call(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> Any:
        given = operator.named(arguments)
        dims = dict(zip(operator.arrays, in_dims, strict=False))
        results = rule(operator, info.batch_size, dims, given)
        return results, (0,) * len(results) if isinstance(results, tuple) else 0

    return call


def _first(array: Tensor, dim: int | None, B: int) -> Tensor:
    """With the axis of calls first, and repeated along it if it has none."""
    return array.expand(B, *array.shape) if dim is None else array.movedim(dim, 0)


def _by_images(operator: TorchOperator, B: int, dims: dict[str, Any], given: dict[str, Any]) -> Any:
    """Every tensor is of images, of one number of them; but bias and weight, which are not many."""
    of_images = [
        name for name in operator.arrays if given[name] is not None and name not in ("weight", "bias")
    ]
    arrays = {name: _first(given[name], dims[name], B) for name in of_images}
    first = arrays[of_images[0]]
    is_batch = first.dim() - 1 == operator.operator.axes
    N = first.shape[1]
    merged = {name: array.flatten(0, 1) if is_batch else array for name, array in arrays.items()}
    sizes = {
        name: [B * N if is_batch else B, *size[-3:]] if name == "input_size" else size[-2:]
        for name in SIZES
        if (size := given.get(name)) is not None
    }
    results = operator.of(**{**given, **merged, **sizes})
    if not is_batch:
        return results
    if isinstance(results, tuple):
        return tuple(each.unflatten(0, (B, N)) for each in results)
    return results.unflatten(0, (B, N))


def _by_kernels_or_images(
    operator: TorchOperator, B: int, dims: dict[str, Any], given: dict[str, Any]
) -> Any:
    are_shared = all(dims.get(name) is None for name in ("weight", "bias"))
    return (_by_images if are_shared else _by_groups)(operator, B, dims, given)


def _by_groups(operator: TorchOperator, B: int, dims: dict[str, Any], given: dict[str, Any]) -> Any:
    """Each call has groups of channels of its own, of images, kernels and biases."""
    merged: dict[str, Any] = {}
    for name in operator.arrays:
        if given[name] is not None:
            array = _first(given[name], dims[name], B)
            channels = array.dim() - 4 if name in IMAGES else 0  # where they are in each call
            merged[name] = array.movedim(0, channels).flatten(channels, channels + 1)
    if "groups" in given:
        merged["groups"] = given["groups"] * B
    for name, axis in (("input_size", -3), ("weight_size", 0)):
        if name in given:
            size = list(given[name])
            size[axis] = size[axis] * B
            merged[name] = size
    result = operator.of(**{**given, **merged})
    channels = result.dim() - 3 if operator not in (CONV2D_WEIGHT, CONV2D_BIAS) else 0
    return result.unflatten(channels, (B, result.shape[channels] // B)).movedim(channels, 0)


def _one_by_one(operator: TorchOperator, B: int, dims: dict[str, Any], given: dict[str, Any]) -> Any:
    calls = (
        {
            **given,
            **{name: given[name].select(dim, call) for name, dim in dims.items() if dim is not None},
        }
        for call in range(B)
    )
    return torch.stack([operator.of(**each) for each in calls])
