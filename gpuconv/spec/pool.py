"""One pool: every check of the user's arguments, and what follows from the shapes."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from gpuconv.spec.checks import batched_shape, check_pool_pads, checked_dtype, checked_outputs
from gpuconv.spec.dtypes import COMPARED, FLOAT32, INT64, POOLED, Dtype
from gpuconv.spec.images import ImagesSpec
from gpuconv.spec.orders import noticing_channels
from gpuconv.spec.parameters import (
    BOUND,
    NO_SEQUENCES,
    Pads,
    Pair,
    as_flag,
    as_integer,
    as_pads,
    as_pair,
    is_symbol,
)
from gpuconv.spec.shown import shown
from gpuconv.spec.windows import ADAPTIVE, REGULAR, alike, largest

EXTREMES = "max", "min"


@dataclass(frozen=True, slots=True)
class PoolSpec(ImagesSpec):
    """One 2-D pooling problem: what a window of R x S is reduced to, by `reduction`.

    That is "max", "min", "mean", or "norm": (sum of x^norm)^(1 / norm), as PyTorch has it.
    Windows are "regular", one every stride, or "adaptive": as many as `output_size` says share the image out,
    and R x S are the places of the largest.

    Examples
    --------
    >>> PoolSpec("max", N=1, C=64, H=112, W=112, R=3, S=3, pads=((1, 1), (1, 1)), stride=(2, 2)).out_shape
    (1, 64, 56, 56)
    """

    reduction: str
    N: int
    C: int
    H: int
    W: int
    R: int
    S: int
    P: int = field(init=False)
    Q: int = field(init=False)
    pads: Pads = ((0, 0), (0, 0))
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None
    return_indices: bool = False
    dtype: Dtype = FLOAT32
    windows: str = REGULAR
    output_size: Pair | None = None
    norm: float | None = None

    # what every algorithm looks at by itself; all else must be in what it takes (`Algorithm.takes`)
    GEOMETRY: ClassVar[Collection[str]] = (
        "N", "C", "H", "W", "R", "S", "P", "Q", "pads", "stride", "dilation", "ceil_mode",
        "output_size",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.return_indices and self.reduction != "max":
            raise ValueError(f"a {self.reduction} has no indices: return_indices is for maxima")
        object.__setattr__(self, "dtype", Dtype(self.dtype))
        for name, outputs in zip(
            "PQ", self.output_size or checked_outputs(self, self.ceil_mode), strict=True
        ):
            object.__setattr__(self, name, outputs)

    @property
    def in_shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return self.N, self.C, self.H, self.W

    def __hash__(self) -> int:
        """Of numbers alone, so that a set of specs has one order in every process."""
        return hash((self.N, self.C, self.H, self.W, self.R, self.S, self.pads, self.stride, self.dilation))

    @classmethod
    def from_arrays(
        cls,
        reduction: str,
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: Any = False,
        count_include_pad: Any = True,
        divisor_override: Any = None,
        return_indices: Any = False,
    ) -> "PoolSpec":
        """Check the arguments of a pool; raise ValueError or TypeError that names the wrong one."""
        dtype = checked_dtype(input, COMPARED if reduction in EXTREMES else POOLED)
        N, C, H, W = batched_shape(input)
        R, S = as_pair(kernel_size, "kernel_size", least=1)
        stride = (R, S) if is_left_out(stride) else as_pair(stride, "stride", least=1)
        dilation = as_pair(dilation, "dilation", least=1)
        pads = as_pads(padding, (H, W), (R, S), stride, dilation)
        check_pool_pads(pads, padding, (R, S))
        if divisor_override is not None:
            divisor_override = as_integer(divisor_override, "divisor_override", least=1 - BOUND)
            if divisor_override == 0:
                raise ValueError("divisor_override must not be 0")
        with noticing_channels(input, (R, S), dilation):
            return cls(
                reduction, N, C, H, W, R, S, pads, stride, dilation,
                as_flag(ceil_mode, "ceil_mode"),
                as_flag(count_include_pad, "count_include_pad"),
                divisor_override,
                as_flag(return_indices, "return_indices"),
                dtype,
            )  # fmt: skip

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        """(N, C, P, Q)."""
        return self.N, self.C, self.P, self.Q

    @property
    def flops(self) -> int:
        """Comparisons or additions of the direct window: N C P Q R S."""
        return self.N * self.C * self.P * self.Q * self.R * self.S

    @property
    def min_bytes(self) -> int:
        """Bytes that must move at least: input and output once each, and the int64 indices if asked for."""
        outputs = self.N * self.C * self.P * self.Q
        indices = INT64.itemsize * outputs if self.return_indices else 0
        return self.itemsize * (self.N * self.C * self.H * self.W + outputs) + indices


def of_norms(
    input: Any, norm_type: Any, kernel_size: Any, stride: Any = None, ceil_mode: Any = False
) -> PoolSpec:
    """Check the arguments of `gpuconv.lp_pool2d`; raise ValueError or TypeError that names the wrong one."""
    spec = PoolSpec.from_arrays("mean", input, kernel_size, stride, ceil_mode=ceil_mode)
    norm = as_norm(norm_type, spec.dtype)
    return replace(spec, reduction="norm", norm=norm)


def as_norm(norm_type: Any, dtype: Dtype) -> float:
    """The exponent of a norm: a number, and not 0; inf is the greatest magnitude, and -inf the least.

    Neither it nor its inverse, the exponent of the root, may be 0 or infinite in what is computed with.
    """
    if isinstance(norm_type, bool | np.bool_) or not isinstance(norm_type, int | float | np.number):
        raise TypeError(f"norm_type must be a number, got {shown(norm_type)}")
    try:
        norm = math.nan if isinstance(norm_type, np.complexfloating) else float(norm_type)
    except OverflowError:
        norm = math.nan
    if norm == 0 or math.isnan(norm):
        raise ValueError(f"norm_type must be a real number and not 0, got {shown(norm_type)}")
    if not math.isinf(norm):
        with np.errstate(all="ignore"):
            exponents = np.array([norm, 1 / norm]).astype(dtype.arithmetic.numpy)
        if not np.isfinite(exponents).all() or not exponents.all():
            raise ValueError(
                f"norm_type must be inf, or a number that {dtype.arithmetic} can hold, as its inverse, got "
                f"{shown(norm_type)}"
            )
    return norm


def of_adaptive(reduction: str, input: Any, output_size: Any, return_indices: Any = False) -> PoolSpec:
    """Check the arguments of an adaptive pool; raise ValueError or TypeError that names the wrong one.

    Windows that are all alike, as where the image's sides are multiples of the outputs, are regular ones.
    """
    dtype = checked_dtype(input, COMPARED if reduction in EXTREMES else POOLED)
    N, C, H, W = batched_shape(input)
    P, Q = _as_output_size(output_size, (H, W))
    if 0 in (H, W) and P * Q:
        raise ValueError(f"input must have rows and columns for windows, got shape {tuple(input.shape)}")
    indices = as_flag(return_indices, "return_indices")
    if any(map(is_symbol, (H, W, P, Q))):  # windows of any size, in an image that bounds them
        R, S = H, W
    elif window := alike((H, W), (P, Q)):
        return PoolSpec(reduction, N, C, H, W, *window, stride=window, return_indices=indices, dtype=dtype)
    else:
        R, S = map(largest, (H, W), (P, Q))
    return PoolSpec(
        reduction, N, C, H, W, R, S, return_indices=indices, dtype=dtype, windows=ADAPTIVE, output_size=(P, Q)
    )


def _as_output_size(output_size: Any, size: Pair) -> Pair:
    """(P, Q), of which None is the image's own."""
    if isinstance(output_size, list | tuple) and len(output_size) == 2:
        output_size = [own if each is None else each for each, own in zip(output_size, size, strict=True)]
    return size if output_size is None else as_pair(output_size, "output_size", least=0)


def is_left_out(stride: Any) -> bool:
    """None, or an empty sequence or array, which is what PyTorch passes on for it."""
    if isinstance(stride, Sequence):
        return not isinstance(stride, NO_SEQUENCES) and not len(stride)
    return stride is None or tuple(getattr(stride, "shape", ())) == (0,)
