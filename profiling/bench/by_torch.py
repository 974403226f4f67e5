"""What PyTorch computes a problem by: of float32 as a peer, of float64 as the reference."""

from collections.abc import Callable
from typing import Any

from gpuconv.spec import (
    BIAS_GRADIENT,
    INPUT_GRADIENT,
    WEIGHT_GRADIENT,
    ConvSpec,
    MeanGradientSpec,
    PatchesSpec,
    ScatterSpec,
    Spec,
)
from gpuconv.spec.pool import EXTREMES
from gpuconv.spec.windows import ADAPTIVE
from profiling.workloads.operands import padding_of_transposed

Function = Callable[..., Any]


def function(spec: Spec) -> Function | None:
    """A function of tensors in the order of `operands`, of any number of images; None where there is none.

    PyTorch pads both sides alike.
    """
    if isinstance(spec, ConvSpec):
        return _convolution(spec)
    if any(before != after for before, after in spec.pads):
        return None
    pads = [before for before, _ in spec.pads]
    if isinstance(spec, PatchesSpec):
        return _patches(spec, pads)
    if isinstance(spec, ScatterSpec):
        return _scatter(spec, pads)
    return _pool(spec, pads)


def adds_up_images(spec: Spec) -> bool:
    """The result has no axis of images."""
    return isinstance(spec, ConvSpec) and spec.direction in (WEIGHT_GRADIENT, BIAS_GRADIENT)


def has_weight(spec: Spec) -> bool:
    """The second array has no axis of images."""
    return isinstance(spec, ConvSpec) and spec.direction in ("forward", INPUT_GRADIENT)


def _convolution(spec: ConvSpec) -> Function | None:
    import torch
    from torch.nn import functional

    if spec.direction == BIAS_GRADIENT:
        return lambda dy: dy.sum((0, 2, 3))
    if spec.direction == INPUT_GRADIENT:
        pads, more = padding_of_transposed(spec)
        if any(
            not 0 <= each < max(steps) for each, *steps in zip(more, spec.stride, spec.dilation, strict=True)
        ):
            return None
        transposed = spec.stride, pads, more, spec.groups, spec.dilation
        return lambda x, w: functional.conv_transpose2d(x, w, None, *transposed)
    if any(before != after for before, after in spec.pads):
        return None
    given = spec.stride, [before for before, _ in spec.pads], spec.dilation, spec.groups
    if spec.direction == WEIGHT_GRADIENT:
        return lambda x, dy: torch.nn.grad.conv2d_weight(x, spec.weight_shape, dy, *given)
    return lambda x, w: functional.conv2d(x, w, None, *given)


def _patches(spec: PatchesSpec, pads: list[int]) -> Function:
    from torch.nn import functional

    geometry = (spec.R, spec.S), spec.dilation, pads, spec.stride
    if spec.direction == "unfold":
        return lambda x: functional.unfold(x, *geometry)
    return lambda x: functional.fold(x, (spec.H, spec.W), *geometry)


def _scatter(spec: ScatterSpec, pads: list[int]) -> Function:
    import torch
    from torch.nn import functional

    if spec.combine == "last":
        window = spec.H // spec.P, spec.W // spec.Q
        return lambda x, indices: functional.max_unpool2d(x, indices, window)
    pool = (spec.R, spec.S), spec.stride, pads, spec.dilation, False
    back = torch.ops.aten.max_pool2d_with_indices_backward
    return lambda dy, indices: back(dy, _image(dy, spec), *pool, indices)


def _pool(spec: Any, pads: list[int]) -> Function:
    import torch
    from torch.nn import functional

    window = spec.R, spec.S
    if isinstance(spec, MeanGradientSpec):
        pool = window, spec.stride, pads, False, spec.count_include_pad, spec.divisor_override
        return lambda dy: torch.ops.aten.avg_pool2d_backward(dy, _image(dy, spec), *pool)
    if spec.windows == ADAPTIVE:
        name = f"adaptive_{'max' if spec.reduction == 'max' else 'avg'}_pool2d"
        return lambda x: getattr(functional, name)(x, spec.output_size)
    if spec.reduction == "norm":
        return lambda x: functional.lp_pool2d(x, spec.norm, window, spec.stride, spec.ceil_mode)
    if spec.reduction in EXTREMES:
        given = window, spec.stride, pads, spec.dilation, spec.ceil_mode
        if spec.reduction == "min":
            return lambda x: -functional.max_pool2d(-x, *given)
        if spec.return_indices:
            return lambda x: functional.max_pool2d(x, *given, return_indices=True)[0]
        return lambda x: functional.max_pool2d(x, *given)
    averaged = spec.ceil_mode, spec.count_include_pad, spec.divisor_override
    return lambda x: functional.avg_pool2d(x, window, spec.stride, pads, *averaged)


def _image(dy: Any, spec: Any) -> Any:
    """An image of the pool, of which its gradient looks at the extents alone."""
    return dy.new_empty(()).expand(dy.shape[0], spec.C, spec.H, spec.W)
