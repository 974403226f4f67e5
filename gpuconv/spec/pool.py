"""One pool: every check of the user's arguments, and what follows from the shapes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from gpuconv.spec.checks import batched_shape, check_pool_pads, checked_dtype, checked_outputs
from gpuconv.spec.dtypes import FLOAT32, FLOATS, INT64, SIXTEEN_BITS, Dtype
from gpuconv.spec.images import ImagesSpec
from gpuconv.spec.orders import noticing_channels
from gpuconv.spec.parameters import BOUND, NO_SEQUENCES, Pads, Pair, as_flag, as_integer, as_pads, as_pair

POOLED = (*FLOATS, *SIXTEEN_BITS)


@dataclass(frozen=True, slots=True)
class PoolSpec(ImagesSpec):
    """One 2-D pooling problem: what a window of R x S is reduced to, by `reduction`, "max" or "mean".

    Windows are "regular": one every stride. Windows of other kinds have another name there.

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
    windows: str = "regular"

    # what every algorithm looks at by itself; all else must be in what it takes (`Algorithm.takes`)
    GEOMETRY: ClassVar[Collection[str]] = (
        "N", "C", "H", "W", "R", "S", "P", "Q", "pads", "stride", "dilation", "ceil_mode",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.return_indices and self.reduction == "mean":
            raise ValueError("a mean lies nowhere: return_indices is for maxima")
        object.__setattr__(self, "dtype", Dtype(self.dtype))
        for name, outputs in zip("PQ", checked_outputs(self, self.ceil_mode), strict=True):
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
        dtype = checked_dtype(input, POOLED)
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


def is_left_out(stride: Any) -> bool:
    """None, or an empty sequence or array, which is what PyTorch passes on for it."""
    if isinstance(stride, Sequence):
        return not isinstance(stride, NO_SEQUENCES) and not len(stride)
    return stride is None or tuple(getattr(stride, "shape", ())) == (0,)
