"""gpuconv's convolutions and pools for arrays of JAX, traced or not: with gradients, in `jit` and `vmap`.

Each takes what its namesake in `gpuconv` takes, but what forces an algorithm, finishes a convolution or
receives a result, and gives the same values. They run on the CPU.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from gpuconv.arrays import Padding, Sides
from gpuconv.jax.operators import apply
from gpuconv.spec.padding_mode import check_padding_mode
from gpuconv.spec.parameters import as_pads, as_pair

Size = int | Sequence[int | None] | None
MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # as NumPy and JAX call them


def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sides = 1,
    padding: Padding = 0,
    dilation: Sides = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    precision: str | None = None,
) -> Array:
    """`gpuconv.conv2d`, with gradients by its arrays; a `padding_mode` but zeros makes a padded copy.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, gpuconv.jax
    >>> x, w = jnp.arange(4.0).reshape(1, 1, 1, 4), jnp.ones((1, 1, 1, 2))
    >>> jax.jit(jax.grad(lambda w: gpuconv.jax.conv2d(x, w).sum()))(w)
    Array([[[[3., 6.]]]], dtype=float32)
    """
    if padding_mode != "zeros":
        input, padding = _padded(input, weight, stride, padding, dilation, padding_mode), 0
    return apply(
        "conv2d", (input, weight, bias, None), stride=stride, padding=padding, dilation=dilation,
        groups=groups, precision=precision,
    )  # fmt: skip


def _padded(input: Any, weight: Any, stride: Any, padding: Any, dilation: Any, mode: Any) -> Any:
    """The images with what they continue with beyond their borders."""
    size, window = input.shape[-2:], weight.shape[-2:]
    stride, dilation = as_pair(stride, "stride", least=1), as_pair(dilation, "dilation", least=1)
    pads = as_pads(padding, size, window, stride, dilation)
    check_padding_mode(mode, pads, size)
    return jnp.pad(input, [(0, 0)] * (input.ndim - 2) + [*pads], MODES[mode])


def conv_transpose2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sides = 1,
    padding: Padding = 0,
    output_padding: Sides = 0,
    groups: int = 1,
    dilation: Sides = 1,
    *,
    output_size: Sides | None = None,
    precision: str | None = None,
) -> Array:
    """`gpuconv.conv_transpose2d`, with gradients by its arrays.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, gpuconv.jax
    >>> x, w = jnp.array([[[[1.0, 10.0]]]]), jnp.array([[[[1.0, 2.0, 3.0]]]])
    >>> jax.grad(lambda x: gpuconv.jax.conv_transpose2d(x, w, stride=2).sum())(x)
    Array([[[[6., 6.]]]], dtype=float32)
    """
    return apply(
        "conv_transpose2d", (input, weight, bias, None), stride=stride, padding=padding,
        output_padding=output_padding, groups=groups, dilation=dilation, output_size=output_size,
        precision=precision,
    )  # fmt: skip


def max_pool2d(
    input: Array,
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Padding = 0,
    dilation: Sides = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """`gpuconv.max_pool2d`, with the gradient by its input; indices are int32 unless JAX has 64 bits.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, gpuconv.jax
    >>> x = jnp.array([[[[1.0, 5.0, 4.0, 2.0]]]])
    >>> jax.grad(lambda x: gpuconv.jax.max_pool2d(x, (1, 2), stride=1).sum())(x)
    Array([[[[0., 2., 1., 0.]]]], dtype=float32)
    """
    return apply(
        "max_pool2d", (input,), kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation,
        ceil_mode=ceil_mode, return_indices=return_indices,
    )  # fmt: skip


def min_pool2d(
    input: Array,
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Padding = 0,
    dilation: Sides = 1,
    ceil_mode: bool = False,
) -> Array:
    """`gpuconv.min_pool2d`, with the gradient by its input, to the first among equals.

    Examples
    --------
    >>> import jax.numpy as jnp, gpuconv.jax
    >>> gpuconv.jax.min_pool2d(jnp.array([[[[1.0, 5.0, 4.0, 2.0]]]]), (1, 2))
    Array([[[[1., 2.]]]], dtype=float32)
    """
    return apply(
        "min_pool2d", (input,), kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation,
        ceil_mode=ceil_mode,
    )  # fmt: skip


def avg_pool2d(
    input: Array,
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """`gpuconv.avg_pool2d`, with the gradient by its input.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, gpuconv.jax
    >>> jax.grad(lambda x: gpuconv.jax.avg_pool2d(x, (1, 2), stride=1).sum())(jnp.zeros((1, 1, 1, 3)))
    Array([[[[0.5, 1. , 0.5]]]], dtype=float32)
    """
    return apply(
        "avg_pool2d", (input,), kernel_size=kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode,
        count_include_pad=count_include_pad, divisor_override=divisor_override,
    )  # fmt: skip


def lp_pool2d(
    input: Array, norm_type: float, kernel_size: Sides, stride: Sides | None = None, ceil_mode: bool = False
) -> Array:
    """`gpuconv.lp_pool2d`, with the gradient by its input; that of an infinite norm goes to one magnitude.

    Examples
    --------
    >>> import jax.numpy as jnp, gpuconv.jax
    >>> gpuconv.jax.lp_pool2d(jnp.array([[[[3.0, 4.0]]]]), 2, (1, 2))
    Array([[[[5.]]]], dtype=float32)
    """
    return apply(
        "lp_pool2d",
        (input,),
        norm_type=norm_type,
        kernel_size=kernel_size,
        stride=stride,
        ceil_mode=ceil_mode,
    )


def adaptive_avg_pool2d(input: Array, output_size: Size) -> Array:
    """`gpuconv.adaptive_avg_pool2d`, with the gradient by its input.

    Examples
    --------
    >>> import jax.numpy as jnp, gpuconv.jax
    >>> gpuconv.jax.adaptive_avg_pool2d(jnp.array([[[[2.0, 4.0, 6.0]]]]), (1, 2))
    Array([[[[3., 5.]]]], dtype=float32)
    """
    return apply("adaptive_avg_pool2d", (input,), output_size=output_size)


def adaptive_max_pool2d(input: Array, output_size: Size, return_indices: bool = False) -> Any:
    """`gpuconv.adaptive_max_pool2d`, with the gradient by its input; indices as of `max_pool2d`.

    Examples
    --------
    >>> import jax.numpy as jnp, gpuconv.jax
    >>> gpuconv.jax.adaptive_max_pool2d(jnp.array([[[[2.0, 4.0, 1.0]]]]), (1, 2))
    Array([[[[4., 4.]]]], dtype=float32)
    """
    return apply("adaptive_max_pool2d", (input,), output_size=output_size, return_indices=return_indices)
