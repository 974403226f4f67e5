"""The gradient of an average pool by its input: every check of its arguments, and what covers what."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from gpuconv.spec.axis import Axis
from gpuconv.spec.checks import (
    batched_shape,
    calling_input,
    check_pool_pads,
    checked_dtype,
    image_size,
    same_dtype,
)
from gpuconv.spec.dtypes import FLOAT32, POOLED, Dtype
from gpuconv.spec.images import ImagesSpec
from gpuconv.spec.parameters import BOUND, Pads, Pair, as_flag, as_integer, as_pads, as_pair, is_symbol
from gpuconv.spec.pool import PoolSpec, as_norm, is_left_out
from gpuconv.spec.scatter import NO_PADS, check_result
from gpuconv.spec.shown import shown
from gpuconv.spec.windows import ADAPTIVE, REGULAR, alike


@dataclass(frozen=True, slots=True)
class MeanGradientSpec(ImagesSpec):
    """Gradients (N, C, P, Q) by means of windows, handed on in equal shares to the places of each window.

    The windows are "regular", of R x S places every stride, or "adaptive": the p-th of P has the rows from
    floor(p H / P) to before ceil((p + 1) H / P), and likewise the columns. With a `norm` it is the gradient
    by norms, of which the image and its norms are known.

    Examples
    --------
    >>> spec = MeanGradientSpec("regular", N=1, C=64, H=112, W=112, P=56, Q=56, R=2, S=2, stride=(2, 2))
    >>> spec.out_shape
    (1, 64, 112, 112)
    """

    windows: str
    N: int
    C: int
    H: int
    W: int
    P: int
    Q: int
    R: int = 1
    S: int = 1
    pads: Pads = NO_PADS
    stride: Pair = (1, 1)
    count_include_pad: bool = True
    divisor_override: int | None = None
    dtype: Dtype = FLOAT32
    norm: float | None = None

    # what every algorithm looks at by itself; all else must be in what it takes (`Algorithm.takes`)
    GEOMETRY: ClassVar[Collection[str]] = (
        "N", "C", "H", "W", "P", "Q", "R", "S", "pads", "stride", "count_include_pad", "divisor_override",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", Dtype(self.dtype))

    def __hash__(self) -> int:
        """Of numbers alone, so that a set of specs has one order in every process."""
        return hash((self.N, self.C, self.H, self.W, self.P, self.Q, self.R, self.S, self.pads, self.stride))

    @property
    def in_shape(self) -> tuple[int, int, int, int]:
        """(N, C, P, Q)."""
        return self.N, self.C, self.P, self.Q

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return self.N, self.C, self.H, self.W

    @property
    def min_bytes(self) -> int:
        """Bytes that must move at least: input and output once each."""
        return self.itemsize * (math.prod(self.in_shape) + math.prod(self.out_shape))


def axes_of_windows(spec: MeanGradientSpec) -> tuple[Axis, Axis]:
    """The rows and the columns, with the windows along them if they are regular."""
    rows, columns = map(Axis, (spec.H, spec.W), (spec.R, spec.S), spec.pads, spec.stride)
    return rows, columns


def covering(axis: Axis, outputs: int, is_adaptive: bool) -> tuple[np.ndarray, np.ndarray]:
    """Of each place of the axis, the first window that covers it, and the first behind it that does not.

    Where there is none the two are equal. Both grow along the axis.

    Examples
    --------
    >>> first, last = covering(Axis(5, taps=3, pads=(1, 1), stride=2), 3, False)
    >>> first.tolist(), last.tolist()
    ([0, 0, 1, 1, 2], [1, 2, 2, 3, 3])
    """
    place = np.arange(axis.size)
    if is_adaptive:
        return place * outputs // max(axis.size, 1), -(-(place + 1) * outputs // max(axis.size, 1))
    place = place + axis.pads[0]
    first = np.clip(-((axis.taps - 1 - place) // axis.stride), 0, outputs)
    last = np.clip(place // axis.stride + 1, 0, outputs)
    return first, np.maximum(first, last)


def of_mean_gradient(
    grad_output: Any, input_size: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: Any = False, count_include_pad: Any = True, divisor_override: Any = None,
    called: str = "input_size",
) -> MeanGradientSpec:  # fmt: skip
    """Check the arguments of `gpuconv.grad.avg_pool2d`.

    Raises
    ------
    TypeError, ValueError
        Naming the wrong one.
    """
    dtype = checked_dtype(grad_output, POOLED, "grad_output")
    batch = batched_shape(grad_output, "grad_output")
    N, C, H, W = image_size(input_size, grad_output)
    R, S = as_pair(kernel_size, "kernel_size", least=1)
    stride = (R, S) if is_left_out(stride) else as_pair(stride, "stride", least=1)
    pads = as_pads(padding, (H, W), (R, S), stride, (1, 1))
    check_pool_pads(pads, padding, (R, S))
    if divisor_override is not None:
        divisor_override = as_integer(divisor_override, "divisor_override", least=1 - BOUND)
        if divisor_override == 0:
            raise ValueError("divisor_override must not be 0")
    counts = as_flag(count_include_pad, "count_include_pad")
    ceil_mode = as_flag(ceil_mode, "ceil_mode")
    with calling_input(called):
        pool = PoolSpec("mean", N, C, H, W, R, S, pads, stride, ceil_mode=ceil_mode)
    check_result(grad_output, batch, pool.out_shape)
    return MeanGradientSpec(
        "regular", N, C, H, W, pool.P, pool.Q, R, S, pads, stride, counts, divisor_override, dtype
    )


def of_adaptive_mean_gradient(grad_output: Any, input_size: Any) -> MeanGradientSpec:
    """Check the arguments of `gpuconv.grad.adaptive_avg_pool2d`.

    Raises
    ------
    TypeError, ValueError
        Naming the wrong one.
    """
    dtype = checked_dtype(grad_output, POOLED, "grad_output")
    batch = batched_shape(grad_output, "grad_output")
    N, C, H, W = image_size(input_size, grad_output)
    check_result(grad_output, batch, (N, C, *batch[2:]))
    if 0 in (H, W) and batch[2] * batch[3]:
        raise ValueError(f"input_size must have rows and columns for windows of its, got {shown(input_size)}")
    P, Q = batch[2:]
    is_known = not any(map(is_symbol, (H, W, P, Q)))
    if is_known and (window := alike((H, W), (P, Q))):
        return MeanGradientSpec(REGULAR, N, C, H, W, P, Q, *window, stride=window, dtype=dtype)
    return MeanGradientSpec(ADAPTIVE, N, C, H, W, P, Q, dtype=dtype)


def of_norm_gradient(
    grad_output: Any, input: Any, output: Any, norm_type: Any, kernel_size: Any, stride: Any = None,
    ceil_mode: Any = False,
) -> MeanGradientSpec:  # fmt: skip
    """Check the arguments of `gpuconv.grad.lp_pool2d`.

    Raises
    ------
    TypeError, ValueError
        Naming the wrong one.
    """
    spec = of_mean_gradient(
        grad_output,
        tuple(batched_shape(input))[4 - len(input.shape) :],
        kernel_size,
        stride,
        0,
        ceil_mode,
        called="input",
    )
    for name, array in (("input", input), ("output", output)):
        same_dtype(array, name, spec.dtype, "grad_output")
    if tuple(output.shape) != tuple(grad_output.shape):
        raise ValueError(
            f"output must have the shape of grad_output, {tuple(grad_output.shape)}, got "
            f"{tuple(output.shape)}"
        )
    norm = as_norm(norm_type, spec.dtype)
    if np.isinf(norm):
        raise ValueError(
            f"norm_type must be finite, got {shown(norm_type)}: the gradient of the greatest magnitude is "
            "that of max_pool2d of input's magnitudes, times their signs"
        )
    return replace(spec, norm=norm)
