"""What a call means: every check of the user's arguments and all shape arithmetic, for every backend.

The letters are the field's and are used everywhere below this file: an input is (N, C, H, W), a weight
(K, C / groups, R, S), an output (N, K, P, Q) for a convolution and (N, C, P, Q) for a pool. Nothing here
touches memory: only shapes, dtypes and parameters are read. Nothing below here validates them again.
"""

import functools
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from gpuconv.spec.dtypes import FLOAT32, Dtype
from gpuconv.spec.parameters import LIMIT, Pads, Pair, as_flag, as_integer, as_pads, as_pair

FLOAT_DTYPES = ("float32", "float64")
POOL_DTYPES = (*FLOAT_DTYPES, "float16", "bfloat16")  # what has 16 bits is computed in float32
ITEMSIZES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}  # bytes; NumPy need not know bfloat16
PRECISIONS = ("tf32",)  # errors that the caller may allow, beside None: that of the dtype itself


@dataclass(frozen=True, slots=True)
class ConvSpec:
    """One 2-D convolution problem: the shapes, the parameters and the dtype, and nothing else.

    Examples
    --------
    >>> spec = ConvSpec(N=8, C=64, H=56, W=56, K=64, R=3, S=3, pads=((1, 1), (1, 1)))
    >>> spec.out_shape
    (8, 64, 56, 56)
    >>> spec.flops
    1849688064
    """

    N: int
    C: int
    H: int
    W: int
    K: int
    R: int
    S: int
    P: int = field(init=False)
    Q: int = field(init=False)
    pads: Pads = ((0, 0), (0, 0))
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    groups: int = 1
    dtype: Dtype = FLOAT32
    precision: str | None = None
    # once, since plans are found by specs; of numbers alone, whose hashes are the same in every process
    _hash: int = field(init=False, repr=False, compare=False)

    GEOMETRY: ClassVar[tuple[str, ...]] = (
        "N", "C", "H", "W", "K", "R", "S", "P", "Q", "pads", "stride", "dilation", "groups", "_hash",
    )  # fmt: skip

    def __post_init__(self) -> None:
        _complete(self, False, self.K, self.groups)

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def from_arrays(
        cls,
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: Any = 1,
        precision: Any = None,
    ) -> "ConvSpec":
        """Check the arguments of `gpuconv.conv2d`; raise ValueError or TypeError that names the wrong one."""
        dtype = _checked_dtype(input, FLOAT_DTYPES)
        N, C, H, W = batched_shape(input)
        if len(weight.shape) != 4:
            raise ValueError(f"weight must have shape (K, C / groups, R, S), got {tuple(weight.shape)}")
        K, C_group, R, S = weight.shape
        if R < 1 or S < 1:
            raise ValueError(f"weight must have a kernel of at least 1x1, got shape {tuple(weight.shape)}")
        groups = as_integer(groups, "groups", least=1)
        _check_groups(C, K, C_group, groups)
        _same_dtype(weight, "weight", dtype)
        if bias is not None:
            _same_dtype(bias, "bias", dtype)
            if tuple(bias.shape) != (K,):
                raise ValueError(f"bias must have shape ({K},), one per output channel, got {bias.shape}")
        stride = as_pair(stride, "stride", least=1)
        dilation = as_pair(dilation, "dilation", least=1)
        pads = as_pads(padding, (H, W), (R, S), stride, dilation)
        _check_precision(precision)
        return _made(cls, N, C, H, W, K, R, S, pads, stride, dilation, groups, dtype, precision)

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        """(N, K, P, Q)."""
        return self.N, self.K, self.P, self.Q

    @property
    def C_group(self) -> int:
        """Input channels that one output channel sees: C / groups."""
        return self.C // self.groups

    @property
    def K_group(self) -> int:
        """Output channels of one group: K / groups."""
        return self.K // self.groups

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return ITEMSIZES[self.dtype]

    @property
    def flops(self) -> int:
        """Multiplications and additions of the direct sum: 2 N K P Q (C / groups) R S."""
        return 2 * self.N * self.K * self.P * self.Q * self.C_group * self.R * self.S

    @property
    def min_bytes(self) -> int:
        """Bytes that must move at least: input, weight and output once each."""
        return self.itemsize * sum(_sizes(self))

    @property
    def is_depthwise(self) -> bool:
        """Each group has one input channel, and there are several groups."""
        return self.groups > 1 and self.groups == self.C

    @property
    def is_pointwise(self) -> bool:
        """The kernel is 1x1."""
        return self.R == self.S == 1

    @property
    def fits_int32(self) -> bool:
        """Every element offset of the (contiguous) input, weight and output is below 2^31."""
        return max(_sizes(self)) < 2**31


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """One 2-D pooling problem: `reduction` is "max" or "mean", the window is R x S.

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
    # once, since plans are found by specs; of numbers alone, whose hashes are the same in every process
    _hash: int = field(init=False, repr=False, compare=False)

    GEOMETRY: ClassVar[tuple[str, ...]] = (
        "N", "C", "H", "W", "R", "S", "P", "Q", "pads", "stride", "dilation", "ceil_mode", "_hash",
    )  # fmt: skip

    def __post_init__(self) -> None:
        _complete(self, self.ceil_mode)

    def __hash__(self) -> int:
        return self._hash

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
        dtype = _checked_dtype(input, POOL_DTYPES)
        N, C, H, W = batched_shape(input)
        R, S = as_pair(kernel_size, "kernel_size", least=1)
        stride = (R, S) if stride is None else as_pair(stride, "stride", least=1)
        dilation = as_pair(dilation, "dilation", least=1)
        pads = as_pads(padding, (H, W), (R, S), stride, dilation)
        _check_pool_pads(pads, padding, (R, S))
        if divisor_override is not None:
            divisor_override = as_integer(divisor_override, "divisor_override", least=1 - LIMIT)
            if divisor_override == 0:
                raise ValueError("divisor_override must not be 0")
        return _made(
            cls, "mean" if reduction == "avg" else reduction, N, C, H, W, R, S, pads, stride, dilation,
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
    def itemsize(self) -> int:
        """Bytes of one element."""
        return ITEMSIZES[self.dtype]

    @property
    def flops(self) -> int:
        """Comparisons or additions of the direct window: N C P Q R S."""
        return self.N * self.C * self.P * self.Q * self.R * self.S

    @property
    def min_bytes(self) -> int:
        """Bytes that must move at least: input and output once each, and the int64 indices if asked for."""
        outputs = self.N * self.C * self.P * self.Q
        indices = 8 * outputs if self.return_indices else 0
        return self.itemsize * (self.N * self.C * self.H * self.W + outputs) + indices


Spec = ConvSpec | PoolSpec


def _complete(spec: Spec, ceil_mode: bool, *more: int) -> None:
    """Work out P, Q and the hash, of which `more` is a part."""
    problem = (spec.H, spec.W), (spec.R, spec.S), spec.pads, spec.stride, spec.dilation
    P, Q = _output_extents(*problem, ceil_mode)
    for name, value in (
        ("P", P),
        ("Q", Q),
        ("dtype", Dtype(spec.dtype)),
        ("_hash", hash((spec.N, spec.C, problem, *more))),
    ):
        object.__setattr__(spec, name, value)


# kind(*fields), or the equal spec made before: the fields are in their normal form by then
_made: Any = functools.lru_cache(maxsize=1024)(lambda kind, *fields: kind(*fields))


def batched_shape(input: Any) -> tuple[int, int, int, int]:
    """(N, C, H, W) of a batch, or of one unbatched (C, H, W) image as a batch of 1."""
    shape = tuple(input.shape)
    if len(shape) == 3:
        return (1, *shape)
    if len(shape) != 4:
        raise ValueError(f"input must have shape (N, C, H, W) or (C, H, W), got {shape}")
    return shape


def check_out(out: Any, shape: tuple[int, ...], dtype: str) -> None:
    """Refuse an `out` array that cannot take the result."""
    if tuple(out.shape) != shape:
        raise ValueError(f"out must have the result's shape {shape}, got {tuple(out.shape)}")
    _same_dtype(out, "out", dtype)


def refuse_unbuilt(**options: tuple[Any, Any]) -> None:
    """Refuse the options, given as name=(value, neutral value), that this version does not offer yet."""
    for name, (value, neutral) in options.items():
        if value is not neutral and not (isinstance(value, str) and value == neutral):
            shown = f"<{type(value).__name__}>" if getattr(value, "ndim", 0) else repr(value)
            raise ValueError(
                f"{name}={shown} is not offered by this version of gpuconv; leave it {neutral!r}"
            )


def _sizes(spec: ConvSpec) -> tuple[int, int, int]:
    """Elements of the input, the weight and the output."""
    return (
        spec.N * spec.C * spec.H * spec.W,
        spec.K * spec.C_group * spec.R * spec.S,
        spec.N * spec.K * spec.P * spec.Q,
    )


@functools.lru_cache(maxsize=64)
def _dtype_name(dtype: Any) -> str:
    return np.dtype(dtype).name  # Python code of NumPy's works it out each time that it is asked for


def _checked_dtype(input: Any, known: tuple[str, ...]) -> str:
    name = _dtype_name(input.dtype)
    if name not in known:
        raise TypeError(f"input must be {', '.join(known[:-1])} or {known[-1]}, got dtype {name}")
    return name


def _same_dtype(array: Any, name: str, dtype: str) -> None:
    got = _dtype_name(array.dtype)
    if got != dtype:
        raise TypeError(f"{name} must have the input's dtype {dtype}, got {got}; nothing is cast silently")


def _check_precision(precision: Any) -> None:
    if precision is not None and not (isinstance(precision, str) and precision in PRECISIONS):
        plain = isinstance(precision, str | int | float)
        shown = repr(precision) if plain else f"<{type(precision).__name__}>"
        raise ValueError(f"precision must be None or one of {', '.join(PRECISIONS)}; got {shown}")


def _check_groups(C: int, K: int, C_group: int, groups: int) -> None:
    if C % groups or K % groups:
        raise ValueError(
            f"groups={groups} must divide the {C} channels of input and the {K} output channels of weight"
        )
    if C_group != C // groups:
        raise ValueError(
            f"weight must have C / groups = {C} / {groups} = {C // groups} channels (its dimension 1), "
            f"got {C_group}"
        )


def _check_pool_pads(pads: Pads, padding: Any, kernel: Pair) -> None:
    # each window of "same" meets the image, also where a dilated one needs more padding
    if isinstance(padding, str) and padding == "same":
        return
    for sides, extent in zip(pads, kernel, strict=True):
        if max(sides) > extent // 2:
            raise ValueError(
                f"padding of a pool may be at most half of its kernel on each side, {extent // 2} for "
                f"kernel_size {extent}; got padding={padding!r}"
            )


def _output_extents(
    size: Pair, kernel: Pair, pads: Pads, stride: Pair, dilation: Pair, ceil_mode: bool
) -> Pair:
    P, Q = (
        output_extent(*axis, ceil_mode) for axis in zip(size, kernel, pads, stride, dilation, strict=True)
    )
    if P < 1 or Q < 1:
        reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
        padded = tuple(s + sum(p) for s, p in zip(size, pads, strict=True))
        raise ValueError(
            f"input is too small: its {padded[0]}x{padded[1]} after padding {pads} is less than the "
            f"{reach[0]}x{reach[1]} that a kernel of {kernel[0]}x{kernel[1]} with dilation {dilation} covers"
        )
    return P, Q


def output_extent(
    size: int, kernel: int, pads: Pair, stride: int, dilation: int, ceil_mode: bool = False
) -> int:
    """Outputs along one axis; 0 or less where the kernel does not fit.

    floor((size + before + after - dilation * (kernel - 1) - 1) / stride) + 1, and with `ceil_mode` the
    ceiling instead, less a last window that would start beyond the input and its leading padding
    (PyTorch's pooling_output_shape).

    Examples
    --------
    >>> output_extent(28, kernel=3, pads=(2, 2), stride=2, dilation=1)
    15
    """
    span = size + sum(pads) - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return span // stride + 1
    count = -(-span // stride) + 1
    return count - 1 if (count - 1) * stride >= size + pads[0] else count
