"""Windows of images laid out as columns of a matrix, and added up again where they were taken from."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar

from gpuconv.spec.axis import Axis
from gpuconv.spec.checks import axes_of, batched_shape, calling_input, checked_dtype, checked_outputs
from gpuconv.spec.dtypes import FLOAT32, POOLED, Dtype
from gpuconv.spec.images import ImagesSpec
from gpuconv.spec.orders import noticing_channels
from gpuconv.spec.parameters import Pads, Pair, as_pads, as_pair
from gpuconv.spec.scatter import NO_PADS

UNFOLD, FOLD = "unfold", "fold"


@dataclass(frozen=True, slots=True)
class PatchesSpec(ImagesSpec):
    """Images (N, C, H, W) and their windows (N, C R S, P Q): from one to the other, by `direction`.

    Row (c R + r) S + s of the matrix has what the windows see at their tap (r, s), with zeros around images.

    Examples
    --------
    >>> PatchesSpec("unfold", N=1, C=3, H=8, W=8, R=3, S=3, pads=((1, 1), (1, 1))).out_shape
    (1, 27, 64)
    """

    direction: str
    N: int
    C: int
    H: int
    W: int
    R: int
    S: int
    P: int = field(init=False)
    Q: int = field(init=False)
    pads: Pads = NO_PADS
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    dtype: Dtype = FLOAT32

    # what every algorithm looks at by itself; all else must be in what it takes (`Algorithm.takes`)
    GEOMETRY: ClassVar[Collection[str]] = (
        "N", "C", "H", "W", "R", "S", "P", "Q", "pads", "stride", "dilation",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", Dtype(self.dtype))
        for name, outputs in zip("PQ", checked_outputs(self), strict=True):
            object.__setattr__(self, name, outputs)

    def __hash__(self) -> int:
        """Of numbers alone, so that a set of specs has one order in every process."""
        return hash((self.N, self.C, self.H, self.W, self.R, self.S, self.pads, self.stride, self.dilation))

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return self.N, self.C, self.H, self.W

    @property
    def matrix_shape(self) -> tuple[int, int, int]:
        """(N, C R S, P Q)."""
        return self.N, self.C * self.R * self.S, self.P * self.Q

    @property
    def in_shape(self) -> tuple[int, ...]:
        """That of the images, or of the matrix."""
        return self.image_shape if self.direction == UNFOLD else self.matrix_shape

    @property
    def out_shape(self) -> tuple[int, ...]:
        """That of the matrix, or of the images."""
        return self.matrix_shape if self.direction == UNFOLD else self.image_shape

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """The rows and the columns of the windows."""
        return axes_of(self)

    @property
    def min_bytes(self) -> int:
        """Bytes that must move at least: input and output once each."""
        return self.itemsize * (math.prod(self.in_shape) + math.prod(self.out_shape))


def _geometry(
    size: Pair, kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[Pair, Pads, Pair, Pair]:
    """(window, pads, stride, dilation)."""
    window = as_pair(kernel_size, "kernel_size", least=1)
    stride, dilation = as_pair(stride, "stride", least=1), as_pair(dilation, "dilation", least=1)
    return window, as_pads(padding, size, window, stride, dilation), stride, dilation


def of_unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> PatchesSpec:
    """Check the arguments of `gpuconv.unfold`.

    Raises
    ------
    TypeError, ValueError
        Naming the wrong one.
    """
    dtype = checked_dtype(input, POOLED)
    N, C, H, W = batched_shape(input)
    window, pads, stride, dilation = _geometry((H, W), kernel_size, dilation, padding, stride)
    with noticing_channels(input, window, dilation):
        return PatchesSpec(UNFOLD, N, C, H, W, *window, pads, stride, dilation, dtype)


def of_fold(
    input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> PatchesSpec:
    """Check the arguments of `gpuconv.fold`.

    Raises
    ------
    TypeError, ValueError
        Naming the wrong one.
    """
    dtype = checked_dtype(input, POOLED)
    shape = tuple(input.shape)
    if len(shape) not in (2, 3):
        raise ValueError(f"input must have shape (N, C R S, P Q) or (C R S, P Q), got {shape}")
    N, rows, columns = shape if len(shape) == 3 else (1, *shape)
    H, W = as_pair(output_size, "output_size", least=1)
    (R, S), pads, stride, dilation = _geometry((H, W), kernel_size, dilation, padding, stride)
    if rows % (R * S):
        raise ValueError(f"input must have a multiple of {R * S} rows, for kernel_size {R}x{S}, got {rows}")
    with calling_input("output_size"):
        spec = PatchesSpec(FOLD, N, rows // (R * S), H, W, R, S, pads, stride, dilation, dtype)
    if columns != spec.P * spec.Q:
        raise ValueError(
            f"input must have {spec.P} x {spec.Q} columns, one for each window of output_size {H}x{W}, got "
            f"{columns}"
        )
    return spec
