"""gpuconv's functions for tensors of torch: differentiable, and known to its compiler and its transforms.

Each takes what its namesake in `gpuconv` takes, but `out`, and gives the same values. They are operators of
torch in the namespace `gpuconv`, so that `torch.compile` and `torch.export` keep them in their graphs, of
sizes that are not known yet, too.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gpuconv.arrays import Padding, Sides
from gpuconv.spec.parameters import as_flag
from gpuconv.torch import operators as ops

Size = int | Sequence[int | None] | None


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sides = 1,
    padding: Padding = 0,
    dilation: Sides = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    activation: str | tuple[str, float] | None = None,
    residual: Tensor | None = None,
    precision: str | None = None,
    algorithm: str | None = None,
) -> Tensor:
    """`gpuconv.conv2d`, with gradients by its tensors; in `torch.autocast` of its dtype.

    A second derivative is one of convolutions again. The gradient by what goes into an activation computes
    the convolution once more.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> x = torch.arange(4.0).reshape(1, 1, 1, 4)
    >>> w = torch.ones(1, 1, 1, 2, requires_grad=True)
    >>> gpuconv.torch.conv2d(x, w).sum().backward()
    >>> w.grad
    tensor([[[[3., 6.]]]])
    """
    parameters = stride, padding, dilation, groups, padding_mode, activation, precision, algorithm
    return ops.CONV2D((input, weight, bias, residual), parameters)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sides = 1,
    padding: Padding = 0,
    output_padding: Sides = 0,
    groups: int = 1,
    dilation: Sides = 1,
    *,
    output_size: Sides | None = None,
    activation: str | tuple[str, float] | None = None,
    residual: Tensor | None = None,
    precision: str | None = None,
    algorithm: str | None = None,
) -> Tensor:
    """`gpuconv.conv_transpose2d`, with gradients by its tensors; in `torch.autocast` of its dtype.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> x = torch.tensor([[[[1.0, 10.0]]]], requires_grad=True)
    >>> y = gpuconv.torch.conv_transpose2d(x, torch.tensor([[[[1.0, 2.0, 3.0]]]]), stride=2)
    >>> y.sum().backward()
    >>> x.grad
    tensor([[[[6., 6.]]]])
    """
    parameters = (
        stride, padding, output_padding, groups, dilation, activation, precision, output_size, algorithm,
    )  # fmt: skip
    return ops.CONV_TRANSPOSE2D((input, weight, bias, residual), parameters)


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sides = 1,
    padding: Padding = 0,
    dilation: Sides = 1,
    mask: Tensor | None = None,
    *,
    algorithm: str | None = None,
) -> Tensor:
    """`gpuconv.deform_conv2d`, which has no gradient yet: TypeError for a tensor that requires one.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> gpuconv.torch.deform_conv2d(torch.ones(1, 1, 1, 3), torch.zeros(1, 2, 1, 3), torch.ones(1, 1, 1, 1))
    tensor([[[[1., 1., 1.]]]])
    """
    return ops.DEFORM_CONV2D((input, offset, weight, bias, mask), (stride, padding, dilation, algorithm))


def _is_differentiated(input: Any) -> bool:
    """Whether a gradient is likely to be asked for, so that indices had better be kept."""
    return torch.is_grad_enabled() and isinstance(input, Tensor) and input.requires_grad


def max_pool2d(
    input: Tensor,
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Padding = 0,
    dilation: Sides = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    algorithm: str | None = None,
) -> Any:
    """`gpuconv.max_pool2d`, with the gradient by its input.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> x = torch.tensor([[[[1.0, 5.0, 4.0, 2.0]]]], requires_grad=True)
    >>> gpuconv.torch.max_pool2d(x, (1, 2), stride=1).sum().backward()
    >>> x.grad
    tensor([[[[0., 2., 1., 0.]]]])
    """
    parameters = kernel_size, stride, padding, dilation, ceil_mode, algorithm
    return _maxima(ops.MAX_POOL2D, ops.MAX_POOL2D_WITH_INDICES, input, parameters, return_indices)


def _maxima(
    values: Any, with_indices: Any, input: Tensor, parameters: tuple[Any, ...], return_indices: Any
) -> Any:
    as_flag(return_indices, "return_indices")
    if return_indices:
        return with_indices((input,), parameters)
    if _is_differentiated(input):
        return with_indices((input,), parameters)[0]
    return values((input,), parameters)


def min_pool2d(
    input: Tensor,
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Padding = 0,
    dilation: Sides = 1,
    ceil_mode: bool = False,
    *,
    algorithm: str | None = None,
) -> Tensor:
    """`gpuconv.min_pool2d`, with the gradient by its input, to the first among equals.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> x = torch.tensor([[[[1.0, 5.0, 4.0, 2.0]]]], requires_grad=True)
    >>> gpuconv.torch.min_pool2d(x, (1, 2)).sum().backward()
    >>> x.grad
    tensor([[[[1., 0., 0., 1.]]]])
    """
    return ops.MIN_POOL2D((input,), (kernel_size, stride, padding, dilation, ceil_mode, algorithm))


def avg_pool2d(
    input: Tensor,
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    algorithm: str | None = None,
) -> Tensor:
    """`gpuconv.avg_pool2d`, with the gradient by its input.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> x = torch.zeros(1, 1, 1, 3, requires_grad=True)
    >>> gpuconv.torch.avg_pool2d(x, (1, 2), stride=1).sum().backward()
    >>> x.grad
    tensor([[[[0.5000, 1.0000, 0.5000]]]])
    """
    parameters = (
        kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, algorithm,
    )  # fmt: skip
    return ops.AVG_POOL2D((input,), parameters)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Sides,
    stride: Sides | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """`gpuconv.lp_pool2d`, with the gradient by its input; that of an infinite norm goes to one magnitude.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> x = torch.tensor([[[[3.0, 4.0]]]], requires_grad=True)
    >>> gpuconv.torch.lp_pool2d(x, 2, (1, 2)).backward()
    >>> x.grad
    tensor([[[[0.6000, 0.8000]]]])
    """
    return ops.LP_POOL2D((input,), (norm_type, kernel_size, stride, ceil_mode, None))


def adaptive_avg_pool2d(input: Tensor, output_size: Size) -> Tensor:
    """`gpuconv.adaptive_avg_pool2d`, with the gradient by its input.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> x = torch.zeros(1, 1, 1, 3, requires_grad=True)
    >>> gpuconv.torch.adaptive_avg_pool2d(x, (None, 2)).sum().backward()
    >>> x.grad
    tensor([[[[0.5000, 1.0000, 0.5000]]]])
    """
    return ops.ADAPTIVE_AVG_POOL2D((input,), (_whole(output_size, input), None))


def adaptive_max_pool2d(input: Tensor, output_size: Size, return_indices: bool = False) -> Any:
    """`gpuconv.adaptive_max_pool2d`, with the gradient by its input.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> x = torch.tensor([[[[2.0, 4.0, 1.0]]]], requires_grad=True)
    >>> gpuconv.torch.adaptive_max_pool2d(x, (None, 2)).sum().backward()
    >>> x.grad
    tensor([[[[0., 2., 0.]]]])
    """
    parameters = _whole(output_size, input), None
    return _maxima(
        ops.ADAPTIVE_MAX_POOL2D, ops.ADAPTIVE_MAX_POOL2D_WITH_INDICES, input, parameters, return_indices
    )


def _whole(output_size: Any, input: Any) -> Any:
    """The size of an adaptive pool's output, with that of the image for each None."""
    keeps = isinstance(output_size, list | tuple) and len(output_size) == 2 and None in output_size
    if not keeps or not isinstance(input, ops.TENSORS) or (isinstance(input, Tensor) and input.dim() < 2):
        return output_size
    shape: Any = input.shape
    own = shape[-2], shape[-1]  # of a proxy a slice has no length
    return tuple(size if each is None else each for each, size in zip(output_size, own, strict=True))


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Sides = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """`gpuconv.max_unpool2d`, with the gradient by its input: what lies at its indices, as in PyTorch.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> values, places = gpuconv.torch.max_pool2d(torch.tensor([[[1.0, 5.0]]]), (1, 2), return_indices=True)
    >>> gpuconv.torch.max_unpool2d(values, places, (1, 2))
    tensor([[[0., 5.]]])
    """
    return ops.MAX_UNPOOL2D((input, indices), (kernel_size, stride, padding, output_size, None))


def unfold(
    input: Tensor, kernel_size: Sides, dilation: Sides = 1, padding: Padding = 0, stride: Sides = 1
) -> Tensor:
    """`gpuconv.unfold`, with the gradient by its input, which is `fold`.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> x = torch.zeros(1, 1, 2, 3, requires_grad=True)
    >>> gpuconv.torch.unfold(x, 2).sum().backward()
    >>> x.grad
    tensor([[[[1., 2., 1.],
              [1., 2., 1.]]]])
    """
    return ops.UNFOLD((input,), (kernel_size, dilation, padding, stride, None))


def fold(
    input: Tensor,
    output_size: Sides,
    kernel_size: Sides,
    dilation: Sides = 1,
    padding: Padding = 0,
    stride: Sides = 1,
) -> Tensor:
    """`gpuconv.fold`, with the gradient by its input, which is `unfold`.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> gpuconv.torch.fold(torch.ones(1, 4, 2), (2, 3), 2)
    tensor([[[[1., 2., 1.],
              [1., 2., 1.]]]])
    """
    return ops.FOLD((input,), (output_size, kernel_size, dilation, padding, stride, None))
