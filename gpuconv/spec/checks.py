"""What every spec checks of its arrays: shapes and dtypes, of whatever has both; no memory is touched."""

import functools
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpuconv.spec.axis import Axis, Pair
from gpuconv.spec.dtypes import INT32, Dtype
from gpuconv.spec.idioms import idioms_of
from gpuconv.spec.parameters import Pads, as_integer, elements_of
from gpuconv.spec.shown import shown

USERS = 2  # what NumPy calls a dtype that another package made, as ml_dtypes those of 8 bits and fewer


def batched_shape(input: Any, name: str = "input") -> tuple[int, int, int, int]:
    """(N, C, H, W) of a batch, or of one unbatched (C, H, W) image as a batch of 1."""
    shape = tuple(input.shape)
    if len(shape) == 3:
        return (1, *shape)
    if len(shape) != 4:
        hint = f": one channel of one image is {name}[None]" if len(shape) == 2 else ""
        raise ValueError(f"{name} must have shape (N, C, H, W) or (C, H, W), got {shape}{hint}")
    return shape


def image_size(input_size: Any, grad_output: Any) -> tuple[int, int, int, int]:
    """(N, C, H, W) of the input of an operator, with as many axes as its result."""
    axes = len(grad_output.shape)
    try:
        size = tuple(as_integer(each, "input_size", least=0) for each in elements_of(input_size, axes))
    except TypeError:
        raise TypeError(f"input_size must be {axes} integers, got {shown(input_size)}") from None
    if len(size) != axes:
        raise ValueError(
            f"input_size must be {axes} integers, as grad_output has axes, got {shown(input_size)}"
        )
    N, C, H, W = size if axes == 4 else (1, *size)
    return N, C, H, W


def checked_dtype(input: Any, taken: Collection[Dtype], argument: str = "input") -> Dtype:
    """The input's dtype, if an operator takes it."""
    name = dtype_name(input.dtype)
    if name not in taken:
        *most, last = taken
        other = np.dtype(input.dtype)
        idioms = idioms_of(input)
        hint = ""
        is_small = other.isbuiltin == USERS and other.itemsize < 2
        if other.kind in "biu" or other.itemsize == 2 or is_small:
            hint = f": pass {idioms.cast(argument, idioms.float32)}"
        raise TypeError(f"{argument} must be {', '.join(most)} or {last}, got dtype {name}{hint}")
    return Dtype(name)


def same_dtype(array: Any, name: str, dtype: Dtype, first: str = "input") -> None:
    """Refuse an array of another dtype than that of the first, which is the input."""
    got = dtype_name(array.dtype)
    if got != dtype:
        of_first = "the input's" if first == "input" else f"{first}'s"
        hint = "" if name == "out" else f": pass {idioms_of(array).cast(name, f'{first}.dtype')}"
        raise TypeError(
            f"{name} must have {of_first} dtype {dtype}, got {got}; nothing is cast silently{hint}"
        )


def of_sums(array: Any, name: str) -> None:
    """Refuse an array beside integers of 8 bits that is not of what they are summed in."""
    got = dtype_name(array.dtype)
    if got != INT32:
        hint = "" if name == "out" else f": pass {idioms_of(array).cast(name, idioms_of(array).int32)}"
        raise TypeError(
            f"{name} must be {INT32}, in which integers of 8 bits are summed, got {got}; nothing is cast "
            f"silently{hint}"
        )


@functools.lru_cache(maxsize=64)
def dtype_name(dtype: Any) -> str:
    """NumPy's name of a dtype, which Python code of NumPy's works out each time that it is asked for."""
    return np.dtype(dtype).name


def check_out(out: Any, shape: tuple[int, ...], dtype: Dtype) -> None:
    """Refuse an `out` array that cannot take the result."""
    if tuple(out.shape) != shape:
        raise ValueError(f"out must have the result's shape {shape}, got {tuple(out.shape)}")
    if dtype == INT32:
        of_sums(out, "out")
    else:
        same_dtype(out, "out", dtype)


def axes_of(spec: Any) -> tuple[Axis, Axis]:
    """The rows and the columns of a problem with H W R S pads stride dilation."""
    size, window = (spec.H, spec.W), (spec.R, spec.S)
    rows, columns = map(Axis, size, window, spec.pads, spec.stride, spec.dilation)
    return rows, columns


def checked_outputs(spec: Any, ceil_mode: bool = False) -> Pair:
    """(P, Q), each at least 1."""
    axes = axes_of(spec)
    P, Q = (axis.outputs(ceil_mode) for axis in axes)
    if P < 1 or Q < 1:
        raise ValueError(
            f"input is too small: its {axes[0].padded}x{axes[1].padded} after padding {spec.pads} is less "
            f"than the {axes[0].reach}x{axes[1].reach} that a kernel of {spec.R}x{spec.S} with dilation "
            f"{spec.dilation} covers"
        )
    return P, Q


@contextmanager
def calling_input(name: str) -> Iterator[None]:
    """Say that the input of another operator is too small by the name of the argument of its size."""
    try:
        yield
    except ValueError as error:
        text = str(error).replace("input is too small", f"{name} is too small")
        raise ValueError(text) from None


def check_pool_pads(pads: Pads, padding: Any, window: Pair) -> None:
    """Refuse padding of more than half of a window; each window of "same" meets the image even so."""
    if isinstance(padding, str) and padding == "same":
        return
    for sides, taps in zip(pads, window, strict=True):
        if max(sides) > taps // 2:
            raise ValueError(
                f"padding of a pool may be at most half of its kernel on each side, {taps // 2} for "
                f"kernel_size {taps}; got padding={shown(padding)}"
            )
