"""Values put where indices say, plane by plane: a max pool turned round, and its gradient by the input."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gpuconv.spec.axis import Axis
from gpuconv.spec.checks import batched_shape, calling_input, check_pool_pads, checked_dtype, image_size
from gpuconv.spec.dtypes import FLOAT32, INT64, POOLED, Dtype
from gpuconv.spec.idioms import idioms_of
from gpuconv.spec.images import ImagesSpec
from gpuconv.spec.parameters import Pads, Pair, as_flag, as_integer, as_pads, as_pair
from gpuconv.spec.pool import PoolSpec, is_left_out
from gpuconv.spec.shown import shown

NO_PADS: Pads = ((0, 0), (0, 0))


@dataclass(frozen=True, slots=True)
class ScatterSpec(ImagesSpec):
    """Values (N, C, P, Q) and an index for each, flat in its plane of H x W; an index of -1 is of no place.

    `combine` says what becomes of several values of one place: their "sum", or the "last" of them in the
    order of the values. Where no value goes there is 0. If `is_windowed`, a value is of the window of R x S
    at its place (p, q), and does not count where its index is beyond the rows that the window spans.

    Examples
    --------
    >>> ScatterSpec("sum", N=1, C=64, H=112, W=112, P=56, Q=56).out_shape
    (1, 64, 112, 112)
    """

    combine: str
    N: int
    C: int
    H: int
    W: int
    P: int
    Q: int
    is_windowed: bool = False
    R: int = 1
    S: int = 1
    pads: Pads = NO_PADS
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    dtype: Dtype = FLOAT32

    # what every algorithm looks at by itself; all else must be in what it takes (`Algorithm.takes`)
    GEOMETRY: ClassVar[Collection[str]] = (
        "N", "C", "H", "W", "P", "Q", "is_windowed", "R", "S", "pads", "stride", "dilation",
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
    def rows(self) -> Axis:
        """The rows, with the windows along them."""
        return Axis(self.H, self.R, self.pads[0], self.stride[0], self.dilation[0])

    @property
    def min_bytes(self) -> int:
        """Bytes that must move at least: input and output once each, and the int64 indices."""
        values = math.prod(self.in_shape)
        return self.itemsize * (values + math.prod(self.out_shape)) + INT64.itemsize * values


def of_unpool(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> ScatterSpec:
    """Check the arguments of `gpuconv.max_unpool2d`.

    Raises
    ------
    TypeError, ValueError
        Naming the wrong one.
    """
    dtype = checked_dtype(input, POOLED)
    N, C, P, Q = batched_shape(input)
    check_indices(indices, input, "input")
    window = as_pair(kernel_size, "kernel_size", least=1)
    stride = window if is_left_out(stride) else as_pair(stride, "stride", least=1)
    if isinstance(padding, str):
        raise ValueError(
            f"padding must be an integer or a pair; it is that of the pool, got {shown(padding)}"
        )
    pads = as_pads(padding, (P, Q), window, stride, (1, 1))
    counts = zip((P, Q), window, stride, pads, strict=True)
    H, W = ((count - 1) * step + taps - sum(sides) for count, taps, step, sides in counts)
    if output_size is not None and min(H, W) >= 0:
        H, W = _output_size(output_size, len(input.shape), (H, W), stride)
    if H < 0 or W < 0 or (0 in (H, W) and P * Q):
        raise ValueError(
            f"input is too small: an output of {H}x{W} is left of it with padding={shown(padding)}"
        )
    return ScatterSpec("last", N, C, H, W, P, Q, dtype=dtype)


def _output_size(output_size: Any, axes: int, usual: Pair, stride: Pair) -> Pair:
    """(H, W), with or without the axes before them, less than a stride from the usual size."""
    given = output_size
    if isinstance(given, list | tuple) and len(given) in (4, axes):
        *before, H, W = given
        given = H, W
        for each in before:  # as in PyTorch, which number it is is not looked at
            as_integer(each, "output_size", least=0)
    size = as_pair(given, "output_size", least=0)
    if any(abs(each - wanted) >= step for each, wanted, step in zip(size, usual, stride, strict=True)):
        least = tuple(max(wanted - step + 1, 0) for wanted, step in zip(usual, stride, strict=True))
        most = tuple(wanted + step - 1 for wanted, step in zip(usual, stride, strict=True))
        raise ValueError(f"output_size must be from {least} to {most}, got {shown(output_size)}")
    return size


def of_max_gradient(
    grad_output: Any, indices: Any, input_size: Any, kernel_size: Any = None, stride: Any = None,
    padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False,
) -> ScatterSpec:  # fmt: skip
    """Check the arguments of `gpuconv.grad.max_pool2d`.

    Raises
    ------
    TypeError, ValueError
        Naming the wrong one.
    """
    dtype = checked_dtype(grad_output, POOLED, "grad_output")
    batch = batched_shape(grad_output, "grad_output")
    check_indices(indices, grad_output, "grad_output")
    N, C, H, W = image_size(input_size, grad_output)
    ceil_mode = as_flag(ceil_mode, "ceil_mode")
    if kernel_size is None:
        _refuse_windows(stride=(stride, None), padding=(padding, 0), dilation=(dilation, 1))
        check_result(grad_output, batch, (N, C, *batch[2:]))
        return ScatterSpec("sum", N, C, H, W, *batch[2:], dtype=dtype)
    R, S = as_pair(kernel_size, "kernel_size", least=1)
    stride = (R, S) if is_left_out(stride) else as_pair(stride, "stride", least=1)
    dilation = as_pair(dilation, "dilation", least=1)
    pads = as_pads(padding, (H, W), (R, S), stride, dilation)
    check_pool_pads(pads, padding, (R, S))
    with calling_input("input_size"):
        pool = PoolSpec("max", N, C, H, W, R, S, pads, stride, dilation, ceil_mode)
    check_result(grad_output, batch, pool.out_shape)
    return ScatterSpec("sum", N, C, H, W, pool.P, pool.Q, True, R, S, pads, stride, dilation, dtype)


def _refuse_windows(**given: tuple[Any, Any]) -> None:
    """Refuse parameters, name=(value, neutral value), that say something of windows of no size."""
    for name, (value, neutral) in given.items():
        if not (value is neutral or (isinstance(value, int) and value == neutral)):
            raise ValueError(f"{name}={shown(value)} is of windows: it needs kernel_size, which is None")


def check_indices(indices: Any, beside: Any, name: str) -> None:
    """Refuse indices that are no integers of 32 or 64 bits, one for each element of the array beside."""
    dtype = np.dtype(indices.dtype)
    if dtype.kind != "i" or dtype.itemsize < 4:
        wanted = f"{idioms_of(indices).module}.int64"
        raise TypeError(
            f"indices must be int64, as max_pool2d returns them, got dtype {dtype.name}: pass "
            f"{idioms_of(indices).cast('indices', wanted)}"
        )
    if tuple(indices.shape) != tuple(beside.shape):
        raise ValueError(
            f"indices must have the shape of {name}, {tuple(beside.shape)}, got {tuple(indices.shape)}"
        )


def check_result(grad_output: Any, batch: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Refuse a gradient that is not of the shape of the result."""
    if tuple(batch) != tuple(wanted):
        shape = tuple(wanted)[4 - len(grad_output.shape) :]
        raise ValueError(
            f"grad_output must have the shape of the pool's result, {shape}, got {tuple(grad_output.shape)}"
        )
